/* SPDX-License-Identifier: Apache-2.0 */
/* Box handles: finding, asking, stopping, signalling, removing, and executing commands. */
#include "runtime/runtime.h"

#include "base/path.h"
#include "runtime/collect.h"
#include "runtime/control.h"
#include "runtime/life.h"
#include "runtime/process.h"
#include "runtime/spec.h"
#include "runtime/tell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>

#define ANSWER_MS   10000 /* a monitor that lives answers in far less */
#define SHUTDOWN_MS 30000 /* beyond the stop time-out: sync, unmount, power-off */
#define GONE_MS     5000
#define CONSOLE_MAX (16U << 10)

int box_new(struct boxlet *b, const struct state_box *record, struct boxlet_box **ret_box, struct error *err)
{
        struct boxlet_box *box = calloc(1, sizeof(*box));
        char *name = strdup(record->name);
        if (box == NULL || name == NULL) {
                free(box);
                free(name);
                return error_set(err, -ENOMEM, "open box '%s': out of memory", record->name);
        }
        memcpy(box->id, record->id, sizeof(box->id));
        box->name = name;
        box->boxlet = b;
        boxlet_ref(b);
        *ret_box = box;
        return 0;
}

static int get(struct boxlet *b, const char *name_or_id, struct boxlet_box **ret_box, struct error *err)
{
        cleanup_state_box struct state_box record = {0};
        struct stat st;
        int r = state_find(b->state, name_or_id, &record, err);
        if (r < 0)
                return r;
        if (fstatat(b->boxes_fd, record.id, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
                (void)state_delete(b->state, record.id,
                                   err); /* its monitor removed it; the next call tries again */
                return error_set(err, -ENOENT, "find box '%s': it was removed", name_or_id);
        }
        return box_new(b, &record, ret_box, err);
}

int boxlet_box_get(struct boxlet *b, const char *name_or_id, struct boxlet_box **ret_box,
                   struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = get(b, name_or_id, ret_box, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}

void boxlet_box_free(struct boxlet_box *box)
{
        if (box == NULL)
                return;
        boxlet_unref(box->boxlet);
        free(box->name);
        free(box);
}

const char *boxlet_box_id(const struct boxlet_box *box)
{
        return box->id;
}

const char *boxlet_box_name(const struct boxlet_box *box)
{
        return box->name;
}

static bool was_started(struct boxlet_box *box)
{
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* as above */
        int r = state_find(box->boxlet->state, box->id, &record, &ignored);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        return r == 0 && record.started_ns != 0;
}

const char *boxlet_box_state(struct boxlet_box *box, int *ret_exit_code)
{
        cleanup_fd int box_fd = -1;
        struct error ignored = ERROR_INIT;
        cleanup_life_report struct life_report report = {.life = LIFE_DEAD, .exit_code = -1};
        if (box_open_folder(box->boxlet, box->id, &box_fd, &ignored) == 0)
                life_read(box_fd, was_started(box), &report);
        if (ret_exit_code != NULL)
                *ret_exit_code = report.exit_code;
        return life_name(report.life);
}

int box_ask(struct boxlet_box *box, const char *what, json_t *request, int64_t timeout_ms, struct error *err)
{
        cleanup_json json_t *owned = request;
        cleanup_fd int box_fd = -1;
        if (owned == NULL)
                return error_set(err, -ENOMEM, "%s box '%s': out of memory", what, box->name);
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r == 0)
                r = life_look(box_fd, err);
        if (r == 0)
                return error_set(err, -ESRCH, "%s box '%s': it is not running", what, box->name);
        if (r > 0)
                r = control_ask(box_fd, owned, timeout_ms, NULL, err);
        return r < 0 ? error_wrap(err, "%s box '%s'", what, box->name) : 0;
}

static int64_t stop_timeout(struct boxlet_box *box)
{
        cleanup_state_box struct state_box record = {0};
        cleanup_json json_t *config = NULL;
        struct error ignored = ERROR_INIT;
        int64_t timeout_ms = 10000;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* as above */
        int r = state_find(box->boxlet->state, box->id, &record, &ignored);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        if (r == 0 &&
            json_parse(record.config, strlen(record.config), "configuration", &config, &ignored) == 0)
                (void)json_get_integer_or(config, "stop_timeout_ms", 0, INT64_MAX, timeout_ms, &timeout_ms,
                                          &ignored);
        return timeout_ms;
}

/* Stops it and waits until its monitor is gone, so that whatever comes next finds it down. */
static int stop(struct boxlet_box *box, int64_t timeout_ms, bool shutdown, struct error *err)
{
        cleanup_fd int box_fd = -1;
        if (box_open_folder(box->boxlet, box->id, &box_fd, err) < 0)
                return err->code == -ENOENT ? 0 : err->code;
        int r = life_look(box_fd, err);
        if (r <= 0)
                return r < 0 ? error_wrap(err, "stop box '%s'", box->name) : 0;
        if (timeout_ms < 0)
                timeout_ms = stop_timeout(box);
        int64_t patience = timeout_ms > INT64_MAX / 2 ? INT64_MAX / 2 : timeout_ms + SHUTDOWN_MS;
        r = box_ask(box, "stop",
                    json_pack("{s:s, s:I, s:b}", "op", "stop", "timeout_ms", (json_int_t)timeout_ms,
                              "shutdown", shutdown),
                    patience, err);
        if (r < 0 && !life_is_held(box_fd))
                return 0; /* it ended while we asked */
        if (r == 0)
                r = control_wait_gone(box_fd, GONE_MS);
        else
                return r;
        if (r == -ETIMEDOUT)
                return error_set(err, r, "stop box '%s': it is down, but its monitor stays", box->name);
        return r < 0 ? error_errno(err, r, "stop box '%s': wait for its monitor", box->name) : 0;
}

int boxlet_box_stop(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, stop(box, timeout_ms, false, &err));
}

