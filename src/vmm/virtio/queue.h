/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

/*
 * The device's side of a split virtqueue (virtio 1.2 section 2.7), with indirect descriptors and event index.
 * It works on struct memory and knows no transport: a transport fills struct queue_address, calls
 * queue_start(), and gives a notify function.
 *
 * Use by a device:
 *
 *     while (queue_next(q, &chain) > 0) {
 *             ... chain.iov[0 .. out_count) to read, then in_count to write ...
 *             queue_put(q, &chain, written);
 *     }
 *     queue_publish(q);
 *
 * A queue that the driver misused is broken: queue_next() gives nothing any more until the driver starts it
 * anew, and on_broken is called once, with what was wrong.
 */
#include "vmm/virtio/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define QUEUE_SIZE_MAX     1024
#define CHAIN_SEGMENTS_MAX 256 /* longest chain, indirect ones included; drivers of ours use two */

/* Feature bits that concern every queue (virtio 1.2 section 6). */
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)

/* Where the driver put the rings, in guest-physical addresses. */
struct queue_address {
        uint64_t descriptors;
        uint64_t available;
        uint64_t used;
};

struct queue {
        const struct memory *memory;
        void (*notify)(struct queue *q, void *data); /* tells the driver that used buffers are there */
        void (*on_broken)(struct queue *q, const char *why, void *data);
        void *data;

        uint16_t size;
        bool started;
        bool broken;
        bool indirect;    /* VIRTIO_F_INDIRECT_DESC was negotiated */
        bool event_index; /* VIRTIO_F_EVENT_IDX was negotiated */

        const uint8_t *descriptors; /* in our address space, all of size entries checked */
        uint8_t *available;
        uint8_t *used;

        uint16_t next_available; /* the next entry of the available ring to take */
        uint16_t next_used;      /* the next entry of the used ring to fill */
        uint16_t published;      /* what the used ring's idx says */
};

/* One descriptor chain: out_count segments that the device reads, followed by in_count that it writes. */
struct chain {
        uint16_t head;
        uint16_t out_count;
        uint16_t in_count;
        uint32_t out_bytes;
        uint32_t in_bytes;
        struct iovec iov[CHAIN_SEGMENTS_MAX];
};

/*
 * Starts at next_available (0 for a fresh queue). features are the negotiated ones. -EINVAL: size is not a
 * power of two of at most QUEUE_SIZE_MAX, or a ring is misaligned; -EFAULT: a ring is not in memory.
 */
int queue_start(struct queue *q, uint16_t size, const struct queue_address *address, uint16_t next_available,
                uint64_t features);
void queue_stop(struct queue *q);

/* Takes the next chain: 1, or 0 when there is none (also when stopped or broken). */
int queue_next(struct queue *q, struct chain *ret_chain);

/* Puts the chain taken last back, as if it had not been taken. */
void queue_untake(struct queue *q);

/* Gives a chain back, of whose in-segments the first `written` bytes were filled. Seen at queue_publish(). */
void queue_put(struct queue *q, const struct chain *chain, uint32_t written);

/* The same for a chain that was taken a while ago, of which only the head was kept. */
void queue_put_head(struct queue *q, uint16_t head, uint32_t written);

/* Shows the driver what was put, and notifies it if it wants to know. */
void queue_publish(struct queue *q);

/*
 * Asks the driver for a kick when it makes more available. True: some came meanwhile, take them now (no kick
 * may come for those). queue_kicks_off() says that none is needed; kicks may come all the same.
 */
bool queue_kicks_on(struct queue *q);
void queue_kicks_off(struct queue *q);

/* Marks the queue as misused: for what only the device can see to be wrong. */
void queue_break(struct queue *q, const char *why);

/* Copies between plain bytes and segments, from byte `skip` on; return how many bytes fitted. */
size_t iov_read(const struct iovec *iov, unsigned count, size_t skip, void *bytes, size_t size);
size_t iov_write(const struct iovec *iov, unsigned count, size_t skip, const void *bytes, size_t size);

/* The part of segments that is left after skip bytes, at most limit bytes of it, as segments in ret_iov (room
 * for count). Returns how many, and the bytes in *ret_bytes. */
unsigned iov_slice(const struct iovec *iov, unsigned count, size_t skip, size_t limit, struct iovec *ret_iov,
                   size_t *ret_bytes);

#endif
