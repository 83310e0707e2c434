/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot is boxes/<id>/snapshots/<name>.ext4, a whole disk, and a record. The record is what counts:
 *
 *     create:   snapshots/.new -> rename to <name>.ext4 -> record   killed: a draft, or a file without a
 * record restore:  .disk.new -> rename over disk.ext4                  killed: a draft; the disk is the old
 * or the new remove:   record -> file                                      killed: a file without a record
 *
 * All three hold a lock (flock) on the folder snapshots/; who gets it finds nobody at work, and may remove
 * what has no record. A box that is removed takes its folder and, by a trigger, its records along.
 *
 * A disk was written by a guest: it is copied, never read.
 */
#include "runtime/snapshot.h"

#include "base/clock.h"
#include "base/path.h"
#include "runtime/disk.h"
#include "runtime/life.h"
#include "runtime/still.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define DRAFT         ".new"
#define RESTORE_DRAFT ".disk.new"
#define FILE_MAX      (128 + sizeof(SNAPSHOT_SUFFIX)) /* a checked name has 128 bytes at most */

static void file_name(const char *name, char ret_file[FILE_MAX])
{
        (void)snprintf(ret_file, FILE_MAX, "%.128s" SNAPSHOT_SUFFIX, name); /* see FILE_MAX */
}

/* ---- what nobody refers to ---- */

/* 1, 0, or -errno. */
static int has_record(struct boxlet *b, const char *id, const char *file)
{
        cleanup_state_snapshot struct state_snapshot record = {0};
        struct error ignored = ERROR_INIT; /* its code says it */
        char name[FILE_MAX];
        size_t size = strlen(file);
        if (size <= strlen(SNAPSHOT_SUFFIX) || size >= FILE_MAX ||
            strcmp(file + size - strlen(SNAPSHOT_SUFFIX), SNAPSHOT_SUFFIX) != 0)
                return 0;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(size - strlen(SNAPSHOT_SUFFIX)),
                       file); /* just measured */
        int r = state_snapshot_find(b->state, id, name, &record, &ignored);
        return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int sweep_files(struct boxlet *b, const char *id, int folder_fd, bool remove)
{
        int count = 0;
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (folder == NULL) {
                int r = -errno;
                close_fd(&fd);
                return r;
        }
        for (struct dirent *entry; (errno = 0, entry = readdir(folder)) != NULL;) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                int r = has_record(b, id, entry->d_name);
                if (r == 0 && remove)
                        r = path_remove_all_at(folder_fd, entry->d_name);
                else if (r > 0)
                        continue;
                if (r < 0)
                        return r;
                count++;
        }
        return errno != 0 ? -errno : count;
}

