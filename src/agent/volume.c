/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: paths of the image that lie directly on the box's disk. At first use such a folder is filled with
 * what the image has there; it is made under another name and renamed when it is complete, so that a crash in
 * between starts anew.
 *
 * The tree is the image's: hostile. It is walked with descriptors, no link is followed, and the depth is
 * bounded by an explicit stack rather than ours. Hard links are kept by a table of the inodes that have more
 * than one name.
 */
#include "agent/volume.h"

#include "agent/mounts.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX   256
#define XATTR_BYTES (64 << 10)

struct hard_link {
        ino_t inode;
        char *path; /* below the target */
};

struct level {
        DIR *source;
        int target;
        size_t path_length; /* of copy.path at this level */
        struct stat st;     /* applied when the level is left */
};

struct copy {
        int target_root;
        struct level levels[DEPTH_MAX];
        size_t depth;
        struct buffer
            path; /* of the folder being copied, below the target, with a slash at its end unless empty */
        struct hard_link *links;
        size_t link_count, link_capacity;
        char xattr_names[XATTR_BYTES], xattr_value[XATTR_BYTES];
};

static int copy_data(int from, int to, off_t size)
{
        off_t at = 0;
        while (at < size) {
                off_t data = lseek(from, at, SEEK_DATA);
                if (data < 0 && errno == ENXIO)
                        break; /* a hole up to the end */
                off_t end = data < 0 ? size : lseek(from, data, SEEK_HOLE);
                if (data < 0)
                        data = at;
                if (end < data || lseek(to, data, SEEK_SET) < 0)
                        return -errno;
                while (data < end) {
                        ssize_t n =
                            sendfile(to, from, &data, (size_t)(end - data > 1 << 20 ? 1 << 20 : end - data));
                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n < 0)
                                return -errno;
                        if (n == 0)
                                break; /* shorter than it said */
                }
                at = end;
        }
        return ftruncate(to, size) < 0 ? -errno : 0;
}

/* The paths name an inode without following it: /proc/self/fd/DIR/name. */
static int copy_xattrs(struct copy *c, const char *from, const char *to)
{
        ssize_t length = llistxattr(from, c->xattr_names, sizeof(c->xattr_names));
        if (length < 0)
                return errno == ENOTSUP ? 0 : -errno;
        for (const char *name = c->xattr_names; name < c->xattr_names + length; name += strlen(name) + 1) {
                ssize_t size = lgetxattr(from, name, c->xattr_value, sizeof(c->xattr_value));
                if (size < 0 && errno == ENODATA)
                        continue;
                if (size < 0 ||
                    (lsetxattr(to, name, c->xattr_value, (size_t)size, 0) < 0 && errno != ENOTSUP))
                        return -errno;
        }
        return 0;
}

/* Owner first: a change of owner takes set-user-ID and capabilities away. */
static int copy_attributes(struct copy *c, int from, int to, const char *name, const struct stat *st)
{
        char from_path[NAME_MAX + 40], to_path[NAME_MAX + 40];
        const struct timespec times[2] = {st->st_atim, st->st_mtim};
        (void)snprintf(from_path, sizeof(from_path), "/proc/self/fd/%d/%s", from,
                       name); /* a name is NAME_MAX */
        (void)snprintf(to_path, sizeof(to_path), "/proc/self/fd/%d/%s", to, name);
        if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        int r = copy_xattrs(c, from_path, to_path);
        if (r == 0 && utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        return r;
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
        cleanup_fd int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (in < 0)
                return -errno;
        cleanup_fd int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out < 0)
                return -errno;
        return copy_data(in, out, st->st_size);
}

static int copy_link(int from, int to, const char *name)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = '\0';
        return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int remember_link(struct copy *c, ino_t inode, const char *name)
{
        if (c->link_count == c->link_capacity) {
                size_t capacity = c->link_capacity == 0 ? 64 : c->link_capacity * 2;
                struct hard_link *links = reallocarray(c->links, capacity, sizeof(*links));
                if (links == NULL)
                        return -ENOMEM;
                c->links = links;
                c->link_capacity = capacity;
        }
        size_t size = c->path.length + strlen(name) + 1;
        char *path = malloc(size);
        if (path == NULL)
                return -ENOMEM;
        (void)snprintf(path, size, "%s%s", buffer_content(&c->path), name); /* just measured */
        c->links[c->link_count++] = (struct hard_link){.inode = inode, .path = path};
        return 0;
}

/* Returns 1 when the name became a link to one copied before. */
static int link_to_copied(struct copy *c, int to, const char *name, ino_t inode)
{
        for (size_t i = 0; i < c->link_count; i++) {
                if (c->links[i].inode == inode)
                        return linkat(c->target_root, c->links[i].path, to, name, 0) < 0 ? -errno : 1;
        }
        return 0;
}

/* Takes the folder (descriptors are taken, also on failure) as the next one to go through. */
static int enter(struct copy *c, int source, int target, const char *name, const struct stat *st)
{
        cleanup_fd int source_fd = source, target_fd = target;
        struct level *level = &c->levels[c->depth];
        if (source < 0 || target < 0)
                return -errno;
        if (c->depth == DEPTH_MAX)
                return -ENAMETOOLONG;
        *level = (struct level){.path_length = c->path.length, .st = *st};
        int r = *name != '\0' ? buffer_printf(&c->path, "%s/", name) : 0;
        if (r < 0)
                return r;
        level->source = fdopendir(source_fd);
        if (level->source == NULL)
                return -errno;
        (void)take_fd(&source_fd);
        level->target = take_fd(&target_fd);
        c->depth++;
        return 0;
}

