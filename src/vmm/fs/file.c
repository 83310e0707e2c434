/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on files that are open, and opening them. Bytes go between the host's file and the guest's own
 * memory, without a copy of ours. Only regular files are opened: the O_PATH descriptor has been checked to be
 * one before it is opened for reading or writing, so no fifo can make us wait and no device feels it.
 *
 * system calls (files): openat preadv pwritev fsync fdatasync fallocate copy_file_range lseek close
 */
#include "vmm/fs/call.h"

#include "base/cleanup.h"
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* What of the guest's open(2) flags means something to the host's file. O_DIRECT is the guest kernel's
 * affair: its buffers need not suit the host's disk. */
#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC)

/* The most that one request may copy, so that it ends soon; the guest asks again for the rest. */
#define COPY_MAX (UINT64_C(64) << 20)

/* May the guest go on using pages that it has of this file? */
static uint32_t cache_flags(const struct call *c, struct node *n, int fd)
{
        struct stat st;
        enum fs_cache cache = fs_share_of(c, n)->cache;
        if (cache == FS_CACHE_NONE)
                return FOPEN_DIRECT_IO;
        if (cache == FS_CACHE_ALWAYS)
                return FOPEN_KEEP_CACHE;
        if (fstat(fd, &st) < 0)
                return 0;
        bool same = node_unchanged(c->fs->nodes, n, &st);
        node_seen(c->fs->nodes, n, &st);
        return same ? FOPEN_KEEP_CACHE : 0;
}

/* Makes a handle of fd, which is taken. */
static int reply_open(struct call *c, struct node *n, int fd)
{
        cleanup_fd int file = fd;
        struct fuse_open_out out = {.open_flags = cache_flags(c, n, fd)};
        if (c->reply_max - c->reply_size < sizeof(out))
                return -ENOSPC;
        node_hold(c->fs->nodes, n);
        int r = handle_add(c->fs->handles, HANDLE_FILE, file, n, &out.fh);
        if (r < 0) {
                node_release(c->fs->nodes, n);
                return r;
        }
        (void)take_fd(&file);
        return fs_reply(c, &out, sizeof(out));
}