static int sweep_records(struct boxlet *b, const char *id, int folder_fd, bool remove)
{
        struct state_snapshot *records;
        struct error ignored = ERROR_INIT; /* its code says it */
        size_t count;
        int removed = 0;
        int r = state_snapshot_list(b->state, id, &records, &count, &ignored);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                char file[FILE_MAX];
                struct stat st;
                file_name(records[i].name, file);
                if (fstatat(folder_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        continue;
                r = errno != ENOENT ? -errno : 0;
                if (r == 0 && remove)
                        r = state_snapshot_delete(b->state, id, records[i].name, &ignored);
                removed += r == 0;
        }
        state_snapshot_list_free(records, count);
        return r < 0 ? r : removed;
}

static int sweep_draft(int box_fd, bool remove)
{
        struct stat st;
        int r = remove ? unlinkat(box_fd, RESTORE_DRAFT, 0)
                       : fstatat(box_fd, RESTORE_DRAFT, &st, AT_SYMLINK_NOFOLLOW);
        return r == 0 ? 1 : errno == ENOENT ? 0 : -errno;
}

/* With the folder's lock held. */
static int sweep(struct boxlet *b, const char *id, int box_fd, int folder_fd, bool remove)
{
        int drafts = sweep_draft(box_fd, remove);
        int files = drafts < 0 ? drafts : sweep_files(b, id, folder_fd, remove);
        int records = files < 0 ? files : sweep_records(b, id, folder_fd, remove);
        return records < 0 ? records : drafts + files + records;
}

int snapshot_collect(struct boxlet *b, const char *id, bool remove)
{
        char path[STATE_ID_LENGTH + sizeof("/" SNAPSHOT_FOLDER)];
        struct error ignored = ERROR_INIT;
        (void)snprintf(path, sizeof(path), "%s/" SNAPSHOT_FOLDER, id); /* an id has its length */
        cleanup_fd int folder = openat(b->boxes_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        cleanup_fd int box_fd = -1;
        if (folder < 0)
                return path_is_absent(errno) ? 0 : -errno; /* there never was a snapshot */
        if (flock(folder, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 0 : -errno; /* somebody is at work on one */
        int r = box_open_folder(b, id, &box_fd, &ignored);
        if (r < 0)
                return r;
        return sweep(b, id, box_fd, folder, remove);
}

/* ---- at work ---- */

struct workplace {
        int box_fd, folder_fd; /* the latter is locked */
};

static void place_done(struct workplace *place)
{
        close_fd(&place->folder_fd);
        close_fd(&place->box_fd);
}
#define cleanup_place __attribute__((cleanup(place_done)))

static int place_open(struct boxlet_box *box, struct workplace *ret_place, struct error *err)
{
        struct boxlet *b = box->boxlet;
        struct workplace place = {-1, -1};
        int r = box_open_folder(b, box->id, &place.box_fd, err);
        if (r < 0)
                return r;
        place.folder_fd = path_open_dir_at(place.box_fd, SNAPSHOT_FOLDER, 0700);
        r = place.folder_fd < 0 ? place.folder_fd : 0;
        while (r == 0 && flock(place.folder_fd, LOCK_EX) < 0)
                r = errno == EINTR ? 0 : -errno;
        if (r < 0) {
                place_done(&place);
                return error_errno(err, r, "open its folder of snapshots");
        }
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        (void)sweep(b, box->id, place.box_fd, place.folder_fd, true); /* the next call tries again */
        (void)pthread_mutex_unlock(&b->lock);
        *ret_place = place;
        return 0;
}

static int find(struct boxlet_box *box, const char *name, struct state_snapshot *ret_record,
                struct error *err)
{
        struct boxlet *b = box->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        int r = state_snapshot_find(b->state, box->id, name, ret_record, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

/* Copies from_fd/from to the new file to_fd/to and has it on the disk. Nothing is left on failure. */
static int copy(int from_fd, const char *from, int to_fd, const char *to, bool synced, struct error *err)
{
        cleanup_fd int in = openat(from_fd, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (in < 0)
                return error_errno(err, -errno, "open '%s'", from);
        cleanup_fd int out = openat(to_fd, to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (out < 0)
                return error_errno(err, -errno, "make '%s'", to);
        int r = disk_copy_sparse(in, out, err);
        if (r == 0 && synced && fsync(out) < 0)
                r = error_errno(err, -errno, "write '%s'", to);
        if (r < 0)
                (void)unlinkat(to_fd, to, 0); /* the error is on its way */
        return r;
}

/* The same with the disk of a box, held still meanwhile. */
static int copy_still(int box_fd, int64_t timeout_ms, int to_fd, const char *to, bool *ret_running,
                      struct error *err)
{
        struct still *still;
        int r = still_begin(box_fd, timeout_ms == 0 ? STILL_DEFAULT_MS : timeout_ms, &still, err);
        if (r < 0)
                return r;
        *ret_running = still_is_running(still);
        r = copy(box_fd, DISK_OF_BOX, to_fd, to, false, err);
        if (r < 0) {
                still_free(still);
                return r;
        }
        r = still_end(still, err);
        if (r < 0)
                (void)unlinkat(to_fd, to, 0); /* it may be torn */
        return r;
}

int snapshot_copy_disk(struct boxlet_box *box, int64_t timeout_ms, int to_box_fd, bool *ret_running,
                       struct error *err)
{
        cleanup_fd int box_fd = -1;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        return r < 0 ? r : copy_still(box_fd, timeout_ms, to_box_fd, DISK_OF_BOX, ret_running, err);
}

int snapshot_copy_of(struct boxlet_box *box, const char *name, int to_box_fd, struct error *err)
{
        cleanup_place struct workplace place = {-1, -1};
        cleanup_state_snapshot struct state_snapshot record = {0};
        char file[FILE_MAX];
        file_name(name, file);
        int r = place_open(box, &place, err);
        if (r == 0)
                r = find(box, name, &record, err);
        return r < 0 ? r : copy(place.folder_fd, file, to_box_fd, DISK_OF_BOX, false, err);
}

/* Syncs the draft after the box has gone on, and names it. */
static int name_draft(int folder_fd, const char *file, uint64_t *ret_size, struct error *err)
{
        struct stat st;
        cleanup_fd int fd = openat(folder_fd, DRAFT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || fsync(fd) < 0 ||
            renameat(folder_fd, DRAFT, folder_fd, file) < 0) {
                int r = -errno;
                (void)unlinkat(folder_fd, DRAFT, 0); /* the error is on its way */
                return error_errno(err, r, "write the copy");
        }
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

static int record_it(struct boxlet_box *box, const struct state_snapshot *record, int folder_fd,
                     const char *file, struct error *err)
{
        struct boxlet *b = box->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        int r = state_snapshot_insert(b->state, record, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r < 0)
                (void)unlinkat(folder_fd, file, 0); /* the error is on its way */
        return r;
}

int snapshot_make(struct boxlet_box *box, const char *name, int64_t timeout_ms, struct error *err)
{
        cleanup_place struct workplace place = {-1, -1};
        cleanup_state_snapshot struct state_snapshot known = {0};
        struct state_snapshot record = {.name = (char *)name};
        char file[FILE_MAX];
        memcpy(record.box_id, box->id, sizeof(record.box_id));
        file_name(name, file);
        int r = place_open(box, &place, err);
        if (r < 0)
                return r;
        r = find(box, name, &known, err);
        if (r != -ENOENT)
                return r < 0 ? r
                             : error_set(err, -EEXIST,
                                         "there is a snapshot '%s' of it: remove it, or choose another name",
                                         name);
        r = copy_still(place.box_fd, timeout_ms, place.folder_fd, DRAFT, &record.running, err);
        if (r == 0)
                r = name_draft(place.folder_fd, file, &record.size_bytes, err);
        record.created_ns = clock_wall_ns();
        return r == 0 ? record_it(box, &record, place.folder_fd, file, err) : r;
}

int snapshot_restore(struct boxlet_box *box, const char *name, struct error *err)
{
        cleanup_place struct workplace place = {-1, -1};
        cleanup_state_snapshot struct state_snapshot record = {0};
        cleanup_fd int lock_fd = -1;
        char file[FILE_MAX];
        file_name(name, file);
        int r = place_open(box, &place, err);
        if (r == 0)
                r = find(box, name, &record, err);
        if (r < 0)
                return r;
        r = life_take(place.box_fd, &lock_fd, err);
        if (r == -EBUSY)
                return error_set(err, r, "it is running: stop it first");
        if (r == 0)
                r = copy(place.folder_fd, file, place.box_fd, RESTORE_DRAFT, true, err);
        if (r < 0)
                return r;
        if (renameat(place.box_fd, RESTORE_DRAFT, place.box_fd, DISK_OF_BOX) == 0)
                return 0;
        r = error_errno(err, -errno, "put the copy in the disk's place");
        (void)unlinkat(place.box_fd, RESTORE_DRAFT, 0); /* the error is on its way */
        return r;
}

int snapshot_remove(struct boxlet_box *box, const char *name, struct error *err)
{
        struct boxlet *b = box->boxlet;
        cleanup_place struct workplace place = {-1, -1};
        cleanup_state_snapshot struct state_snapshot record = {0};
        char file[FILE_MAX];
        file_name(name, file);
        int r = place_open(box, &place, err);
        if (r == 0)
                r = find(box, name, &record, err);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = state_snapshot_delete(b->state, box->id, name, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r == 0 && unlinkat(place.folder_fd, file, 0) < 0 && errno != ENOENT)
                r = error_errno(err, -errno, "remove '%s'", file);
        return r;
}

uint64_t snapshot_allocated(struct boxlet *b, const struct state_snapshot *snapshot)
{
        char path[STATE_ID_LENGTH + sizeof("/" SNAPSHOT_FOLDER "/") + FILE_MAX], file[FILE_MAX];
        struct stat st;
        file_name(snapshot->name, file);
        (void)snprintf(path, sizeof(path), "%s/" SNAPSHOT_FOLDER "/%s", snapshot->box_id,
                       file); /* just counted */
        return fstatat(b->boxes_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}
