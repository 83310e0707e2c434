/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor serves a socket and removes it at the end. A monitor that was killed leaves the file; it is
 * ours and dead when a box.json of ours names it by path, device, inode and time and nobody holds that box's
 * lock. Nothing else is ever removed: what is there under the name is the user's.
 */
#include "runtime/forward.h"

#include "runtime/life.h"
#include "runtime/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BOX_JSON_MAX (4U << 20)
#define BACKLOG      128

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "docker socket: out of memory");
}

/* ---- what was left ---- */

/* `forwards` of a box.json; NULL when there are none. */
static json_t *read_forwards(int box_fd)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *json = NULL;
        size_t size;
        struct error ignored = ERROR_INIT;
        if (path_read_at(box_fd, "box.json", BOX_JSON_MAX, &text, &size) < 0 ||
            json_parse(text, size, "box.json", &json, &ignored) < 0)
                return NULL;
        json_t *forwards = json_object_get(json, "forwards");
        return json_array_size(forwards) > 0 ? json_incref(forwards) : NULL;
}

static bool is_it(const json_t *forward, const char *path)
{
        struct path_mark mark = {.device = json_integer_value(json_object_get(forward, "device")),
                                 .inode = json_integer_value(json_object_get(forward, "inode")),
                                 .modified_ns = json_integer_value(json_object_get(forward, "modified_ns"))};
        return path_is_marked_socket(path, &mark);
}

/* path NULL: all of the box. */
static void sweep(int box_fd, const char *wanted)
{
        cleanup_json json_t *forwards = read_forwards(box_fd);
        size_t i;
        json_t *forward;
        json_array_foreach (forwards, i, forward) {
                const char *path = json_string_value(json_object_get(forward, "path"));
                if (path != NULL && (wanted == NULL || strcmp(path, wanted) == 0) && is_it(forward, path))
                        (void)unlink(path); /* what stays is found to be taken */
        }
}

void forward_sweep(int box_fd)
{
        sweep(box_fd, NULL);
}

/* Looks among the dead boxes for the one that left `path`. */
static void sweep_path(struct boxlet *b, const char *path)
{
        struct state_box *boxes;
        size_t count;
        struct error ignored = ERROR_INIT;
        if (state_list(b->state, &boxes, &count, &ignored) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                cleanup_fd int box_fd = -1, lock_fd = -1;
                if (strstr(boxes[i].config, "\"forwards\":[{") != NULL &&
                    box_open_folder(b, boxes[i].id, &box_fd, &ignored) == 0 &&
                    life_take(box_fd, &lock_fd, &ignored) == 0)
                        sweep(box_fd, path);
        }
        state_list_free(boxes, count);
}

static int taken(const char *path, struct error *err)
{
        return error_set(err, -EADDRINUSE,
                         "docker socket '%s': there is something of that name: remove it, or choose another",
                         path);
}

static int check_free(struct boxlet *b, const char *path, struct error *err)
{
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_errno(err, -errno, "docker socket '%s'", path);
        if (S_ISSOCK(st.st_mode))
                sweep_path(b, path);
        return lstat(path, &st) == 0 ? taken(path, err) : 0;
}

/* ---- planning ---- */

static int make_absolute(const char *path, char **ret_path, struct error *err)
{
        cleanup_free char *working_dir = path[0] == '/' ? NULL : get_current_dir_name();
        if (path[0] == '\0')
                return error_set(err, -EINVAL, "docker socket: the path is empty");
        if (path[0] != '/' && working_dir == NULL)
                return error_errno(err, -errno, "docker socket '%s': find the working folder", path);
        *ret_path = path[0] == '/' ? strdup(path) : path_join(working_dir, path);
        return *ret_path == NULL ? out_of_memory(err) : 0;
}

static int check_folder(const char *path, struct error *err)
{
        cleanup_free char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
        struct stat st;
        if (folder == NULL)
                return out_of_memory(err);
        if (stat(folder, &st) < 0)
                return error_errno(err, -errno, "docker socket '%s': its folder", path);
        return S_ISDIR(st.st_mode) ? 0 : error_set(err, -ENOTDIR, "docker socket '%s': no folder", path);
}

