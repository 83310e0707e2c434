/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading folders. What the host's getdents64(2) gives is copied over entry by entry; offsets are the host's
 * own, so that a folder may change between two calls. No more is asked of the host than the guest's buffer
 * holds for certain: who reads on then goes on where the host stands. To go back to an offset would do on a
 * disk; on tmpfs (before Linux 6.6) it passes over names when others were removed meanwhile. ".." of a share
 * leads out of it, so its number is not told.
 *
 * system calls (files): getdents64 lseek fstat newfstatat
 */
#include "vmm/fs/call.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UNKNOWN_INODE 0xffffffffU /* as libfuse has it: the guest looks it up if it wants to know */
#define LEAST_CHUNK   280         /* the longest entry of the host */
/* So many times as large as the host's is an entry of the guest's at most: 160 bytes to 24, and 32 to 24. */
#define GROWS_PLUS  7
#define GROWS_PLAIN 2

/* One entry of the host: getdents64(2). */
struct entry {
        uint64_t ino;
        int64_t off;
        uint16_t length;
        uint8_t type;
};
#define ENTRY_NAME 19 /* where the name begins */

/* What is being filled. */
struct listing {
        struct call *c;
        struct node *dir; /* NULL: the root of all shares */
        int dir_fd;
        bool plus;
        size_t room; /* what the guest asked for, at most */
};

int fs_op_opendir(struct call *c)
{
        struct fuse_open_out out = {.fh = 0};
        cleanup_fd int fd = -1;
        if (c->reply_max < sizeof(out))
                return -ENOSPC;
        if (c->node != NULL) {
                if (node_type(c->node) != S_IFDIR)
                        return -ENOTDIR;
                int path_fd = node_fd(c->fs->nodes, c->node);
                fd = path_fd < 0 ? path_fd : fs_reopen(c, path_fd, O_RDONLY | O_DIRECTORY);
                if (fd < 0)
                        return fd;
                node_hold(c->fs->nodes, c->node);
                if (fs_share_of(c, c->node)->cache == FS_CACHE_ALWAYS)
                        out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
        }
        int r =
            handle_add(c->fs->handles, c->node != NULL ? HANDLE_FOLDER : HANDLE_ROOT, fd, c->node, &out.fh);
        if (r < 0) {
                if (c->node != NULL)
                        node_release(c->fs->nodes, c->node);
                return r;
        }
        (void)take_fd(&fd);
        return fs_reply(c, &out, sizeof(out));
}

static size_t aligned(size_t size)
{
        return FUSE_REC_ALIGN(size);
}

/* Adds one entry to the reply; false when it does not fit. */
static bool put(const struct listing *l, const struct fuse_entry_out *entry, uint64_t ino, uint64_t off,
                uint32_t type, const char *name)
{
        struct call *c = l->c;
        size_t length = strlen(name), head = l->plus ? sizeof(*entry) : 0;
        size_t size = aligned(head + FUSE_NAME_OFFSET + length);
        struct fuse_dirent d = {.ino = ino, .off = off, .namelen = (uint32_t)length, .type = type};
        if (size > l->room - c->reply_size)
                return false;
        uint8_t *to = c->reply + c->reply_size;
        memset(to, 0, size);
        if (l->plus)
                memcpy(to, entry, sizeof(*entry));
        memcpy(to + head, &d, FUSE_NAME_OFFSET);
        memcpy(to + head + FUSE_NAME_OFFSET, name, length);
        c->reply_size += size;
        return true;
}