int boxlet_box_shutdown(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, stop(box, timeout_ms, true, &err));
}

int boxlet_box_kill(struct boxlet_box *box, int number, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = number < 1 || number > 64
                    ? error_set(&err, -EINVAL, "kill box '%s': signal %d: there is none", box->name, number)
                    : box_ask(box, "kill", json_pack("{s:s, s:i}", "op", "kill", "signal", number), ANSWER_MS,
                              &err);
        return api_result(error, &err, r);
}

/* Ends a box that lives: politely within ANSWER_MS, else by killing its monitor. */
static int force_down(struct boxlet_box *box, int box_fd, struct error *err)
{
        cleanup_json json_t *request = json_pack("{s:s, s:i}", "op", "stop", "timeout_ms", 0);
        if (request == NULL)
                return error_set(err, -ENOMEM, "remove box '%s': out of memory", box->name);
        int r = control_ask(box_fd, request, ANSWER_MS, NULL, err);
        if (r == 0 && control_wait_gone(box_fd, GONE_MS) == 0)
                return 0;
        return life_is_held(box_fd) ? control_kill_monitor(box_fd, err) : 0;
}

/* Folder (if lock_fd says that there is one that is ours) and record. */
static int remove_all(struct boxlet_box *box, int lock_fd, struct error *err)
{
        struct boxlet *b = box->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        int r = lock_fd < 0 ? state_delete(b->state, box->id, err) : collect_remove(b, box->id, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

static int remove_box(struct boxlet_box *box, bool force, struct error *err)
{
        cleanup_fd int box_fd = -1;
        cleanup_fd int lock_fd = -1;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r == -ENOENT)
                return remove_all(box, -1, err);
        if (r < 0)
                return r;
        cleanup_life_report struct life_report report;
        life_read(box_fd, true, &report);
        if (report.error < 0 && !force)
                return error_errno(err, report.error, "remove box '%s': look whether it runs", box->name);
        if (life_is_up(report.life) && !force)
                return error_set(err, -EBUSY, "remove box '%s': it is %s: stop it first, or use force",
                                 box->name, life_name(report.life));
        if (life_is_up(report.life))
                r = force_down(box, box_fd, err);
        else if ((r = control_wait_gone(box_fd, GONE_MS)) <
                 0) /* it has ended; its monitor is on its way out */
                (void)error_errno(err, r, "wait for its monitor");
        if (r == 0)
                r = life_take(box_fd, &lock_fd, err);
        if (r < 0 && r != -ENOENT) /* that: removed by its monitor meanwhile */
                return error_wrap(err, "remove box '%s'", box->name);
        return remove_all(box, lock_fd, err);
}

int boxlet_box_remove(struct boxlet_box *box, int force, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = remove_box(box, force != 0, &err);
        if (r == 0)
                box->removed = true;
        return api_result(error, &err, r);
}

static int read_console(struct boxlet_box *box, char **ret_text, struct error *err)
{
        cleanup_fd int box_fd = -1;
        struct stat st;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        cleanup_fd int fd = openat(box_fd, "console.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno != ENOENT)
                return error_errno(err, -errno, "read the console of box '%s'", box->name);
        char *text = calloc(1, CONSOLE_MAX + 1);
        if (text == NULL)
                return error_set(err, -ENOMEM, "read the console of box '%s': out of memory", box->name);
        off_t from =
            fd >= 0 && fstat(fd, &st) == 0 && st.st_size > CONSOLE_MAX ? st.st_size - CONSOLE_MAX : 0;
        ssize_t n = fd < 0 ? 0 : pread(fd, text, CONSOLE_MAX, from);
        if (n < 0) {
                int r_read = -errno;
                free(text);
                return error_errno(err, r_read, "read the console of box '%s'", box->name);
        }
        for (ssize_t i = 0; i < n; i++) {
                if (text[i] == '\0')
                        text[i] = ' '; /* the guest may write any byte; the text ends at the first NUL */
        }
        *ret_text = text;
        return 0;
}

int boxlet_box_console(struct boxlet_box *box, char **ret_text, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, read_console(box, ret_text, &err));
}

/* What the events of an exec say about its box; NULL when that is not known. */
static json_t *event_attributes(struct boxlet_box *box)
{
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* as above */
        int r = state_find(box->boxlet->state, box->id, &record, &ignored);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        return r == 0 ? tell_attributes(&record) : NULL;
}

static int exec(struct boxlet_box *box, const struct boxlet_exec_options *options,
                struct boxlet_process **ret_process, struct error *err)
{
        struct boxlet_exec_options defaults = BOXLET_EXEC_OPTIONS_INIT, o = defaults;
        cleanup_fd int box_fd = -1;
        json_t *process;
        int r = api_options(&o, sizeof(o), options, "struct boxlet_exec_options", err);
        if (r == 0)
                r = spec_exec_process(&o, &process, err);
        if (r < 0)
                return r;
        bool has_stdin = o.stdin_open && !o.detached;
        cleanup_json json_t *request =
            json_pack("{s:s, s:o, s:b, s:b, s:I}", "op", "exec", "process", process, "stdin", has_stdin,
                      "detached", o.detached != 0, "timeout_ms",
                      (json_int_t)(o.timeout_ms < 0 ? 0 : o.timeout_ms));
        if (request == NULL)
                return error_set(err, -ENOMEM, "exec in box '%s': out of memory", box->name);
        r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        r = life_look(box_fd, err);
        if (r == 0)
                return error_set(err, -ESRCH, "exec in box '%s': it is not running: start it first",
                                 box->name);
        if (r > 0)
                r = life_check_answers(box_fd, err);
        if (r < 0)
                return error_wrap(err, "exec in box '%s'", box->name);
        cleanup_json json_t *attributes = event_attributes(box);
        tell_exec(box->boxlet, box->id, attributes, "exec_create", json_object_get(process, "args"), NULL,
                  NULL);
        struct process_draft draft = {
            .boxlet = box->boxlet,
            .box_id = box->id,
            .box_name = box->name,
            .request = request,
            .attributes = attributes,
            .is_exec = true,
            .ends_with_us = !o.detached,
            .has_stdin = has_stdin,
            .timeout_ms = o.timeout_ms,
        };
        return process_new_vsock(&draft, box_fd, ret_process, err);
}

int boxlet_box_exec(struct boxlet_box *box, const struct boxlet_exec_options *options,
                    struct boxlet_process **ret_process, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, exec(box, options, ret_process, &err));
}
