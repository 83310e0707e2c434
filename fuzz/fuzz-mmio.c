/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio registers under a hostile driver. Input: operations of 8 bytes
 *
 *     0     bit 0 write, bits 1-2 log2 of the width, bit 3 kick queue (byte 4), bit 4 the configuration
 * changes, bit 5 poke the byte (bytes 4..5) of memory with byte 6, bit 6 the next step of bringing it up 1
 * unused 2..3  offset 4..7  value
 *
 * The device echoes chains, and aborts when it is called out of order.
 */
#include "base/log.h"
#include "vmm/virtio/mmio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE        UINT64_C(0x10000)
#define MEMORY_SIZE 16384

struct toy {
        struct device device;
        uint8_t config[16];
        bool is_ready;
};

static void require(bool truth)
{
        if (!truth)
                abort();
}

static void toy_config_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        device_config_copy(((struct toy *)d)->config, sizeof(((struct toy *)d)->config), offset, bytes, size);
}

static void toy_config_write(struct device *d, uint32_t offset, const void *bytes, size_t size)
{
        struct toy *t = (struct toy *)d;
        if (offset < sizeof(t->config) && size <= sizeof(t->config) - offset)
                memcpy(t->config + offset, bytes, size);
}

static void toy_ready(struct device *d, uint64_t features)
{
        require(!((struct toy *)d)->is_ready && (features & ~d->features) == 0);
        ((struct toy *)d)->is_ready = true;
}

static void toy_kick(struct device *d, unsigned queue)
{
        static struct chain chain;
        struct queue *q = &d->queues[queue];
        uint8_t bytes[64];
        require(((struct toy *)d)->is_ready && queue < d->ops->queue_count && q->started);
        for (unsigned i = 0; i < 64 && queue_next(q, &chain) > 0; i++) {
                size_t n = iov_read(chain.iov, chain.out_count, 0, bytes, sizeof(bytes));
                n = iov_write(chain.iov + chain.out_count, chain.in_count, 0, bytes, n);
                queue_put(q, &chain, (uint32_t)n);
        }
        queue_publish(q);
}

static void toy_stop(struct device *d)
{
        for (unsigned i = 0; i < d->ops->queue_count; i++)
                require(!d->queues[i].started);
        ((struct toy *)d)->is_ready = false;
}

static const struct device_ops toy_ops = {.name = "toy",
                                          .id = 1,
                                          .queue_count = 3,
                                          .config_read = toy_config_read,
                                          .config_write = toy_config_write,
                                          .ready = toy_ready,
                                          .kick = toy_kick,
                                          .stop = toy_stop};

static void count_interrupt(void *data)
{
        ++*(unsigned *)data;
}

static void store(struct mmio *m, uint32_t offset, uint32_t value)
{
        mmio_write(m, offset, &value, sizeof(value));
}

/* What a driver would do next: so that the depths are reached from short inputs. */
static void next_step(struct mmio *m)
{
        uint32_t status = mmio_status(m);
        switch (status) {
        case 0:
                store(m, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE);
                break;
        case MMIO_STATUS_ACKNOWLEDGE:
                store(m, MMIO_STATUS, status | MMIO_STATUS_DRIVER);
                store(m, MMIO_DRIVER_FEATURES_SEL, 1);
                store(m, MMIO_DRIVER_FEATURES, 1);
                store(m, MMIO_DRIVER_FEATURES_SEL, 0);
                break;
        case MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER:
                store(m, MMIO_STATUS, status | MMIO_STATUS_FEATURES_OK);
                for (uint32_t i = 0; i < 3; i++) {
                        uint32_t base = (uint32_t)BASE + 4096 * i;
                        store(m, MMIO_QUEUE_SEL, i);
                        store(m, MMIO_QUEUE_NUM, 8);
                        store(m, MMIO_QUEUE_DESC_LOW, base);
                        store(m, MMIO_QUEUE_DRIVER_LOW, base + 128);
                        store(m, MMIO_QUEUE_DEVICE_LOW, base + 256);
                }
                break;
        default:
                store(m, MMIO_STATUS, status | MMIO_STATUS_DRIVER_OK);
        }
}

static void operate(struct mmio *m, struct toy *toy, uint8_t *memory, const uint8_t op[8])
{
        uint32_t offset = (op[2] | (uint32_t)op[3] << 8) % (MMIO_BLOCK_SIZE + 16);
        uint8_t bytes[8] = {0};
        size_t width = (size_t)1 << (op[0] >> 1 & 3);
        memcpy(bytes, op + 4, 4);
        if (op[0] & 64)
                next_step(m);
        if (op[0] & 32)
                memory[(op[4] | (uint32_t)op[5] << 8) % MEMORY_SIZE] = op[6];
        if (op[0] & 16)
                device_config_changed(&toy->device);
        if (op[0] & 8)
                mmio_notify(m, op[4]);
        if (mmio_try_quick(m, op[0] & 1, offset, bytes, width))
                return;
        require(op[0] & 1); /* what reads is always quick */
        mmio_write(m, offset, bytes, width);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct toy toy = {.device = {.ops = &toy_ops, .features = 0x3f}};
        struct memory memory = {.count = 0};
        struct mmio *m;
        unsigned interrupts = 0;
        uint8_t *bytes = aligned_alloc(4096, MEMORY_SIZE);
        require(bytes != NULL && memory_add(&memory, BASE, MEMORY_SIZE, BASE, bytes) == 0);
        memset(bytes, 0, MEMORY_SIZE);
        log_init("fuzz", -1, LOG_LEVEL_ERROR);
        struct mmio_options options = {.device = &toy.device,
                                       .memory = &memory,
                                       .interrupt = count_interrupt,
                                       .data = &interrupts};
        require(mmio_new(&options, &m) == 0);
        for (size_t i = 0; i + 8 <= size; i += 8) {
                operate(m, &toy, bytes, data + i);
                bool running = (mmio_status(m) & MMIO_STATUS_DRIVER_OK) != 0;
                for (unsigned q = 0; q < toy_ops.queue_count; q++)
                        require(running || !toy.device.queues[q].started);
        }
        mmio_free(m);
        free(bytes);
        return 0;
}
