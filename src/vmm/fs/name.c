/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on names. Each works on one component (server.c has checked it) beneath the O_PATH descriptor of
 * a folder, with calls that do not follow a link at the end: nothing outside the share can be named.
 *
 * system calls (files): mkdirat mknodat symlinkat linkat unlinkat renameat2
 */
#include "vmm/fs/call.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptor of the request's folder. */
static int folder_fd(const struct call *c, struct node *dir)
{
        return node_type(dir) == S_IFDIR ? node_fd(c->fs->nodes, dir) : -ENOTDIR;
}

/* ---- lookup ---- */

int fs_reply_entry(struct call *c, struct node *dir, int dir_fd, const char *name)
{
        struct fuse_entry_out out;
        struct stat st;
        struct owner owner;
        uint64_t id;
        int r = fs_look(c, (struct spot){dir_fd, name}, &st, &owner);
        if (r < 0)
                return r;
        if (c->reply_max - c->reply_size < sizeof(out))
                return -ENOSPC; /* before the guest counts as knowing it */
        r = node_learn(c->fs->nodes, dir, name, &st, &id);
        if (r < 0)
                return r;
        fs_fill_entry(c, fs_share_of(c, dir), id, &st, &owner, &out);
        return fs_reply(c, &out, sizeof(out));
}

/* The root's entries are the shares, by their numbers. */
static int lookup_share(struct call *c)
{
        char expected[12];
        char *end;
        struct fuse_entry_out out;
        struct stat st;
        struct owner owner;
        unsigned long number = strtoul(c->names[0], &end, 10);
        if (number >= c->fs->share_count)
                return -ENOENT;
        (void)snprintf(expected, sizeof(expected), "%lu", number); /* at most 3 digits */
        if (strcmp(expected, c->names[0]) != 0)
                return -ENOENT;
        if (c->reply_max < sizeof(out))
                return -ENOSPC;
        struct node *n = node_get_share(c->fs->nodes, (unsigned)number);
        if (n == NULL)
                return -ENOENT;
        int r = fs_look(c, (struct spot){node_fd(c->fs->nodes, n), ""}, &st, &owner);
        if (r == 0) {
                fs_fill_entry(c, &c->fs->shares[number], node_id(n), &st, &owner, &out);
                out.entry_valid = fs_timeout(FS_CACHE_ALWAYS);
                r = fs_reply(c, &out, sizeof(out));
        }
        node_put(c->fs->nodes, n);
        return r;
}

int fs_op_lookup(struct call *c)
{
        if (c->node == NULL)
                return lookup_share(c);
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        int r = fs_reply_entry(c, c->node, fd, c->names[0]);
        if (r == -ENOENT && fs_share_of(c, c->node)->cache == FS_CACHE_ALWAYS) {
                /* number 0: there is nothing, for as long as this is believed */
                struct fuse_entry_out out = {.entry_valid = fs_timeout(FS_CACHE_ALWAYS)};
                r = fs_reply(c, &out, sizeof(out));
        }
        return r;
}

int fs_op_readlink(struct call *c)
{
        char text[PATH_MAX];
        if (node_type(c->node) != S_IFLNK)
                return -EINVAL;
        int fd = node_fd(c->fs->nodes, c->node);
        if (fd < 0)
                return fd;
        ssize_t n = readlinkat(fd, "", text, sizeof(text));
        return n < 0 ? -errno : fs_reply(c, text, (size_t)n);
}

/* ---- what makes a name ---- */

/* The end of each: an owner, and an entry as the answer. What could not be given its owner does not stay. */
static int finish_new(struct call *c, int dir_fd, mode_t mode, bool is_folder)
{
        int r = fs_own_new(c, dir_fd, (struct spot){dir_fd, c->names[0]}, mode);
        if (r < 0) {
                (void)unlinkat(dir_fd, c->names[0], is_folder ? AT_REMOVEDIR : 0); /* as well as it goes */
                return r;
        }
        return fs_reply_entry(c, c->node, dir_fd, c->names[0]);
}

int fs_op_symlink(struct call *c)
{
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        if (symlinkat(c->names[1], fd, c->names[0]) < 0)
                return -errno;
        return finish_new(c, fd, 0, false);
}

int fs_op_mknod(struct call *c)
{
        struct fuse_mknod_in in;
        memcpy(&in, c->args, sizeof(in));
        mode_t type = in.mode & S_IFMT;
        if (type == S_IFCHR || type == S_IFBLK)
                return -EPERM; /* a device file on the host would be one of the host's devices */
        if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
                return -EINVAL;
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        if (mknodat(fd, c->names[0], type | (in.mode & 01777), 0) < 0)
                return -errno;
        return finish_new(c, fd, in.mode, false);
}

