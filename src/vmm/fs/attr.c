/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes: what the host's inode says, what the record beside it says (owner.h), and what the guest is
 * told.
 *
 *                         owners real (boxlet as root)       owners mapped (as any other user)
 *     uid, gid            the host's                         0 for this user's files, 65534 for others', or
 * the record's chown               the host's                         kept in the record, for files and
 * folders set-user-ID, -GID   of files: in the record only, in both: what a guest makes never gains anybody's
 * rights on the host other mode bits     the host's
 *
 * Records are attributes user.*, which only files and folders have. They are reached as N or N/NAME below
 * /proc/self/fd, which is the working folder of the serving threads (fs_enter_thread()), because no call
 * takes a descriptor and a name; no link is followed but the one that is the descriptor.
 *
 * system calls (files): fstat newfstatat fstatfs fchmodat fchownat utimensat ftruncate
 */
#include "vmm/fs/call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NOBODY 65534
#define DAY    86400

struct place {
        char text[NAME_MAX + 16];
};

static struct place place_of(struct spot spot)
{
        struct place p;
        /* a name has at most NAME_MAX bytes */
        (void)snprintf(p.text, sizeof(p.text), spot.name[0] == '\0' ? "%d" : "%d/%s", spot.fd, spot.name);
        return p;
}

static int stat_spot(struct spot spot, struct stat *st)
{
        int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (spot.name[0] == '\0' ? AT_EMPTY_PATH : 0);
        return fstatat(spot.fd, spot.name, st, flags) < 0 ? -errno : 0;
}

/* What the guest believes where there is no record. */
static struct owner plain_owner(const struct fs *fs, const struct stat *st)
{
        struct owner o = {.uid = st->st_uid, .gid = st->st_gid};
        if (fs->owners == FS_OWNERS_MAPPED) {
                o.uid = st->st_uid == fs->own_uid ? 0 : NOBODY;
                o.gid = st->st_gid == fs->own_gid ? 0 : NOBODY;
        }
        return o;
}

/* Where ids are the host's, only programs can have a record, for their two bits. */
static bool may_have_record(const struct fs *fs, const struct stat *st)
{
        if (fs->owners == FS_OWNERS_MAPPED)
                return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
        return S_ISREG(st->st_mode) && (st->st_mode & 0111) != 0;
}

static ssize_t get_record(struct spot spot, char *text)
{
        struct place place = place_of(spot);
        return spot.name[0] == '\0' ? getxattr(place.text, OWNER_NAME, text, OWNER_TEXT_MAX)
                                    : lgetxattr(place.text, OWNER_NAME, text, OWNER_TEXT_MAX);
}

static struct owner owner_of(const struct fs *fs, struct spot spot, const struct stat *st)
{
        struct owner o = plain_owner(fs, st), record;
        char text[OWNER_TEXT_MAX];
        if (!may_have_record(fs, st))
                return o;
        ssize_t size = get_record(spot, text);
        if (size <= 0 || !owner_parse(text, (size_t)size, &record))
                return o;
        if (fs->owners == FS_OWNERS_MAPPED)
                o = record;
        o.mode = S_ISREG(st->st_mode) ? record.mode : 0;
        return o;
}

int fs_look(const struct call *c, struct spot spot, struct stat *ret_st, struct owner *ret_owner)
{
        int r = stat_spot(spot, ret_st);
        if (r == 0)
                *ret_owner = owner_of(c->fs, spot, ret_st);
        return r;
}

static int write_record(struct spot spot, const struct owner *owner, bool keep)
{
        struct place place = place_of(spot);
        char text[OWNER_TEXT_MAX];
        size_t size = owner_print(owner, text);
        int r;
        if (keep)
                r = spot.name[0] == '\0' ? setxattr(place.text, OWNER_NAME, text, size, 0)
                                         : lsetxattr(place.text, OWNER_NAME, text, size, 0);
        else
                r = spot.name[0] == '\0' ? removexattr(place.text, OWNER_NAME)
                                         : lremovexattr(place.text, OWNER_NAME);
        if (r == 0 || (!keep && (errno == ENODATA || errno == ENOTSUP)))
                return 0;
        return errno == ENOTSUP ? -EPERM : -errno;
}

