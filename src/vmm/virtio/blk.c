/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device: takes requests off its one queue, turns each into one operation or a few on the disk's
 * descriptor, and gives it back when the last of them is done. Up to BLK_IO_DEPTH requests are under way at
 * once, each in a slot; when all slots are taken, the rest waits in the queue.
 *
 *     queue -> begin() -> [slot: step() <-> on_done(), as often as it takes] -> finish() -> queue
 *
 * A step is one operation. More than one is needed after a short read or write, for each range of a DISCARD
 * or WRITE_ZEROES, and where the file system cannot do what was asked: zeroes are then made by the next best
 * means (see zero_methods), in the end by writing them.
 *
 * The write cache is the host's page cache: a FLUSH is fdatasync(2). To a driver that did not take the FLUSH
 * feature each write is on the disk before it is done (virtio 1.2 section 5.2.5.2).
 *
 * Invariants:
 * 1. A slot's memory of the guest (iov, status) is touched only between begin() and finish(), and drain()
 *    returns when no slot is in use: nothing is read or written in guest memory after a reset.
 * 2. A range of the disk is used only after in_range() has seen it.
 * 3. The status byte is written last, and the chain is put after it.
 *
 * Hostile: the header and the ranges (copied once, then checked), and sizes. The data is the guest's own
 * affair. Threads: the loop's only; those of blk_pool.c touch nothing but a request's segments.
 */
#include "vmm/virtio/blk.h"

#include "base/log.h"
#include "vmm/virtio/again.h"
#include "vmm/virtio/blk_format.h"
#include "vmm/virtio/blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define DEVICE_ID_BLOCK 2 /* virtio 1.2 section 5 */

/* With header and status this stays below CHAIN_SEGMENTS_MAX, and below the smallest queue that is offered.
 */
#define SEGMENTS_MAX 126

#define RANGES_MAX          16
#define DISCARD_SECTORS_MAX (UINT32_C(1) << 22) /* 2 GiB */
#define ZERO_SECTORS_MAX    (UINT32_C(1) << 15) /* 16 MiB: in the worst case they are written */
#define PAGE_SECTORS        8                   /* what file systems of hosts can punch holes by */
#define PHYSICAL_BLOCK_EXP  3
#define ZERO_BYTES          16384
#define THREADS             4
#define BUDGET              256 /* requests a round */

