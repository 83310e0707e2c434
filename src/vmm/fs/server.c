/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's bytes to an operation and back.
 *
 * Hostile: everything. A request is copied once, as far as it is not data to be written, and checked against
 * its operation's shape before anything is done: the length that it says is the length that came; fixed
 * fields are all there; names end exactly where the request ends, and are one component of a path each,
 * neither "." nor ".."; the node and the handle are ones that the guest was given, and belong together;
 * nothing changes in a share that is read-only. What does not fit is answered with an error, or not at all
 * where there is no room for an answer. Nothing the guest sends can end the server.
 */
#include "vmm/fs/call.h"

#include "base/log.h"
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an operation's request looks like, behind the header. */
enum shape_flags {
        ONE_NAME = 1 << 0,  /* the rest is one name, one component */
        TWO_NAMES = 1 << 1, /* two such names */
        LINK_TEXT = 1 << 2, /* a name and the text of a symbolic link */
        REST = 1 << 3,      /* the rest is the operation's to check */
        DATA = 1 << 4,      /* the rest is not copied: data to be written */
        HANDLE = 1 << 5,    /* the first 8 bytes are a handle, of this node */
        CHANGES = 1 << 6,   /* not in a read-only share */
        ROOT = 1 << 7,      /* also for the root of all shares */
        NO_NODE = 1 << 8,   /* the node is of no concern */
};

struct operation {
        int (*serve)(struct call *c);
        uint16_t fixed; /* bytes of fixed fields */
        uint16_t flags;
};

static int serve_init(struct call *c);
static int serve_destroy(struct call *c);

static int serve_nothing(struct call *c)
{
        (void)c;
        return 0;
}

static const struct operation operations[] = {
    [FUSE_INIT] = {serve_init, 16, REST | NO_NODE},
    [FUSE_DESTROY] = {serve_destroy, 0, NO_NODE},
    [FUSE_LOOKUP] = {fs_op_lookup, 0, ONE_NAME | ROOT},
    [FUSE_GETATTR] = {fs_op_getattr, sizeof(struct fuse_getattr_in), ROOT},
    [FUSE_SETATTR] = {fs_op_setattr, sizeof(struct fuse_setattr_in), CHANGES},
    [FUSE_READLINK] = {fs_op_readlink, 0, 0},
    [FUSE_SYMLINK] = {fs_op_symlink, 0, LINK_TEXT | CHANGES},
    [FUSE_MKNOD] = {fs_op_mknod, sizeof(struct fuse_mknod_in), ONE_NAME | CHANGES},
    [FUSE_MKDIR] = {fs_op_mkdir, sizeof(struct fuse_mkdir_in), ONE_NAME | CHANGES},
    [FUSE_UNLINK] = {fs_op_unlink, 0, ONE_NAME | CHANGES},
    [FUSE_RMDIR] = {fs_op_rmdir, 0, ONE_NAME | CHANGES},
    [FUSE_RENAME] = {fs_op_rename, sizeof(struct fuse_rename_in), TWO_NAMES | CHANGES},
    [FUSE_RENAME2] = {fs_op_rename2, sizeof(struct fuse_rename2_in), TWO_NAMES | CHANGES},
    [FUSE_LINK] = {fs_op_link, sizeof(struct fuse_link_in), ONE_NAME | CHANGES},
    [FUSE_OPEN] = {fs_op_open, sizeof(struct fuse_open_in), 0},
    [FUSE_CREATE] = {fs_op_create, sizeof(struct fuse_create_in), ONE_NAME | CHANGES},
    [FUSE_READ] = {fs_op_read, sizeof(struct fuse_read_in), HANDLE},
    [FUSE_WRITE] = {fs_op_write, sizeof(struct fuse_write_in), DATA | HANDLE | CHANGES},
    [FUSE_STATFS] = {fs_op_statfs, 0, ROOT},
    [FUSE_RELEASE] = {fs_op_release, sizeof(struct fuse_release_in), HANDLE},
    [FUSE_RELEASEDIR] = {fs_op_release, sizeof(struct fuse_release_in), HANDLE | ROOT},
    [FUSE_FSYNC] = {fs_op_fsync, sizeof(struct fuse_fsync_in), HANDLE},
    [FUSE_FSYNCDIR] = {fs_op_fsync, sizeof(struct fuse_fsync_in), HANDLE | ROOT},
    [FUSE_GETLK] = {fs_op_getlk, sizeof(struct fuse_lk_in), HANDLE},
    [FUSE_SETLK] = {fs_op_setlk, sizeof(struct fuse_lk_in), HANDLE},
    [FUSE_SETLKW] = {fs_op_setlkw, sizeof(struct fuse_lk_in), HANDLE},
    [FUSE_FLUSH] = {fs_op_flush, sizeof(struct fuse_flush_in), HANDLE},
    [FUSE_SETXATTR] = {fs_op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, REST | CHANGES},
    [FUSE_GETXATTR] = {fs_op_getxattr, sizeof(struct fuse_getxattr_in), REST | ROOT},
    [FUSE_LISTXATTR] = {fs_op_listxattr, sizeof(struct fuse_getxattr_in), ROOT},
    [FUSE_REMOVEXATTR] = {fs_op_removexattr, 0, REST | CHANGES},
    [FUSE_OPENDIR] = {fs_op_opendir, sizeof(struct fuse_open_in), ROOT},
    [FUSE_READDIR] = {fs_op_readdir, sizeof(struct fuse_read_in), HANDLE | ROOT},
    [FUSE_READDIRPLUS] = {fs_op_readdirplus, sizeof(struct fuse_read_in), HANDLE | ROOT},
    [FUSE_ACCESS] = {fs_op_access, sizeof(struct fuse_access_in), ROOT},
    [FUSE_FALLOCATE] = {fs_op_fallocate, sizeof(struct fuse_fallocate_in), HANDLE | CHANGES},
    [FUSE_LSEEK] = {fs_op_lseek, sizeof(struct fuse_lseek_in), HANDLE},
    [FUSE_COPY_FILE_RANGE] = {fs_op_copy_file_range, sizeof(struct fuse_copy_file_range_in), HANDLE},
    [FUSE_INTERRUPT] = {serve_nothing, sizeof(struct fuse_interrupt_in), NO_NODE},
};

