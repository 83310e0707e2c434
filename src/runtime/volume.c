/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume is volumes/<name>/disk.ext4, a sparse disk as a box's own, and a record. What is on the disk was
 * written by guests: nothing on the host ever reads it.
 *
 *     create:  volumes/.new/disk.ext4 -> rename to <name> -> record
 *     remove:  rename to .trash-<name> -> record -> files
 *
 * A kill in between leaves a folder without record, which the next creation of that name takes over as it is,
 * or a record without folder, which a second removal finishes; .new and .trash-* never count. Both happen
 * under a lock on the folder volumes/.
 *
 * In use: flock(2) on the open file description of the disk itself, which the monitor inherits from the
 * starter, and boxlet-vmm and QEMU from it. So the lock goes with the last process that could still write,
 * however it ends. Boxes that only read share it.
 */
#include "runtime/volume.h"

#include "base/clock.h"
#include "base/path.h"
#include "runtime/disk.h"
#include "runtime/life.h"
#include "runtime/mounts.h"
#include "runtime/tell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define DRAFT     ".new"
#define TRASH     ".trash-"
#define NAP_MS    10
#define NAP_TRIES 500 /* five seconds for the machine of a killed monitor to be gone */

int volume_open_folder(struct boxlet *b, int *ret_fd, struct error *err)
{
        int fd = path_open_dir_at(b->home_fd, "volumes", 0700);
        if (fd < 0)
                return error_errno(err, fd, "open the folder of volumes");
        *ret_fd = fd;
        return 0;
}

/* The folder volumes/, for who is to change what is in it. */
static int lock_folder(struct boxlet *b, int *ret_fd, struct error *err)
{
        cleanup_fd int fd = -1;
        int r = volume_open_folder(b, &fd, err), locked;
        if (r < 0)
                return r;
        do {
                locked = flock(fd, LOCK_EX);
        } while (locked < 0 && errno == EINTR);
        if (locked < 0)
                return error_errno(err, -errno, "lock the folder of volumes");
        *ret_fd = take_fd(&fd);
        return 0;
}

static int make_files(struct boxlet *b, int folder_fd, const char *name, uint64_t size_bytes,
                      struct error *err)
{
        cleanup_free char *mkfs = NULL;
        int r = places_find(&b->places, PLACE_MKFS, &mkfs, err);
        if (r < 0)
                return r;
        r = path_remove_all_at(folder_fd, DRAFT);
        cleanup_fd int draft = r < 0 ? r : path_open_dir_at(folder_fd, DRAFT, 0700);
        if (draft < 0)
                return error_errno(err, draft, "make its folder");
        r = disk_create(b->home_fd, mkfs, size_bytes, draft, VOLUME_DISK, err);
        if (r == 0 && renameat(folder_fd, DRAFT, folder_fd, name) < 0)
                r = error_errno(err, -errno, "name its folder");
        if (r < 0)
                (void)path_remove_all_at(folder_fd, DRAFT); /* the next creation tries again */
        return r;
}

