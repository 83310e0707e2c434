/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_BLK_IO_H
#define VMM_VIRTIO_BLK_IO_H

/*
 * Several operations at once on one file or block device, none of which holds up the loop. Two ways to do it,
 * which behave alike: io_uring, and threads where that is missing or forbidden.
 *
 *     blk_io_submit(io, &a); blk_io_submit(io, &b);
 *     blk_io_run(io);              starts them; done() comes for what has ended, now or in a later run
 *
 * wake() comes from the loop when a run would find something. A request is the caller's memory, untouched by
 * the caller from submit to done(); done() may submit again.
 */
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_IO_DEPTH 64 /* how many may be under way */

enum blk_io_op {
        BLK_IO_READ,
        BLK_IO_WRITE,
        BLK_IO_SYNC,     /* fdatasync(2) */
        BLK_IO_ALLOCATE, /* fallocate(2) with mode */
};

struct blk_io_request {
        enum blk_io_op op;
        int mode;
        bool through;      /* a write is on the disk when it is done */
        struct iovec *iov; /* READ, WRITE */
        unsigned count;
        uint64_t offset;
        uint64_t size;               /* ALLOCATE */
        int64_t result;              /* bytes, 0, or -errno */
        struct blk_io_request *next; /* the engine's */
};

struct blk_io_events {
        void (*wake)(void *data);
        void (*done)(struct blk_io_request *r, void *data);
        void *data;
};

struct blk_io;

struct blk_io_ops {
        const char *name;
        void (*submit)(struct blk_io *io, struct blk_io_request *r);
        bool (*run)(struct blk_io *io);
        void (*wait)(struct blk_io *io);
        void (*free)(struct blk_io *io);
};

struct blk_io {
        const struct blk_io_ops *ops;
        struct blk_io_events events;
        int fd;
        unsigned under_way; /* submitted, and done() not called yet */
};

/* Both borrow fd, and need nothing but read, write, futex and io_uring_enter once they are made. */

/* -errno when io_uring is not there, not allowed, or too old to be confined to this one file (Linux 5.10). */
int blk_io_uring_new(struct loop *loop, int fd, bool readonly, const struct blk_io_events *events,
                     struct blk_io **ret_io);

/* Threads; each calls thread_begins (may be NULL) first, for instance to give up system calls. Below 0 from
 * there makes this fail with that code. */
int blk_io_pool_new(struct loop *loop, int fd, unsigned threads, int (*thread_begins)(void *data),
                    void *begins_data, const struct blk_io_events *events, struct blk_io **ret_io);

/* At most BLK_IO_DEPTH under way. */
void blk_io_submit(struct blk_io *io, struct blk_io_request *r);

/* False: something could not be started for now; run again soon. */
bool blk_io_run(struct blk_io *io);

/* Waits until one has ended at least, if any is under way, then as run. */
void blk_io_wait(struct blk_io *io);

/* Nothing may be under way. NULL is fine. */
void blk_io_free(struct blk_io *io);

/* Carries out r on fd in this thread. */
void blk_io_perform(int fd, struct blk_io_request *r);

#endif
