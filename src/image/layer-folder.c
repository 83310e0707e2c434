/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of the host as a layer. Somebody may change it meanwhile: no link is ever followed, a folder is
 * entered by its name below the open one and left by "..", and either must turn out to be the one expected.
 * One descriptor is open for the walk, whatever the depth, and nothing recurses. Names are sorted, so that
 * the same tree gives the same image. Hard links are found by device and inode.
 */
#include "image/layer.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define READ_SIZE       (256U << 10)
#define XATTR_NAMES_MAX 65536U /* the kernel's own limits */
#define XATTR_VALUE_MAX 65536U

/* A folder on the way down. */
struct level {
        char **names; /* sorted */
        size_t count, next;
        size_t path_length; /* of the walk's path, for this folder */
        dev_t device;
        ino_t inode;
};

/* A file of several names, by the first of them. */
struct shared {
        dev_t device;
        ino_t inode;
        char *path;
};

struct walker {
        struct merge *merge;
        layer_entry_fn on_entry;
        void *data;
        int fd; /* the folder we are in */
        char path[PATH_MAX];
        struct level *levels;
        size_t depth, room;
        struct shared *table; /* open addressing, path NULL for a free slot */
        size_t table_size, table_used;
        uint64_t bytes;
        char *buffer; /* READ_SIZE */
};

/* What read_content() gets beside the walker. */
struct content {
        struct walker *walker;
        int fd;
        uint64_t size;
};

static int path_error(struct error *err, int code, const struct walker *walker)
{
        return error_errno(err, code, "'%s'", walker->path);
}

static int read_piece(const struct content *content, uint64_t from, uint64_t to, struct merge *merge,
                      struct error *err)
{
        struct walker *walker = content->walker;
        while (from < to) {
                size_t now = to - from < READ_SIZE ? (size_t)(to - from) : READ_SIZE;
                ssize_t n = pread(content->fd, walker->buffer, now, (off_t)from);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return path_error(err, -errno, walker);
                if (n == 0)
                        return error_set(err, -EBUSY, "'%s': it became shorter while it was read",
                                         walker->path);
                int r = merge_write(merge, from, walker->buffer, (size_t)n, err);
                if (r < 0)
                        return r;
                walker->bytes += (uint64_t)n;
                from += (uint64_t)n;
        }
        return 0;
}

static int read_content(struct merge *merge, void *data, struct error *err)
{
        const struct content *content = data;
        uint64_t at = 0;
        while (at < content->size) {
                off_t from = lseek(content->fd, (off_t)at, SEEK_DATA);
                off_t to = from >= 0 ? lseek(content->fd, from, SEEK_HOLE) : -1;
                if (from < 0 && errno == ENXIO)
                        return 0;         /* only a hole is left */
                if (from < 0 || to < 0) { /* a file system that does not tell holes */
                        from = (off_t)at;
                        to = (off_t)content->size;
                }
                if ((uint64_t)from >= content->size)
                        return 0;
                if ((uint64_t)to > content->size)
                        to = (off_t)content->size;
                int r = read_piece(content, (uint64_t)from, (uint64_t)to, merge, err);
                if (r < 0)
                        return r;
                at = (uint64_t)to;
        }
        return 0;
}

/* The attributes' values, in one buffer with their names behind; grows as needed. */
struct values {
        struct erofs_named_value list[EROFS_XATTR_COUNT_MAX];
        char names[XATTR_NAMES_MAX];
        size_t count;
};

static void free_values(struct values *values)
{
        if (values == NULL)
                return;
        for (size_t i = 0; i < values->count; i++)
                free((void *)(uintptr_t)values->list[i].value);
        free(values);
}

static int read_values(const char *at, struct values *values, ssize_t size)
{
        for (const char *name = values->names; name < values->names + size; name += strlen(name) + 1) {
                if (values->count == EROFS_XATTR_COUNT_MAX)
                        return -E2BIG;
                char *value = malloc(XATTR_VALUE_MAX);
                if (value == NULL)
                        return -ENOMEM;
                ssize_t n = lgetxattr(at, name, value, XATTR_VALUE_MAX);
                if (n < 0) {
                        int code = errno;
                        free(value);
                        if (code == ENODATA || code == EPERM || code == EOPNOTSUPP)
                                continue;
                        return -code;
                }
                char *exact =
                    realloc(value, n > 0 ? (size_t)n : 1); /* smaller: the old one stays if it fails */
                values->list[values->count++] =
                    (struct erofs_named_value){name, exact != NULL ? exact : value, (size_t)n};
        }
        return 0;
}