int fs_set_owner(const struct call *c, struct spot spot, const struct stat *st, const struct owner *owner)
{
        struct owner plain = plain_owner(c->fs, st);
        if (!may_have_record(c->fs, st))
                return 0; /* a link, a socket, a fifo: only files and folders can say more than their inode
                             does */
        bool mapped = c->fs->owners == FS_OWNERS_MAPPED;
        bool keep = owner->mode != 0 || (mapped && (owner->uid != plain.uid || owner->gid != plain.gid));
        return write_record(spot, owner, keep);
}

static int own_really(const struct call *c, struct spot spot, const struct stat *st, uint32_t gid)
{
        if (st->st_uid == c->head.uid && st->st_gid == gid)
                return 0;
        int flags = AT_SYMLINK_NOFOLLOW | (spot.name[0] == '\0' ? AT_EMPTY_PATH : 0);
        return fchownat(spot.fd, spot.name, c->head.uid, gid, flags) < 0 ? -errno : 0;
}

int fs_own_new(const struct call *c, int dir_fd, struct spot spot, mode_t mode)
{
        struct stat dir_st, st;
        struct owner dir_owner, owner = {.uid = c->head.uid, .gid = c->head.gid};
        int r = fs_look(c, (struct spot){dir_fd, ""}, &dir_st, &dir_owner);
        if (r == 0)
                r = stat_spot(spot, &st);
        if (r < 0)
                return r;
        if (dir_st.st_mode & S_ISGID) /* what is made in such a folder is its group's */
                owner.gid = dir_owner.gid;
        if (!S_ISDIR(st.st_mode))
                owner.mode = mode & OWNER_MODE;
        if (c->fs->owners == FS_OWNERS_REAL && (r = own_really(c, spot, &st, owner.gid)) < 0)
                return r;
        if (owner.uid == 0 && owner.gid == 0 && owner.mode == 0)
                return 0; /* nothing new has a record */
        r = fs_set_owner(c, spot, &st, &owner);
        return r == -EPERM ? 0
                           : r; /* a file system without attributes: it is this user's, as everything there */
}

int fs_kill_privileges(const struct call *c, int path_fd)
{
        struct spot spot = {path_fd, ""};
        struct stat st;
        struct owner owner;
        int r = fs_look(c, spot, &st, &owner);
        if (r < 0 || !S_ISREG(st.st_mode))
                return r;
        mode_t drop =
            S_ISUID | (st.st_mode & S_IXGRP ? S_ISGID : 0); /* as Linux does: without x it is no privilege */
        if ((owner.mode & drop) != 0) {
                owner.mode &= ~(uint32_t)drop;
                r = fs_set_owner(c, spot, &st, &owner);
        }
        if (r == 0 && (st.st_mode & drop) != 0 &&
            fchmodat(c->fs->proc_fd, place_of(spot).text, st.st_mode & 07777 & ~drop, 0) < 0)
                r = -errno;
        return r;
}