int fs_reply(struct call *c, const void *bytes, size_t size)
{
        if (size > c->reply_max - c->reply_size)
                return -ENOSPC; /* the guest gave too little room: nothing of ours would fit a protocol error
                                 */
        memcpy(c->reply + c->reply_size, bytes, size);
        c->reply_size += size;
        return 0;
}

/* ---- the beginning and the end of a conversation ---- */

#define WANTED                                                                                 \
        (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |      \
         FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | \
         FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2)
#define LOCKS     (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)
#define NEEDED    (FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC)
#define MINOR_MIN 31

static int serve_init(struct call *c)
{
        struct fuse_init_in in = {0};
        struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
        memcpy(&in, c->args, c->args_size < sizeof(in) ? c->args_size : sizeof(in));
        if (in.major > FUSE_KERNEL_VERSION)
                return fs_reply(c, &out, sizeof(out)); /* it tries again with ours */
        if (in.major < FUSE_KERNEL_VERSION || in.minor < MINOR_MIN || (in.flags & NEEDED) != NEEDED)
                return -EPROTO;
        out.max_readahead = in.max_readahead;
        out.flags = in.flags & (WANTED | (c->fs->host_locks ? LOCKS : 0U));
        out.max_background = 64;
        out.congestion_threshold = 48;
        out.max_write = FS_WRITE_MAX;
        out.time_gran = 1;
        out.max_pages = FS_WRITE_MAX / 4096;
        int r = fs_reply(c, &out, sizeof(out));
        if (r == 0)
                atomic_store(&c->fs->begun, true);
        return r;
}

/* Others may still be at work: what they hold stays until the device is reset. */
static int serve_destroy(struct call *c)
{
        atomic_store(&c->fs->begun, false);
        return 0;
}

/* ---- requests without a reply ---- */

static void forget_many(struct call *c)
{
        struct fuse_batch_forget_in in;
        struct fuse_forget_one one;
        if (c->args_size < sizeof(in))
                return;
        memcpy(&in, c->args, sizeof(in));
        size_t there = (c->args_size - sizeof(in)) / sizeof(one);
        for (size_t i = 0; i < in.count && i < there; i++) {
                memcpy(&one, c->args + sizeof(in) + i * sizeof(one), sizeof(one));
                node_forget(c->fs->nodes, one.nodeid, one.nlookup);
        }
}

static void forget(struct call *c)
{
        struct fuse_forget_in in;
        if (c->head.opcode == FUSE_BATCH_FORGET) {
                forget_many(c);
        } else if (c->args_size == sizeof(in)) {
                memcpy(&in, c->args, sizeof(in));
                node_forget(c->fs->nodes, c->head.nodeid, in.nlookup);
        }
}

/* ---- checks ---- */

static bool is_component(const char *name)
{
        size_t length = strlen(name);
        return length > 0 && length <= NAME_MAX && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
               strcmp(name, "..") != 0;
}

