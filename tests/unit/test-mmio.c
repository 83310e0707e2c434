/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-mmio register block: negotiation by its steps, and every access a guest can make out of order.
 */
#include "vmm/virtio/mmio.h"

#include "base/log.h"
#include "harness.h"
#include "virtio-driver.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEATURE_TOY (UINT64_C(1) << 5)
#define GUEST_SIZE  (64U << 10)

/* A device that echoes: each chain's out-bytes come back in its in-bytes. It checks the order of calls. */
struct toy {
        struct device device;
        uint8_t config[8];
        uint64_t features;
        unsigned readies, kicks[2], drains, stops, interrupts;
        bool is_ready;
};

static void toy_config_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        const struct toy *t = (const struct toy *)d;
        device_config_copy(t->config, sizeof(t->config), offset, bytes, size);
}

static void toy_config_write(struct device *d, uint32_t offset, const void *bytes, size_t size)
{
        struct toy *t = (struct toy *)d;
        for (size_t i = 0; i < size && offset + i < 4; i++) /* the second half is read-only */
                t->config[offset + i] = ((const uint8_t *)bytes)[i];
}

static void toy_ready(struct device *d, uint64_t features)
{
        struct toy *t = (struct toy *)d;
        assert_false(t->is_ready);
        t->is_ready = true;
        t->features = features;
        t->readies++;
}

static void toy_kick(struct device *d, unsigned queue)
{
        struct toy *t = (struct toy *)d;
        struct queue *q = &d->queues[queue];
        static struct chain chain;
        uint8_t bytes[256];
        assert_true(t->is_ready);
        assert_true(q->started);
        t->kicks[queue]++;
        while (queue_next(q, &chain) > 0) {
                size_t n = iov_read(chain.iov, chain.out_count, 0, bytes, sizeof(bytes));
                n = iov_write(chain.iov + chain.out_count, chain.in_count, 0, bytes, n);
                queue_put(q, &chain, (uint32_t)n);
        }
        queue_publish(q);
}

static void toy_drain(struct device *d)
{
        struct toy *t = (struct toy *)d;
        assert_true(t->is_ready);
        t->drains++;
}

static void toy_stop(struct device *d)
{
        struct toy *t = (struct toy *)d;
        assert_false(d->queues[0].started);
        t->is_ready = false;
        t->stops++;
}

static const struct device_ops toy_ops = {.name = "toy",
                                          .id = 42,
                                          .queue_count = 2,
                                          .config_read = toy_config_read,
                                          .config_write = toy_config_write,
                                          .ready = toy_ready,
                                          .kick = toy_kick,
                                          .drain = toy_drain,
                                          .stop = toy_stop};

struct bench {
        struct toy toy;
        struct guest guest;
        struct driver_ring ring[2];
        struct mmio *mmio;
};

static void count_interrupt(void *data)
{
        ((struct toy *)data)->interrupts++;
}

static void bench_init(struct bench *b)
{
        memset(b, 0, sizeof(*b));
        log_init("test", -1, LOG_LEVEL_ERROR);
        b->toy.device.ops = &toy_ops;
        b->toy.device.features = FEATURE_TOY;
        memcpy(b->toy.config, "\1\2\3\4\5\6\7\10", 8);
        guest_init(&b->guest, GUEST_SIZE);
        for (unsigned i = 0; i < 2; i++) {
                driver_ring_init(&b->ring[i], &b->guest, 8);
                b->ring[i].available_idx = b->ring[i].used_seen = 0;
        }
        struct mmio_options options = {.device = &b->toy.device,
                                       .memory = &b->guest.memory,
                                       .interrupt = count_interrupt,
                                       .data = &b->toy};
        assert_int_equal(mmio_new(&options, &b->mmio), 0);
}

static void bench_done(struct bench *b)
{
        mmio_free(b->mmio);
        guest_done(&b->guest);
}

static uint32_t get(struct bench *b, uint32_t offset)
{
        uint32_t value = 0xdeadbeef;
        mmio_read(b->mmio, offset, &value, sizeof(value));
        return value;
}

static void set(struct bench *b, uint32_t offset, uint32_t value)
{
        mmio_write(b->mmio, offset, &value, sizeof(value));
}

