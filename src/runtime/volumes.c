/* SPDX-License-Identifier: Apache-2.0 */
/* The exported functions about named disks. */
#include "runtime/volume.h"

#include "base/buffer.h"
#include "runtime/collect.h"
#include "runtime/disk.h"
#include "runtime/life.h"
#include "runtime/mounts.h"
#include "runtime/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define REPORT_MAX (4U << 20)

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "volumes: out of memory");
}

static int make_name(char name[65], struct error *err)
{
        uint8_t bytes[32];
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return error_set(err, -EIO, "create volume: no random bytes for a name");
        for (size_t i = 0; i < sizeof(bytes); i++)
                (void)snprintf(name + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

static int read_labels(const char *const *texts, json_t **ret_labels, struct error *err)
{
        cleanup_json json_t *labels = json_object();
        for (; labels != NULL && texts != NULL && *texts != NULL; texts++) {
                size_t size = strcspn(*texts, "=");
                cleanup_free char *key = strndup(*texts, size);
                int r = words_check_utf8(*texts, "label", err);
                if (r < 0)
                        return r;
                if (size == 0)
                        return error_set(err, -EINVAL, "label '%s': the name is empty", *texts);
                if (key == NULL ||
                    json_object_set_new(labels, key,
                                        json_string((*texts)[size] == '=' ? *texts + size + 1 : "")) < 0)
                        return out_of_memory(err);
        }
        *ret_labels = take_ptr(&labels);
        return *ret_labels == NULL ? out_of_memory(err) : 0;
}

static int check_same_size(struct boxlet *b, const char *name, uint64_t size_bytes, struct error *err)
{
        cleanup_state_volume struct state_volume known = {0};
        int r = state_volume_find(b->state, name, &known, err);
        if (r == 0 && size_bytes != 0 && known.size_bytes != size_bytes)
                return error_set(err, -EEXIST, "create volume '%s': there is one, of %llu bytes", name,
                                 (unsigned long long)known.size_bytes);
        return r;
}

static int create(struct boxlet *b, const char *name, const struct boxlet_volume_options *o, char **ret_name,
                  struct error *err)
{
        char made_up[65];
        cleanup_json json_t *labels = NULL;
        uint64_t mib = 1ULL << 20, size = (o->size_bytes + mib - 1) / mib * mib;
        int r = 0;
        if (size != 0 && (size < DISK_SIZE_MIN || size > DISK_SIZE_MAX))
                return error_set(err, -EINVAL, "create volume: a disk has 16 MiB to 16 TiB");
        if (name == NULL || name[0] == '\0')
                r = make_name(made_up, err);
        else
                r = mounts_check_name(name, err);
        const char *chosen = name == NULL || name[0] == '\0' ? made_up : name;
        if (r == 0)
                r = read_labels(o->labels, &labels, err);
        if (r == 0)
                r = volume_ensure(b, chosen, size == 0 ? VOLUME_DEFAULT : size, labels, chosen == made_up,
                                  err);
        if (r == 0) /* it was there */
                r = check_same_size(b, chosen, size, err);
        if (r < 0)
                return r;
        if (ret_name != NULL && (*ret_name = strdup(chosen)) == NULL)
                return out_of_memory(err);
        return 0;
}

int boxlet_volume_create(struct boxlet *b, const char *name, const struct boxlet_volume_options *options,
                         char **ret_name, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_volume_options defaults = BOXLET_VOLUME_OPTIONS_INIT, o = defaults;
        int r =
            options == NULL ? 0 : api_options(&o, sizeof(o), options, "struct boxlet_volume_options", &err);
        if (r == 0) {
                (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
                r = create(b, name, &o, ret_name, &err);
                (void)pthread_mutex_unlock(&b->lock);
        }
        return api_result(error, &err, r);
}

/* ---- looking ---- */

static json_t *time_json(int64_t ns)
{
        struct tm tm;
        char text[40];
        time_t seconds = (time_t)(ns / 1000000000);
        if (gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return json_null();
        return json_string(text);
}

/* What the disk takes on the host, and which of the boxes that refer to it lives. */
static uint64_t allocated(struct boxlet *b, const char *name)
{
        struct stat st;
        struct error ignored = ERROR_INIT;
        char path[160];
        cleanup_fd int folder = -1;
        (void)snprintf(path, sizeof(path), "%s/" VOLUME_DISK, name); /* a checked name: it fits */
        if (volume_open_folder(b, &folder, &ignored) < 0 ||
            fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        return (uint64_t)st.st_blocks * 512;
}

static int describe_users(struct boxlet *b, const char *name, json_t *boxes, json_t *running,
                          struct error *err)
{
        struct state_box *users;
        size_t count;
        int r = state_volume_users(b->state, name, &users, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                cleanup_fd int box_fd = -1;
                struct error ignored = ERROR_INIT;
                if (box_open_folder(b, users[i].id, &box_fd, &ignored) < 0)
                        continue; /* removed a moment ago */
                if (json_array_append_new(boxes, json_string(users[i].name)) < 0 ||
                    (life_is_held(box_fd) && json_array_append_new(running, json_string(users[i].name)) < 0))
                        r = out_of_memory(err);
        }
        state_list_free(users, count);
        return r;
}

static int describe(struct boxlet *b, const struct state_volume *volume, json_t **ret_json, struct error *err)
{
        cleanup_json json_t *labels = NULL;
        cleanup_json json_t *boxes = json_array();
        cleanup_json json_t *running = json_array();
        int r = json_parse(volume->labels, strlen(volume->labels), "the volume's labels", &labels, err);
        if (r == 0)
                r = boxes == NULL || running == NULL ? out_of_memory(err)
                                                     : describe_users(b, volume->name, boxes, running, err);
        if (r < 0)
                return r;
        json_t *json = json_pack("{s:s, s:o, s:s, s:s, s:O, s:I, s:I, s:O, s:O, s:b, s:s+++}", "Name",
                                 volume->name, "CreatedAt", time_json(volume->created_ns), "Driver", "local",
                                 "Scope", "local", "Labels", labels, "Size", (json_int_t)volume->size_bytes,
                                 "Allocated", (json_int_t)allocated(b, volume->name), "Boxes", boxes,
                                 "RunningBoxes", running, "Anonymous", (int)volume->made_up, "Disk", b->home,
                                 "/volumes/", volume->name, "/" VOLUME_DISK);
        if (json == NULL)
                return out_of_memory(err);
        *ret_json = json;
        return 0;
}

static int print(const json_t *json, char **ret_text, struct error *err)
{
        *ret_text = json_dumps(json, JSON_INDENT(4));
        return *ret_text == NULL ? out_of_memory(err) : 0;
}

static int list(struct boxlet *b, char **ret_json, struct error *err)
{
        struct state_volume *volumes;
        size_t count;
        cleanup_json json_t *array = json_array();
        int r = array == NULL ? out_of_memory(err) : state_volume_list(b->state, &volumes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                json_t *one;
                r = describe(b, &volumes[i], &one, err);
                if (r == 0 && json_array_append_new(array, one) < 0)
                        r = out_of_memory(err);
        }
        state_volume_list_free(volumes, count);
        return r == 0 ? print(array, ret_json, err) : r;
}

int boxlet_volume_list(struct boxlet *b, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        int r = list(b, ret_json, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}

static int inspect(struct boxlet *b, const char *name, char **ret_json, struct error *err)
{
        cleanup_state_volume struct state_volume volume = {0};
        cleanup_json json_t *json = NULL;
        int r = state_volume_find(b->state, name, &volume, err);
        if (r == 0)
                r = describe(b, &volume, &json, err);
        return r == 0 ? print(json, ret_json, err) : r;
}

int boxlet_volume_inspect(struct boxlet *b, const char *name, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        int r = inspect(b, name, ret_json, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}

/* ---- removing ---- */

static int remove_one(struct boxlet *b, const char *name, bool force, struct error *err)
{
        cleanup_state_volume struct state_volume volume = {0};
        int r = state_volume_find(b->state, name, &volume, err);
        if (r == -ENOENT && force)
                return 0;
        return r == 0 ? volume_remove(b, name, err) : r;
}

int boxlet_volume_remove(struct boxlet *b, const char *name, int force, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        int r = remove_one(b, name, force != 0, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}

static int prune(struct boxlet *b, bool all, uint64_t *ret_freed, char **ret_report, struct error *err)
{
        struct state_volume *volumes;
        size_t count;
        struct buffer report = BUFFER_INIT(REPORT_MAX);
        uint64_t freed = 0;
        int r = state_volume_list(b->state, &volumes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                uint64_t size = allocated(b, volumes[i].name);
                if (!all && !volumes[i].made_up)
                        continue;
                r = volume_remove(b, volumes[i].name, err);
                if (r == -EBUSY) {
                        r = 0; /* a box refers to it: it stays */
                        continue;
                }
                freed += size;
                if (r == 0)
                        (void)buffer_printf(&report, "%s\n", volumes[i].name); /* cut when very long */
        }
        state_volume_list_free(volumes, count);
        *ret_freed = freed;
        *ret_report = r == 0 && report.length > 0 ? buffer_take(&report) : NULL;
        buffer_done(&report);
        return r;
}

int boxlet_volume_prune(struct boxlet *b, int all, uint64_t *ret_freed_bytes, char **ret_report,
                        struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        uint64_t freed;
        char *report = NULL;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        int r = prune(b, all != 0, &freed, &report, &err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r == 0 && ret_freed_bytes != NULL)
                *ret_freed_bytes = freed;
        if (r == 0 && ret_report != NULL)
                *ret_report = report;
        else
                free(report);
        return api_result(error, &err, r);
}
