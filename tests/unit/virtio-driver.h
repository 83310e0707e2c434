/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_VIRTIO_DRIVER_H
#define UNIT_VIRTIO_DRIVER_H

/*
 * The other side of a virtqueue, for tests: a guest's driver in this process, on a piece of memory that plays
 * the guest's. It does what it is told, also what a driver may not do.
 */
#include "vmm/virtio/queue.h"

#include <stdlib.h>
#include <string.h>

#define GUEST_BASE UINT64_C(0x100000)

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct guest {
        uint8_t *bytes;
        size_t size;
        size_t used; /* a bump allocator */
        struct memory memory;
};

struct ring_desc {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
};

struct driver_ring {
        struct guest *guest;
        uint16_t size;
        struct queue_address address;
        uint16_t next_desc;     /* descriptors are handed out in a circle */
        uint16_t available_idx; /* what was announced */
        uint16_t used_seen;
        unsigned notifications;
        unsigned broken;
        const char *why;
};

static inline uint64_t guest_alloc(struct guest *g, size_t size, size_t alignment)
{
        g->used = (g->used + alignment - 1) / alignment * alignment;
        uint64_t gpa = GUEST_BASE + g->used;
        g->used += size;
        if (g->used > g->size)
                abort();
        return gpa;
}

static inline void *guest_at(const struct guest *g, uint64_t gpa)
{
        return g->bytes + (gpa - GUEST_BASE);
}

static inline void guest_init(struct guest *g, size_t size)
{
        memset(g, 0, sizeof(*g));
        g->bytes = aligned_alloc(4096, size);
        g->size = size;
        if (g->bytes == NULL)
                abort();
        memset(g->bytes, 0, size);
        if (memory_add(&g->memory, GUEST_BASE, size, GUEST_BASE, g->bytes) < 0)
                abort();
}

static inline void guest_done(struct guest *g)
{
        memory_done(&g->memory);
        free(g->bytes);
}

static inline void driver_count_notify(struct queue *q, void *data)
{
        ((struct driver_ring *)data)->notifications++;
}

static inline void driver_count_broken(struct queue *q, const char *why, void *data)
{
        ((struct driver_ring *)data)->broken++;
        ((struct driver_ring *)data)->why = why;
}

static inline void driver_ring_init(struct driver_ring *d, struct guest *g, uint16_t size)
{
        memset(d, 0, sizeof(*d));
        d->guest = g;
        d->size = size;
        d->address.descriptors = guest_alloc(g, 16U * size, 16);
        d->address.available = guest_alloc(g, 6U + 2U * size, 2);
        d->address.used = guest_alloc(g, 6U + 8U * size, 4);
}

/* Gives the device's queue its memory and callbacks, and starts it at index `base`. */
static inline int driver_start(struct driver_ring *d, struct queue *q, uint16_t base, uint64_t features)
{
        q->memory = &d->guest->memory;
        q->notify = driver_count_notify;
        q->on_broken = driver_count_broken;
        q->data = d;
        d->available_idx = d->used_seen = base;
        ((uint16_t *)guest_at(d->guest, d->address.available))[1] = base;
        ((uint16_t *)guest_at(d->guest, d->address.used))[1] = base;
        return queue_start(q, d->size, &d->address, base, features);
}

static inline struct ring_desc *driver_desc(struct driver_ring *d, unsigned i)
{
        return (struct ring_desc *)guest_at(d->guest, d->address.descriptors) + i;
}

static inline void driver_set_desc(struct driver_ring *d, unsigned i, uint64_t address, uint32_t length,
                                   uint16_t flags, uint16_t next)
{
        *driver_desc(d, i) = (struct ring_desc){address, length, flags, next};
}

static inline void driver_announce(struct driver_ring *d, uint16_t head)
{
        uint16_t *available = guest_at(d->guest, d->address.available);
        available[2 + d->available_idx % d->size] = head;
        __atomic_store_n(&available[1], ++d->available_idx, __ATOMIC_RELEASE);
}

/* One chain of up to two descriptors: out bytes at out_gpa, in bytes at in_gpa (size 0: none). Returns its
 * head. */
static inline uint16_t driver_add(struct driver_ring *d, uint64_t out_gpa, uint32_t out, uint64_t in_gpa,
                                  uint32_t in)
{
        uint16_t head = d->next_desc, second = (uint16_t)((head + 1) % d->size);
        if (out > 0 && in > 0) {
                driver_set_desc(d, head, out_gpa, out, DESC_NEXT, second);
                driver_set_desc(d, second, in_gpa, in, DESC_WRITE, 0);
                d->next_desc = (uint16_t)((head + 2) % d->size);
        } else {
                driver_set_desc(d, head, out > 0 ? out_gpa : in_gpa, out > 0 ? out : in,
                                out > 0 ? 0 : DESC_WRITE, 0);
                d->next_desc = second;
        }
        driver_announce(d, head);
        return head;
}

static inline uint16_t driver_used_idx(const struct driver_ring *d)
{
        return __atomic_load_n((uint16_t *)guest_at(d->guest, d->address.used) + 1, __ATOMIC_ACQUIRE);
}

/* Takes the next used element. */
static inline bool driver_take_used(struct driver_ring *d, uint32_t *ret_id, uint32_t *ret_length)
{
        if (driver_used_idx(d) == d->used_seen)
                return false;
        const uint32_t *ring =
            (const uint32_t *)(const void *)((uint8_t *)guest_at(d->guest, d->address.used) + 4);
        *ret_id = ring[2 * (d->used_seen % d->size)];
        *ret_length = ring[2 * (d->used_seen % d->size) + 1];
        d->used_seen++;
        return true;
}

static inline void driver_set_used_event(struct driver_ring *d, uint16_t value)
{
        ((uint16_t *)guest_at(d->guest, d->address.available))[2 + d->size] = value;
}

static inline uint16_t driver_avail_event(const struct driver_ring *d)
{
        return *(uint16_t *)(void *)((uint8_t *)guest_at(d->guest, d->address.used) + 4 +
                                     8 * (size_t)d->size);
}

#endif