static void set_features(struct bench *b, uint64_t features)
{
        set(b, MMIO_DRIVER_FEATURES_SEL, 0);
        set(b, MMIO_DRIVER_FEATURES, (uint32_t)features);
        set(b, MMIO_DRIVER_FEATURES_SEL, 1);
        set(b, MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static void describe_queue(struct bench *b, unsigned i)
{
        const struct queue_address *a = &b->ring[i].address;
        set(b, MMIO_QUEUE_SEL, i);
        set(b, MMIO_QUEUE_NUM, b->ring[i].size);
        set(b, MMIO_QUEUE_DESC_LOW, (uint32_t)a->descriptors);
        set(b, MMIO_QUEUE_DESC_HIGH, (uint32_t)(a->descriptors >> 32));
        set(b, MMIO_QUEUE_DRIVER_LOW, (uint32_t)a->available);
        set(b, MMIO_QUEUE_DRIVER_HIGH, (uint32_t)(a->available >> 32));
        set(b, MMIO_QUEUE_DEVICE_LOW, (uint32_t)a->used);
        set(b, MMIO_QUEUE_DEVICE_HIGH, (uint32_t)(a->used >> 32));
        set(b, MMIO_QUEUE_READY, 1);
}

#define NEGOTIATED (MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER | MMIO_STATUS_FEATURES_OK)

static void negotiate(struct bench *b, uint64_t features)
{
        set(b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE);
        set(b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER);
        set_features(b, features);
        set(b, MMIO_STATUS, NEGOTIATED);
}

static void bring_up(struct bench *b)
{
        negotiate(b, VIRTIO_F_VERSION_1 | FEATURE_TOY);
        describe_queue(b, 0);
        describe_queue(b, 1);
        set(b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_DRIVER_OK);
}

static void says_what_it_is(void **state)
{
        struct bench b;
        bench_init(&b);
        assert_int_equal(get(&b, MMIO_MAGIC), 0x74726976);
        assert_int_equal(get(&b, MMIO_VERSION), 2);
        assert_int_equal(get(&b, MMIO_DEVICE_ID), 42);
        set(&b, MMIO_DEVICE_FEATURES_SEL, 0);
        assert_int_equal(get(&b, MMIO_DEVICE_FEATURES),
                         FEATURE_TOY | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC);
        set(&b, MMIO_DEVICE_FEATURES_SEL, 1);
        assert_int_equal(get(&b, MMIO_DEVICE_FEATURES), 1);
        set(&b, MMIO_DEVICE_FEATURES_SEL, 2);
        assert_int_equal(get(&b, MMIO_DEVICE_FEATURES), 0);
        set(&b, MMIO_QUEUE_SEL, 1);
        assert_int_equal(get(&b, MMIO_QUEUE_NUM_MAX), MMIO_QUEUE_MAX);
        set(&b, MMIO_QUEUE_SEL, 2);
        assert_int_equal(get(&b, MMIO_QUEUE_NUM_MAX), 0);
        assert_int_equal(get(&b, MMIO_SHM_LENGTH_LOW), UINT32_MAX);
        bench_done(&b);
}

static void carries_a_chain(void **state)
{
        struct bench b;
        uint32_t id, length;
        bench_init(&b);
        bring_up(&b);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(b.toy.features, FEATURE_TOY);
        assert_int_equal(b.toy.kicks[0], 1); /* by the start */
        uint64_t out = guest_alloc(&b.guest, 16, 8), in = guest_alloc(&b.guest, 16, 8);
        memcpy(guest_at(&b.guest, out), "over the wire", 14);
        (void)driver_add(&b.ring[0], out, 14, in, 16);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        assert_true(driver_take_used(&b.ring[0], &id, &length));
        assert_int_equal(length, 14);
        assert_string_equal(guest_at(&b.guest, in), "over the wire");
        assert_int_equal(b.toy.interrupts, 1);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), MMIO_INTERRUPT_QUEUE);
        set(&b, MMIO_INTERRUPT_ACK, MMIO_INTERRUPT_QUEUE);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), 0);
        bench_done(&b);
        assert_int_equal(b.toy.drains, 1);
        assert_int_equal(b.toy.stops, 1);
}

static void takes_steps_in_order_only(void **state)
{
        struct bench b;
        bench_init(&b);
        set(&b, MMIO_STATUS, MMIO_STATUS_DRIVER);
        assert_int_equal(get(&b, MMIO_STATUS), 0);
        set(&b, MMIO_STATUS, MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), 0);
        set(&b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE);
        set(&b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), MMIO_STATUS_ACKNOWLEDGE);
        set(&b, MMIO_STATUS, MMIO_STATUS_DRIVER); /* would clear a bit */
        assert_int_equal(get(&b, MMIO_STATUS), MMIO_STATUS_ACKNOWLEDGE);
        set(&b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER);
        describe_queue(&b, 0); /* too early */
        assert_int_equal(get(&b, MMIO_QUEUE_READY), 0);
        set(&b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER);
        assert_int_equal(b.toy.readies, 0);
        bench_done(&b);
        assert_int_equal(b.toy.stops, 0);
}