int fs_op_mkdir(struct call *c)
{
        struct fuse_mkdir_in in;
        memcpy(&in, c->args, sizeof(in));
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        if (mkdirat(fd, c->names[0], in.mode & 07777) < 0)
                return -errno;
        return finish_new(c, fd, in.mode, true);
}

int fs_op_link(struct call *c)
{
        struct fuse_link_in in;
        memcpy(&in, c->args, sizeof(in));
        char link[16];
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        struct node *old = node_get(c->fs->nodes, in.oldnodeid);
        if (old == NULL)
                return -ESTALE;
        int r = node_share(old) == node_share(c->node) ? node_fd(c->fs->nodes, old) : -EXDEV;
        if (r >= 0) {
                /* by the descriptor's name: AT_EMPTY_PATH would need a capability */
                (void)snprintf(link, sizeof(link), "%d", r);
                r = linkat(c->fs->proc_fd, link, fd, c->names[0], AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
        }
        if (r == 0)
                r = fs_reply_entry(c, c->node, fd, c->names[0]);
        node_put(c->fs->nodes, old);
        return r;
}

/* ---- what takes names away ---- */

static int remove_name(struct call *c, int flags)
{
        struct stat st;
        int fd = folder_fd(c, c->node);
        if (fd < 0)
                return fd;
        if (fstatat(fd, c->names[0], &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
                return -errno;
        struct node *n = node_before_unlink(c->fs->nodes, c->node, c->names[0], &st);
        int r = unlinkat(fd, c->names[0], flags) < 0 ? -errno : 0;
        if (r == 0 && n != NULL)
                node_lost_name(c->fs->nodes, n, c->node, c->names[0]);
        node_put(c->fs->nodes, n);
        return r;
}

int fs_op_unlink(struct call *c)
{
        return remove_name(c, 0);
}

int fs_op_rmdir(struct call *c)
{
        return remove_name(c, AT_REMOVEDIR);
}

#define NOREPLACE \
        1U /* RENAME_NOREPLACE and RENAME_EXCHANGE of <linux/fs.h>, which does not go with <sys/mount.h> */
#define EXCHANGE 2U

/* One call that does it, and what becomes of the nodes at both names. */
static int rename_between(struct call *c, struct node *to, int from_fd, int to_fd, unsigned flags)
{
        struct nodes *nodes = c->fs->nodes;
        struct stat moved, there;
        bool has_there = fstatat(to_fd, c->names[1], &there, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;
        if (fstatat(from_fd, c->names[0], &moved, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
                return -errno;
        struct node *replaced =
            has_there && flags != EXCHANGE ? node_before_unlink(nodes, to, c->names[1], &there) : NULL;
        int r = syscall(SYS_renameat2, from_fd, c->names[0], to_fd, c->names[1], flags) < 0 ? -errno : 0;
        if (r == 0) {
                bool same = has_there && there.st_ino == moved.st_ino && there.st_dev == moved.st_dev;
                if (replaced != NULL && !same) /* two names of one file: rename(2) does nothing */
                        node_lost_name(nodes, replaced, to, c->names[1]);
                node_moved(nodes, &moved, to, c->names[1]);
                if (flags == EXCHANGE && has_there)
                        node_moved(nodes, &there, c->node, c->names[0]);
        }
        node_put(nodes, replaced);
        return r;
}

static int rename_to(struct call *c, uint64_t to_id, unsigned flags)
{
        int from_fd = folder_fd(c, c->node);
        if (from_fd < 0)
                return from_fd;
        if (to_id == FUSE_ROOT_ID)
                return -EROFS;
        struct node *to = node_get(c->fs->nodes, to_id);
        if (to == NULL)
                return -ESTALE;
        int r = node_share(to) == node_share(c->node) ? folder_fd(c, to) : -EXDEV;
        if (r >= 0)
                r = rename_between(c, to, from_fd, r, flags);
        node_put(c->fs->nodes, to);
        return r;
}

int fs_op_rename(struct call *c)
{
        struct fuse_rename_in in;
        memcpy(&in, c->args, sizeof(in));
        return rename_to(c, in.newdir, 0);
}

int fs_op_rename2(struct call *c)
{
        struct fuse_rename2_in in;
        memcpy(&in, c->args, sizeof(in));
        if (in.flags != 0 && in.flags != NOREPLACE && in.flags != EXCHANGE)
                return -EINVAL;
        return rename_to(c, in.newdir, in.flags);
}
