/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device: each buffer that the driver posts is filled from getrandom(2), by at most FILL_BYTES; a
 * driver that wants more posts another. A round has a budget, after which the loop gets to see other events:
 * a guest that asks without end has no more of this process than anything else in it.
 *
 * Hostile: nothing but the chains, which queue.c has checked. Threads: the loop's only.
 *
 * system calls (loop): getrandom
 */
#include "vmm/virtio/rng.h"

#include "vmm/virtio/again.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define DEVICE_ID_ENTROPY 4 /* virtio 1.2 section 5 */

#define FILL_BYTES 256 /* getrandom() gives so many at once without being interrupted */
#define BUDGET     64  /* buffers a round */

struct rng {
        struct device device; /* first: ops get this pointer */
        struct again again;
        struct chain chain;
};

/* Returns how many bytes the buffer in r->chain got; section 5.4.6.2 wants one at least. */
static uint32_t fill(struct rng *r)
{
        uint8_t bytes[FILL_BYTES];
        const struct chain *c = &r->chain;
        size_t size = c->in_bytes < sizeof(bytes) ? c->in_bytes : sizeof(bytes);
        ssize_t n = getrandom(bytes, size, 0);
        if (n <= 0)
                return 0; /* not on Linux 5.6 and later, once it has booted */
        return (uint32_t)iov_write(c->iov + c->out_count, c->in_count, 0, bytes, (size_t)n);
}

static void serve(struct rng *r)
{
        struct queue *q = &r->device.queues[0];
        unsigned budget = BUDGET;
        queue_kicks_off(q);
        do {
                for (; budget > 0 && queue_next(q, &r->chain) > 0; budget--)
                        queue_put(q, &r->chain, fill(r));
        } while (budget > 0 && queue_kicks_on(q));
        if (budget == 0)
                again_ask(&r->again);
        queue_publish(q);
}

static void on_again(void *data)
{
        serve(data);
}

static void rng_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        device_config_copy(NULL, 0, offset, bytes, size); /* there is none: section 5.4.4 */
}

static void rng_kick(struct device *device, unsigned queue)
{
        serve((struct rng *)device);
}

static void rng_stop(struct device *device)
{
}

static const struct device_ops rng_ops = {
    .name = "rng",
    .id = DEVICE_ID_ENTROPY,
    .queue_count = 1,
    .config_read = rng_config_read,
    .kick = rng_kick,
    .stop = rng_stop,
};

int rng_new(struct loop *loop, struct rng **ret_rng)
{
        struct rng *r = calloc(1, sizeof(*r));
        if (r == NULL)
                return -ENOMEM;
        r->device.ops = &rng_ops;
        int status = again_init(&r->again, loop, on_again, r);
        if (status < 0) {
                rng_free(r);
                return status;
        }
        *ret_rng = r;
        return 0;
}

void rng_free(struct rng *r)
{
        if (r == NULL)
                return;
        again_done(&r->again);
        free(r);
}

struct device *rng_device(struct rng *r)
{
        return &r->device;
}
