/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet_system_check: does everything in the home fit together? Records and folders of boxes, their disks,
 * locks and snapshots, volumes, images, drafts of killed processes, the database itself.
 *
 * Repairing loses nothing that anybody was told exists: it removes what has no record (a creation that was
 * killed before it said so), records of what is gone, drafts, damaged copies of what can be fetched or made
 * again; it makes a lock that is missing, and takes over a volume without a record. What cannot be put right
 * so is told with what to do.
 *
 * What somebody is at work on is left alone: what is locked, and folders and drafts younger than YOUNG_S,
 * which may not be locked yet.
 *
 * What cannot be looked at is a problem too, and is left: all is well only when all was seen.
 */
#include "runtime/runtime.h"

#include "base/path.h"
#include "runtime/collect.h"
#include "runtime/disk.h"
#include "runtime/life.h"
#include "runtime/mounts.h"
#include "runtime/snapshot.h"
#include "runtime/template.h"
#include "runtime/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define YOUNG_S 10
#define TRASH   ".trash-"

struct check {
        struct boxlet *b;
        struct image_store *store;
        bool repair;
        json_t *problems;
        bool no_memory;
};

/* outcome: 1 it is repaired, 0 that was not tried, -errno it could not be. */
static void found(struct check *c, const char *kind, const char *item, int outcome, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void found(struct check *c, const char *kind, const char *item, int outcome, const char *format, ...)
{
        struct error text = ERROR_INIT;
        char words[512];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(words, sizeof(words), format, args); /* cut when very long */
        va_end(args);
        (void)error_set(&text, -1, "%s%s%s", words, outcome < 0 ? ": it cannot be put right: " : "",
                        outcome < 0 ? strerror(-outcome) : ""); /* makes it printable */
        if (json_array_append_new(c->problems, json_pack("{s:s, s:s, s:s, s:b}", "Kind", kind, "Item", item,
                                                         "Problem", text.text, "Repaired", outcome > 0)) < 0)
                c->no_memory = true;
}

static void unseen(struct check *c, const char *kind, const char *item, int r)
{
        found(c, kind, item, 0, "it cannot be looked at: %s", strerror(-r));
}

/* The outcome of a function that returns 0 or -errno. */
static int outcome_of(int r)
{
        return r < 0 ? r : 1;
}

static int remove_file(struct check *c, int dir_fd, const char *name)
{
        return !c->repair ? 0 : unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ? 1 : -errno;
}

static int remove_all(struct check *c, int dir_fd, const char *name)
{
        return c->repair ? outcome_of(path_remove_all_at(dir_fd, name)) : 0;
}

/* Calls fn for every entry of a folder but "." and "..". what: the folder, for a person. */
static void each_entry(struct check *c, int dir_fd, const char *what,
                       void (*fn)(struct check *c, int dir_fd, const char *name))
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (folder == NULL) {
                unseen(c, "folder", what, -errno);
                close_fd(&fd);
                return;
        }
        for (struct dirent *entry; (errno = 0, entry = readdir(folder)) != NULL;) {
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        fn(c, dir_fd, entry->d_name);
        }
        if (errno != 0)
                unseen(c, "folder", what, -errno);
}

static bool is_old(struct check *c, int dir_fd, const char *name)
{
        struct stat st;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return time(NULL) - st.st_ctime >= YOUNG_S;
        if (errno != ENOENT) /* that: it is gone now */
                unseen(c, "leftover", name, -errno);
        return false;
}

/* of_kind, of_item: what it is a part of. */
static bool is_missing(struct check *c, int dir_fd, const char *name, const char *of_kind,
                       const char *of_item)
{
        struct stat st;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return false;
        if (errno != ENOENT)
                unseen(c, of_kind, of_item, -errno);
        return errno == ENOENT;
}

/* ---- boxes with a record ---- */

static void look_at_draft(struct check *c, int dir_fd, const char *name)
{
        if (path_is_draft(name) && is_old(c, dir_fd, name))
                found(c, "leftover", name, remove_file(c, dir_fd, name),
                      "a process was killed while it wrote it");
}

static void look_at_image(struct check *c, const struct state_box *box)
{
        cleanup_image struct image *image = NULL;
        struct error err = ERROR_INIT;
        int r = image_find(c->store, box->image_id, &image, &err);
        if (r == -ENOENT)
                found(c, "box", box->name, 0,
                      "its image '%s' is not in the store: pull or load it again, else it cannot start",
                      box->image_reference);
        else if (r < 0)
                found(c, "box", box->name, 0, "its image '%s': %s", box->image_reference, err.text);
}

