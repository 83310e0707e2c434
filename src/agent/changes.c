/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a box changed of its image: read off the upper folder of its overlay, beside the lower one. Told as
 * records "A/path\0", "C/path\0", "D/path\0", or as a layer: a tar with whiteouts (image-spec, layer.md).
 *
 *     in the upper folder                    means                        as a layer
 *     character device 0/0                   D, if the lower has it       .wh.NAME
 *     folder with trusted.overlay.opaque     the lower's is hidden        .wh..wh..opq in it
 *     folder with trusted.overlay.redirect   it was renamed: what is in   the same, and all that is in it
 *                                            it is seen in the root only
 *     folder                                 A, or C if it differs, or    the folder
 *                                            something in it does
 *     anything else                          A or C                       itself
 *
 * A folder is told before the first thing in it, or not at all. Empty files and folders that were made to
 * mount something on are no changes of the box's; the host says which paths those are.
 *
 * Hostile: all of it is the box's. It is walked with descriptors, by single names, without following links.
 */
#include "agent/transfer.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "wire/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define DEPTH_MAX 256

struct level {
        DIR *dir;      /* of the upper folder, or of the root below a redirected one */
        int lower_fd;  /* the lower folder of the same path, -1: none */
        bool is_upper; /* dir is the upper's: it has marks */
        bool whole;    /* dir has all that is in the folder, so what only the lower has is gone */
        bool told;     /* or nothing to tell */
        bool differs;  /* its own attributes */
        bool has_hidden;
        bool moved_time; /* its time alone differs */
        size_t path_length;
};

struct changes {
        const struct transfer_call *call;
        struct pack *pack; /* NULL: records */
        int root_fd;       /* all of it together */
        char **hidden;
        struct level levels[DEPTH_MAX];
        size_t depth;
        char path[PATH_MAX]; /* without a slash at the front */
};

static int tell_record(struct changes *c, char kind, const char *path, struct error *err)
{
        char record[PATH_MAX + 3];
        int n = snprintf(record, sizeof(record), "%c/%s", kind, path);
        return transfer_write((void *)c->call, record, (size_t)n + 1, err);
}

static int parent_of(const struct changes *c, size_t level)
{
        return dirfd(c->levels[level].dir);
}