enum zero_method { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

struct slot {
        struct blk_io_request io; /* first */
        struct blk *owner;
        struct slot *next_free;
        struct iovec *place; /* room for CHAIN_SEGMENTS_MAX */
        uint32_t type;
        uint32_t in_bytes;
        uint64_t left; /* bytes of the current data or range still to do */
        uint8_t *status;
        uint16_t head;
        uint8_t range_count;
        uint8_t range; /* the one being worked on */
        enum zero_method method;
        struct blk_range ranges[RANGES_MAX];
};

struct blk {
        struct device device; /* first: ops get this pointer */
        struct blk_options options;
        struct blk_io *io;
        struct again again;
        struct blk_config config;
        char id[BLK_ID_SIZE];
        uint64_t size;
        bool writes_through; /* the driver knows no FLUSH */
        bool said_full;
        bool said_error;
        struct slot *free;
        struct slot slots[BLK_IO_DEPTH];
        struct iovec (*places)[CHAIN_SEGMENTS_MAX];
        struct chain chain; /* the one being worked on */
};

/* What writes zeroes where nothing better works; never written to, so it is one page of nothing. */
static uint8_t zeroes[ZERO_BYTES];

static struct queue *queue_of(struct blk *b)
{
        return &b->device.queues[0];
}

static bool in_range(const struct blk *b, uint64_t sector, uint64_t bytes)
{
        uint64_t start;
        return !__builtin_mul_overflow(sector, BLK_SECTOR, &start) && start <= b->size &&
               bytes <= b->size - start;
}

/* ---- the end of a request ---- */

static void answer(struct blk *b, uint16_t head, uint32_t in_bytes, uint8_t *place, enum blk_status status)
{
        *place = (uint8_t)status;
        queue_put_head(queue_of(b), head, in_bytes);
}

static void finish(struct slot *s, enum blk_status status)
{
        struct blk *b = s->owner;
        answer(b, s->head, s->in_bytes, s->status, status);
        s->next_free = b->free;
        b->free = s;
}

/* A guest can make errors as fast as it likes: the first of a kind is worth a line. */
static void fail(struct slot *s, int code)
{
        struct blk *b = s->owner;
        bool full = code == -ENOSPC || code == -EDQUOT;
        bool *said = full ? &b->said_full : &b->said_error;
        if (!*said)
                log_warning("disk '%.*s': %s at byte %" PRIu64 ": %s; the guest gets an I/O error",
                            BLK_ID_SIZE, b->id, s->type == BLK_T_IN ? "reading" : "writing", s->io.offset,
                            full ? "no space left on the host" : strerror(-code));
        *said = true;
        finish(s, BLK_S_IOERR);
}

/* ---- steps ---- */

static const int zero_modes[] = {
    [ZERO_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    [ZERO_RANGE] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
};

static void step_zero_write(struct slot *s)
{
        uint64_t done = 0;
        s->io.op = BLK_IO_WRITE;
        s->io.iov = s->place;
        for (s->io.count = 0; s->io.count < CHAIN_SEGMENTS_MAX && done < s->left; s->io.count++) {
                uint64_t n = s->left - done < ZERO_BYTES ? s->left - done : ZERO_BYTES;
                s->place[s->io.count] = (struct iovec){.iov_base = zeroes, .iov_len = (size_t)n};
                done += n;
        }
        blk_io_submit(s->owner->io, &s->io);
}

static void step_zero(struct slot *s)
{
        if (s->method == ZERO_WRITE) {
                step_zero_write(s);
                return;
        }
        s->io.op = BLK_IO_ALLOCATE;
        s->io.mode = zero_modes[s->method];
        s->io.size = s->left;
        blk_io_submit(s->owner->io, &s->io);
}

static enum zero_method first_method(const struct slot *s, const struct blk_range *r)
{
        if (s->type == BLK_T_DISCARD)
                return ZERO_PUNCH;
        if (s->io.through) /* fallocate(2) knows nothing like RWF_DSYNC */
                return ZERO_WRITE;
        return r->flags & BLK_RANGE_UNMAP ? ZERO_PUNCH : ZERO_RANGE;
}

/* The next range that is not empty; without one the request is done. */
static void step_range(struct slot *s)
{
        for (; s->range < s->range_count; s->range++) {
                const struct blk_range *r = &s->ranges[s->range];
                if (r->sectors == 0)
                        continue;
                s->io.offset = r->sector * BLK_SECTOR;
                s->left = (uint64_t)r->sectors * BLK_SECTOR;
                s->method = first_method(s, r);
                step_zero(s);
                return;
        }
        finish(s, BLK_S_OK);
}

/* `n` bytes of what is left were done. */
static void advance(struct slot *s, uint64_t n)
{
        s->left -= n;
        s->io.offset += n;
        while (n > 0 && s->io.count > 0) {
                size_t length = s->io.iov->iov_len;
                if (n < length) {
                        s->io.iov->iov_base = (uint8_t *)s->io.iov->iov_base + n;
                        s->io.iov->iov_len = length - n;
                        return;
                }
                n -= length;
                s->io.iov++;
                s->io.count--;
        }
}

static void data_done(struct slot *s)
{
        if (s->io.result == 0 || (uint64_t)s->io.result > s->left) {
                fail(s, -EIO); /* the file became shorter than the disk */
                return;
        }
        advance(s, (uint64_t)s->io.result);
        if (s->left > 0)
                blk_io_submit(s->owner->io, &s->io);
        else
                finish(s, BLK_S_OK);
}

static bool cannot(int64_t result)
{
        return result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL;
}

static void range_done(struct slot *s)
{
        bool unable = s->io.op == BLK_IO_ALLOCATE && cannot(s->io.result);
        if (unable && s->type == BLK_T_WRITE_ZEROES) {
                s->method++;
                step_zero(s);
                return;
        }
        if (s->io.result < 0 && !unable) { /* a DISCARD is a hint: not to be able to is no error */
                fail(s, (int)s->io.result);
                return;
        }
        if (s->io.op == BLK_IO_WRITE) {
                if (s->io.result == 0) {
                        fail(s, -EIO);
                        return;
                }
                s->left -= (uint64_t)s->io.result;
                s->io.offset += (uint64_t)s->io.result;
                if (s->left > 0) {
                        step_zero_write(s);
                        return;
                }
        }
        s->range++;
        step_range(s);
}

static void on_done(struct blk_io_request *r, void *data)
{
        struct slot *s = (struct slot *)r;
        if (r->result == -EAGAIN || r->result == -EINTR) {
                blk_io_submit(s->owner->io, r);
                return;
        }
        if (s->type == BLK_T_DISCARD || s->type == BLK_T_WRITE_ZEROES)
                range_done(s);
        else if (r->result < 0)
                fail(s, (int)r->result);
        else if (s->type == BLK_T_FLUSH)
                finish(s, BLK_S_OK);
        else
                data_done(s);
}

/* ---- the beginning of a request ---- */

/* What a chain asks for, checked; the slot's fields that begin() fills are not read here. */
static enum blk_status check_ranges(const struct blk *b, const struct slot *s)
{
        uint32_t maximum = s->type == BLK_T_DISCARD ? DISCARD_SECTORS_MAX : ZERO_SECTORS_MAX;
        uint32_t known = s->type == BLK_T_DISCARD ? 0 : BLK_RANGE_UNMAP;
        for (unsigned i = 0; i < s->range_count; i++) {
                const struct blk_range *r = &s->ranges[i];
                if (r->flags & ~known) /* section 5.2.6.2 */
                        return BLK_S_UNSUPP;
                if (r->sectors > maximum || !in_range(b, r->sector, (uint64_t)r->sectors * BLK_SECTOR))
                        return BLK_S_IOERR;
        }
        return BLK_S_OK;
}

static enum blk_status begin_ranges(struct blk *b, struct slot *s)
{
        const struct chain *c = &b->chain;
        size_t bytes = c->out_bytes - sizeof(struct blk_header);
        if (bytes == 0 || bytes % sizeof(struct blk_range) != 0 || bytes > sizeof(s->ranges))
                return BLK_S_IOERR;
        (void)iov_read(c->iov, c->out_count, sizeof(struct blk_header), s->ranges, bytes); /* it is there */
        s->range_count = (uint8_t)(bytes / sizeof(struct blk_range));
        s->range = 0;
        return check_ranges(b, s);
}

static enum blk_status begin_data(struct blk *b, struct slot *s, uint64_t sector)
{
        const struct chain *c = &b->chain;
        bool in = s->type == BLK_T_IN;
        uint32_t bytes =
            in ? c->in_bytes - BLK_STATUS_SIZE : c->out_bytes - (uint32_t)sizeof(struct blk_header);
        size_t got;
        if (bytes % BLK_SECTOR != 0 || !in_range(b, sector, bytes))
                return BLK_S_IOERR;
        s->io.op = in ? BLK_IO_READ : BLK_IO_WRITE;
        s->io.offset = sector * BLK_SECTOR;
        s->io.iov = s->place;
        s->io.count = in ? iov_slice(c->iov + c->out_count, c->in_count, 0, bytes, s->place, &got)
                         : iov_slice(c->iov, c->out_count, sizeof(struct blk_header), bytes, s->place, &got);
        s->left = got;
        return BLK_S_OK;
}

static enum blk_status tell_id(struct blk *b)
{
        const struct chain *c = &b->chain;
        size_t room = c->in_bytes - BLK_STATUS_SIZE;
        (void)iov_write(c->iov + c->out_count, c->in_count, 0, b->id,
                        room < BLK_ID_SIZE ? room : BLK_ID_SIZE); /* as much as it has room for */
        return BLK_S_OK;
}

/* Starts what s->type says, of which the checks are done. */
static void start(struct slot *s)
{
        if (s->type == BLK_T_DISCARD || s->type == BLK_T_WRITE_ZEROES) {
                step_range(s);
                return;
        }
        if (s->type == BLK_T_FLUSH)
                s->io.op = BLK_IO_SYNC;
        else if (s->left == 0) {
                finish(s, BLK_S_OK);
                return;
        }
        blk_io_submit(s->owner->io, &s->io);
}

/* Checks the request in b->chain; BLK_S_OK with *ret_start true: it goes on in slot s. */
static enum blk_status check(struct blk *b, struct slot *s, const struct blk_header *h, bool *ret_start)
{
        bool writes = h->type == BLK_T_OUT || h->type == BLK_T_DISCARD || h->type == BLK_T_WRITE_ZEROES;
        *ret_start = false;
        s->type = h->type;
        if (h->type == BLK_T_GET_ID)
                return tell_id(b);
        if (writes && b->options.readonly) /* section 5.2.6.2 */
                return h->type == BLK_T_OUT ? BLK_S_IOERR : BLK_S_UNSUPP;
        *ret_start = true;
        switch (h->type) {
        case BLK_T_IN:
        case BLK_T_OUT:
                return begin_data(b, s, h->sector);
        case BLK_T_FLUSH:
                *ret_start = !b->options.readonly;
                return BLK_S_OK;
        case BLK_T_DISCARD:
        case BLK_T_WRITE_ZEROES:
                return begin_ranges(b, s);
        default:
                return BLK_S_UNSUPP;
        }
}

/* The chain's last byte that the device may write. */
static uint8_t *status_place(const struct chain *c)
{
        const struct iovec *last = &c->iov[c->out_count + c->in_count - 1];
        return (uint8_t *)last->iov_base + last->iov_len - 1;
}

static void begin(struct blk *b)
{
        const struct chain *c = &b->chain;
        struct blk_header header;
        bool goes_on;
        if (iov_read(c->iov, c->out_count, 0, &header, sizeof(header)) != sizeof(header)) {
                queue_break(queue_of(b), "request shorter than its header");
                return;
        }
        if (c->in_bytes < BLK_STATUS_SIZE) {
                queue_break(queue_of(b), "request without room for its status");
                return;
        }
        struct slot *s = b->free;
        enum blk_status status = check(b, s, &header, &goes_on);
        if (status != BLK_S_OK || !goes_on) {
                answer(b, c->head, c->in_bytes, status_place(c), status);
                return;
        }
        b->free = s->next_free;
        s->head = c->head;
        s->in_bytes = c->in_bytes;
        s->status = status_place(c);
        s->io.through = b->writes_through;
        start(s);
}

static void serve(struct blk *b)
{
        struct queue *q = queue_of(b);
        unsigned budget = BUDGET;
        bool stuck;
        queue_kicks_off(q);
        do {
                while (b->free != NULL && budget > 0 && queue_next(q, &b->chain) > 0) {
                        budget--;
                        begin(b);
                }
                stuck = !blk_io_run(b->io);
        } while (b->free != NULL && budget > 0 && queue_kicks_on(q));
        if (budget == 0 || stuck)
                again_ask(&b->again);
        queue_publish(q);
}

/* ---- entry points ---- */

static void on_wake(void *data)
{
        serve(data);
}

static void blk_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        const struct blk *b = (const struct blk *)device;
        device_config_copy(&b->config, sizeof(b->config), offset, bytes, size);
}

static void blk_ready(struct device *device, uint64_t features)
{
        struct blk *b = (struct blk *)device;
        b->writes_through = !(features & BLK_F_FLUSH);
}

static void blk_kick(struct device *device, unsigned queue)
{
        serve((struct blk *)device);
}

static void blk_drain(struct device *device)
{
        struct blk *b = (struct blk *)device;
        while (b->io->under_way > 0)
                blk_io_wait(b->io);
        queue_publish(queue_of(b));
}

static void blk_stop(struct device *device)
{
}

static const struct device_ops blk_ops = {
    .name = "blk",
    .id = DEVICE_ID_BLOCK,
    .queue_count = 1,
    .config_read = blk_config_read,
    .ready = blk_ready,
    .kick = blk_kick,
    .drain = blk_drain,
    .stop = blk_stop,
};

static int find_size(int fd, uint64_t *ret_size, struct error *err)
{
        struct stat st;
        uint64_t size = 0;
        int flags = fcntl(fd, F_GETFL);
        if (fstat(fd, &st) < 0 || flags < 0)
                return error_errno(err, -errno, "look at the disk");
        /* io_uring takes it to mean that a read may fail because it would have to wait */
        if ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return error_errno(err, -errno, "make the disk blocking");
        if (S_ISREG(st.st_mode))
                size = (uint64_t)st.st_size;
        else if (!S_ISBLK(st.st_mode))
                return error_set(err, -EINVAL, "the disk is neither a file nor a block device");
        else if (ioctl(fd, BLKGETSIZE64, &size) < 0)
                return error_errno(err, -errno, "ask for the disk's size");
        if (size < BLK_SECTOR)
                return error_set(err, -EINVAL, "the disk has %" PRIu64 " bytes, which is no sector", size);
        *ret_size = size - size % BLK_SECTOR;
        return 0;
}

static void describe(struct blk *b)
{
        b->device.ops = &blk_ops;
        b->device.features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_TOPOLOGY | BLK_F_FLUSH |
                             (b->options.readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
        b->config = (struct blk_config){.capacity = b->size / BLK_SECTOR,
                                        .seg_max = SEGMENTS_MAX,
                                        .blk_size = BLK_SECTOR,
                                        .physical_block_exp = PHYSICAL_BLOCK_EXP,
                                        .num_queues = 1,
                                        .max_discard_sectors = DISCARD_SECTORS_MAX,
                                        .max_discard_seg = RANGES_MAX,
                                        .discard_sector_alignment = PAGE_SECTORS,
                                        .max_write_zeroes_sectors = ZERO_SECTORS_MAX,
                                        .max_write_zeroes_seg = RANGES_MAX,
                                        .write_zeroes_may_unmap = 1};
}

static int make_engine(struct blk *b, struct loop *loop, struct error *err)
{
        const struct blk_io_events events = {.wake = on_wake, .done = on_done, .data = b};
        const struct blk_options *o = &b->options;
        int r = -ENOSYS;
        if (o->engine != BLK_ENGINE_THREADS)
                r = blk_io_uring_new(loop, o->fd, o->readonly, &events, &b->io);
        if (o->engine == BLK_ENGINE_THREADS || (o->engine == BLK_ENGINE_AUTO && r < 0)) {
                if (o->engine == BLK_ENGINE_AUTO)
                        log_info("no io_uring for disks: %s; threads do it", strerror(-r));
                r = blk_io_pool_new(loop, o->fd, THREADS, o->thread_begins, o->data, &events, &b->io);
        }
        return r < 0 ? error_errno(err, r, "prepare for disk I/O") : 0;
}

int blk_new(struct loop *loop, const struct blk_options *options, struct blk **ret_blk, struct error *err)
{
        struct blk *b = calloc(1, sizeof(*b));
        if (b == NULL)
                return error_errno(err, -ENOMEM, "make a disk");
        b->again.fd = -1;
        b->options = *options;
        if (options->id != NULL)
                memcpy(b->id, options->id, strnlen(options->id, sizeof(b->id)));
        b->options.id = NULL; /* the caller's */
        b->places = calloc(BLK_IO_DEPTH, sizeof(*b->places));
        int r = b->places == NULL ? error_errno(err, -ENOMEM, "make a disk") : 0;
        if (r == 0)
                r = find_size(options->fd, &b->size, err);
        if (r == 0)
                r = make_engine(b, loop, err);
        if (r == 0 && (r = again_init(&b->again, loop, on_wake, b)) < 0)
                (void)error_errno(err, r, "make a disk");
        if (r < 0) {
                blk_free(b);
                return r;
        }
        describe(b);
        for (unsigned i = BLK_IO_DEPTH; i-- > 0;) {
                b->slots[i] = (struct slot){.owner = b, .place = b->places[i], .next_free = b->free};
                b->free = &b->slots[i];
        }
        *ret_blk = b;
        return 0;
}

void blk_free(struct blk *b)
{
        if (b == NULL)
                return;
        if (b->io != NULL)
                blk_drain(&b->device);
        blk_io_free(b->io);
        again_done(&b->again);
        free(b->places);
        free(b);
}

struct device *blk_device(struct blk *b)
{
        return &b->device;
}

const char *blk_engine_name(const struct blk *b)
{
        return b->io->ops->name;
}
