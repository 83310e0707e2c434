/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk I/O by io_uring. The ring is made for one file: before it is enabled, that file is registered, and the
 * ring is restricted to the four operations below on registered files. So even who takes over this process
 * and writes into the ring gets no further than to the box's own disk, although the kernel asks no seccomp
 * filter about what comes through a ring. The only system call from then on is io_uring_enter.
 *
 * Completions make the ring's descriptor readable, which is what the loop watches. What is in the page cache
 * completes within the submitting call, and is found by the same run.
 *
 * Invariant: at most BLK_IO_DEPTH operations are under way, and both rings have that many places, so that
 * neither overflows.
 *
 * system calls (loop): io_uring_enter
 */
#include "vmm/virtio/blk_io.h"

#include "base/cleanup.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define THE_FILE 0 /* its index among the registered ones */

struct uring {
        struct blk_io io; /* first */
        struct io_uring ring;
        struct source *source;
        unsigned unsubmitted; /* in the ring, and the kernel has not taken it yet */
};

static struct uring *of(struct blk_io *io)
{
        return (struct uring *)io;
}

static void prepare(struct io_uring_sqe *sqe, struct blk_io_request *r)
{
        switch (r->op) {
        case BLK_IO_READ:
                io_uring_prep_readv(sqe, THE_FILE, r->iov, r->count, r->offset);
                break;
        case BLK_IO_WRITE:
                io_uring_prep_writev2(sqe, THE_FILE, r->iov, r->count, r->offset, r->through ? RWF_DSYNC : 0);
                break;
        case BLK_IO_SYNC:
                io_uring_prep_fsync(sqe, THE_FILE, IORING_FSYNC_DATASYNC);
                break;
        case BLK_IO_ALLOCATE:
                io_uring_prep_fallocate(sqe, THE_FILE, r->mode, (off_t)r->offset, (off_t)r->size);
                break;
        }
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
        io_uring_sqe_set_data(sqe, r);
}

static void submit(struct blk_io *io, struct blk_io_request *r)
{
        struct uring *u = of(io);
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring); /* there is one, by the invariant */
        prepare(sqe, r);
        u->unsubmitted++;
}

/* Calls done() for all that has ended. */
static bool reap(struct uring *u)
{
        struct io_uring_cqe *cqe;
        bool any = false;
        while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
                struct blk_io_request *r = io_uring_cqe_get_data(cqe);
                r->result = cqe->res;
                io_uring_cqe_seen(&u->ring, cqe);
                u->io.under_way--;
                any = true;
                u->io.events.done(r, u->io.events.data);
        }
        return any;
}

/* The kernel takes what was submitted; wait_for completions are there then, if it goes well. */
static int enter(struct uring *u, unsigned wait_for)
{
        int r;
        do {
                r = wait_for > 0 ? io_uring_submit_and_wait(&u->ring, wait_for) : io_uring_submit(&u->ring);
                if (r > 0)
                        u->unsubmitted -= (unsigned)r;
        } while (r == -EINTR);
        return r;
}

static bool run(struct blk_io *io)
{
        struct uring *u = of(io);
        bool taken = true;
        do {
                if (u->unsubmitted > 0)
                        taken = enter(u, 0) >= 0; /* -EAGAIN: it has no memory now */
        } while (reap(u) || (taken && u->unsubmitted > 0));
        return u->unsubmitted == 0;
}

static void wait(struct blk_io *io)
{
        struct uring *u = of(io);
        (void)enter(u, 1); /* if it did not wait, the caller asks again */
        (void)reap(u);
}

static void on_ring(struct source *s, int fd, uint32_t events, void *data)
{
        struct uring *u = data;
        u->io.events.wake(u->io.events.data);
}

static void uring_free(struct blk_io *io)
{
        struct uring *u = of(io);
        source_free(u->source);
        if (u->ring.ring_fd >= 0)
                io_uring_queue_exit(&u->ring);
        free(u);
}

static const struct blk_io_ops uring_ops = {
    .name = "io_uring", .submit = submit, .run = run, .wait = wait, .free = uring_free};

/* See the essay. A disk that is only read gets no operation that writes. */
static int confine(struct uring *u, bool readonly)
{
        struct io_uring_restriction rules[] = {
            {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
            {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
            {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
            {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
            {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE},
        };
        int r = io_uring_register_files(&u->ring, &u->io.fd, 1);
        if (r == 0)
                r = io_uring_register_restrictions(&u->ring, rules, readonly ? 3 : 5);
        if (r == 0)
                r = io_uring_enable_rings(&u->ring);
        return r;
}

int blk_io_uring_new(struct loop *loop, int fd, bool readonly, const struct blk_io_events *events,
                     struct blk_io **ret_io)
{
        struct uring *u = calloc(1, sizeof(*u));
        if (u == NULL)
                return -ENOMEM;
        u->io = (struct blk_io){.ops = &uring_ops, .events = *events, .fd = fd};
        u->ring.ring_fd = -1;
        struct io_uring ring;
        int r = io_uring_queue_init(BLK_IO_DEPTH, &ring, IORING_SETUP_R_DISABLED);
        if (r == 0) {
                u->ring = ring;
                r = confine(u, readonly);
        }
        if (r == 0)
                r = loop_add_io(loop, u->ring.ring_fd, EPOLLIN, on_ring, u, &u->source);
        if (r < 0) {
                uring_free(&u->io);
                return r;
        }
        *ret_io = &u->io;
        return 0;
}
