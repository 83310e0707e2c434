/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_CALL_H
#define VMM_FS_CALL_H

/* Inside the file server: a request being served, and what the operations share. */
#include "vmm/fs/fs.h"
#include "vmm/fs/handle.h"
#include "vmm/fs/lock.h"
#include "vmm/fs/node.h"
#include "vmm/fs/owner.h"

#include <linux/fuse.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define FS_WRITE_MAX (512U << 10) /* the most that is read or written at once */

struct fs {
        struct fs_share shares[FS_SHARES_MAX];
        unsigned share_count;
        enum fs_owners owners;
        uid_t own_uid; /* whose files are the guest root's, if owners are mapped */
        gid_t own_gid;
        int proc_fd;
        struct nodes *nodes;
        struct handles *handles;
        struct locks locks;
        bool host_locks;           /* locks are the host's; else they are the guest kernel's affair */
        atomic_uint unlocks;       /* counts what may let a waiting one in */
        atomic_bool begun;         /* INIT was answered */
        _Atomic(dev_t) devices[8]; /* of the host, in the order they were met; see fs_inode_number() */
};

struct call {
        struct fs *fs;
        struct fs_scratch *scratch;
        const struct fs_request *request;
        struct fuse_in_header head;
        const uint8_t *args; /* copied from the guest; NUL-terminated behind its end */
        size_t args_size;
        const char *names[2];  /* checked as far as an operation's shape says (server.c) */
        struct node *node;     /* got; NULL: it is the root of all shares */
        struct handle *handle; /* got; NULL unless the request has one */
        uint8_t *reply;
        size_t reply_max;
        size_t reply_size;
        size_t data_size; /* bytes that are in the guest's segments already, behind the header (READ) */
};

/* Every operation returns 0 or -errno, and adds its answer by fs_reply(). */
int fs_reply(struct call *c, const void *bytes, size_t size);

static inline const struct fs_share *fs_share_of(const struct call *c, const struct node *n)
{
        return &c->fs->shares[node_share(n)];
}

/* ---- what the guest is told (attr.c) ---- */

/* One place to look at: a descriptor itself (name ""), or a name beneath it. */
struct spot {
        int fd;
        const char *name;
};

/* Looks at a spot: what the host has, and what the guest is to believe of it. */
int fs_look(const struct call *c, struct spot spot, struct stat *ret_st, struct owner *ret_owner);
void fs_fill_attr(struct fs *fs, const struct stat *st, const struct owner *owner,
                  struct fuse_attr *ret_attr);
void fs_fill_entry(const struct call *c, const struct fs_share *share, uint64_t id, const struct stat *st,
                   const struct owner *owner, struct fuse_entry_out *ret_entry);
uint64_t fs_timeout(enum fs_cache cache); /* seconds */
uint64_t fs_inode_number(struct fs *fs, dev_t dev, uint64_t ino);

/* Keeps the record about a file; takes it away where the host's inode says the same. -EPERM: it cannot be
 * kept. */
int fs_set_owner(const struct call *c, struct spot spot, const struct stat *st, const struct owner *owner);

/* Gives what the guest just made in a folder its owner. */
int fs_own_new(const struct call *c, int dir_fd, struct spot spot, mode_t mode);

/* Set-user-ID and set-group-ID go, because the file was written to. */
int fs_kill_privileges(const struct call *c, int path_fd);

/* Opens what an O_PATH descriptor stands for. */
int fs_reopen(const struct call *c, int path_fd, int flags);

/* Looks dir/name up for the guest and replies with an entry. */
int fs_reply_entry(struct call *c, struct node *dir, int dir_fd, const char *name);

/* ---- the operations ---- */

int fs_op_lookup(struct call *c);
int fs_op_readlink(struct call *c);
int fs_op_symlink(struct call *c);
int fs_op_mknod(struct call *c);
int fs_op_mkdir(struct call *c);
int fs_op_unlink(struct call *c);
int fs_op_rmdir(struct call *c);
int fs_op_rename(struct call *c);
int fs_op_rename2(struct call *c);
int fs_op_link(struct call *c);

int fs_op_getattr(struct call *c);
int fs_op_setattr(struct call *c);
int fs_op_statfs(struct call *c);
int fs_op_access(struct call *c);

int fs_op_setxattr(struct call *c);
int fs_op_getxattr(struct call *c);
int fs_op_listxattr(struct call *c);
int fs_op_removexattr(struct call *c);

int fs_op_open(struct call *c);
int fs_op_create(struct call *c);
int fs_op_read(struct call *c);
int fs_op_write(struct call *c);
int fs_op_release(struct call *c);
int fs_op_fsync(struct call *c);
int fs_op_fallocate(struct call *c);
int fs_op_lseek(struct call *c);
int fs_op_copy_file_range(struct call *c);

/* A result beside 0 and -errno: not now, ask again. */
#define CALL_LATER 1

int fs_op_getlk(struct call *c);
int fs_op_setlk(struct call *c);
int fs_op_setlkw(struct call *c);
int fs_op_flush(struct call *c);

int fs_op_opendir(struct call *c);
int fs_op_readdir(struct call *c);
int fs_op_readdirplus(struct call *c);

#endif