/* The size of the disk that lies there. */
static int look_at_files(int folder_fd, const char *name, uint64_t *ret_size, struct error *err)
{
        struct stat st;
        cleanup_fd int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstatat(fd, VOLUME_DISK, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, -errno, "look at its disk");
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

static int create(struct boxlet *b, int folder_fd, const char *name, uint64_t size_bytes,
                  const json_t *labels, bool made_up, struct error *err)
{
        struct stat st;
        cleanup_free char *text = labels == NULL ? strdup("{}") : json_print(labels, NULL);
        bool made = false;
        int r = 0;
        if (text == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                r = errno == ENOENT ? make_files(b, folder_fd, name, size_bytes, err)
                                    : error_errno(err, -errno, "look for its folder");
                made = r == 0;
        }
        struct state_volume record = {.name = (char *)name,
                                      .labels = text,
                                      .created_ns = clock_wall_ns(),
                                      .made_up = made_up};
        if (r == 0)
                r = look_at_files(folder_fd, name, &record.size_bytes, err);
        if (r == 0) {
                r = state_volume_insert(b->state, &record, err);
                if (r < 0 && made) /* one that was there has somebody's data, and waits for its record */
                        (void)path_remove_all_at(folder_fd, name); /* else it is taken over as it is */
        }
        return r;
}

int volume_ensure(struct boxlet *b, const char *name, uint64_t size_bytes, const json_t *labels, bool made_up,
                  struct error *err)
{
        cleanup_state_volume struct state_volume known = {0};
        cleanup_fd int folder = -1;
        int r = state_volume_find(b->state, name, &known, err);
        if (r != -ENOENT)
                return r;
        r = lock_folder(b, &folder, err);
        if (r < 0)
                return r;
        r = state_volume_find(b->state, name, &known, err); /* somebody else may have made it meanwhile */
        if (r != -ENOENT)
                return r;
        r = create(b, folder, name, size_bytes, labels, made_up, err);
        if (r == 0)
                tell_volume(b, "create", name);
        return r < 0 ? error_wrap(err, "create volume '%s'", name) : 1;
}

int volume_remove(struct boxlet *b, const char *name, struct error *err)
{
        struct state_box *users;
        size_t count;
        char trash[sizeof(TRASH) + 128];
        cleanup_fd int folder = -1;
        int r = lock_folder(b, &folder, err);
        if (r < 0)
                return r;
        /* the record goes first if it can: who refers to the volume decides, in one step */
        r = state_volume_users(b->state, name, &users, &count, err);
        if (r < 0)
                return r;
        state_list_free(users, count);
        if (count > 0)
                return state_volume_delete(b->state, name, err); /* says by whom it is used */
        (void)snprintf(trash, sizeof(trash), TRASH "%s", name);  /* a checked name: it fits */
        r = path_remove_all_at(folder, trash);
        if (r == 0 && renameat(folder, name, folder, trash) < 0 && errno != ENOENT)
                r = -errno;
        if (r < 0)
                return error_errno(err, r, "remove volume '%s'", name);
        r = state_volume_delete(b->state, name, err);
        if (r < 0) { /* a box that refers to it was made in this moment */
                (void)renameat(folder, trash, folder, name);
                return r;
        }
        tell_volume(b, "destroy", name);
        r = path_remove_all_at(folder, trash);
        return r < 0 ? error_errno(err, r, "remove the files of volume '%s'", name) : 0;
}

/* ---- taking ---- */

/* The name of a living box that refers to the volume; NULL: none that is known. free() it. */
static char *holder_of(struct boxlet *b, const char *name, const char *box_id)
{
        struct state_box *users;
        size_t count;
        struct error ignored = ERROR_INIT;
        char *holder = NULL;
        if (state_volume_users(b->state, name, &users, &count, &ignored) < 0)
                return NULL;
        for (size_t i = 0; i < count && holder == NULL; i++) {
                cleanup_fd int box_fd = -1;
                if (strcmp(users[i].id, box_id) != 0 &&
                    box_open_folder(b, users[i].id, &box_fd, &ignored) == 0 && life_is_held(box_fd))
                        holder = strdup(users[i].name);
        }
        state_list_free(users, count);
        return holder;
}

static void nap(void)
{
        struct timespec time = {.tv_nsec = NAP_MS * 1000000};
        (void)nanosleep(&time, NULL); /* no event tells of the last close of a file */
}

/* A killed monitor takes its machine with it, but not in the same instant: that moment is waited for. */
static int lock_disk(struct boxlet *b, int fd, const char *name, const char *box_id, bool readonly,
                     struct error *err)
{
        for (int i = 0; i < NAP_TRIES; i++) {
                if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
                        return 0;
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return error_errno(err, -errno, "lock volume '%s'", name);
                cleanup_free char *holder = holder_of(b, name, box_id);
                if (holder != NULL)
                        return error_set(err, -EBUSY, "volume '%s' is in use by box '%s'%s", name, holder,
                                         readonly ? ", which may write to it" : "");
                nap();
        }
        return error_set(err, -EBUSY, "volume '%s' is in use by another box", name);
}

static int take(struct boxlet *b, const char *name, const char *box_id, bool readonly, int *ret_fd,
                struct error *err)
{
        char path[160];
        cleanup_fd int folder = -1;
        int r = volume_ensure(b, name, VOLUME_DEFAULT, NULL, false, err);
        if (r >= 0)
                r = volume_open_folder(b, &folder, err);
        if (r < 0)
                return r;
        (void)snprintf(path, sizeof(path), "%s/" VOLUME_DISK, name); /* a checked name: it fits */
        cleanup_fd int fd =
            openat(folder, path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT)
                return error_set(
                    err, -ENOENT,
                    "volume '%s': its disk is gone: 'boxlet volume rm' lets the name be used again", name);
        if (fd < 0)
                return error_errno(err, -errno, "open the disk of volume '%s'", name);
        r = lock_disk(b, fd, name, box_id, readonly, err);
        if (r == 0)
                *ret_fd = take_fd(&fd);
        return r;
}

int volume_take_all(struct boxlet *b, const char *box_id, const json_t *disks, struct volume_set *ret_set,
                    struct error *err)
{
        struct volume_set set = {.count = 0};
        size_t i;
        json_t *disk;
        int r = 0;
        json_array_foreach ((json_t *)disks, i, disk) {
                const char *name = json_string_value(json_object_get(disk, "volume"));
                bool readonly = json_is_true(json_object_get(disk, "readonly"));
                if (set.count == VOLUMES_MAX)
                        r = error_set(err, -E2BIG, "more than %d volumes", VOLUMES_MAX);
                else if (name == NULL)
                        r = error_set(err, -EBADMSG, "the box's configuration has a volume without a name");
                else
                        r = mounts_check_name(name, err);
                if (r == 0)
                        r = take(b, name, box_id, readonly, &set.fds[set.count], err);
                if (r < 0)
                        break;
                set.count++;
        }
        if (r < 0) {
                volume_let_go(&set);
                return r;
        }
        *ret_set = set;
        return 0;
}

void volume_let_go(struct volume_set *set)
{
        for (size_t i = 0; i < set->count; i++)
                close_fd(&set->fds[i]);
        set->count = 0;
}

json_t *volume_box_json(const json_t *disks, int first_fd)
{
        json_t *array = json_array();
        size_t i;
        json_t *disk;
        json_array_foreach ((json_t *)disks, i, disk) {
                const json_t *path = json_object_get(disk, "path");
                if (json_array_append_new(
                        array, json_pack("{s:O, s:i, s:s?, s:b}", "name", json_object_get(disk, "volume"),
                                         "fd", first_fd + (int)i, "path", json_string_value(path), "readonly",
                                         (int)json_is_true(json_object_get(disk, "readonly")))) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