static void refuses_wrong_features(void **state)
{
        static const uint64_t wrong[] = {0, FEATURE_TOY, VIRTIO_F_VERSION_1 | 1,
                                         VIRTIO_F_VERSION_1 | UINT64_C(1) << 63};
        struct bench b;
        bench_init(&b);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                negotiate(&b, wrong[i]);
                assert_int_equal(get(&b, MMIO_STATUS), MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER);
                set(&b, MMIO_STATUS, 0);
        }
        negotiate(&b, VIRTIO_F_VERSION_1);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED);
        set_features(&b, VIRTIO_F_VERSION_1 | FEATURE_TOY); /* too late */
        describe_queue(&b, 0);
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(b.toy.features, 0);
        bench_done(&b);
}

static void queue_is_fixed_once_ready(void **state)
{
        struct bench b;
        bench_init(&b);
        negotiate(&b, VIRTIO_F_VERSION_1);
        set(&b, MMIO_QUEUE_SEL, 0);
        set(&b, MMIO_QUEUE_READY, 1); /* no size yet */
        assert_int_equal(get(&b, MMIO_QUEUE_READY), 0);
        set(&b, MMIO_QUEUE_NUM, 3);
        set(&b, MMIO_QUEUE_NUM, 512);
        set(&b, MMIO_QUEUE_READY, 1); /* no allowed size yet */
        assert_int_equal(get(&b, MMIO_QUEUE_READY), 0);
        describe_queue(&b, 0);
        assert_int_equal(get(&b, MMIO_QUEUE_READY), 1);
        set(&b, MMIO_QUEUE_NUM, 256);
        set(&b, MMIO_QUEUE_DESC_LOW, 0xfffff000);
        set(&b, MMIO_QUEUE_DEVICE_HIGH, 0xffff);
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_true(b.toy.device.queues[0].started);
        assert_false(b.toy.device.queues[1].started);
        assert_int_equal(b.toy.device.queues[0].size, 8);
        /* and after activation nothing of it can be changed, nor another one added */
        describe_queue(&b, 1);
        assert_int_equal(get(&b, MMIO_QUEUE_READY), 0);
        set(&b, MMIO_QUEUE_SEL, 0);
        set(&b, MMIO_QUEUE_NUM, 16);
        set(&b, MMIO_QUEUE_DRIVER_LOW, 0);
        assert_int_equal(b.toy.device.queues[0].size, 8);
        assert_true(b.toy.device.queues[0].started);
        bench_done(&b);
}

static void one_queue_can_be_taken_away(void **state)
{
        struct bench b;
        bench_init(&b);
        bring_up(&b);
        unsigned before = b.toy.kicks[1];
        set(&b, MMIO_QUEUE_SEL, 0);
        set(&b, MMIO_QUEUE_READY, 0);
        assert_false(b.toy.device.queues[0].started);
        assert_true(b.toy.device.queues[1].started);
        assert_int_equal(b.toy.drains, 1);
        assert_int_equal(b.toy.kicks[1], before + 1);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        assert_int_equal(b.toy.kicks[0], 1);
        set(&b, MMIO_QUEUE_NOTIFY, 1);
        set(&b, MMIO_QUEUE_NOTIFY, 7);
        set(&b, MMIO_QUEUE_NOTIFY, UINT32_MAX);
        assert_int_equal(b.toy.kicks[1], before + 2);
        bench_done(&b);
}

static void wrong_addresses_need_a_reset(void **state)
{
        struct bench b;
        bench_init(&b);
        negotiate(&b, VIRTIO_F_VERSION_1);
        describe_queue(&b, 0);
        b.ring[1].address.used = GUEST_BASE + GUEST_SIZE - 4;
        describe_queue(&b, 1);
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_DRIVER_OK | MMIO_STATUS_NEEDS_RESET);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), MMIO_INTERRUPT_CONFIG);
        assert_false(b.toy.device.queues[0].started);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        assert_int_equal(b.toy.kicks[0], 0);
        set(&b, MMIO_STATUS, 0);
        assert_int_equal(get(&b, MMIO_STATUS), 0);
        b.ring[1].address.used = b.ring[0].address.used + 128;
        bring_up(&b);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        bench_done(&b);
}

