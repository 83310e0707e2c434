/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes what a tar says, below one folder. Hostile: the tar, when it comes out of a guest; and the folder,
 * when a guest can change it meanwhile (a shared one), or when it is the guest's own.
 *
 * Invariants:
 * 1. Every object is made under the descriptor of its folder, and every folder was opened from the one above
 *    it by a single name with O_NOFOLLOW, or is root_fd. Names are plain (tar_name_is_plain()). So nothing
 *    leads out, whatever links are there and whenever they are put there: what RESOLVE_BENEATH and
 *    RESOLVE_NO_SYMLINKS of openat2(2) promise, without needing that call.
 * 2. Files are made anew (O_EXCL): what had the name is unlinked, never written through. The one exception is
 *    a file that is a mount point, which cannot be unlinked: it is written in place, if it is a regular file.
 * 3. Modes, owners and times are set through the descriptor of what was just made.
 * 4. A hard link leads to a file below root_fd.
 *
 * The folders on the way to the present entry are a stack; a folder gets its mode and time when it is left,
 * so that it can be written to until then.
 */
#include "wire/unpack.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 512
#define CHUNK     (64 << 10)
#define SET_IDS   (S_ISUID | S_ISGID)

/* What is set when all else is done. */
struct attributes {
        bool wanted;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        struct timespec mtime;
};

struct level {
        int fd;
        char *name;
        struct attributes attributes;
};

struct unpack {
        const struct unpack_options *options;
        struct tar_reader *reader;
        struct unpack_report report;
        struct level levels[DEPTH_MAX]; /* below the root */
        size_t depth;
        bool is_root;
        char path[2 * TAR_NAME_MAX], target[2 * TAR_NAME_MAX], chunk[CHUNK];
};

static int inside(const struct unpack *u)
{
        return u->depth > 0 ? u->levels[u->depth - 1].fd : u->options->root_fd;
}

static struct attributes attributes_of(const struct unpack *u, const struct tar_entry *e)
{
        return (struct attributes){
            .wanted = true,
            .mode = u->options->keep_privileges ? e->mode : e->mode & ~(mode_t)SET_IDS,
            .uid = e->uid,
            .gid = e->gid,
            .mtime = {.tv_sec = e->mtime, .tv_nsec = e->mtime_nsec},
        };
}

static void apply_xattrs(const struct unpack *u, int fd, const struct tar_entry *e)
{
        for (size_t i = 0; i < e->xattr_count; i++) {
                const struct tar_xattr *x = &e->xattrs[i];
                bool wanted = u->options->keep_privileges ? strncmp(x->name, "trusted.", 8) != 0
                                                          : strncmp(x->name, "user.", 5) == 0;
                if (wanted) /* not every file system takes them */
                        (void)fsetxattr(fd, x->name, x->value, x->size, 0);
        }
}

/* fd: of a file or a folder. A new owner takes set-id bits and capabilities away, and a read-only file takes
 * no attributes, hence the order. e: with attributes to set, or NULL. */
static int apply(const struct unpack *u, int fd, const struct attributes *a, const struct tar_entry *e,
                 const char *path, struct error *err)
{
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, a->mtime};
        if (u->options->keep_owner && u->is_root && fchown(fd, a->uid, a->gid) < 0)
                return error_errno(err, -errno, "give '%s' its owner", path);
        if (e != NULL)
                apply_xattrs(u, fd, e);
        if (fchmod(fd, a->mode) < 0)
                return error_errno(err, -errno, "give '%s' its mode", path);
        (void)futimens(fd, times); /* a time the file system cannot hold is no loss of content */
        return 0;
}

/* ---- folders ---- */

static int leave(struct unpack *u, struct error *err)
{
        struct level *level = &u->levels[--u->depth];
        int r =
            level->attributes.wanted ? apply(u, level->fd, &level->attributes, NULL, level->name, err) : 0;
        close_fd(&level->fd);
        free(level->name);
        return r;
}

static int enter(struct unpack *u, int fd, const char *name, size_t length, struct error *err)
{
        cleanup_fd int owned = fd;
        if (u->depth == DEPTH_MAX)
                return error_set(err, -ENAMETOOLONG, "write '%s': folders more than %d deep", u->path,
                                 DEPTH_MAX);
        char *copy = strndup(name, length);
        if (copy == NULL)
                return error_errno(err, -ENOMEM, "write '%s'", u->path);
        u->levels[u->depth++] = (struct level){.fd = take_fd(&owned), .name = copy};
        return 0;
}

/* Opens the folder name of dir_fd, which is made if it is not there. */
static int open_folder(const struct unpack *u, int dir_fd, const char *name, mode_t mode, struct error *err)
{
        bool made = mkdirat(dir_fd, name, mode) == 0;
        if (!made && errno != EEXIST)
                return error_errno(err, -errno, "make the folder '%s'", u->path);
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
                return error_set(err, -ENOTDIR,
                                 "write '%s': there is a file or a link where a folder is to be", u->path);
        return fd < 0 ? error_errno(err, -errno, "open the folder '%s'", u->path) : fd;
}

