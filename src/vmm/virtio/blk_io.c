/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ways of blk_io.h have in common.
 *
 * system calls (disk): preadv2 pwritev2 fdatasync fallocate
 */
#include "vmm/virtio/blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void blk_io_submit(struct blk_io *io, struct blk_io_request *r)
{
        io->under_way++;
        io->ops->submit(io, r);
}

bool blk_io_run(struct blk_io *io)
{
        return io->ops->run(io);
}

void blk_io_wait(struct blk_io *io)
{
        if (io->under_way > 0)
                io->ops->wait(io);
}

void blk_io_free(struct blk_io *io)
{
        if (io != NULL)
                io->ops->free(io);
}

static ssize_t perform_once(int fd, const struct blk_io_request *r)
{
        switch (r->op) {
        case BLK_IO_READ:
                return preadv2(fd, r->iov, (int)r->count, (off_t)r->offset, 0);
        case BLK_IO_WRITE:
                return pwritev2(fd, r->iov, (int)r->count, (off_t)r->offset, r->through ? RWF_DSYNC : 0);
        case BLK_IO_SYNC:
                return fdatasync(fd);
        case BLK_IO_ALLOCATE:
                return fallocate(fd, r->mode, (off_t)r->offset, (off_t)r->size);
        }
        errno = EINVAL;
        return -1;
}

void blk_io_perform(int fd, struct blk_io_request *r)
{
        ssize_t n;
        do {
                n = perform_once(fd, r);
        } while (n < 0 && errno == EINTR);
        r->result = n < 0 ? -errno : n;
}
