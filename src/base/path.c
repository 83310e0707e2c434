/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders. Nothing here glues an outside name onto a path: names from images and guests are
 * resolved under a directory descriptor, by the kernel where it can (openat2), otherwise by walking one
 * component at a time with O_NOFOLLOW and a hop limit.
 *
 * Removing a tree walks with an explicit list of open folders, so that its depth costs descriptors up to a
 * limit and no stack: past REMOVE_DEPTH_MAX the deeper folder is first renamed up to the top.
 */
#include "base/path.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINK_HOPS_MAX    40
#define REMOVE_DEPTH_MAX 64

char *path_join(const char *a, const char *b)
{
        char *joined;
        size_t length = strlen(a);
        const char *slash = length > 0 && a[length - 1] == '/' ? "" : "/";
        return asprintf(&joined, "%s%s%s", a, slash, b) < 0 ? NULL : joined;
}

int path_mkdir_all(const char *path, mode_t mode)
{
        cleanup_free char *copy = strdup(path);
        if (copy == NULL)
                return -ENOMEM;
        for (char *p = copy + 1; copy[0] != '\0'; p++) {
                char end = *p;
                if (end != '/' && end != '\0')
                        continue;
                *p = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                *p = end;
                if (end == '\0')
                        break;
        }
        struct stat st;
        if (stat(path, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int path_open_dir_at(int dir_fd, const char *name, mode_t mode)
{
        if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int temporary_name(const char *name, char *ret, size_t size)
{
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        int n = snprintf(ret, size, "%s.%016llx.tmp", name, (unsigned long long)random);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

bool path_is_absent(int error)
{
        return error == ENOENT || error == ENOTDIR;
}

bool path_is_draft(const char *name)
{
        static const char tail[] = ".0123456789abcdef.tmp";
        size_t size = strlen(name), tail_size = strlen(tail);
        return size > tail_size && name[size - tail_size] == '.' && strcmp(name + size - 4, ".tmp") == 0 &&
               strspn(name + size - tail_size + 1, "0123456789abcdef") == 16;
}

int path_write_atomic_at(int dir_fd, const char *name, const void *bytes, size_t size, mode_t mode)
{
        char temporary[NAME_MAX + 1];
        int r = temporary_name(name, temporary, sizeof(temporary));
        if (r < 0)
                return r;
        cleanup_fd int fd =
            openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = fd_write_full(fd, bytes, size);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir_fd, temporary, 0); /* the first error is the one to tell */
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

int path_read_at(int dir_fd, const char *name, size_t maximum, char **ret_bytes, size_t *ret_size)
{
        cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        return fd_read_all(fd, maximum, ret_bytes, ret_size);
}

static bool is_dots(const char *name)
{
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Moves parent/name to the top of the tree under a name of its own, to be removed from there. */
static int lift(int parent, const char *name, int top)
{
        char lifted[NAME_MAX + 1];
        int r = temporary_name("lifted", lifted, sizeof(lifted));
        if (r < 0)
                return r;
        return renameat(parent, name, top, lifted) < 0 ? -errno : 0;
}

struct removal {
        DIR *dirs[REMOVE_DEPTH_MAX];
        char names[REMOVE_DEPTH_MAX][NAME_MAX + 1];
        size_t depth;
        dev_t device;
};

/* Enters parent/name; a folder of another file system is refused with -EXDEV. */
static int removal_enter(struct removal *w, int parent, const char *name)
{
        cleanup_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
                fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (w->depth > 0 && st.st_dev != w->device)
                return -EXDEV;
        w->device = st.st_dev;
        if ((st.st_mode & 0700) != 0700)
                (void)fchmod(fd, st.st_mode | 0700); /* if it matters, the unlink below says so */
        DIR *dir = fdopendir(fd);
        if (dir == NULL)
                return -errno;
        (void)take_fd(&fd);
        w->dirs[w->depth] = dir;
        (void)snprintf(w->names[w->depth], sizeof(w->names[0]), "%s",
                       name); /* came from a dirent or a checked name */
        w->depth++;
        return 0;
}

/* One entry of the innermost folder: 1 when something was done, 0 at the folder's end. */
static int removal_step(struct removal *w)
{
        DIR *dir = w->dirs[w->depth - 1];
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
                return errno != 0 ? -errno : 0;
        if (is_dots(entry->d_name) || unlinkat(dirfd(dir), entry->d_name, 0) == 0)
                return 1;
        if (errno != EISDIR && errno != EPERM)
                return errno == ENOENT ? 1 : -errno;
        if (w->depth == REMOVE_DEPTH_MAX) {
                int r = lift(dirfd(dir), entry->d_name, dirfd(w->dirs[0]));
                return r < 0 ? r : 1;
        }
        int r = removal_enter(w, dirfd(dir), entry->d_name);
        return r < 0 ? r : 1;
}

static int removal_leave(struct removal *w, int dir_fd)
{
        size_t last = --w->depth;
        (void)closedir(w->dirs[last]);
        int parent = last > 0 ? dirfd(w->dirs[last - 1]) : dir_fd;
        if (unlinkat(parent, w->names[last], AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != ENOTEMPTY)
                return -errno;
        /* something was lifted here, or appeared meanwhile: go through it again */
        char name[NAME_MAX + 1];
        memcpy(name, w->names[last], sizeof(name)); /* removal_enter() writes to where it lies */
        return removal_enter(w, parent, name);
}

int path_remove_all_at(int dir_fd, const char *name)
{
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        cleanup_free struct removal *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return -ENOMEM;
        int r = removal_enter(w, dir_fd, name);
        while (r >= 0 && w->depth > 0) {
                r = removal_step(w);
                if (r == 0)
                        r = removal_leave(w, dir_fd);
        }
        while (w->depth > 0)
                (void)closedir(w->dirs[--w->depth]);
        return r < 0 ? r : 0;
}

struct walk {
        int dirs[PATH_MAX / 2]; /* the open folders from the root down to here; dirs[0] is borrowed */
        size_t depth;
        char rest[PATH_MAX];
        unsigned hops;
};

static void walk_up(struct walk *w, size_t depth)
{
        while (w->depth > depth)
                (void)close(w->dirs[--w->depth]);
}

/* Puts the target of the link dir/name in front of what is left of the path. */
static int walk_link(struct walk *w, const char *name)
{
        char target[PATH_MAX], joined[PATH_MAX];
        if (++w->hops > LINK_HOPS_MAX)
                return -ELOOP;
        ssize_t n = readlinkat(w->dirs[w->depth - 1], name, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = '\0';
        int length = snprintf(joined, sizeof(joined), "%s/%s", target, w->rest);
        if (length < 0 || (size_t)length >= sizeof(joined))
                return -ENAMETOOLONG;
        if (target[0] == '/')
                walk_up(w, 1);
        memcpy(w->rest, joined, (size_t)length + 1);
        return 0;
}

/* Takes the next component off w->rest; returns false when none is left. */
static bool walk_next(struct walk *w, char *ret_name, bool *ret_last)
{
        char *p = w->rest + strspn(w->rest, "/");
        size_t length = strcspn(p, "/");
        if (length == 0 || length > NAME_MAX)
                return false;
        memcpy(ret_name, p, length);
        ret_name[length] = '\0';
        char *after = p + length;
        *ret_last = after[strspn(after, "/")] == '\0';
        memmove(w->rest, after, strlen(after) + 1);
        return true;
}

static int walk_open(struct walk *w, int flags, mode_t mode)
{
        char name[NAME_MAX + 1];
        bool last;
        while (walk_next(w, name, &last)) {
                int dir = w->dirs[w->depth - 1];
                struct stat st;
                if (strcmp(name, ".") == 0)
                        continue;
                if (strcmp(name, "..") == 0) {
                        walk_up(w, w->depth > 1 ? w->depth - 1 : 1);
                        continue;
                }
                bool exists = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
                if (exists && S_ISLNK(st.st_mode) && !(last && (flags & O_NOFOLLOW))) {
                        int r = walk_link(w, name);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (last) {
                        int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
                        return fd < 0 ? -errno : fd;
                }
                if (w->depth == sizeof(w->dirs) / sizeof(w->dirs[0]))
                        return -ENAMETOOLONG;
                int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                w->dirs[w->depth++] = fd;
        }
        if (w->rest[strspn(w->rest, "/")] != '\0')
                return -ENAMETOOLONG;
        int fd = openat(w->dirs[w->depth - 1], ".", flags | O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
}

static int open_step_by_step(int root_fd, const char *path, int flags, mode_t mode)
{
        cleanup_free struct walk *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return -ENOMEM;
        if (strlen(path) >= sizeof(w->rest))
                return -ENAMETOOLONG;
        memcpy(w->rest, path, strlen(path) + 1);
        w->dirs[0] = root_fd;
        w->depth = 1;
        int r = walk_open(w, flags, mode);
        walk_up(w, 1);
        return r;
}

int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
        struct open_how how = {
            .flags = (uint64_t)(flags | O_CLOEXEC),
            .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        };
        long fd;
        do {
                fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        } while (fd < 0 && errno == EAGAIN); /* the kernel asks to try again when a rename raced with ".." */
        if (fd >= 0)
                return (int)fd;
        if (errno != ENOSYS && errno != EPERM)
                return -errno;
        return open_step_by_step(root_fd, path, flags, mode);
}

int path_open_anonymous_at(int dir_fd, int flags)
{
        int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);
        if (fd >= 0)
                return fd;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
                return -errno;
        char name[NAME_MAX + 1];
        int r = temporary_name("anonymous", name, sizeof(name));
        if (r < 0)
                return r;
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
        if (fd < 0)
                return -errno;
        (void)unlinkat(dir_fd, name,
                       0); /* ours and new; if this fails a temporary file stays, which repair removes */
        return fd;
}

int path_mark_socket(const char *path, struct path_mark *ret_mark)
{
        struct stat st;
        if (lstat(path, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        *ret_mark =
            (struct path_mark){.device = (int64_t)st.st_dev,
                               .inode = (int64_t)st.st_ino,
                               .modified_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec};
        return 0;
}

bool path_is_marked_socket(const char *path, const struct path_mark *mark)
{
        struct path_mark now;
        return path_mark_socket(path, &now) == 0 && now.device == mark->device && now.inode == mark->inode &&
               now.modified_ns == mark->modified_ns;
}
