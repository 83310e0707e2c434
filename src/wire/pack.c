/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a tree that somebody else may be changing, and says it as a tar. In the guest that somebody is the
 * container: every object is looked at and opened under the descriptor of its folder, never through a link,
 * and looked at again once it is open; a path is only what it is called in the tar. What is read of a file is
 * as much as its header said, filled up with zeros if it became shorter.
 *
 * Folders are a stack of open descriptors, at most DEPTH_MAX of them. Hard links: a table of the files with
 * more than one name.
 */
#include "wire/pack.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "wire/tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX    256
#define CHUNK        (64 << 10)
#define XATTR_NAMES  (64 << 10)
#define XATTR_BYTES  (256 << 10) /* of all values of one object */
#define LINK_BUCKETS 1024

struct link {
        struct link *next;
        dev_t device;
        ino_t inode;
        char path[];
};

struct level {
        DIR *dir;
        size_t path_length; /* of path at this level; 0 for the top when it is "." */
};

struct pack {
        struct pack_sink sink;
        unsigned flags;
        uint64_t mount; /* with PACK_ONE_MOUNT */
        struct buffer header;
        struct link *links[LINK_BUCKETS];
        struct level levels[DEPTH_MAX];
        size_t depth;
        char path[TAR_NAME_MAX];
        struct tar_xattr xattrs[TAR_XATTRS_MAX];
        char names[XATTR_NAMES], values[XATTR_BYTES], chunk[CHUNK];
};

int pack_new(const struct pack_sink *sink, unsigned flags, struct pack **ret_pack)
{
        struct pack *p = calloc(1, sizeof(*p));
        if (p == NULL)
                return -ENOMEM;
        p->sink = *sink;
        p->flags = flags;
        buffer_init(&p->header, 2 * (size_t)TAR_RECORDS_MAX);
        *ret_pack = p;
        return 0;
}

void pack_free(struct pack *p)
{
        if (p == NULL)
                return;
        for (size_t i = 0; i < LINK_BUCKETS; i++) {
                for (struct link *next, *l = p->links[i]; l != NULL; l = next) {
                        next = l->next;
                        free(l);
                }
        }
        while (p->depth > 0)
                (void)closedir(p->levels[--p->depth].dir); /* was only read */
        buffer_done(&p->header);
        free(p);
}

static int put(struct pack *p, const void *bytes, size_t size, struct error *err)
{
        return p->sink.write(p->sink.data, bytes, size, err);
}

static int put_header(struct pack *p, const struct tar_entry *e, struct error *err)
{
        buffer_clear(&p->header);
        int r = tar_encode(e, &p->header);
        if (r < 0)
                return error_errno(err, r, "read '%s': put into a tar", e->name);
        return put(p, buffer_content(&p->header), p->header.length, err);
}

static int put_zeros(struct pack *p, uint64_t size, struct error *err)
{
        int r = 0;
        memset(p->chunk, 0, sizeof(p->chunk));
        while (r == 0 && size > 0) {
                size_t part = size < sizeof(p->chunk) ? (size_t)size : sizeof(p->chunk);
                r = put(p, p->chunk, part, err);
                size -= part;
        }
        return r;
}

static int put_content(struct pack *p, int fd, const char *path, uint64_t size, struct error *err)
{
        uint64_t left = size;
        while (left > 0) {
                ssize_t n = read(fd, p->chunk, left < sizeof(p->chunk) ? (size_t)left : sizeof(p->chunk));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, -errno, "read '%s'", path);
                if (n == 0)
                        break; /* it became shorter */
                int r = put(p, p->chunk, (size_t)n, err);
                if (r < 0)
                        return r;
                left -= (uint64_t)n;
        }
        return put_zeros(p, left + tar_padding(size), err);
}

/* ---- what an object is ---- */

