/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing boxes, and finishing what a killed process left half done. The order makes each crash harmless:
 *
 *     create:  folder with held lock -> disk -> record            killed: a folder without a record, lock
 * free remove:  rename folder to .trash-<id> -> record -> files     killed: a record without folder, or trash
 *     --rm:    the monitor removes the folder, lock held           then: a record without a folder
 * snapshot.c has the same for what is in a box's folder snapshots/.
 *
 * So a record counts only with its folder, a folder only with its record, and trash never.
 *
 * A folder without a record is being made while its lock is held. From mkdir(2) until it is, its maker holds
 * the guard: a lock, shared, on the folder boxes/ itself. Who gets that exclusively knows that nobody is in
 * between, and so that a lock that is free, or missing, is nobody's.
 *
 * Nothing is removed but for what was seen: an error of a lock, of a folder or of the database leaves all as
 * it is, for a later call.
 */
#include "runtime/collect.h"

#include "base/path.h"
#include "runtime/forward.h"
#include "runtime/life.h"
#include "runtime/snapshot.h"
#include "runtime/tell.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TRASH ".trash-"

int collect_remove(struct boxlet *b, const char *id, struct error *err)
{
        char trash[sizeof(TRASH) + STATE_ID_LENGTH];
        cleanup_fd int box_fd = -1;
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT;
        if (box_open_folder(b, id, &box_fd, &ignored) == 0)
                forward_sweep(box_fd);
        bool known = state_find(b->state, id, &record, &ignored) == 0;
        if (known && box_fd >= 0)
                tell_dead(b, &record, box_fd);
        (void)snprintf(trash, sizeof(trash), TRASH "%s", id);
        if (renameat(b->boxes_fd, id, b->boxes_fd, trash) < 0 && errno != ENOENT) {
                /* a trash folder of that id is there already: its remover was killed */
                int r = -errno;
                if (r != -ENOTEMPTY && r != -EEXIST)
                        return error_errno(err, r, "remove box %.12s", id);
                r = path_remove_all_at(b->boxes_fd, id);
                if (r < 0)
                        return error_errno(err, r, "remove box %.12s", id);
        }
        int r = state_delete(b->state, id, err);
        if (r < 0)
                return r;
        if (known)
                tell_box(b, &record, "destroy", NULL, NULL);
        r = path_remove_all_at(b->boxes_fd, trash);
        return r < 0 ? error_errno(err, r, "remove the files of box %.12s", id) : 0;
}

/* Removes the box if nobody holds its lock. */
static void remove_if_free(struct boxlet *b, const char *id, bool (*still)(struct boxlet *, const char *))
{
        cleanup_fd int box_fd = -1;
        cleanup_fd int lock_fd = -1;
        struct error ignored = ERROR_INIT;
        if (box_open_folder(b, id, &box_fd, &ignored) < 0)
                return;
        int r = life_take(box_fd, &lock_fd, &ignored);
        if (r < 0 && r != -ENOENT) /* that: it has none any more */
                return;
        if (still(b, id))
                (void)collect_remove(b, id, &ignored); /* the next call tries again */
}

int collect_guard(struct boxlet *b, int *ret_fd, struct error *err)
{
        cleanup_fd int fd = openat(b->boxes_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -1 : flock(fd, LOCK_SH);
        while (fd >= 0 && r < 0 && errno == EINTR)
                r = flock(fd, LOCK_SH);
        if (r < 0)
                return error_errno(err, -errno, "lock the folder of boxes");
        *ret_fd = take_fd(&fd);
        return 0;
}

/* 1 if it has none, 0, or -errno. */
static int has_no_record(struct boxlet *b, const char *id)
{
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT; /* its code says it */
        int r = state_find(b->state, id, &record, &ignored);
        return r == -ENOENT ? 1 : r;
}

static bool is_to_go(struct boxlet *b, const char *id)
{
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT;
        return state_find(b->state, id, &record, &ignored) == 0 && record.auto_remove &&
               record.started_ns != 0;
}

static void look_at_record(struct boxlet *b, const struct state_box *record)
{
        struct stat st;
        struct error ignored = ERROR_INIT;
        if (fstatat(b->boxes_fd, record->id, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                (void)state_delete(b->state, record->id, &ignored); /* the next call tries again */
        else if (record->auto_remove && record->started_ns != 0)
                remove_if_free(b, record->id, is_to_go);
        else
                (void)snapshot_collect(b, record->id, true); /* the next call tries again */
}

/* Takes the lock of a folder if it is nobody's: 0, with ret_lock_fd -1 if it has none; -EBUSY, or another
 * error. */
static int take_orphan(struct boxlet *b, const char *id, int *ret_lock_fd)
{
        cleanup_fd int box_fd = -1;
        struct error ignored = ERROR_INIT;
        cleanup_fd int guard = openat(b->boxes_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (guard < 0 || flock(guard, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        int r = box_open_folder(b, id, &box_fd, &ignored);
        if (r == 0)
                r = life_take(box_fd, ret_lock_fd, &ignored);
        return r == -ENOENT && box_fd >= 0 ? 0 : r;
}

int collect_orphan(struct boxlet *b, const char *id, bool remove)
{
        cleanup_fd int lock_fd = -1;
        struct error ignored = ERROR_INIT;
        int r = has_no_record(b, id);
        if (r > 0)
                r = take_orphan(b, id, &lock_fd);
        else if (r == 0)
                return 0;
        if (r == 0)
                r = has_no_record(b, id);
        if (r <= 0)
                return r == -EBUSY || r == -ENOENT ? 0
                                                   : r; /* somebody is at work on it, or was a moment ago */
        r = remove ? collect_remove(b, id, &ignored) : 0;
        return r < 0 ? r : 1;
}

static void look_at_folder(struct boxlet *b, const char *name)
{
        if (strncmp(name, TRASH, strlen(TRASH)) == 0) {
                (void)path_remove_all_at(b->boxes_fd, name); /* the next call tries again */
                return;
        }
        if (strlen(name) == STATE_ID_LENGTH && strspn(name, "0123456789abcdef") == STATE_ID_LENGTH)
                (void)collect_orphan(b, name, true); /* the next call tries again */
}

void collect(struct boxlet *b)
{
        struct state_box *boxes;
        size_t count;
        struct error ignored = ERROR_INIT;
        if (state_list(b->state, &boxes, &count, &ignored) == 0) {
                for (size_t i = 0; i < count; i++)
                        look_at_record(b, &boxes[i]);
                state_list_free(boxes, count);
        }
        int fd = openat(b->boxes_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (folder == NULL) {
                close_fd(&fd);
                return;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
                look_at_folder(b, entry->d_name);
}