static void look_at_box(struct check *c, const struct state_box *box)
{
        struct boxlet *b = c->b;
        struct error err = ERROR_INIT;
        cleanup_fd int box_fd = -1;
        cleanup_fd int lock_fd = -1;
        if (box_open_folder(b, box->id, &box_fd, &err) == -ENOENT) {
                if (box->auto_remove && box->started_ns != 0) {
                        (void)state_delete(b->state, box->id, &err); /* it has removed itself, as it was to */
                        return;
                }
                found(c, "box", box->name, c->repair ? outcome_of(state_delete(b->state, box->id, &err)) : 0,
                      "its folder is gone: only its record is left");
                return;
        }
        if (box_fd < 0) {
                found(c, "box", box->name, 0, "%s", err.text);
                return;
        }
        if (is_missing(c, box_fd, "lock", "box", box->name))
                found(c, "box", box->name, c->repair ? outcome_of(life_create(box_fd, &err)) : 0,
                      "its lock is missing");
        if (is_missing(c, box_fd, DISK_OF_BOX, "box", box->name))
                found(c, "box", box->name, 0, "its disk is gone: restore a snapshot, or remove the box");
        look_at_image(c, box);
        int left = snapshot_collect(b, box->id, c->repair);
        if (left < 0)
                unseen(c, "snapshot", box->name, left);
        if (left > 0)
                found(c, "snapshot", box->name, c->repair,
                      "%d files without a record, or records without a file, of its snapshots", left);
        int r = life_take(box_fd, &lock_fd, &err);
        if (r == 0)
                each_entry(c, box_fd, box->name, look_at_draft);
        else if (r != -EBUSY && r != -ENOENT) /* the latter: removed now, or told above */
                found(c, "box", box->name, 0, "%s", err.text);
}

static int check_boxes(struct check *c, struct error *err)
{
        struct state_box *boxes;
        size_t count;
        int r = state_list(c->b->state, &boxes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++)
                look_at_box(c, &boxes[i]);
        state_list_free(boxes, count);
        return 0;
}

/* ---- folders of boxes ---- */

static bool is_id(const char *name)
{
        return strlen(name) == STATE_ID_LENGTH && strspn(name, "0123456789abcdef") == STATE_ID_LENGTH;
}

static void look_at_orphan(struct check *c, const char *id)
{
        int r = collect_orphan(c->b, id, false);
        if (r < 0)
                unseen(c, "box", id, r);
        if (r == 1)
                found(c, "box", id, c->repair ? collect_orphan(c->b, id, true) : 0,
                      "a folder without a record: its creation did not finish");
}

static void look_at_folder(struct check *c, int dir_fd, const char *name)
{
        cleanup_state_box struct state_box record = {0};
        struct error err = ERROR_INIT;
        if (strncmp(name, TRASH, strlen(TRASH)) == 0) {
                found(c, "leftover", name, remove_all(c, dir_fd, name),
                      "of a box whose removal did not finish");
                return;
        }
        if (!is_id(name)) {
                found(c, "leftover", name, 0, "it is nothing of boxlet's: remove it by hand");
                return;
        }
        int r = state_find(c->b->state, name, &record, &err);
        if (r == -ENOENT)
                look_at_orphan(c, name);
        else if (r < 0)
                found(c, "box", name, 0, "%s", err.text);
}

/* ---- volumes ---- */

static void look_at_volume_draft(struct check *c, int dir_fd, const char *name)
{
        if (name[0] == '.')
                found(c, "leftover", name, remove_all(c, dir_fd, name),
                      "of a volume that was not made, or not removed, to the end");
}

static void look_at_volume(struct check *c, int dir_fd, const char *name)
{
        cleanup_state_volume struct state_volume record = {0};
        struct error err = ERROR_INIT;
        (void)dir_fd;
        if (name[0] == '.')
                return;
        if (mounts_check_name(name, &err) < 0) {
                found(c, "leftover", name, 0, "it is nothing of boxlet's: remove it by hand");
                return;
        }
        int r = state_volume_find(c->b->state, name, &record, &err);
        if (r < 0 && r != -ENOENT)
                found(c, "volume", name, 0, "%s", err.text);
        if (r == -ENOENT)
                found(c, "volume", name,
                      c->repair ? outcome_of(volume_ensure(c->b, name, VOLUME_DEFAULT, NULL, false, &err))
                                : 0,
                      "its record is missing: it is taken over as it is");
}