static bool is_dots(const char *name)
{
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* With what the guest would find out by looking it up; number 0 says that it was not. */
static int put_looked_up(const struct listing *l, const struct entry *e, const char *name)
{
        struct call *c = l->c;
        struct fuse_entry_out out = {.nodeid = 0};
        struct stat st;
        struct owner owner;
        uint64_t id = 0, ino = UNKNOWN_INODE;
        size_t size = aligned(sizeof(out) + FUSE_NAME_OFFSET + strlen(name));
        if (size > l->room - c->reply_size)
                return 0;
        if (!is_dots(name) && fs_look(c, (struct spot){l->dir_fd, name}, &st, &owner) == 0 &&
            node_learn(c->fs->nodes, l->dir, name, &st, &id) == 0) {
                fs_fill_entry(c, fs_share_of(c, l->dir), id, &st, &owner, &out);
                ino = out.attr.ino;
        }
        return put(l, &out, ino, (uint64_t)e->off, e->type, name) ? 1 : 0;
}

static int put_entry(const struct listing *l, const struct entry *e, const char *name, dev_t dev)
{
        if (l->plus)
                return put_looked_up(l, e, name);
        uint64_t ino = strcmp(name, "..") == 0 ? UNKNOWN_INODE : fs_inode_number(l->c->fs, dev, e->ino);
        return put(l, NULL, ino, (uint64_t)e->off, e->type, name) ? 1 : 0;
}

/* Copies a chunk of the host's entries. Returns 1 when all of them fitted. */
static int put_chunk(const struct listing *l, const uint8_t *bytes, size_t size, dev_t dev, off_t *position)
{
        struct entry e;
        for (size_t at = 0; at < size; at += e.length) {
                memcpy(&e, bytes + at, ENTRY_NAME);
                if (put_entry(l, &e, (const char *)bytes + at + ENTRY_NAME, dev) == 0)
                        return 0;
                *position = e.off;
        }
        return 1;
}

static int list_folder(const struct listing *l, struct handle *h, off_t offset)
{
        struct call *c = l->c;
        struct stat st;
        if (fstat(h->fd, &st) < 0 || (offset != h->position && lseek(h->fd, offset, SEEK_SET) < 0))
                return -errno;
        off_t told = offset;
        for (;;) {
                size_t chunk = (l->room - c->reply_size) / (l->plus ? GROWS_PLUS : GROWS_PLAIN);
                if (chunk < LEAST_CHUNK && c->reply_size > 0)
                        break;
                chunk = chunk < LEAST_CHUNK                   ? LEAST_CHUNK
                        : chunk > sizeof(c->scratch->entries) ? sizeof(c->scratch->entries)
                                                              : chunk;
                long n = syscall(SYS_getdents64, h->fd, c->scratch->entries, chunk);
                if (n < 0 && c->reply_size > 0) {
                        h->position = -1; /* the guest knows of what there is: the error waits for the rest */
                        return 0;
                }
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                if (put_chunk(l, c->scratch->entries, (size_t)n, st.st_dev, &told) == 0) {
                        h->position = -1; /* the host's is beyond what the guest has */
                        return c->reply_size == 0 ? -EINVAL : 0;
                }
        }
        h->position = told;
        return 0;
}

static int list_root(const struct listing *l, uint64_t offset)
{
        struct call *c = l->c;
        struct fuse_entry_out none = {.nodeid = 0};
        for (uint64_t i = offset; i < c->fs->share_count + 2U; i++) {
                char name[16];
                if (i < 2)
                        (void)snprintf(name, sizeof(name), "%s", i == 0 ? "." : "..");
                else
                        (void)snprintf(name, sizeof(name), "%u", (unsigned)(i - 2));
                if (!put(l, &none, i < 2 ? FUSE_ROOT_ID : UNKNOWN_INODE, i + 1, i < 2 ? DT_DIR : DT_UNKNOWN,
                         name))
                        return c->reply_size == 0 ? -EINVAL : 0;
        }
        return 0;
}

static int list(struct call *c, bool plus)
{
        struct fuse_read_in in;
        memcpy(&in, c->args, sizeof(in));
        struct listing l = {.c = c, .dir = c->node, .dir_fd = c->handle->fd, .plus = plus};
        l.room = in.size < c->reply_max ? in.size : c->reply_max;
        if (in.offset > INT64_MAX)
                return -EINVAL;
        if (c->handle->kind == HANDLE_ROOT)
                return list_root(&l, in.offset);
        (void)pthread_mutex_lock(&c->handle->lock); /* a plain mutex, not taken twice: cannot fail */
        int r = list_folder(&l, c->handle, (off_t)in.offset);
        (void)pthread_mutex_unlock(&c->handle->lock);
        return r;
}

int fs_op_readdir(struct call *c)
{
        return list(c, false);
}

int fs_op_readdirplus(struct call *c)
{
        return list(c, true);
}