/* Opens the node as the guest asks. */
static int open_node(const struct call *c, struct node *n, uint32_t guest_flags, uint32_t open_flags)
{
        int flags = (int)(guest_flags & OPEN_FLAGS);
        if (node_type(n) != S_IFREG)
                return node_type(n) == S_IFDIR ? -EISDIR : -ENXIO;
        if ((flags & O_ACCMODE) == O_ACCMODE)
                return -EINVAL;
        if (fs_share_of(c, n)->readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
                return -EROFS;
        int path_fd = node_fd(c->fs->nodes, n);
        if (path_fd < 0)
                return path_fd;
        if ((flags & O_TRUNC) && (open_flags & FUSE_OPEN_KILL_SUIDGID)) {
                int r = fs_kill_privileges(c, path_fd);
                if (r < 0)
                        return r;
        }
        return fs_reopen(c, path_fd, flags);
}

int fs_op_open(struct call *c)
{
        struct fuse_open_in in;
        memcpy(&in, c->args, sizeof(in));
        if (handles_are_full(c->fs->handles))
                return -ENFILE;
        int fd = open_node(c, c->node, in.flags, in.open_flags);
        return fd < 0 ? fd : reply_open(c, c->node, fd);
}

/* A name that is there already, or was found to be there when it was to be made. */
static int open_existing(struct call *c, int dir_fd, const struct fuse_create_in *in)
{
        struct fuse_entry_out entry;
        int r = fs_reply_entry(c, c->node, dir_fd, c->names[0]);
        if (r < 0)
                return r;
        memcpy(&entry, c->reply, sizeof(entry));
        struct node *n = node_get(c->fs->nodes, entry.nodeid);
        int fd = n == NULL ? -ESTALE : open_node(c, n, in->flags, in->open_flags);
        r = fd < 0 ? fd : reply_open(c, n, fd);
        node_put(c->fs->nodes, n);
        if (r < 0)
                node_forget(c->fs->nodes, entry.nodeid, 1); /* the guest does not hear of it */
        return r;
}

/* fd is open for a file that was just made, and taken. */
static int reply_created(struct call *c, int dir_fd, int fd, mode_t mode)
{
        cleanup_fd int file = fd;
        struct fuse_entry_out entry;
        struct stat st;
        struct owner owner;
        uint64_t id;
        int r = fs_own_new(c, dir_fd, (struct spot){file, ""},
                           mode); /* not by its name, which may be another's */
        if (r == 0)
                r = fs_look(c, (struct spot){file, ""}, &st, &owner);
        if (r == 0 && c->reply_max < sizeof(entry) + sizeof(struct fuse_open_out))
                r = -ENOSPC;
        if (r == 0)
                r = node_learn(c->fs->nodes, c->node, c->names[0], &st, &id);
        if (r < 0)
                return r;
        fs_fill_entry(c, fs_share_of(c, c->node), id, &st, &owner, &entry);
        (void)fs_reply(c, &entry, sizeof(entry)); /* there is room: just looked */
        struct node *n = node_get(c->fs->nodes, id);
        r = n == NULL ? -ESTALE : reply_open(c, n, take_fd(&file));
        node_put(c->fs->nodes, n);
        if (r < 0)
                node_forget(c->fs->nodes, id, 1);
        return r;
}

int fs_op_create(struct call *c)
{
        struct fuse_create_in in;
        memcpy(&in, c->args, sizeof(in));
        if (node_type(c->node) != S_IFDIR)
                return -ENOTDIR;
        if ((in.flags & O_ACCMODE) == O_ACCMODE)
                return -EINVAL;
        if (handles_are_full(c->fs->handles))
                return -ENFILE;
        int dir_fd = node_fd(c->fs->nodes, c->node);
        if (dir_fd < 0)
                return dir_fd;
        int flags = (int)(in.flags & OPEN_FLAGS & ~(uint32_t)O_TRUNC);
        int fd =
            openat(dir_fd, c->names[0], flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, in.mode & 01777);
        if (fd < 0 && errno == EEXIST && !(in.flags & O_EXCL))
                return open_existing(c, dir_fd, &in);
        return fd < 0 ? -errno : reply_created(c, dir_fd, fd, in.mode);
}

int fs_op_read(struct call *c)
{
        struct fuse_read_in in;
        memcpy(&in, c->args, sizeof(in));
        const struct fs_request *q = c->request;
        size_t room = q->in_bytes - sizeof(struct fuse_out_header), size = in.size;
        size = size < room ? size : room;
        size = size < FS_WRITE_MAX ? size : FS_WRITE_MAX;
        unsigned count =
            iov_slice(q->in, q->in_count, sizeof(struct fuse_out_header), size, c->scratch->iov, &size);
        ssize_t n = preadv(c->handle->fd, c->scratch->iov, (int)count, (off_t)in.offset);
        if (n < 0)
                return -errno;
        c->data_size = (size_t)n;
        return 0;
}

int fs_op_write(struct call *c)
{
        struct fuse_write_in in;
        struct fuse_write_out out = {.size = 0};
        memcpy(&in, c->args, sizeof(in));
        const struct fs_request *q = c->request;
        size_t skip = sizeof(struct fuse_in_header) + sizeof(in), size = q->out_bytes - skip;
        if (in.size != size || size > FS_WRITE_MAX)
                return -EINVAL;
        unsigned count = iov_slice(q->out, q->out_count, skip, size, c->scratch->iov, &size);
        ssize_t n = pwritev(c->handle->fd, c->scratch->iov, (int)count, (off_t)in.offset);
        if (n < 0)
                return -errno;
        if (in.write_flags & FUSE_WRITE_KILL_SUIDGID) {
                int r = fs_kill_privileges(c, c->handle->fd);
                if (r < 0)
                        return r;
        }
        out.size = (uint32_t)n;
        return fs_reply(c, &out, sizeof(out));
}

int fs_op_release(struct call *c)
{
        handle_release(c->fs->handles, c->handle);
        if (c->fs->host_locks) /* flock(2) ends with the descriptor */
                atomic_fetch_add(&c->fs->unlocks, 1);
        return 0;
}

int fs_op_fsync(struct call *c)
{
        struct fuse_fsync_in in;
        memcpy(&in, c->args, sizeof(in));
        if (c->handle->kind == HANDLE_ROOT)
                return 0;
        int r = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(c->handle->fd) : fsync(c->handle->fd);
        return r < 0 ? -errno : 0;
}

int fs_op_fallocate(struct call *c)
{
        struct fuse_fallocate_in in;
        memcpy(&in, c->args, sizeof(in));
        if (in.mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
                return -EOPNOTSUPP;
        if (in.offset > INT64_MAX || in.length > INT64_MAX)
                return -EFBIG;
        return fallocate(c->handle->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0 ? -errno : 0;
}

int fs_op_lseek(struct call *c)
{
        struct fuse_lseek_in in;
        memcpy(&in, c->args, sizeof(in));
        if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
                return -EINVAL;
        off_t at = lseek(c->handle->fd, (off_t)in.offset, (int)in.whence);
        if (at < 0)
                return -errno;
        struct fuse_lseek_out out = {.offset = (uint64_t)at};
        return fs_reply(c, &out, sizeof(out));
}

static int copy_to(struct call *c, const struct fuse_copy_file_range_in *in, const struct handle *to)
{
        struct fuse_write_out out = {.size = 0};
        off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
        size_t size = in->len < COPY_MAX ? (size_t)in->len : COPY_MAX;
        ssize_t n = copy_file_range(c->handle->fd, &from_at, to->fd, &to_at, size, 0);
        if (n < 0)
                return -errno;
        out.size = (uint32_t)n;
        return fs_reply(c, &out, sizeof(out));
}

int fs_op_copy_file_range(struct call *c)
{
        struct fuse_copy_file_range_in in;
        memcpy(&in, c->args, sizeof(in));
        if (in.flags != 0 || in.off_in > INT64_MAX || in.off_out > INT64_MAX)
                return -EINVAL;
        struct handle *to = handle_get(c->fs->handles, in.fh_out);
        int r = -EBADF;
        if (to != NULL && to->kind == HANDLE_FILE && node_id(to->node) == in.nodeid_out)
                r = fs_share_of(c, to->node)->readonly ? -EROFS : copy_to(c, &in, to);
        handle_put(c->fs->handles, to);
        return r;
}