/* The names are the rest of the request, to the byte. */
static int take_names(struct call *c, const struct operation *op)
{
        size_t at = op->fixed;
        unsigned count = op->flags & ONE_NAME ? 1 : op->flags & (TWO_NAMES | LINK_TEXT) ? 2 : 0;
        for (unsigned i = 0; i < count; i++) {
                const char *name = (const char *)c->args + at;
                size_t length = strnlen(name, c->args_size - at);
                if (length == c->args_size - at)
                        return -EINVAL; /* without its NUL */
                at += length + 1;
                c->names[i] = name;
                if (i == 1 && (op->flags & LINK_TEXT)) {
                        if (length == 0 || length >= PATH_MAX)
                                return length == 0 ? -ENOENT : -ENAMETOOLONG;
                } else if (length > NAME_MAX) {
                        return -ENAMETOOLONG;
                } else if (!is_component(name)) {
                        return -EINVAL;
                }
        }
        return at == c->args_size || (op->flags & (REST | DATA)) ? 0 : -EINVAL;
}

static int take_handle(struct call *c)
{
        uint64_t id;
        memcpy(&id, c->args, sizeof(id));
        c->handle = handle_get(c->fs->handles, id);
        if (c->handle == NULL || c->handle->node != c->node)
                return -EBADF;
        bool wants_folder = c->head.opcode == FUSE_READDIR || c->head.opcode == FUSE_READDIRPLUS ||
                            c->head.opcode == FUSE_RELEASEDIR || c->head.opcode == FUSE_FSYNCDIR;
        return wants_folder == (c->handle->kind != HANDLE_FILE) ? 0 : -EBADF;
}

static int take_node(struct call *c, const struct operation *op)
{
        if (c->head.nodeid == FUSE_ROOT_ID)
                return op->flags & ROOT ? 0 : op->flags & CHANGES ? -EROFS : -EINVAL;
        c->node = node_get(c->fs->nodes, c->head.nodeid);
        if (c->node == NULL)
                return -ESTALE;
        return (op->flags & CHANGES) && fs_share_of(c, c->node)->readonly ? -EROFS : 0;
}

static int check_and_serve(struct call *c)
{
        uint32_t opcode = c->head.opcode;
        const struct operation *op =
            opcode < sizeof(operations) / sizeof(operations[0]) ? &operations[opcode] : NULL;
        if (op == NULL || op->serve == NULL)
                return -ENOSYS;
        if (opcode != FUSE_INIT && !atomic_load(&c->fs->begun))
                return -EPROTO;
        if (c->args_size < op->fixed)
                return -EINVAL;
        int r = take_names(c, op);
        if (r == 0 && !(op->flags & NO_NODE))
                r = take_node(c, op);
        if (r == 0 && (op->flags & HANDLE))
                r = take_handle(c);
        return r == 0 ? op->serve(c) : r;
}

/* ---- in and out ---- */

/* Copies the request, as far as it is copied. False: there is not even a header, or it says another length.
 */
static bool take_request(struct call *c)
{
        const struct fs_request *q = c->request;
        size_t header = sizeof(c->head);
        if (iov_read(q->out, q->out_count, 0, &c->head, header) != header || c->head.len != q->out_bytes)
                return false;
        size_t size = q->out_bytes - header;
        if (c->head.opcode == FUSE_WRITE && size > sizeof(struct fuse_write_in))
                size = sizeof(struct fuse_write_in);
        if (size > FS_ARGUMENTS_MAX)
                return false;
        c->args_size = iov_read(q->out, q->out_count, header, c->scratch->arguments, size);
        c->scratch->arguments[c->args_size] = '\0';
        c->args = c->scratch->arguments;
        return true;
}

static size_t put_reply(struct call *c, int error)
{
        const struct fs_request *q = c->request;
        struct fuse_out_header head = {.len = sizeof(head), .error = error, .unique = c->head.unique};
        if (error == 0) {
                head.len += (uint32_t)(c->reply_size + c->data_size);
                (void)iov_write(q->in, q->in_count, sizeof(head), c->reply, c->reply_size);
        }
        (void)iov_write(q->in, q->in_count, 0, &head, sizeof(head)); /* there is room for it: fs_serve() */
        return head.len;
}

size_t fs_serve(struct fs *fs, struct fs_scratch *scratch, const struct fs_request *request)
{
        struct call c = {.fs = fs, .scratch = scratch, .request = request, .reply = scratch->reply};
        bool whole = take_request(&c);
        if (whole && (c.head.opcode == FUSE_FORGET || c.head.opcode == FUSE_BATCH_FORGET)) {
                forget(&c);
                return 0;
        }
        if (request->in_bytes < sizeof(struct fuse_out_header))
                return 0;
        c.reply_max = request->in_bytes - sizeof(struct fuse_out_header);
        if (c.reply_max > FS_REPLY_MAX)
                c.reply_max = FS_REPLY_MAX;
        int r = whole ? check_and_serve(&c) : -EINVAL;
        handle_put(fs->handles, c.handle);
        node_put(fs->nodes, c.node);
        if (r == CALL_LATER)
                return FS_LATER;
        if (r < -4095)
                r = -EIO;
        return put_reply(&c, r);
}