static void misuse_needs_a_reset(void **state)
{
        struct bench b;
        bench_init(&b);
        bring_up(&b);
        driver_set_desc(&b.ring[0], 0, GUEST_BASE, 8, DESC_NEXT, 0); /* a circle */
        driver_announce(&b.ring[0], 0);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        assert_int_equal(get(&b, MMIO_STATUS) & MMIO_STATUS_NEEDS_RESET, MMIO_STATUS_NEEDS_RESET);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), MMIO_INTERRUPT_CONFIG);
        /* the driver's next status writes do not know of the bit, and do not clear it */
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_DRIVER_OK | MMIO_STATUS_FAILED);
        assert_int_equal(get(&b, MMIO_STATUS),
                         NEGOTIATED | MMIO_STATUS_DRIVER_OK | MMIO_STATUS_FAILED | MMIO_STATUS_NEEDS_RESET);
        set(&b, MMIO_STATUS, 0);
        assert_int_equal(get(&b, MMIO_STATUS), 0);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), 0);
        bench_done(&b);
}

/* A driver that misuses its device, resets it and begins anew, for ever, is told about once. */
static void misuse_fills_no_log(void **state)
{
        struct bench b;
        int log = memfd_create("log", MFD_CLOEXEC);
        bench_init(&b);
        log_init("test", log, LOG_LEVEL_DEBUG);
        for (unsigned i = 0; i < 10000; i++) {
                memset(guest_at(&b.guest, b.ring[0].address.available), 0, 6);
                memset(guest_at(&b.guest, b.ring[0].address.used), 0, 6);
                b.ring[0].available_idx = 0;
                if (i % 2 != 0)
                        b.ring[1].address.used = UINT64_MAX - 3; /* described wrongly */
                bring_up(&b);
                b.ring[1].address.used = b.ring[1].address.available + 1024;
                driver_set_desc(&b.ring[0], 0, GUEST_BASE, 8, DESC_NEXT, 0); /* a circle */
                driver_announce(&b.ring[0], 0);
                set(&b, MMIO_QUEUE_NOTIFY, 0);
                assert_int_equal(get(&b, MMIO_STATUS) & MMIO_STATUS_NEEDS_RESET, MMIO_STATUS_NEEDS_RESET);
                set(&b, MMIO_STATUS, 0);
        }
        assert_in_range(lseek(log, 0, SEEK_END), 50, 300);
        bench_done(&b);
        (void)close(log);
}

static void failed_leads_nowhere(void **state)
{
        struct bench b;
        bench_init(&b);
        negotiate(&b, VIRTIO_F_VERSION_1);
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_FAILED);
        set(&b, MMIO_STATUS, NEGOTIATED | MMIO_STATUS_FAILED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_FAILED);
        assert_int_equal(b.toy.readies, 0);
        bench_done(&b);
}

static void configuration_space(void **state)
{
        struct bench b;
        uint64_t wide = 0;
        uint16_t half = 0xbeef;
        uint8_t byte = 9;
        bench_init(&b);
        assert_int_equal(get(&b, MMIO_CONFIG), 0x04030201);
        mmio_read(b.mmio, MMIO_CONFIG + 6, &half, 2);
        assert_int_equal(half, 0x0807);
        mmio_read(b.mmio, MMIO_CONFIG + 5, &half, 2); /* not aligned */
        assert_int_equal(half, 0);
        mmio_read(b.mmio, MMIO_CONFIG, &wide, 8); /* too wide */
        assert_int_equal(wide, 0);
        mmio_write(b.mmio, MMIO_CONFIG + 3, &byte, 1);
        assert_int_equal(get(&b, MMIO_CONFIG), 0x09030201);
        mmio_write(b.mmio, MMIO_CONFIG + 7, &byte, 1);
        assert_int_equal(get(&b, MMIO_CONFIG + 4), 0x08070605);
        assert_int_equal(get(&b, MMIO_CONFIG + 8), 0);
        assert_int_equal(get(&b, MMIO_BLOCK_SIZE - 4), 0);
        /* a change that the device makes is seen, counted, and told to a driver that runs */
        assert_int_equal(get(&b, MMIO_CONFIG_GENERATION), 0);
        b.toy.config[0] = 0x77;
        assert_int_equal(get(&b, MMIO_CONFIG), 0x09030201);
        device_config_changed(&b.toy.device);
        assert_int_equal(get(&b, MMIO_CONFIG), 0x09030277);
        assert_int_equal(get(&b, MMIO_CONFIG_GENERATION), 1);
        assert_int_equal(b.toy.interrupts, 0);
        bring_up(&b);
        device_config_changed(&b.toy.device);
        assert_int_equal(b.toy.interrupts, 1);
        assert_int_equal(get(&b, MMIO_INTERRUPT_STATUS), MMIO_INTERRUPT_CONFIG);
        bench_done(&b);
}

