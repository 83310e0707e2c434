/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_DEVICE_WORLD_H
#define FUZZ_DEVICE_WORLD_H

/*
 * A device core between a hostile driver and the loop, for fuzz targets. The input is a list of steps; each
 * byte chooses one, modulo 8, and the bytes after it are its arguments:
 *
 *     0  post a chain       queue, count of segments, and for each: where (u16, in 16 bytes), length, flags
 *     1  set a descriptor   queue, which, where (u16), length (u16), flags, next; nothing is announced
 *     2  announce           queue, head (beyond the ring now and then)
 *     3  write memory       where (u16, in 16 bytes), count, that many bytes
 *     4  kick               queue
 *     5  let the loop run
 *     6  the driver starts anew, with features: first byte the low ones (shifted by the target), second those
 *        of queues
 *     7  configuration      offset, size, write or read; or what else the target knows (step_more)
 *
 * Lengths are a byte: below 192 itself, above that (n - 191) * 512.
 */
#include "../tests/unit/virtio-driver.h"
#include "base/loop.h"
#include "vmm/virtio/device.h"

#include <stdbool.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORLD_RING   16
#define WORLD_MEMORY (256U << 10)
#define WORLD_STEPS  300

struct input {
        const uint8_t *data;
        size_t size;
};

struct world {
        struct guest guest;
        struct driver_ring rings[DEVICE_QUEUES_MAX];
        struct device *device;
        struct loop *loop;
        uint64_t place; /* where what the steps touch begins; the rings lie before it */
        uint64_t (*features)(uint8_t choice);
        void (*step_more)(struct world *w, struct input *in); /* may be NULL */
};

static uint8_t next_byte(struct input *in)
{
        if (in->size == 0)
                return 0;
        in->size--;
        return *in->data++;
}

static uint64_t next_place(const struct world *w, struct input *in)
{
        uint32_t low = next_byte(in);
        uint32_t at = (low | (uint32_t)next_byte(in) << 8) * 16;
        return at >= WORLD_MEMORY ? GUEST_BASE - 64 + at % 8192 : w->place + at % (WORLD_MEMORY / 2);
}

static uint32_t next_length(struct input *in)
{
        uint32_t n = next_byte(in);
        return n < 192 ? n : (n - 191) * 512;
}

static void ignore_broken(struct queue *q, const char *why, void *data)
{
}

/* Takes what was given back. The rings may say anything: a step or the device wrote into them for the driver.
 */
static void take_used(struct world *w, unsigned index)
{
        struct driver_ring *r = &w->rings[index];
        uint32_t id, length;
        if ((uint16_t)(driver_used_idx(r) - r->used_seen) > WORLD_RING)
                r->used_seen = driver_used_idx(r);
        while (driver_take_used(r, &id, &length))
                ;
}

static void world_start(struct world *w, uint8_t choice, uint8_t queue_choice)
{
        struct device *d = w->device;
        uint64_t queue_features =
            (queue_choice & 1 ? VIRTIO_F_EVENT_IDX : 0) | (queue_choice & 2 ? VIRTIO_F_INDIRECT_DESC : 0);
        if (d->ops->drain != NULL)
                d->ops->drain(d);
        for (unsigned i = 0; i < d->ops->queue_count; i++)
                queue_stop(&d->queues[i]);
        d->ops->stop(d);
        if (d->ops->ready != NULL)
                d->ops->ready(d, w->features(choice) & d->features);
        for (unsigned i = 0; i < d->ops->queue_count; i++) {
                if (driver_start(&w->rings[i], &d->queues[i], 0, queue_features) < 0)
                        abort();
                d->queues[i].on_broken = ignore_broken;
                w->rings[i].next_desc = 0;
                d->ops->kick(d, i);
        }
}

static void step_post(struct world *w, struct driver_ring *r, struct input *in)
{
        unsigned count = next_byte(in) % 8 + 1, head = r->next_desc;
        for (unsigned i = 0; i < count; i++) {
                uint64_t at = next_place(w, in);
                uint32_t length = next_length(in);
                uint8_t flags = next_byte(in) & (DESC_WRITE | DESC_INDIRECT);
                unsigned next = (r->next_desc + 1U) % WORLD_RING;
                driver_set_desc(r, r->next_desc, at, length,
                                (uint16_t)(flags | (i + 1 < count ? DESC_NEXT : 0)), (uint16_t)next);
                r->next_desc = (uint16_t)next;
        }
        driver_announce(r, (uint16_t)head);
}

static void step_memory(struct world *w, struct input *in)
{
        uint64_t at = next_place(w, in);
        unsigned count = next_byte(in);
        for (unsigned i = 0; i < count && in->size > 0; i++) {
                uint8_t value = next_byte(in);
                if (at + i >= GUEST_BASE && at + i < GUEST_BASE + WORLD_MEMORY)
                        *(uint8_t *)guest_at(&w->guest, at + i) = value;
        }
}

static void step_config(struct world *w, struct input *in)
{
        uint8_t bytes[256] = {0};
        struct device *d = w->device;
        uint32_t offset = next_byte(in);
        size_t size = next_byte(in);
        if (offset == 255 && w->step_more != NULL)
                w->step_more(w, in);
        else if (offset % 2 == 0)
                d->ops->config_read(d, offset / 2, bytes, size);
        else if (d->ops->config_write != NULL)
                d->ops->config_write(d, offset / 2, bytes, size);
}

static void world_pump(struct world *w)
{
        for (unsigned i = 0; i < 100 && loop_step(w->loop, 0) > 0; i++)
                ;
}

static void world_step(struct world *w, struct input *in)
{
        unsigned what = next_byte(in) % 8;
        if (what == 3) {
                step_memory(w, in);
                return;
        }
        if (what == 5) {
                world_pump(w);
                return;
        }
        if (what == 7) {
                step_config(w, in);
                return;
        }
        unsigned index = next_byte(in);
        if (what == 6) {
                world_start(w, (uint8_t)index, next_byte(in));
                return;
        }
        index %= w->device->ops->queue_count;
        struct driver_ring *r = &w->rings[index];
        if (what == 0) {
                step_post(w, r, in);
        } else if (what == 1) {
                unsigned which = next_byte(in) % WORLD_RING;
                uint64_t at = next_place(w, in);
                uint32_t length = next_byte(in) * 256U;
                length += next_byte(in);
                uint8_t flags = next_byte(in);
                driver_set_desc(r, which, at, flags & 8 ? length << 16 : length, flags % 8,
                                next_byte(in) % 20);
        } else if (what == 2) {
                driver_announce(r, next_byte(in) % (WORLD_RING + 2));
        } else {
                w->device->ops->kick(w->device, index);
        }
        take_used(w, index);
}

/* Memory and rings; the target then sets device, features and loop, and calls world_run(). */
static void world_init(struct world *w)
{
        memset(w, 0, sizeof(*w));
        guest_init(&w->guest, WORLD_MEMORY);
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
                driver_ring_init(&w->rings[i], &w->guest, WORLD_RING);
        w->place = guest_alloc(&w->guest, WORLD_MEMORY / 2, 4096);
}

static void world_run(struct world *w, struct input *in)
{
        world_start(w, 0xff, next_byte(in));
        for (unsigned i = 0; i < WORLD_STEPS && in->size > 0; i++)
                world_step(w, in);
        world_pump(w);
        if (w->device->ops->drain != NULL)
                w->device->ops->drain(w->device);
        for (unsigned i = 0; i < w->device->ops->queue_count; i++)
                queue_stop(&w->device->queues[i]);
        w->device->ops->stop(w->device);
}

#endif