static int copy_entry(struct copy *c, const char *name)
{
        int from = dirfd(c->levels[c->depth - 1].source), to = c->levels[c->depth - 1].target;
        struct stat st;
        int r = 0;
        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode)) {
                if (mkdirat(to, name, 0700) < 0)
                        return -errno;
                return enter(c, openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                             openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name, &st);
        }
        if (st.st_nlink > 1) {
                r = link_to_copied(c, to, name, st.st_ino);
                if (r != 0)
                        return r < 0 ? r : 0;
                r = remember_link(c, st.st_ino, name);
        }
        if (r == 0 && S_ISREG(st.st_mode))
                r = copy_file(from, to, name, &st);
        else if (r == 0 && S_ISLNK(st.st_mode))
                r = copy_link(from, to, name);
        else if (r == 0)
                r = mknodat(to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
        return r < 0 ? r : copy_attributes(c, from, to, name, &st);
}

/* Closes the deepest level; the folder itself gets its attributes now that nothing more is put into it. */
static int leave(struct copy *c, bool complete)
{
        struct level *level = &c->levels[--c->depth];
        int r = complete ? copy_attributes(c, dirfd(level->source), level->target, ".", &level->st) : 0;
        (void)closedir(level->source);
        (void)close(level->target);
        c->path.length = level->path_length;
        if (c->path.data != NULL)
                c->path.data[c->path.start + c->path.length] = '\0';
        return r;
}

static int walk(struct copy *c, struct error *err)
{
        int r = 0;
        while (r == 0 && c->depth > 0) {
                errno = 0;
                const struct dirent *entry = readdir(c->levels[c->depth - 1].source);
                if (entry == NULL) {
                        r = errno != 0 ? -errno : leave(c, true);
                } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                        r = copy_entry(c, entry->d_name);
                        if (r < 0)
                                return error_errno(err, r, "copy '%s%s'", buffer_content(&c->path),
                                                   entry->d_name);
                }
        }
        return r < 0 ? error_errno(err, r, "copy '%s'", buffer_content(&c->path)) : 0;
}

int volume_copy(int source_fd, int target_fd, struct error *err)
{
        cleanup_free struct copy *c = calloc(1, sizeof(*c));
        struct stat st;
        if (c == NULL)
                return error_errno(err, -ENOMEM, "copy a folder");
        c->target_root = target_fd;
        buffer_init(&c->path, 16 * PATH_MAX);
        int r = fstat(source_fd, &st) < 0 ? -errno : 0;
        if (r == 0)
                r = enter(c, openat(source_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                          openat(target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", &st);
        r = r < 0 ? error_errno(err, r, "open a folder to copy") : walk(c, err);
        while (c->depth > 0)
                (void)leave(c, false);
        for (size_t i = 0; i < c->link_count; i++)
                free(c->links[i].path);
        free(c->links);
        buffer_done(&c->path);
        return r;
}

void volume_name(const char *path, char *ret_name, size_t size)
{
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
        size_t length = strlen(path);
        char tail[65];
        for (const char *p = path; *p != '\0'; p++)
                hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
        (void)snprintf(tail, sizeof(tail), "%s", path + (length > 64 ? length - 64 : 0)); /* at most 64 */
        for (char *p = tail; *p != '\0'; p++)
                *p = *p == '/' ? '_' : *p;
        (void)snprintf(ret_name, size, "%016llx%s", (unsigned long long)hash, tail); /* 80 bytes */
}

int volume_fill(int source_fd, int volumes_fd, const char *name, struct error *err)
{
        char temporary[100];
        (void)snprintf(temporary, sizeof(temporary), "%s.new", name); /* 84 bytes */
        int r = path_remove_all_at(volumes_fd, temporary);
        cleanup_fd int target = r == 0 ? path_open_dir_at(volumes_fd, temporary, 0755) : r;
        if (target < 0)
                return error_errno(err, target, "make a folder on the disk");
        r = volume_copy(source_fd, target, err);
        if (r < 0)
                return r;
        /* all of it is on the disk before it has its name */
        if (syncfs(target) < 0 || renameat(volumes_fd, temporary, volumes_fd, name) < 0)
                return error_errno(err, -errno, "finish a folder on the disk");
        return 0;
}

int volume_mount(int root_fd, int volumes_fd, const char *path, struct error *err)
{
        char name[96], from[32], to[32];
        cleanup_fd int place = mounts_open_target(root_fd, path, true);
        struct stat st;
        volume_name(path, name, sizeof(name));
        if (place < 0 || fstat(place, &st) < 0)
                return error_errno(err, place < 0 ? place : -errno, "open it in the image");
        if (!S_ISDIR(st.st_mode))
                return error_set(err, -ENOTDIR, "it is not a folder in the image");
        if (faccessat(volumes_fd, name, F_OK, 0) < 0) {
                int r = volume_fill(place, volumes_fd, name, err);
                if (r < 0)
                        return r;
        }
        cleanup_fd int volume = openat(volumes_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (volume < 0)
                return error_errno(err, -errno, "open its folder on the disk");
        (void)snprintf(from, sizeof(from), "/proc/self/fd/%d", volume); /* always fits */
        (void)snprintf(to, sizeof(to), "/proc/self/fd/%d", place);
        if (mount(from, to, NULL, MS_BIND, NULL) < 0)
                return error_errno(err, -errno, "mount it");
        return 0;
}