int fs_reopen(const struct call *c, int path_fd, int flags)
{
        int fd =
            openat(c->fs->proc_fd, place_of((struct spot){path_fd, ""}).text, flags | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

/* ---- what the guest is told ---- */

/* Inode numbers are the host's; those of a second, third ... file system get a mark, so that two files do not
 * look like one with two names. */
uint64_t fs_inode_number(struct fs *fs, dev_t dev, uint64_t ino)
{
        for (uint64_t i = 0; i < sizeof(fs->devices) / sizeof(fs->devices[0]); i++) {
                dev_t known = 0;
                if (atomic_compare_exchange_strong(&fs->devices[i], &known, dev) || known == dev)
                        return ino ^ i << 56;
        }
        return ino ^ UINT64_C(0xff) << 56;
}

uint64_t fs_timeout(enum fs_cache cache)
{
        return cache == FS_CACHE_NONE ? 0 : cache == FS_CACHE_ALWAYS ? DAY : 1;
}

void fs_fill_attr(struct fs *fs, const struct stat *st, const struct owner *owner, struct fuse_attr *ret_attr)
{
        *ret_attr = (struct fuse_attr){.ino = fs_inode_number(fs, st->st_dev, st->st_ino),
                                       .size = (uint64_t)st->st_size,
                                       .blocks = (uint64_t)st->st_blocks,
                                       .atime = (uint64_t)st->st_atim.tv_sec,
                                       .mtime = (uint64_t)st->st_mtim.tv_sec,
                                       .ctime = (uint64_t)st->st_ctim.tv_sec,
                                       .atimensec = (uint32_t)st->st_atim.tv_nsec,
                                       .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
                                       .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
                                       .mode = st->st_mode | owner->mode,
                                       .nlink = (uint32_t)st->st_nlink,
                                       .uid = owner->uid,
                                       .gid = owner->gid,
                                       .rdev = 0, /* no device of the host is the guest's */
                                       .blksize = (uint32_t)st->st_blksize};
}

void fs_fill_entry(const struct call *c, const struct fs_share *share, uint64_t id, const struct stat *st,
                   const struct owner *owner, struct fuse_entry_out *ret_entry)
{
        *ret_entry = (struct fuse_entry_out){.nodeid = id,
                                             .entry_valid = fs_timeout(share->cache),
                                             .attr_valid = fs_timeout(share->cache)};
        fs_fill_attr(c->fs, st, owner, &ret_entry->attr);
}

static int reply_attr(struct call *c, int path_fd)
{
        struct fuse_attr_out out = {.attr_valid = fs_timeout(fs_share_of(c, c->node)->cache)};
        struct stat st;
        struct owner owner;
        int r = fs_look(c, (struct spot){path_fd, ""}, &st, &owner);
        if (r < 0)
                return r;
        fs_fill_attr(c->fs, &st, &owner, &out.attr);
        return fs_reply(c, &out, sizeof(out));
}

static int reply_root(struct call *c)
{
        struct fuse_attr_out out = {
            .attr_valid = DAY,
            .attr = {.ino = FUSE_ROOT_ID, .mode = S_IFDIR | 0555, .nlink = 2, .blksize = 4096}};
        return fs_reply(c, &out, sizeof(out));
}

/* The descriptor of the request's node: the one that the guest has it open with, if it says so. c keeps it.
 */
static int fd_of(struct call *c, bool by_handle, uint64_t id)
{
        if (!by_handle)
                return node_fd(c->fs->nodes, c->node);
        c->handle = handle_get(c->fs->handles, id);
        return c->handle == NULL || c->handle->node != c->node ? -EBADF : c->handle->fd;
}

int fs_op_getattr(struct call *c)
{
        struct fuse_getattr_in in;
        memcpy(&in, c->args, sizeof(in));
        if (c->node == NULL)
                return reply_root(c);
        int fd = fd_of(c, in.getattr_flags & FUSE_GETATTR_FH, in.fh);
        return fd < 0 ? fd : reply_attr(c, fd);
}

/* ---- changes ---- */

static int change_mode(const struct call *c, int fd, uint32_t mode)
{
        struct spot spot = {fd, ""};
        struct stat st;
        struct owner owner;
        int r = fs_look(c, spot, &st, &owner);
        if (r < 0)
                return r;
        mode_t kept = S_ISDIR(st.st_mode) ? 07777 : 07777 & ~(mode_t)OWNER_MODE;
        if (fchmodat(c->fs->proc_fd, place_of(spot).text, mode & kept, 0) < 0)
                return -errno;
        uint32_t bits = S_ISREG(st.st_mode) ? mode & OWNER_MODE : 0;
        if (bits == owner.mode)
                return 0;
        owner.mode = bits;
        st.st_mode = (st.st_mode & S_IFMT) | (mode & kept);
        return fs_set_owner(c, spot, &st, &owner);
}

static int change_owner(const struct call *c, int fd, const struct fuse_setattr_in *in)
{
        struct spot spot = {fd, ""};
        struct stat st;
        struct owner owner;
        int r = fs_look(c, spot, &st, &owner);
        if (r < 0)
                return r;
        uint32_t uid = in->valid & FATTR_UID ? in->uid : owner.uid;
        uint32_t gid = in->valid & FATTR_GID ? in->gid : owner.gid;
        if (uid == UINT32_MAX || gid == UINT32_MAX)
                return -EINVAL;
        if (c->fs->owners == FS_OWNERS_REAL && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
                return -errno;
        owner = (struct owner){.uid = uid, .gid = gid}; /* chown(2) takes the two bits away */
        return fs_set_owner(c, spot, &st, &owner);
}

static int change_size(const struct call *c, int fd, const struct fuse_setattr_in *in)
{
        if (node_type(c->node) != S_IFREG || in->size > INT64_MAX)
                return -EINVAL;
        int file = fs_reopen(c, fd, O_WRONLY);
        if (file < 0)
                return file;
        int r = ftruncate(file, (off_t)in->size) < 0 ? -errno : 0;
        (void)close(file); /* nothing was written that could fail now */
        return r;
}

static int time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds, uint32_t ns,
                   struct timespec *ret)
{
        *ret = (struct timespec){.tv_nsec = UTIME_OMIT};
        if (valid & now) {
                ret->tv_nsec = UTIME_NOW;
        } else if (valid & set) {
                if (ns >= 1000000000)
                        return -EINVAL; /* UTIME_NOW and the like are not the guest's to say */
                *ret = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)ns};
        }
        return 0;
}