size_t fs_refuse(const struct fs_request *q, int error)
{
        struct fuse_in_header in = {.len = 0};
        (void)iov_read(q->out, q->out_count, 0, &in, sizeof(in));
        struct fuse_out_header out = {.len = sizeof(out), .error = error, .unique = in.unique};
        return iov_write(q->in, q->in_count, 0, &out, sizeof(out)) == sizeof(out) ? sizeof(out) : 0;
}

unsigned fs_unlocks(struct fs *fs)
{
        return atomic_load(&fs->unlocks);
}

/* ---- the server ---- */

static void on_handle_ended(struct handle *h, void *data)
{
        struct fs *fs = data;
        if (h->node != NULL)
                node_release(fs->nodes, h->node);
}

/* A file whose name is gone, or a folder that the host moved away, while the guest has it open. */
static int reopen_by_handle(void *data, const struct node *n)
{
        struct fs *fs = data;
        char text[16];
        struct handle *h = handle_find(fs->handles, n);
        if (h == NULL)
                return -ESTALE;
        (void)snprintf(text, sizeof(text), "%d", h->fd); /* fits */
        int fd = openat(fs->proc_fd, text, O_PATH | O_CLOEXEC);
        int r = fd < 0 ? -errno : fd;
        handle_put(fs->handles, h);
        return r;
}

static int add_shares(struct fs *fs, const struct fs_options *o, struct error *err)
{
        for (unsigned i = 0; i < o->share_count; i++) {
                struct stat st;
                if (fstat(o->shares[i].fd, &st) < 0)
                        return error_errno(err, -errno, "look at share %u", i);
                if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
                        return error_set(err, -EINVAL, "share %u is neither a folder nor a file", i);
                int r = nodes_add_share(fs->nodes, i, o->shares[i].fd, &st);
                if (r < 0)
                        return error_errno(err, r, "add share %u", i);
                fs->shares[i] = o->shares[i];
                fs->host_locks |= o->shares[i].cache == FS_CACHE_NONE;
                fs->share_count++;
        }
        return 0;
}

int fs_new(const struct fs_options *o, struct fs **ret_fs, struct error *err)
{
        if (o->share_count > FS_SHARES_MAX || o->descriptor_max < FS_DESCRIPTORS_MIN)
                return error_set(err, -EINVAL, "%u shares with %u descriptors", o->share_count,
                                 o->descriptor_max);
        struct fs *fs = calloc(1, sizeof(*fs));
        if (fs == NULL)
                return error_errno(err, -ENOMEM, "make a file server");
        fs->owners = o->owners;
        fs->own_uid = geteuid();
        fs->own_gid = getegid();
        fs->proc_fd = o->proc_fd;
        locks_init(&fs->locks, o->descriptor_max / 12);
        /* a third for nodes, half for what the guest opens, the rest for what requests need for a moment */
        struct nodes_options nodes = {.descriptor_max = o->descriptor_max / 3,
                                      .node_max = o->node_max > 0 && o->node_max < NODES_MAX ? o->node_max
                                                                                             : NODES_MAX,
                                      .reopen = reopen_by_handle,
                                      .data = fs};
        int r = nodes_new(&nodes, &fs->nodes);
        if (r == 0)
                r = handles_new(o->descriptor_max / 2, on_handle_ended, fs, &fs->handles);
        if (r < 0)
                (void)error_errno(err, r, "make a file server");
        else
                r = add_shares(fs, o, err);
        if (r < 0) {
                fs_free(fs);
                return r;
        }
        *ret_fs = fs;
        return 0;
}

void fs_reset(struct fs *fs)
{
        locks_reset(&fs->locks, fs->nodes);
        handles_reset(fs->handles);
        nodes_reset(fs->nodes);
        atomic_store(&fs->begun, false);
}

void fs_free(struct fs *fs)
{
        if (fs == NULL)
                return;
        locks_done(&fs->locks, fs->nodes);
        handles_free(fs->handles);
        nodes_free(fs->nodes);
        free(fs);
}

int fs_enter_thread(const struct fs *fs)
{
        if (unshare(CLONE_FS) < 0 || fchdir(fs->proc_fd) < 0)
                return -errno;
        (void)umask(0);
        return 0;
}