static int read_xattrs(const struct walker *walker, const char *name, uint8_t **ret_bytes, uint32_t *ret_size,
                       struct error *err)
{
        char at[sizeof("/proc/self/fd/") + 12 + NAME_MAX + 1];
        (void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", walker->fd, name);
        ssize_t size = llistxattr(at, NULL, 0);
        *ret_bytes = NULL;
        *ret_size = 0;
        if (size == 0 || (size < 0 && errno == EOPNOTSUPP))
                return 0;
        if (size < 0)
                return path_error(err, -errno, walker);
        struct values *values = calloc(1, sizeof(*values));
        if (values == NULL)
                return path_error(err, -ENOMEM, walker);
        int r = 0;
        if ((size = llistxattr(at, values->names, sizeof(values->names))) < 0)
                r = -errno;
        if (r == 0)
                r = read_values(at, values, size);
        if (r == 0)
                r = erofs_xattrs_encode(values->list, values->count, ret_bytes, ret_size);
        free_values(values);
        return r < 0 ? error_errno(err, r, "'%s': extended attributes", walker->path) : 0;
}

static struct shared *find_shared(const struct walker *walker, dev_t device, ino_t inode)
{
        size_t mask = walker->table_size - 1;
        size_t slot = (size_t)((inode * UINT64_C(0x9e3779b97f4a7c15) ^ device) >> 20) & mask;
        struct shared *table = walker->table;
        while (table[slot].path != NULL && (table[slot].device != device || table[slot].inode != inode))
                slot = (slot + 1) & mask;
        return &table[slot];
}

static int grow_table(struct walker *walker)
{
        struct shared *old = walker->table;
        size_t old_size = walker->table_size;
        size_t size = old_size > 0 ? old_size * 2 : 64;
        struct shared *table = calloc(size, sizeof(*table));
        if (table == NULL)
                return -ENOMEM;
        walker->table = table;
        walker->table_size = size;
        for (size_t i = 0; i < old_size; i++) {
                if (old[i].path != NULL)
                        *find_shared(walker, old[i].device, old[i].inode) = old[i];
        }
        free(old);
        return 0;
}

/* Makes the entry a hard link if its file was seen by another name. */
static int share(struct walker *walker, const struct stat *st, struct merge_entry *entry)
{
        if (walker->table_used * 4 >= walker->table_size * 3 && grow_table(walker) < 0)
                return -ENOMEM;
        struct shared *shared = find_shared(walker, st->st_dev, st->st_ino);
        if (shared->path != NULL) {
                entry->hard_link = shared->path;
                return 0;
        }
        *shared = (struct shared){st->st_dev, st->st_ino, strdup(walker->path)};
        walker->table_used++;
        return shared->path != NULL ? 0 : -ENOMEM;
}

static int add_content(struct walker *walker, const char *name, const struct stat *st,
                       struct merge_entry *entry, struct error *err)
{
        cleanup_fd int fd =
            openat(walker->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat now;
        if (fd < 0 || fstat(fd, &now) < 0)
                return path_error(err, -errno, walker);
        if (!S_ISREG(now.st_mode) || now.st_ino != st->st_ino || now.st_dev != st->st_dev)
                return error_set(err, -EBUSY, "'%s': it was replaced while it was read", walker->path);
        struct content content = {.walker = walker, .fd = fd, .size = (uint64_t)now.st_size};
        entry->size = content.size;
        return merge_add(walker->merge, entry, read_content, &content, err);
}

static int add_entry(struct walker *walker, const char *name, const struct stat *st, struct error *err)
{
        cleanup_free uint8_t *xattrs = NULL;
        char target[PATH_MAX];
        struct merge_entry entry = {
            .path = walker->path,
            .attributes = {.mode = (uint16_t)st->st_mode,
                           .uid = st->st_uid,
                           .gid = st->st_gid,
                           .mtime = st->st_mtim.tv_sec,
                           .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec},
        };
        int r = read_xattrs(walker, name, &xattrs, &entry.attributes.xattr_size, err);
        if (r < 0)
                return r;
        entry.attributes.xattrs = xattrs;
        if (S_ISLNK(st->st_mode)) {
                ssize_t n = readlinkat(walker->fd, name, target, sizeof(target) - 1);
                if (n < 0)
                        return path_error(err, -errno, walker);
                target[n] = '\0';
                entry.target = target;
        }
        if ((S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) &&
            merge_device(major(st->st_rdev), minor(st->st_rdev), &entry.device) < 0)
                return error_set(err, -EOVERFLOW, "'%s': a device number out of range", walker->path);
        if (!S_ISDIR(st->st_mode) && st->st_nlink > 1 && (r = share(walker, st, &entry)) < 0)
                return path_error(err, r, walker);
        if (walker->on_entry(&entry, walker->bytes, walker->data) != 0)
                return error_set(err, -ECANCELED, "canceled");
        if (S_ISREG(st->st_mode) && entry.hard_link == NULL)
                return add_content(walker, name, st, &entry, err);
        return merge_add(walker->merge, &entry, NULL, NULL, err);
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct level *level, size_t *room, const char *name)
{
        if (level->count == *room) {
                size_t larger = *room > 0 ? *room * 2 : 16;
                char **names = reallocarray(level->names, larger, sizeof(*names));
                if (names == NULL)
                        return -ENOMEM;
                level->names = names;
                *room = larger;
        }
        if ((level->names[level->count] = strdup(name)) == NULL)
                return -ENOMEM;
        level->count++;
        return 0;
}

static int read_names(int folder_fd, struct level *level)
{
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        size_t room = 0;
        if (dir == NULL) {
                int code = -errno;
                close_fd(&fd);
                return code;
        }
        for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                int r = add_name(level, &room, entry->d_name);
                if (r < 0)
                        return r;
        }
        if (errno != 0)
                return -errno;
        if (level->count > 0)
                qsort(level->names, level->count, sizeof(*level->names), by_name);
        return 0;
}

static void leave(struct walker *walker)
{
        struct level *level = &walker->levels[--walker->depth];
        for (size_t i = 0; i < level->count; i++)
                free(level->names[i]);
        free(level->names);
}

/* Begins the folder walker->fd is open on, which st describes. */
static int enter(struct walker *walker, const struct stat *st, struct error *err)
{
        if (walker->depth == walker->room) {
                size_t room = walker->room > 0 ? walker->room * 2 : 16;
                struct level *levels = reallocarray(walker->levels, room, sizeof(*levels));
                if (levels == NULL)
                        return path_error(err, -ENOMEM, walker);
                walker->levels = levels;
                walker->room = room;
        }
        struct level *level = &walker->levels[walker->depth++];
        *level =
            (struct level){.path_length = strlen(walker->path), .device = st->st_dev, .inode = st->st_ino};
        int r = read_names(walker->fd, level);
        return r < 0 ? path_error(err, r, walker) : 0;
}

/* Opens the folder of that name, which must be the one meant, and goes there. */
static int go(struct walker *walker, const char *name, dev_t device, ino_t inode, struct error *err)
{
        cleanup_fd int fd = openat(walker->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                return path_error(err, -errno, walker);
        if (st.st_dev != device || st.st_ino != inode)
                return error_set(err, -EBUSY, "'%s': it was moved while it was read", walker->path);
        close_fd(&walker->fd);
        walker->fd = take_fd(&fd);
        return 0;
}

static int visit(struct walker *walker, const char *name, struct error *err)
{
        struct stat st;
        size_t used = walker->levels[walker->depth - 1].path_length;
        int n = snprintf(walker->path + used, sizeof(walker->path) - used, used > 0 ? "/%s" : "%s", name);
        if ((size_t)n >= sizeof(walker->path) - used)
                return error_set(err, -ENAMETOOLONG, "'%.60s...': the path is longer than 4095 bytes",
                                 walker->path);
        if (fstatat(walker->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return path_error(err, -errno, walker);
        int r = add_entry(walker, name, &st, err);
        if (r < 0 || !S_ISDIR(st.st_mode))
                return r;
        if ((r = go(walker, name, st.st_dev, st.st_ino, err)) < 0)
                return r;
        return enter(walker, &st, err);
}

static int walk(struct walker *walker, struct error *err)
{
        while (walker->depth > 0) {
                struct level *level = &walker->levels[walker->depth - 1];
                walker->path[level->path_length] = '\0';
                int r = 0;
                if (level->next < level->count) {
                        r = visit(walker, level->names[level->next++], err);
                } else {
                        leave(walker);
                        if (walker->depth > 0) {
                                level = &walker->levels[walker->depth - 1];
                                r = go(walker, "..", level->device, level->inode, err);
                        }
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int begin(struct walker *walker, int folder_fd, struct error *err)
{
        struct stat st;
        walker->buffer = malloc(READ_SIZE);
        walker->fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (walker->buffer == NULL)
                return error_errno(err, -ENOMEM, "read folder");
        if (walker->fd < 0 || fstat(walker->fd, &st) < 0)
                return error_errno(err, -errno, "read folder");
        int r = add_entry(walker, ".", &st, err);
        return r < 0 ? r : enter(walker, &st, err);
}

int layer_read_folder(int folder_fd, struct merge *merge, layer_entry_fn on_entry, void *data,
                      struct error *err)
{
        struct walker walker = {.merge = merge, .on_entry = on_entry, .data = data, .fd = -1};
        int r = begin(&walker, folder_fd, err);
        if (r == 0)
                r = walk(&walker, err);
        while (walker.depth > 0)
                leave(&walker);
        for (size_t i = 0; i < walker.table_size; i++)
                free(walker.table[i].path);
        free(walker.table);
        free(walker.levels);
        free(walker.buffer);
        close_fd(&walker.fd);
        return r;
}