static int check_volumes(struct check *c, struct error *err)
{
        struct state_volume *volumes;
        size_t count;
        cleanup_fd int folder = -1;
        int r = volume_open_folder(c->b, &folder, err);
        if (r == 0)
                r = state_volume_list(c->b->state, &volumes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                char path[160];
                (void)snprintf(path, sizeof(path), "%s/" VOLUME_DISK,
                               volumes[i].name); /* a checked name: it fits */
                if (is_missing(c, folder, path, "volume", volumes[i].name))
                        found(c, "volume", volumes[i].name, 0,
                              "its disk is gone: 'boxlet volume rm' lets the name be used again");
        }
        state_volume_list_free(volumes, count);
        if (flock(folder, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        unseen(c, "folder", "volumes", -errno);
                return 0; /* somebody makes or removes one */
        }
        each_entry(c, folder, "volumes", look_at_volume_draft);
        close_fd(&folder); /* and the lock: who takes one over locks by itself */
        r = volume_open_folder(c->b, &folder, err);
        if (r == 0)
                each_entry(c, folder, "volumes", look_at_volume);
        return r;
}

/* ---- the rest ---- */

static void look_at_template(struct check *c, int dir_fd, const char *name)
{
        if (name[0] == '.')
                found(c, "leftover", name, remove_file(c, dir_fd, name),
                      "a disk template that was not finished");
}

static void check_templates(struct check *c)
{
        cleanup_fd int folder = openat(c->b->home_fd, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool locked = folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) == 0;
        if (locked)
                each_entry(c, folder, "templates", look_at_template);
        else if (errno != ENOENT && errno != EWOULDBLOCK) /* the latter: one is being made */
                unseen(c, "folder", "templates", -errno);
}

static void check_machines(struct check *c)
{
        int r = template_collect(c->b->home_fd, c->repair);
        if (r < 0)
                unseen(c, "folder", TEMPLATES_FOLDER, r);
        if (r > 0)
                found(c, "leftover", TEMPLATES_FOLDER, c->repair, "a machine template that was not finished");
}

static void look_at_home(struct check *c, int dir_fd, const char *name)
{
        if (strcmp(name, ".boxlet.db.backup") != 0)
                look_at_draft(c, dir_fd, name);
        else if (is_old(c, dir_fd, name))
                found(c, "leftover", name, remove_file(c, dir_fd, name),
                      "a copy of the database that was not finished");
}

static void take_problem(const struct image_problem *problem, void *data)
{
        found(data, problem->kind, problem->item, problem->repaired, "%s", problem->text);
}

static int check(struct check *c, struct error *err)
{
        struct boxlet *b = c->b;
        int r = boxlet_store(b, &c->store, err);
        if (r < 0)
                return r;
        r = state_check(b->state, err);
        if (r == -EBADMSG) {
                found(c, "database", "boxlet.db", 0, "%s: copies of older versions are boxlet.db.v*",
                      err->text);
                *err = (struct error)ERROR_INIT;
                r = 0;
        }
        if (r == 0)
                r = check_boxes(c, err);
        if (r == 0)
                each_entry(c, b->boxes_fd, "boxes", look_at_folder);
        if (r == 0)
                r = check_volumes(c, err);
        if (r == 0) {
                check_templates(c);
                check_machines(c);
                each_entry(c, b->home_fd, b->home, look_at_home);
                r = image_verify(c->store, c->repair, take_problem, c, err);
        }
        return r == 0 && c->no_memory ? error_set(err, -ENOMEM, "check: out of memory") : r;
}

int boxlet_system_check(struct boxlet *b, int repair, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        cleanup_json json_t *problems = json_array();
        struct check c = {.b = b, .repair = repair != 0, .problems = problems};
        if (problems == NULL)
                return api_result(error, &err, error_set(&err, -ENOMEM, "check: out of memory"));
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = check(&c, &err);
        (void)pthread_mutex_unlock(&b->lock);
        char *text = r == 0 ? json_dumps(problems, JSON_INDENT(4)) : NULL;
        if (r == 0 && text == NULL)
                r = error_set(&err, -ENOMEM, "check: out of memory");
        if (r == 0)
                *ret_json = text;
        return api_result(error, &err, r);
}