static bool wants_xattr(const struct pack *p, const char *name)
{
        if (p->flags & PACK_ALL_XATTRS)
                return strncmp(name, "trusted.overlay.", 16) != 0;
        return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

/* What cannot be read is left out: file systems without attributes, and those that come and go. */
static void read_xattrs(struct pack *p, int fd, struct tar_entry *e)
{
        ssize_t size = flistxattr(fd, p->names, sizeof(p->names));
        size_t used = 0, count = 0;
        for (ssize_t at = 0; at < size && count < TAR_XATTRS_MAX; at += (ssize_t)strlen(p->names + at) + 1) {
                const char *name = p->names + at;
                if (!wants_xattr(p, name))
                        continue;
                ssize_t n = fgetxattr(fd, name, p->values + used, sizeof(p->values) - used);
                if (n < 0)
                        continue;
                p->xattrs[count++] = (struct tar_xattr){name, p->values + used, (size_t)n};
                used += (size_t)n;
        }
        e->xattrs = p->xattrs;
        e->xattr_count = count;
}

static struct tar_entry entry_of(const struct stat *st, const char *path)
{
        struct tar_entry e = {
            .name = path,
            .link = "",
            .mode = st->st_mode & 07777,
            .uid = st->st_uid,
            .gid = st->st_gid,
            .mtime = st->st_mtim.tv_sec,
            .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
        };
        switch (st->st_mode & S_IFMT) {
        case S_IFDIR:
                e.type = TAR_FOLDER;
                break;
        case S_IFLNK:
                e.type = TAR_SYMLINK;
                break;
        case S_IFCHR:
        case S_IFBLK:
                e.type = S_ISCHR(st->st_mode) ? TAR_CHARACTER : TAR_BLOCK_DEVICE;
                e.device_major = major(st->st_rdev);
                e.device_minor = minor(st->st_rdev);
                break;
        case S_IFIFO:
                e.type = TAR_FIFO;
                break;
        default:
                e.type = TAR_FILE;
                e.size = (uint64_t)st->st_size;
                break;
        }
        return e;
}

static struct link **bucket(struct pack *p, const struct stat *st)
{
        return &p->links[(st->st_ino ^ st->st_ino >> 10 ^ st->st_dev) % LINK_BUCKETS];
}

/* The path under which this file is in the tar already, or NULL. */
static const char *earlier_name(struct pack *p, const struct stat *st)
{
        if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
                return NULL;
        for (const struct link *l = *bucket(p, st); l != NULL; l = l->next) {
                if (l->inode == st->st_ino && l->device == st->st_dev)
                        return l->path;
        }
        return NULL;
}

static int remember(struct pack *p, const struct stat *st, const char *path, struct error *err)
{
        if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
                return 0;
        struct link *l = malloc(sizeof(*l) + strlen(path) + 1);
        if (l == NULL)
                return error_errno(err, -ENOMEM, "read '%s'", path);
        (void)strcpy(l->path, path); /* room for just that */
        l->device = st->st_dev;
        l->inode = st->st_ino;
        l->next = *bucket(p, st);
        *bucket(p, st) = l;
        return 0;
}

/* ---- putting ---- */

static int put_hard_link(struct pack *p, struct tar_entry *e, const char *target, struct error *err)
{
        e->type = TAR_HARD_LINK;
        e->link = target;
        e->size = 0;
        return put_header(p, e, err);
}

/* A file or folder that is open for reading. */
static int put_open(struct pack *p, int fd, const char *path, struct error *err)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "read '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0; /* somebody put something else in its place */
        struct tar_entry e = entry_of(&st, path);
        const char *earlier = earlier_name(p, &st);
        if (earlier != NULL)
                return put_hard_link(p, &e, earlier, err);
        read_xattrs(p, fd, &e);
        int r = put_header(p, &e, err);
        if (r == 0 && S_ISREG(st.st_mode))
                r = put_content(p, fd, path, e.size, err);
        return r == 0 ? remember(p, &st, path, err) : r;
}

/* Links, devices, pipes: name "" for fd itself. */
static int put_other(struct pack *p, int fd, const char *name, const struct stat *st, const char *path,
                     struct error *err)
{
        char target[TAR_NAME_MAX];
        struct tar_entry e = entry_of(st, path);
        const char *earlier = earlier_name(p, st);
        if (S_ISSOCK(st->st_mode))
                return 0;
        if (earlier != NULL)
                return put_hard_link(p, &e, earlier, err);
        if (S_ISLNK(st->st_mode)) {
                ssize_t n = readlinkat(fd, name, target, sizeof(target) - 1);
                if (n < 0)
                        return errno == ENOENT ? 0 : error_errno(err, -errno, "read the link '%s'", path);
                target[n] = '\0';
                e.link = target;
        }
        int r = put_header(p, &e, err);
        return r == 0 ? remember(p, st, path, err) : r;
}

static bool is_gone(int code)
{
        return code == ENOENT || code == ELOOP || code == ENXIO || code == ENOTDIR;
}

/* Opens what st was of: a folder or a file. -ENOENT when it is not there any more. */
static int open_again(int dir_fd, const char *name, const struct stat *st, const char *path,
                      struct error *err)
{
        int kind = S_ISDIR(st->st_mode) ? O_DIRECTORY : 0;
        int fd = openat(dir_fd, name,
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | kind); /* never waits */
        if (fd >= 0)
                return fd;
        return is_gone(errno) ? -ENOENT : error_errno(err, -errno, "read '%s'", path);
}