/* Leaves and enters folders until the innermost is the one u->path lies in; *ret_name is its last part. */
static int go_to(struct unpack *u, const char **ret_name, struct error *err)
{
        const char *at = u->path;
        size_t common = 0;
        for (;; common++) {
                size_t length = strcspn(at, "/");
                if (at[length] == '\0' || common == u->depth ||
                    strncmp(u->levels[common].name, at, length) != 0 ||
                    u->levels[common].name[length] != '\0')
                        break;
                at += length + 1;
        }
        while (u->depth > common) {
                int r = leave(u, err);
                if (r < 0)
                        return r;
        }
        for (size_t length; at[length = strcspn(at, "/")] != '\0'; at += length + 1) {
                char name[NAME_MAX + 1];
                if (length > NAME_MAX)
                        return error_errno(err, -ENAMETOOLONG, "write '%s'", u->path);
                memcpy(name, at, length);
                name[length] = '\0';
                int fd = open_folder(u, inside(u), name, 0755, err); /* nothing is said about it */
                int r = fd < 0 ? fd : enter(u, fd, at, length, err);
                if (r < 0)
                        return r;
        }
        *ret_name = at;
        return 0;
}

static int add_folder(struct unpack *u, const struct tar_entry *e, const char *name, struct error *err)
{
        int fd = open_folder(u, inside(u), name, 0700, err);
        int r = fd < 0 ? fd : enter(u, fd, name, strlen(name), err);
        if (r < 0)
                return r;
        apply_xattrs(u, fd, e);
        u->levels[u->depth - 1].attributes = attributes_of(u, e);
        return 0;
}

/* ---- everything else ---- */