static void quick_accesses_leave_the_core_alone(void **state)
{
        struct bench b;
        uint32_t value = MMIO_STATUS_ACKNOWLEDGE;
        bench_init(&b);
        assert_true(mmio_try_quick(b.mmio, true, MMIO_STATUS, &value, 4));
        assert_int_equal(get(&b, MMIO_STATUS), MMIO_STATUS_ACKNOWLEDGE);
        value = 0;
        assert_true(mmio_try_quick(b.mmio, true, MMIO_STATUS, &value, 4)); /* nothing runs yet */
        negotiate(&b, VIRTIO_F_VERSION_1);
        describe_queue(&b, 0);
        value = 0;
        assert_true(mmio_try_quick(b.mmio, true, MMIO_QUEUE_NOTIFY, &value, 4));
        value = NEGOTIATED | MMIO_STATUS_DRIVER_OK;
        assert_false(mmio_try_quick(b.mmio, true, MMIO_STATUS, &value, 4));
        assert_int_equal(b.toy.readies, 0);
        mmio_write(b.mmio, MMIO_STATUS, &value, 4);
        assert_int_equal(b.toy.readies, 1);
        value = 0;
        assert_false(mmio_try_quick(b.mmio, true, MMIO_STATUS, &value, 4));
        assert_false(mmio_try_quick(b.mmio, true, MMIO_QUEUE_READY, &value, 4));
        assert_false(mmio_try_quick(b.mmio, true, MMIO_QUEUE_NOTIFY, &value, 4));
        assert_false(mmio_try_quick(b.mmio, true, MMIO_CONFIG, &value, 4));
        assert_true(mmio_try_quick(b.mmio, false, MMIO_CONFIG, &value, 4));
        assert_int_equal(value, 0x04030201);
        assert_int_equal(b.toy.stops, 0);
        bench_done(&b);
}

/* Nothing that a guest does to any address, with any width, crashes us or gets past the steps. */
static void scribble(struct bench *b, uint64_t value)
{
        for (uint32_t offset = 0; offset < MMIO_BLOCK_SIZE; offset++) {
                uint8_t bytes[8];
                for (size_t size = 1; size <= 8; size++) {
                        if (offset == MMIO_STATUS && size == 4)
                                continue; /* the steps themselves have their own cases */
                        memcpy(bytes, &value, 8);
                        if (!mmio_try_quick(b->mmio, true, offset, bytes, size))
                                mmio_write(b->mmio, offset, bytes, size);
                        mmio_read(b->mmio, offset, bytes, size);
                }
        }
}

static void every_register_and_width(void **state)
{
        static const uint64_t values[] = {0, 1, 2, UINT64_MAX, 0x8000000080000000, 0x0101010101010101};
        struct bench b;
        bench_init(&b);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
                scribble(&b, values[i]);
        assert_int_equal(get(&b, MMIO_STATUS), 0);
        assert_int_equal(b.toy.readies, 0);
        negotiate(&b, VIRTIO_F_VERSION_1);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
                scribble(&b, values[i]);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED);
        assert_int_equal(b.toy.readies, 0);
        set(&b, MMIO_STATUS, 0);
        bring_up(&b);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
                scribble(&b, values[i]);
        assert_int_equal(get(&b, MMIO_STATUS), NEGOTIATED | MMIO_STATUS_DRIVER_OK);
        assert_int_equal(b.toy.stops, 0);
        assert_false(b.toy.device.queues[0].started); /* QueueReady got its 0 */
        set(&b, MMIO_STATUS, 0);
        bring_up(&b);
        assert_true(b.toy.device.queues[0].started && b.toy.device.queues[1].started);
        bench_done(&b);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(says_what_it_is),
    cmocka_unit_test(carries_a_chain),
    cmocka_unit_test(takes_steps_in_order_only),
    cmocka_unit_test(refuses_wrong_features),
    cmocka_unit_test(queue_is_fixed_once_ready),
    cmocka_unit_test(one_queue_can_be_taken_away),
    cmocka_unit_test(wrong_addresses_need_a_reset),
    cmocka_unit_test(misuse_needs_a_reset),
    cmocka_unit_test(misuse_fills_no_log),
    cmocka_unit_test(failed_leads_nowhere),
    cmocka_unit_test(configuration_space),
    cmocka_unit_test(quick_accesses_leave_the_core_alone),
    cmocka_unit_test(every_register_and_width),
};
UNIT_TEST_MAIN(cases)
