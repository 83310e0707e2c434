/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet_system_usage: what takes how much on the disk, as blocks of the host's file system. Blocks that
 * several files share are counted in each. */
#include "runtime/runtime.h"

#include "base/path.h"
#include "runtime/collect.h"
#include "runtime/life.h"
#include "runtime/snapshot.h"
#include "runtime/template.h"
#include "runtime/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct sum {
        size_t total, active;
        uint64_t size, reclaimable;
};

static int add(json_t *array, const char *type, const struct sum *s)
{
        return json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I, s:I}", "Type", type, "Total",
                                                      (json_int_t)s->total, "Active", (json_int_t)s->active,
                                                      "Size", (json_int_t)s->size, "Reclaimable",
                                                      (json_int_t)s->reclaimable));
}

/* The files right in a folder are added up; none if there is no folder. */
static int size_of_files(int dir_fd, const char *name, uint64_t *ret_size, struct error *err)
{
        uint64_t size = 0;
        struct stat st;
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_dir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (folder == NULL) {
                int r = path_is_absent(errno) ? 0 : error_errno(err, -errno, "read the folder '%s'", name);
                close_fd(&fd);
                *ret_size = 0;
                return r;
        }
        for (struct dirent *entry; (errno = 0, entry = readdir(folder)) != NULL;) {
                if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                        if (S_ISREG(st.st_mode))
                                size += (uint64_t)st.st_blocks * 512;
                } else if (errno != ENOENT) { /* that: removed this moment */
                        break;
                }
        }
        if (errno != 0)
                return error_errno(err, -errno, "read the folder '%s'", name);
        *ret_size = size;
        return 0;
}

static int sum_boxes(struct boxlet *b, struct sum *s, struct error *err)
{
        struct state_box *boxes;
        size_t count;
        int r = state_list(b->state, &boxes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                cleanup_fd int box_fd = -1;
                struct error ignored = ERROR_INIT;
                uint64_t size = 0;
                r = size_of_files(b->boxes_fd, boxes[i].id, &size, err);
                bool lives = box_open_folder(b, boxes[i].id, &box_fd, &ignored) == 0 && life_is_held(box_fd);
                s->total++;
                s->active += lives;
                s->size += size;
                s->reclaimable += lives ? 0 : size;
        }
        state_list_free(boxes, count);
        return r;
}

static int sum_snapshots(struct boxlet *b, struct sum *s, struct error *err)
{
        struct state_snapshot *snapshots;
        size_t count;
        int r = state_snapshot_list(b->state, NULL, &snapshots, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++)
                s->size += snapshot_allocated(b, &snapshots[i]);
        s->total = s->active = count; /* each goes with its box only */
        state_snapshot_list_free(snapshots, count);
        return 0;
}

static int sum_volumes(struct boxlet *b, struct sum *s, struct error *err)
{
        struct state_volume *volumes;
        size_t count;
        cleanup_fd int folder = -1;
        int r = volume_open_folder(b, &folder, err);
        if (r == 0)
                r = state_volume_list(b->state, &volumes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                struct state_box *users;
                size_t user_count = 0;
                uint64_t size = 0;
                r = size_of_files(folder, volumes[i].name, &size, err);
                if (r < 0)
                        break;
                r = state_volume_users(b->state, volumes[i].name, &users, &user_count, err);
                if (r == 0)
                        state_list_free(users, user_count);
                s->total++;
                s->active += user_count > 0;
                s->size += size;
                s->reclaimable += user_count > 0 ? 0 : size;
        }
        state_volume_list_free(volumes, count);
        return r;
}

static int sum_images(struct boxlet *b, struct sum *s, struct error *err)
{
        struct image_store *store;
        struct image_usage usage = {0};
        int r = boxlet_store(b, &store, err);
        if (r == 0)
                r = image_usage(store, images_in_use, b, &usage, err);
        *s = (struct sum){usage.images, usage.used_images, usage.total_bytes,
                          usage.total_bytes - usage.used_bytes};
        return r;
}

static int usage(struct boxlet *b, json_t *array, struct error *err)
{
        struct sum images = {0}, boxes = {0}, snapshots = {0}, volumes = {0}, templates = {0}, machines = {0};
        collect(b);
        int r = sum_images(b, &images, err);
        if (r == 0)
                r = sum_boxes(b, &boxes, err);
        if (r == 0)
                r = sum_snapshots(b, &snapshots, err);
        if (r == 0)
                r = sum_volumes(b, &volumes, err);
        if (r == 0)
                r = size_of_files(b->home_fd, "templates", &templates.size, err);
        if (r < 0)
                return r;
        template_sum(b->home_fd, &machines.total, &machines.size);
        if (add(array, "Images", &images) < 0 || add(array, "Boxes", &boxes) < 0 ||
            add(array, "Snapshots", &snapshots) < 0 || add(array, "Volumes", &volumes) < 0 ||
            add(array, "Disk templates", &templates) < 0 || add(array, "Machine templates", &machines) < 0)
                return error_set(err, -ENOMEM, "usage: out of memory");
        return 0;
}

int boxlet_system_usage(struct boxlet *b, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        cleanup_json json_t *array = json_array();
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = array == NULL ? error_set(&err, -ENOMEM, "usage: out of memory") : usage(b, array, &err);
        (void)pthread_mutex_unlock(&b->lock);
        char *text = r == 0 ? json_dumps(array, JSON_INDENT(4)) : NULL;
        if (r == 0 && text == NULL)
                r = error_set(&err, -ENOMEM, "usage: out of memory");
        if (r == 0)
                *ret_json = text;
        return api_result(error, &err, r);
}