static int change_times(const struct call *c, int fd, const struct fuse_setattr_in *in)
{
        struct timespec times[2];
        int r = time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec, &times[0]);
        if (r == 0)
                r = time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec, &times[1]);
        if (r == 0 && utimensat(c->fs->proc_fd, place_of((struct spot){fd, ""}).text, times, 0) < 0)
                r = -errno;
        return r;
}

/* The file's size by the descriptor that the guest has it open with, for what it may no longer open. */
static int change_open_size(const struct call *c, const struct fuse_setattr_in *in)
{
        if (c->handle->kind != HANDLE_FILE)
                return -EBADF;
        if (in->size > INT64_MAX)
                return -EINVAL;
        return ftruncate(c->handle->fd, (off_t)in->size) < 0 ? -errno : 0;
}

int fs_op_setattr(struct call *c)
{
        struct fuse_setattr_in in;
        memcpy(&in, c->args, sizeof(in));
        int fd = fd_of(c, in.valid & FATTR_FH, in.fh), r = 0;
        if (fd < 0)
                return fd;
        if (in.valid & (FATTR_UID | FATTR_GID))
                r = change_owner(c, fd, &in);
        if (r == 0 && (in.valid & FATTR_MODE))
                r = change_mode(c, fd, in.mode);
        if (r == 0 && (in.valid & FATTR_SIZE))
                r = in.valid & FATTR_FH ? change_open_size(c, &in) : change_size(c, fd, &in);
        if (r == 0 && (in.valid & FATTR_KILL_SUIDGID))
                r = fs_kill_privileges(c, fd);
        if (r == 0 && (in.valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
                r = change_times(c, fd, &in);
        return r == 0 ? reply_attr(c, fd) : r;
}

int fs_op_statfs(struct call *c)
{
        struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = NAME_MAX}};
        struct statfs st;
        if (c->node == NULL)
                return fs_reply(c, &out, sizeof(out));
        int fd = node_fd(c->fs->nodes, c->node);
        if (fd < 0)
                return fd;
        if (fstatfs(fd, &st) < 0)
                return -errno;
        out.st = (struct fuse_kstatfs){.blocks = st.f_blocks,
                                       .bfree = st.f_bfree,
                                       .bavail = st.f_bavail,
                                       .files = st.f_files,
                                       .ffree = st.f_ffree,
                                       .bsize = (uint32_t)st.f_bsize,
                                       .namelen = NAME_MAX,
                                       .frsize = (uint32_t)(st.f_frsize != 0 ? st.f_frsize : st.f_bsize)};
        return fs_reply(c, &out, sizeof(out));
}

/* The guest's kernel checks modes itself; the host's rights are found out by trying. */
int fs_op_access(struct call *c)
{
        struct fuse_access_in in;
        memcpy(&in, c->args, sizeof(in));
        if (in.mask & ~(uint32_t)(R_OK | W_OK | X_OK))
                return -EINVAL;
        bool readonly = c->node == NULL || fs_share_of(c, c->node)->readonly;
        return readonly && (in.mask & W_OK) ? -EROFS : 0;
}