int pack_add(struct pack *p, int dir_fd, const char *name, const char *path, struct error *err)
{
        struct stat st;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_errno(err, -errno, "read '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return put_other(p, dir_fd, name, &st, path, err);
        cleanup_fd int fd = open_again(dir_fd, name, &st, path, err);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        return put_open(p, fd, path, err);
}

int pack_marker(struct pack *p, const char *path, struct error *err)
{
        struct tar_entry e = {.type = TAR_FILE, .name = path, .link = ""};
        return put_header(p, &e, err);
}

int pack_end(struct pack *p, struct error *err)
{
        buffer_clear(&p->header);
        int r = tar_encode_end(&p->header);
        if (r < 0)
                return error_errno(err, r, "end a tar");
        return put(p, buffer_content(&p->header), p->header.length, err);
}

/* ---- a tree ---- */

static int mount_of(int fd, const char *name, uint64_t *ret_mount)
{
        struct statx stx;
        int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == '\0' ? AT_EMPTY_PATH : 0);
        if (statx(fd, name, flags, STATX_MNT_ID, &stx) < 0)
                return -errno;
        *ret_mount = stx.stx_mnt_id;
        return 0;
}

/* Takes fd, a folder that was put. */
static int enter(struct pack *p, int fd, struct error *err)
{
        cleanup_fd int owned = fd;
        if (p->depth == DEPTH_MAX)
                return error_set(err, -ENAMETOOLONG, "read '%s': folders more than %d deep", p->path,
                                 DEPTH_MAX);
        DIR *dir = fdopendir(owned);
        if (dir == NULL)
                return error_errno(err, -errno, "read '%s'", p->path);
        (void)take_fd(&owned);
        p->levels[p->depth++] = (struct level){dir, strlen(p->path)};
        return 0;
}

static void leave(struct pack *p)
{
        (void)closedir(p->levels[--p->depth].dir); /* was only read */
        if (p->depth > 0)
                p->path[p->levels[p->depth - 1].path_length] = '\0';
}

/* Whether dir_fd/name is the root of another mount; a file of that kind is nothing here. */
static bool is_other_mount(const struct pack *p, int dir_fd, const char *name)
{
        uint64_t mount = 0;
        return p->flags & PACK_ONE_MOUNT && mount_of(dir_fd, name, &mount) == 0 && mount != p->mount;
}

/* The folder that covers a mount point is not ours: an empty one of the usual mode stands for what is below.
 */
static int put_mount_point(struct pack *p, const struct stat *st, struct error *err)
{
        struct tar_entry e = entry_of(st, p->path);
        return S_ISDIR(st->st_mode) ? put_header(p, &e, err) : 0;
}

static int put_child(struct pack *p, int dir_fd, const char *name, struct error *err)
{
        struct stat st;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_errno(err, -errno, "read '%s'", p->path);
        if (is_other_mount(p, dir_fd, name))
                return put_mount_point(p, &st, err);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return put_other(p, dir_fd, name, &st, p->path, err);
        cleanup_fd int fd = open_again(dir_fd, name, &st, p->path, err);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        int r = put_open(p, fd, p->path, err);
        return r == 0 && S_ISDIR(st.st_mode) ? enter(p, take_fd(&fd), err) : r;
}

/* The next object of the innermost folder, or out of it. */
static int step(struct pack *p, struct error *err)
{
        struct level *level = &p->levels[p->depth - 1];
        p->path[level->path_length] = '\0';
        errno = 0;
        const struct dirent *entry = readdir(level->dir);
        if (entry == NULL && errno != 0)
                return error_errno(err, -errno, "read '%s'", p->path);
        if (entry == NULL) {
                leave(p);
                return 0;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                return 0;
        size_t at = level->path_length;
        int n = snprintf(p->path + at, sizeof(p->path) - at, "%s%s", at > 0 ? "/" : "", entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(p->path) - at) {
                p->path[at] = '\0';
                return error_set(err, -ENAMETOOLONG, "read '%s/%s': the path is too long", p->path,
                                 entry->d_name);
        }
        return put_child(p, dirfd(level->dir), entry->d_name, err);
}

int pack_tree(struct pack *p, int fd, const char *path, struct error *err)
{
        struct stat st;
        int n = snprintf(p->path, sizeof(p->path), "%s", strcmp(path, ".") == 0 ? "" : path);
        if (n < 0 || (size_t)n >= sizeof(p->path))
                return error_set(err, -ENAMETOOLONG, "read '%s': the path is too long", path);
        if (fstat(fd, &st) < 0 || (p->flags & PACK_ONE_MOUNT && mount_of(fd, "", &p->mount) < 0))
                return error_errno(err, -errno, "read '%s'", path);
        if (S_ISSOCK(st.st_mode))
                return error_set(err, -EOPNOTSUPP, "read '%s': a socket cannot be copied", path);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return put_other(p, fd, "", &st, path, err);
        int r = put_open(p, fd, path, err);
        if (r < 0 || !S_ISDIR(st.st_mode))
                return r;
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* with an offset of its own */
        r = again < 0 ? error_errno(err, -errno, "read '%s'", path) : enter(p, again, err);
        while (r == 0 && p->depth > 0)
                r = step(p, err);
        while (p->depth > 0)
                leave(p);
        return r;
}