int forward_plan(struct boxlet *b, const char *given, json_t **ret_forwards, struct error *err)
{
        cleanup_free char *path = NULL;
        cleanup_json json_t *forwards = json_array();
        if (forwards == NULL)
                return out_of_memory(err);
        if (given != NULL) {
                int r = make_absolute(given, &path, err);
                if (r == 0)
                        r = words_check_utf8(path, "docker socket", err);
                if (r == 0 && strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
                        r = error_set(
                            err, -ENAMETOOLONG,
                            "docker socket '%s': a socket's path has at most %zu bytes, this has %zu", path,
                            sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, strlen(path));
                if (r == 0)
                        r = check_folder(path, err);
                if (r == 0)
                        r = check_free(b, path, err);
                if (r < 0)
                        return r;
                if (json_array_append_new(forwards,
                                          json_pack("{s:s, s:s}", "path", path, "unix", FORWARD_DOCKER)) < 0)
                        return out_of_memory(err);
        }
        *ret_forwards = take_ptr(&forwards);
        return 0;
}

/* ---- starting ---- */

static int listen_at(struct forward *forward, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(forward->path) >= sizeof(address.sun_path))
                return error_set(err, -ENAMETOOLONG, "docker socket '%s': too long", forward->path);
        memcpy(address.sun_path, forward->path, strlen(forward->path) + 1);
        cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* the mode before bind() is the one the file is made with */
        if (fd < 0 || fchmod(fd, 0600) < 0)
                return error_errno(err, -errno, "docker socket '%s'", forward->path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == EADDRINUSE ? taken(forward->path, err)
                                           : error_errno(err, -errno, "docker socket '%s'", forward->path);
        int r = listen(fd, BACKLOG) < 0 ? -errno : path_mark_socket(forward->path, &forward->mark);
        if (r < 0) {
                r = error_errno(err, r, "docker socket '%s'", forward->path);
                (void)unlink(forward->path); /* made a moment ago */
                return r;
        }
        forward->fd = take_fd(&fd);
        return 0;
}

int forward_listen(struct boxlet *b, const json_t *forwards, struct forward_set *ret_set, struct error *err)
{
        struct forward_set set = {.count = 0};
        size_t i;
        json_t *item;
        int r = 0;
        json_array_foreach ((json_t *)forwards, i, item) {
                struct forward forward = {.path = json_string_value(json_object_get(item, "path")),
                                          .guest_path = json_string_value(json_object_get(item, "unix"))};
                if (set.count == FORWARDS_MAX || forward.path == NULL || forward.guest_path == NULL)
                        r = error_set(err, -EBADMSG, "the box's configuration has forwards that are none");
                if (r == 0)
                        r = check_free(b, forward.path, err);
                if (r == 0)
                        r = listen_at(&forward, err);
                if (r < 0)
                        break;
                set.entries[set.count++] = forward;
        }
        if (r < 0) {
                forward_done(&set, false);
                return r;
        }
        *ret_set = set;
        return 0;
}

void forward_done(struct forward_set *set, bool handed_over)
{
        for (size_t i = 0; i < set->count; i++) {
                close_fd(&set->entries[i].fd);
                if (!handed_over)
                        (void)unlink(set->entries[i].path); /* made by forward_listen() */
        }
        set->count = 0;
}

json_t *forward_box_json(const struct forward_set *set, int first_fd)
{
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < set->count; i++) {
                const struct forward *f = &set->entries[i];
                if (json_array_append_new(array,
                                          json_pack("{s:i, s:s, s:s, s:I, s:I, s:I}", "fd", first_fd + (int)i,
                                                    "path", f->path, "unix", f->guest_path, "device",
                                                    (json_int_t)f->mark.device, "inode",
                                                    (json_int_t)f->mark.inode, "modified_ns",
                                                    (json_int_t)f->mark.modified_ns)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
