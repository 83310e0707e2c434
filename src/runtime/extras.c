/* SPDX-License-Identifier: Apache-2.0 */
/* Options that are the monitor's business alone: resolved once, at create, and handed on at every start. */
#include "runtime/extras.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/health.h"
#include "runtime/words.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOG_FILE_BYTES     (8ULL << 20)
#define LOG_FILE_BYTES_MIN (4ULL << 10)
#define LOG_FILE_BYTES_MAX (1ULL << 40)
#define LOG_FILES          2
#define LOG_FILES_MAX      100 /* the readers and the monitor know no more */

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "create box: out of memory");
}

/* The monitor has another working directory than the caller. */
static int resolve_pid_file(const struct boxlet_box_options *o, json_t *extras, struct error *err)
{
        if (o->pid_file == NULL)
                return 0;
        if (o->pid_file[0] == '\0')
                return error_set(err, -EINVAL, "pid file: the path is empty");
        int r = words_check_utf8(o->pid_file, "pid file", err);
        if (r < 0)
                return r;
        cleanup_free char *here = o->pid_file[0] == '/' ? strdup("") : get_current_dir_name();
        if (here == NULL)
                return error_errno(err, -errno, "pid file '%s': find the working directory", o->pid_file);
        cleanup_free char *path = here[0] == '\0' ? strdup(o->pid_file) : path_join(here, o->pid_file);
        if (path == NULL || json_object_set_new(extras, "pid_file", json_string(path)) < 0)
                return out_of_memory(err);
        return 0;
}

static int resolve_log(const struct boxlet_box_options *o, json_t *extras, struct error *err)
{
        uint64_t bytes = o->log_file_bytes != 0 ? o->log_file_bytes : LOG_FILE_BYTES;
        uint32_t files = o->log_files != 0 ? o->log_files : LOG_FILES;
        if (bytes < LOG_FILE_BYTES_MIN || bytes > LOG_FILE_BYTES_MAX)
                return error_set(err, -EINVAL, "log: a file of it has 4 KiB to 1 TiB");
        if (files > LOG_FILES_MAX)
                return error_set(err, -EINVAL, "log: %u files: at most %d", files, LOG_FILES_MAX);
        if (json_object_set_new(extras, "log",
                                json_pack("{s:I, s:I}", "maximum_bytes", (json_int_t)(bytes * files), "files",
                                          (json_int_t)files)) < 0)
                return out_of_memory(err);
        return 0;
}

static int resolve_limits(const struct boxlet_box_options *o, json_t *extras, struct error *err)
{
        const struct {
                const char *name, *option;
                int64_t ms;
        } limits[] = {{"stop_after_ms", "--stop-after", o->stop_after_ms},
                      {"idle_stop_ms", "--idle-stop", o->idle_stop_ms}};
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
                if (limits[i].ms < 0)
                        return error_set(err, -EINVAL, "create box: %s is a time below zero",
                                         limits[i].option);
                if (limits[i].ms > 0 &&
                    json_object_set_new(extras, limits[i].name, json_integer(limits[i].ms)) < 0)
                        return out_of_memory(err);
        }
        return 0;
}

static int resolve_health(const json_t *image_config, const struct boxlet_box_options *o, json_t *extras,
                          struct error *err)
{
        json_t *health = NULL;
        int r = health_resolve(image_config, o, &health, err);
        if (r == 0 && health != NULL && json_object_set_new(extras, "health", health) < 0)
                r = out_of_memory(err);
        return r;
}

int extras_resolve(const json_t *image_config, const struct boxlet_box_options *o, json_t **ret_extras,
                   struct error *err)
{
        cleanup_json json_t *extras = json_object();
        if (extras == NULL)
                return out_of_memory(err);
        int r = resolve_pid_file(o, extras, err);
        if (r == 0)
                r = resolve_log(o, extras, err);
        if (r == 0)
                r = resolve_limits(o, extras, err);
        if (r == 0)
                r = resolve_health(image_config, o, extras, err);
        if (r == 0)
                *ret_extras = take_ptr(&extras);
        return r;
}

int extras_hand_on(const json_t *config, json_t *box_json)
{
        static const char *const names[] = {"pid_file",      "log",          "restart",
                                            "stop_after_ms", "idle_stop_ms", "health"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                json_t *value = json_object_get(config, names[i]);
                if (value != NULL && json_object_set(box_json, names[i], value) < 0)
                        return -ENOMEM;
        }
        return 0;
}