/* Takes away what has the name. 1: it cannot be, since it is a mount point. */
static int make_room(const struct unpack *u, const char *name, struct error *err)
{
        struct stat st;
        if (unlinkat(inside(u), name, 0) == 0 || errno == ENOENT)
                return 0;
        int code = errno;
        if (fstatat(inside(u), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                return error_set(err, -EISDIR, "write '%s': there is a folder of that name", u->path);
        return code == EBUSY ? 1 : error_errno(err, -code, "replace '%s'", u->path);
}

static bool is_zero(const char *bytes, size_t size)
{
        return bytes[0] == '\0' && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Zeros become holes. */
static int write_content(struct unpack *u, int fd, uint64_t size, struct error *err)
{
        for (;;) {
                int64_t n = tar_reader_content(u->reader, u->chunk, sizeof(u->chunk), err);
                if (n < 0)
                        return (int)n;
                if (n == 0)
                        break;
                int r = 0;
                if (n == (int64_t)sizeof(u->chunk) && is_zero(u->chunk, (size_t)n))
                        r = lseek(fd, n, SEEK_CUR) < 0 ? -errno : 0;
                else
                        r = fd_write_full(fd, u->chunk, (size_t)n);
                if (r < 0)
                        return error_errno(err, r, "write '%s'", u->path);
        }
        return ftruncate(fd, (off_t)size) < 0 ? error_errno(err, -errno, "write '%s'", u->path) : 0;
}

static int open_in_place(const struct unpack *u, const char *name, struct error *err)
{
        struct stat st;
        cleanup_fd int fd =
            openat(inside(u), name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, -errno, "write '%s'", u->path);
        return S_ISREG(st.st_mode) ? take_fd(&fd) : error_errno(err, -EBUSY, "replace '%s'", u->path);
}

static int add_file(struct unpack *u, const struct tar_entry *e, const char *name, struct error *err)
{
        struct attributes attributes = attributes_of(u, e);
        int in_place = make_room(u, name, err);
        if (in_place < 0)
                return in_place;
        cleanup_fd int fd =
            in_place ? open_in_place(u, name, err)
                     : openat(inside(u), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return in_place ? fd : error_errno(err, -errno, "make '%s'", u->path);
        int r = write_content(u, fd, e->size, err);
        if (r == 0 && !in_place)
                r = apply(u, fd, &attributes, e, u->path, err);
        if (r < 0 && !in_place)
                (void)unlinkat(inside(u), name, 0); /* half a file is worse than none */
        return r;
}

/* Opens the folder that u->target lies in, by single names from the root on. */
static int open_target_folder(const struct unpack *u, const char **ret_name)
{
        cleanup_fd int fd = fcntl(u->options->root_fd, F_DUPFD_CLOEXEC, 3);
        const char *at = u->target;
        for (size_t length; fd >= 0 && at[length = strcspn(at, "/")] != '\0'; at += length + 1) {
                char name[NAME_MAX + 1];
                if (length > NAME_MAX)
                        return -ENAMETOOLONG;
                memcpy(name, at, length);
                name[length] = '\0';
                int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                int code = errno;
                close_fd(&fd);
                if (next < 0)
                        return -code;
                fd = next;
        }
        *ret_name = at;
        return fd < 0 ? -errno : take_fd(&fd);
}

/* A name of the tar as one below the root: 0, or -EBADMSG. */
static int place_of(const struct unpack *u, const char *name, char *ret_path, size_t size)
{
        const char *top = u->options->top;
        if (strcmp(name, ".") == 0)
                return top == NULL                                       ? -EBADMSG
                       : snprintf(ret_path, size, "%s", top) < (int)size ? 0
                                                                         : -EBADMSG;
        if (!tar_name_is_plain(name))
                return -EBADMSG;
        int n = snprintf(ret_path, size, "%s%s%s", top != NULL ? top : "", top != NULL ? "/" : "", name);
        return n > 0 && (size_t)n < size ? 0 : -EBADMSG;
}

static int add_hard_link(struct unpack *u, const struct tar_entry *e, const char *name, struct error *err)
{
        const char *target_name = NULL;
        struct stat st;
        if (place_of(u, e->link, u->target, sizeof(u->target)) < 0)
                return error_set(err, -EBADMSG, "write '%s': refused, a hard link to '%s' leads out", u->path,
                                 e->link);
        if (strcmp(u->target, u->path) == 0)
                return error_set(err, -EBADMSG, "write '%s': refused, a hard link to itself", u->path);
        cleanup_fd int folder = open_target_folder(u, &target_name);
        if (folder < 0 || fstatat(folder, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, folder < 0 ? folder : -errno, "link '%s' to '%s'", u->path, e->link);
        if (S_ISDIR(st.st_mode))
                return error_set(err, -EBADMSG, "write '%s': refused, a hard link to a folder", u->path);
        int r = make_room(u, name, err);
        if (r == 0 && linkat(folder, target_name, inside(u), name, 0) < 0)
                return error_errno(err, -errno, "link '%s' to '%s'", u->path, e->link);
        return r == 1 ? error_errno(err, -EBUSY, "replace '%s'", u->path) : r;
}

/* Owner and time of what cannot be opened; a symlink has no mode of its own. */
static int apply_by_name(const struct unpack *u, const struct tar_entry *e, const char *name,
                         struct error *err)
{
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = e->mtime, .tv_nsec = e->mtime_nsec}};
        if (u->options->keep_owner && u->is_root &&
            fchownat(inside(u), name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, -errno, "give '%s' its owner", u->path);
        (void)utimensat(inside(u), name, times, AT_SYMLINK_NOFOLLOW); /* as in apply() */
        return 0;
}

static int add_special(struct unpack *u, const struct tar_entry *e, const char *name, struct error *err)
{
        bool is_device = e->type == TAR_CHARACTER || e->type == TAR_BLOCK_DEVICE;
        mode_t kind = e->type == TAR_CHARACTER ? S_IFCHR : e->type == TAR_BLOCK_DEVICE ? S_IFBLK : S_IFIFO;
        if (is_device && !u->options->keep_privileges) {
                if (u->report.left_out++ == 0)
                        (void)snprintf(u->report.first, sizeof(u->report.first), "%.200s", u->path);
                return 0;
        }
        int r = make_room(u, name, err);
        if (r != 0)
                return r == 1 ? error_errno(err, -EBUSY, "replace '%s'", u->path) : r;
        r = e->type == TAR_SYMLINK ? symlinkat(e->link, inside(u), name)
                                   : mknodat(inside(u), name, kind | (e->mode & 0777),
                                             is_device ? makedev(e->device_major, e->device_minor) : 0);
        if (r < 0)
                return error_errno(err, -errno, "make '%s'", u->path);
        return apply_by_name(u, e, name, err);
}

static int add(struct unpack *u, const struct tar_entry *e, struct error *err)
{
        const char *name = NULL;
        if (u->options->top == NULL && strcmp(e->name, ".") == 0)
                return e->type == TAR_FOLDER ? 0
                                             : error_set(err, -EBADMSG, "the tar is damaged: '.' is a file");
        if (place_of(u, e->name, u->path, sizeof(u->path)) < 0)
                return error_set(err, -EBADMSG, "refused the name '%s' in the tar: it leads out", e->name);
        int r = go_to(u, &name, err);
        if (r < 0)
                return r;
        switch (e->type) {
        case TAR_FOLDER:
                return add_folder(u, e, name, err);
        case TAR_FILE:
                return add_file(u, e, name, err);
        case TAR_HARD_LINK:
                return add_hard_link(u, e, name, err);
        default:
                return add_special(u, e, name, err);
        }
}

int unpack(struct tar_reader *reader, const struct unpack_options *options, struct unpack_report *ret_report,
           struct error *err)
{
        struct tar_entry entry;
        struct unpack *u = calloc(1, sizeof(*u));
        if (u == NULL)
                return error_errno(err, -ENOMEM, "read a tar");
        u->options = options;
        u->reader = reader;
        u->is_root = geteuid() == 0;
        int r;
        while ((r = tar_reader_next(reader, &entry, err)) > 0 && (r = add(u, &entry, err)) == 0)
                ;
        struct error later = ERROR_INIT;
        while (u->depth > 0) {
                int left = leave(u, r < 0 ? &later : err); /* the first failure is the one told */
                r = r < 0 ? r : left;
        }
        if (ret_report != NULL)
                *ret_report = u->report;
        free(u);
        return r;
}
