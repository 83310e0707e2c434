/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue core on a hostile guest's memory. Input:
 *
 *     0      log2 of the queue size
 *     1      bit 0 indirect, bit 1 event index
 *     2..3   first index
 *     4      number of operations n
 *     5..    n operations of 4 bytes: what, place (2 bytes), value; then the memory's first bytes
 *
 * The rings lie at fixed places, so that the input's memory image is what the queue reads.
 */
#include "vmm/virtio/queue.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE        UINT64_C(0x10000)
#define MEMORY_SIZE 16384
#define HEAD_SIZE   5

static void check_chain(const struct chain *c, const uint8_t *bytes)
{
        size_t out = 0, in = 0;
        if (c->out_count + c->in_count > CHAIN_SEGMENTS_MAX)
                abort();
        for (unsigned i = 0; i < (unsigned)c->out_count + c->in_count; i++) {
                const uint8_t *start = c->iov[i].iov_base;
                if (start < bytes || start + c->iov[i].iov_len > bytes + MEMORY_SIZE ||
                    c->iov[i].iov_len == 0)
                        abort();
                if (i < c->out_count)
                        out += c->iov[i].iov_len;
                else
                        in += c->iov[i].iov_len;
        }
        if (out != c->out_bytes || in != c->in_bytes)
                abort();
}

static void operate(struct queue *q, uint8_t *bytes, const uint8_t operation[4])
{
        static struct chain chain;
        static bool have;
        uint8_t sink[64];
        unsigned place = (operation[1] | operation[2] << 8U) % MEMORY_SIZE;
        switch (operation[0] % 7) {
        case 0:
        case 1:
                have = queue_next(q, &chain) > 0;
                if (have) {
                        check_chain(&chain, bytes);
                        (void)iov_read(chain.iov, chain.out_count, operation[1], sink, sizeof(sink));
                        (void)iov_write(chain.iov + chain.out_count, chain.in_count, operation[1], "guest",
                                        5);
                        queue_put(q, &chain, operation[3]);
                }
                break;
        case 2:
                queue_publish(q);
                break;
        case 3:
                (void)queue_kicks_on(q);
                break;
        case 4:
                queue_kicks_off(q);
                break;
        case 5:
                if (queue_next(q, &chain) > 0)
                        queue_untake(q);
                break;
        default:
                bytes[place] = operation[3]; /* the guest is not asleep */
        }
}

static void count(struct queue *q, const char *why, void *data)
{
        if (++*(unsigned *)data > 1)
                abort(); /* said once */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < HEAD_SIZE)
                return 0;
        unsigned operations = data[4], broken = 0;
        if ((size - HEAD_SIZE) / 4 < operations)
                operations = (unsigned)((size - HEAD_SIZE) / 4);
        const uint8_t *image = data + HEAD_SIZE + 4 * (size_t)operations;
        size_t image_size = (size_t)(data + size - image);
        uint8_t *bytes = aligned_alloc(4096, MEMORY_SIZE); /* on the heap: a step outside is seen */
        struct memory memory = {.count = 0};
        if (bytes == NULL || memory_add(&memory, BASE, MEMORY_SIZE, BASE, bytes) < 0)
                abort();
        memset(bytes, 0, MEMORY_SIZE);
        memcpy(bytes, image, image_size < MEMORY_SIZE ? image_size : MEMORY_SIZE);
        struct queue q = {.memory = &memory, .on_broken = count, .data = &broken};
        struct queue_address address = {BASE + 1024, BASE, BASE + 512};
        uint64_t features =
            (data[1] & 1 ? VIRTIO_F_INDIRECT_DESC : 0) | (data[1] & 2 ? VIRTIO_F_EVENT_IDX : 0);
        if (queue_start(&q, (uint16_t)(1U << data[0] % 6), &address, (uint16_t)(data[2] | data[3] << 8),
                        features) == 0) {
                for (unsigned i = 0; i < operations; i++)
                        operate(&q, bytes, data + HEAD_SIZE + 4 * (size_t)i);
        }
        free(bytes);
        return 0;
}