/* Tells the folders on the way that have not been told yet. */
static int tell_folders(struct changes *c, struct error *err)
{
        for (size_t i = 1; i < c->depth; i++) {
                struct level *level = &c->levels[i];
                char path[PATH_MAX];
                if (level->told)
                        continue;
                level->told = true;
                memcpy(path, c->path, level->path_length);
                path[level->path_length] = '\0';
                const char *name = path + c->levels[i - 1].path_length + (i > 1 ? 1 : 0);
                int r = c->pack != NULL ? pack_add(c->pack, parent_of(c, i - 1), name, path, err)
                                        : tell_record(c, 'C', path, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* c->path, an object called name in the innermost folder. */
static int tell(struct changes *c, char kind, const char *name, struct error *err)
{
        int r = tell_folders(c, err);
        if (r < 0)
                return r;
        return c->pack != NULL ? pack_add(c->pack, parent_of(c, c->depth - 1), name, c->path, err)
                               : tell_record(c, kind, c->path, err);
}

static int tell_gone(struct changes *c, const char *name, struct error *err)
{
        char marker[PATH_MAX + 8];
        int r = tell_folders(c, err);
        if (r < 0 || c->pack == NULL)
                return r < 0 ? r : tell_record(c, 'D', c->path, err);
        (void)snprintf(marker, sizeof(marker), "%.*s.wh.%s", (int)(strlen(c->path) - strlen(name)), c->path,
                       name); /* room for a path and four bytes */
        return pack_marker(c->pack, marker, err);
}

static bool is_hidden(const struct changes *c, const struct stat *st)
{
        if (!(S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && st->st_size == 0)))
                return false;
        for (char **path = c->hidden; *path != NULL; path++) {
                if ((*path)[0] == '/' && strcmp(*path + 1, c->path) == 0)
                        return true;
        }
        return false;
}

static bool is_empty_folder(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        bool empty = dir != NULL;
        if (dir == NULL && fd >= 0)
                (void)close(fd); /* was only read */
        while (empty && (entry = readdir(dir)) != NULL)
                empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (dir != NULL)
                (void)closedir(dir); /* the same */
        return empty;
}

/* Sets c->path to name in the innermost folder. */
static int go_to(struct changes *c, const char *name, struct error *err)
{
        size_t at = c->levels[c->depth - 1].path_length;
        int n = snprintf(c->path + at, sizeof(c->path) - at, "%s%s", at > 0 ? "/" : "", name);
        return n > 0 && (size_t)n < sizeof(c->path) - at
                   ? 0
                   : error_set(err, -ENAMETOOLONG, "read the changes: a path is too long");
}

static int look(int fd, const char *name, struct stat *ret_st)
{
        return fd < 0 ? -ENOENT : fstatat(fd, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static bool is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* ---- folders ---- */

static int enter(struct changes *c, int dir_fd, const struct level *level, struct error *err)
{
        cleanup_fd int owned = dir_fd;
        struct level *new = &c->levels[c->depth];
        DIR *dir = c->depth < DEPTH_MAX ? fdopendir(owned) : NULL;
        if (dir == NULL) {
                if (level->lower_fd >= 0)
                        (void)close(level->lower_fd); /* was only read */
                return error_set(err, -ENAMETOOLONG, "read '/%s': folders more than %d deep, or no memory",
                                 c->path, DEPTH_MAX);
        }
        (void)take_fd(&owned);
        *new = *level;
        new->dir = dir;
        new->path_length = strlen(c->path);
        c->depth++;
        return 0;
}

static void leave(struct changes *c)
{
        struct level *level = &c->levels[--c->depth];
        (void)closedir(level->dir); /* was only read */
        close_fd(&level->lower_fd);
}

/* In a folder that hides the lower one: what only that has. A layer says it with one mark. */
static int tell_all_gone(struct changes *c, struct error *err)
{
        const struct level *level = &c->levels[c->depth - 1];
        struct stat st;
        int fd = openat(level->lower_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        int r = dir == NULL ? error_errno(err, -errno, "read '/%s' of the image", c->path) : 0;
        while (r == 0 && (entry = readdir(dir)) != NULL) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                    (look(dirfd(level->dir), entry->d_name, &st) == 0 && !is_whiteout(&st)))
                        continue;
                r = go_to(c, entry->d_name, err);
                if (r == 0)
                        r = tell_gone(c, entry->d_name, err);
                c->path[level->path_length] = '\0';
        }
        return r;
}

static int leave_told(struct changes *c, struct error *err)
{
        struct level *level = &c->levels[c->depth - 1];
        int r = 0;
        if (level->whole && level->lower_fd >= 0 && c->pack == NULL)
                r = tell_all_gone(c, err);
        if (r == 0 && (level->differs || (level->moved_time && !level->has_hidden)))
                r = tell_folders(c, err);
        leave(c);
        return r;
}

static bool has_mark(int fd, const char *name)
{
        char value[PATH_MAX];
        ssize_t n = fgetxattr(fd, name, value, sizeof(value));
        return n > 0 && (strcmp(name, "trusted.overlay.redirect") == 0 || value[0] == 'y');
}

static int open_folder(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int mark_opaque(struct changes *c, struct error *err)
{
        char marker[PATH_MAX + 16];
        (void)snprintf(marker, sizeof(marker), "%s/.wh..wh..opq", c->path); /* room for it */
        return c->pack != NULL ? pack_marker(c->pack, marker, err) : 0;
}

static int add_folder(struct changes *c, const char *name, const struct stat *st, const struct stat *lower,
                      struct error *err)
{
        const struct level *above = &c->levels[c->depth - 1];
        struct level level = {.lower_fd = -1, .is_upper = above->is_upper, .whole = above->whole};
        cleanup_fd int fd = open_folder(dirfd(above->dir), name);
        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? 0 : error_errno(err, fd, "read '/%s'", c->path);
        bool renamed = above->is_upper && has_mark(fd, "trusted.overlay.redirect");
        bool over = lower != NULL && S_ISDIR(lower->st_mode);
        bool hides = renamed || (above->is_upper && has_mark(fd, "trusted.overlay.opaque"));
        level.whole = level.whole || hides;
        level.told = !over || hides;
        if (over) {
                level.differs = st->st_mode != lower->st_mode || st->st_uid != lower->st_uid ||
                                st->st_gid != lower->st_gid;
                level.moved_time = st->st_mtim.tv_sec != lower->st_mtim.tv_sec;
        }
        int r = level.told ? tell(c, lower != NULL ? 'C' : 'A', name, err) : 0;
        if (r == 0 && hides && over)
                r = mark_opaque(c, err);
        if (r == 0 && renamed) {
                close_fd(&fd);
                fd = path_open_in_root(c->root_fd, c->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                level.is_upper = false;
                if (fd < 0)
                        r = error_errno(err, fd, "read '/%s'", c->path);
        }
        if (r < 0)
                return r;
        if (over)
                level.lower_fd = open_folder(above->lower_fd, name);
        return enter(c, take_fd(&fd), &level, err);
}

static int add(struct changes *c, const char *name, struct error *err)
{
        struct level *level = &c->levels[c->depth - 1];
        struct stat st, lower;
        int r = look(dirfd(level->dir), name, &st);
        if (r < 0)
                return r == -ENOENT ? 0 : error_errno(err, r, "read '/%s'", c->path);
        bool has_lower = look(level->lower_fd, name, &lower) == 0;
        if (level->is_upper && is_whiteout(&st))
                return has_lower && !level->whole ? tell_gone(c, name, err) : 0;
        if (!has_lower && is_hidden(c, &st) &&
            (!S_ISDIR(st.st_mode) || is_empty_folder(dirfd(level->dir), name))) {
                level->has_hidden = true;
                return 0;
        }
        if (S_ISDIR(st.st_mode))
                return add_folder(c, name, &st, has_lower ? &lower : NULL, err);
        return tell(c, has_lower ? 'C' : 'A', name, err);
}

static int step(struct changes *c, struct error *err)
{
        struct level *level = &c->levels[c->depth - 1];
        c->path[level->path_length] = '\0';
        errno = 0;
        const struct dirent *entry = readdir(level->dir);
        if (entry == NULL)
                return errno != 0 ? error_errno(err, -errno, "read '/%s'", c->path) : leave_told(c, err);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                return 0;
        int r = go_to(c, entry->d_name, err);
        return r < 0 ? r : add(c, entry->d_name, err);
}

static int open_layer(const struct transfer_call *call, const char *name, struct error *err)
{
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s", call->agent->setup->run_folder, name); /* short ones */
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? error_errno(err, -errno, "open the box's %s", name) : fd;
}

static int walk(struct changes *c, struct error *err)
{
        struct level top = {.is_upper = true, .told = true};
        int upper = open_layer(c->call, "disk/upper", err);
        if (upper < 0)
                return upper;
        top.lower_fd = open_layer(c->call, "lower", err);
        if (top.lower_fd < 0) {
                (void)close(upper); /* was only read */
                return top.lower_fd;
        }
        int r = enter(c, upper, &top, err);
        while (r == 0 && c->depth > 0)
                r = step(c, err);
        while (c->depth > 0)
                leave(c);
        return r;
}

int changes_tell(const struct transfer_call *call, struct error *err)
{
        struct pack_sink sink = {transfer_write, (void *)call};
        cleanup_pack struct pack *pack = NULL;
        cleanup_fd int root_fd = open_layer(call, "root", err);
        bool as_layer;
        int r = root_fd < 0 ? root_fd : json_get_bool_or(call->request, "layer", false, &as_layer, err);
        if (r < 0)
                return r;
        struct changes *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_errno(err, -ENOMEM, "read the changes");
        c->call = call;
        c->root_fd = root_fd;
        r = json_get_strings(call->request, "hidden", &c->hidden, NULL, err);
        if (r == 0 && as_layer && pack_new(&sink, PACK_ALL_XATTRS, &pack) < 0)
                r = error_errno(err, -ENOMEM, "read the changes");
        c->pack = pack;
        if (r == 0)
                r = transfer_accept(call, NULL, err);
        if (r == 0)
                r = walk(c, err);
        if (r == 0 && pack != NULL)
                r = pack_end(pack, err);
        json_free_strings(c->hidden);
        free(c);
        return r;
}
