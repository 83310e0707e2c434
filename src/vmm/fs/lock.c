/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on the host's files, if a share wants to agree with the host (fs_options: a share that caches
 * nothing). flock(2) goes to the descriptor of the guest's open file. fcntl(2) locks belong to an owner, a
 * process of the guest: each owner has an open file description of its own for each file, which holds its
 * locks (F_OFD_SETLK) until the guest's kernel says that the owner closed the file.
 *
 * Nobody waits in here: a lock that is taken is tried again when the device says so (virtio/fs.c).
 *
 * Threads: one mutex over the list and over the calls, none of which waits, so that no descriptor is closed
 * under another thread's hands.
 *
 * system calls (files): flock fcntl(1=F_OFD_SETLK) fcntl(1=F_OFD_GETLK) openat close
 */
#include "vmm/fs/lock.h"

#include "base/cleanup.h"
#include "vmm/fs/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The locks of one owner in one file. */
struct holder {
        struct holder *next;
        struct node *node; /* held */
        uint64_t owner;
        int fd;
};

void locks_init(struct locks *l, unsigned maximum)
{
        (void)pthread_mutex_init(&l->lock, NULL); /* cannot fail for a plain one */
        l->maximum = maximum;
}

static void drop(struct locks *l, struct nodes *nodes, struct holder **place)
{
        struct holder *h = *place;
        *place = h->next;
        l->count--;
        node_release(nodes, h->node);
        close_fd(&h->fd);
        free(h);
}

void locks_reset(struct locks *l, struct nodes *nodes)
{
        while (l->first != NULL)
                drop(l, nodes, &l->first);
}

void locks_done(struct locks *l, struct nodes *nodes)
{
        locks_reset(l, nodes);
        (void)pthread_mutex_destroy(&l->lock);
}

static struct holder **find(struct locks *l, const struct node *node, uint64_t owner)
{
        struct holder **place = &l->first;
        while (*place != NULL && ((*place)->node != node || (*place)->owner != owner))
                place = &(*place)->next;
        return place;
}

/* As much as the file can be opened for: a lock to write wants a descriptor to write. */
static int open_for_locks(const struct call *c)
{
        int fd = fs_share_of(c, c->node)->readonly ? -EROFS : fs_reopen(c, c->handle->fd, O_RDWR);
        if (fd < 0)
                fd = fs_reopen(c, c->handle->fd, O_RDONLY);
        return fd;
}

static int get(const struct call *c, uint64_t owner, struct holder **ret_holder)
{
        struct locks *l = &c->fs->locks;
        *ret_holder = *find(l, c->node, owner);
        if (*ret_holder != NULL)
                return 0;
        if (l->count == l->maximum)
                return -ENOLCK;
        struct holder *h = calloc(1, sizeof(*h));
        int fd = h == NULL ? -ENOMEM : open_for_locks(c);
        if (fd < 0) {
                free(h);
                return fd;
        }
        *h = (struct holder){.next = l->first, .node = c->node, .owner = owner, .fd = fd};
        node_hold(c->fs->nodes, c->node);
        l->first = h;
        l->count++;
        *ret_holder = h;
        return 0;
}

static int to_flock(const struct fuse_file_lock *lk, struct flock *ret_lock)
{
        if (lk->start > lk->end || lk->end > INT64_MAX || lk->type > F_UNLCK)
                return -EINVAL;
        *ret_lock = (struct flock){.l_type = (short)lk->type,
                                   .l_whence = SEEK_SET,
                                   .l_start = (off_t)lk->start,
                                   .l_len = lk->end == INT64_MAX ? 0 : (off_t)(lk->end - lk->start + 1)};
        return 0;
}

static int lock_range(const struct call *c, const struct fuse_lk_in *in)
{
        struct holder *h = NULL;
        struct flock lock;
        int r = to_flock(&in->lk, &lock);
        if (r < 0)
                return r;
        if (in->lk.type == F_UNLCK && *find(&c->fs->locks, c->node, in->owner) == NULL)
                return 0; /* it has none */
        r = get(c, in->owner, &h);
        if (r == 0 && fcntl(h->fd, F_OFD_SETLK, &lock) < 0)
                r = errno == EACCES ? -EAGAIN : -errno;
        return r;
}

static int lock_whole(const struct call *c, const struct fuse_lk_in *in)
{
        static const int operations[] = {[F_RDLCK] = LOCK_SH, [F_WRLCK] = LOCK_EX, [F_UNLCK] = LOCK_UN};
        if (in->lk.type > F_UNLCK)
                return -EINVAL;
        return flock(c->handle->fd, operations[in->lk.type] | LOCK_NB) < 0 ? -errno : 0;
}

static int set(const struct call *c)
{
        struct fuse_lk_in in;
        struct locks *l = &c->fs->locks;
        memcpy(&in, c->args, sizeof(in));
        if (!c->fs->host_locks)
                return -ENOSYS;
        (void)pthread_mutex_lock(&l->lock); /* a plain mutex, not taken twice: cannot fail */
        int r = in.lk_flags & FUSE_LK_FLOCK ? lock_whole(c, &in) : lock_range(c, &in);
        (void)pthread_mutex_unlock(&l->lock);
        if (in.lk.type == F_UNLCK)
                atomic_fetch_add(&c->fs->unlocks, 1);
        return r;
}

int fs_op_setlk(struct call *c)
{
        return set(c);
}

int fs_op_setlkw(struct call *c)
{
        int r = set(c);
        return r == -EAGAIN ? CALL_LATER : r;
}

int fs_op_getlk(struct call *c)
{
        struct fuse_lk_in in;
        struct fuse_lk_out out = {.lk.type = F_UNLCK};
        struct locks *l = &c->fs->locks;
        struct holder *h = NULL;
        struct flock lock;
        memcpy(&in, c->args, sizeof(in));
        if (!c->fs->host_locks)
                return -ENOSYS;
        int r = to_flock(&in.lk, &lock);
        if (r < 0 || in.lk.type == F_UNLCK)
                return r < 0 ? r : -EINVAL;
        (void)pthread_mutex_lock(&l->lock);
        r = get(c, in.owner, &h);
        if (r == 0 && fcntl(h->fd, F_OFD_GETLK, &lock) < 0)
                r = -errno;
        (void)pthread_mutex_unlock(&l->lock);
        if (r < 0)
                return r;
        if (lock.l_type != F_UNLCK) {
                uint64_t start = (uint64_t)lock.l_start;
                out.lk = (struct fuse_file_lock){.start = start,
                                                 .end = lock.l_len == 0 ? INT64_MAX
                                                                        : start + (uint64_t)lock.l_len - 1,
                                                 .type = (uint32_t)lock.l_type};
        }
        return fs_reply(c, &out, sizeof(out));
}

static void forget_owner(const struct call *c, uint64_t owner)
{
        struct locks *l = &c->fs->locks;
        (void)pthread_mutex_lock(&l->lock);
        struct holder **place = find(l, c->node, owner);
        bool had = *place != NULL;
        if (had)
                drop(l, c->fs->nodes, place);
        (void)pthread_mutex_unlock(&l->lock);
        if (had)
                atomic_fetch_add(&c->fs->unlocks, 1);
}

/* Without locks there is nothing to do when a file is closed, and the guest is told not to ask again. */
int fs_op_flush(struct call *c)
{
        struct fuse_flush_in in;
        memcpy(&in, c->args, sizeof(in));
        if (!c->fs->host_locks)
                return -ENOSYS;
        forget_owner(c, in.lock_owner);
        return 0;
}
