/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/loop.h"
#include "vmm/virtio/rng.h"

#define RING 256

static struct guest guest;
static struct driver_ring ring;
static struct loop *loop;
static struct rng *rng;

static void begin(void)
{
        guest_init(&guest, 1 << 20);
        driver_ring_init(&ring, &guest, RING);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(rng_new(loop, &rng), 0);
        assert_int_equal(driver_start(&ring, &rng_device(rng)->queues[0], 0, VIRTIO_F_EVENT_IDX), 0);
}

static void finish(void)
{
        struct device *d = rng_device(rng);
        queue_stop(&d->queues[0]);
        d->ops->stop(d);
        rng_free(rng);
        loop_free(loop);
        guest_done(&guest);
}

static void kick(void)
{
        struct device *d = rng_device(rng);
        d->ops->kick(d, 0);
}

static bool is_filled(uint64_t gpa, size_t size)
{
        static const uint8_t nothing[4096];
        return memcmp(guest_at(&guest, gpa), nothing, size) != 0;
}

static void buffers_are_filled(void **state)
{
        (void)state;
        uint32_t id, length;
        uint8_t config[8];
        begin();
        uint64_t at = guest_alloc(&guest, 65536, 4096);
        driver_add(&ring, 0, 0, at, 64);
        driver_add(&ring, at + 4096, 32, at + 8192, 4096); /* what is to be read is not looked at */
        driver_add(&ring, at + 16384, 32, 0, 0);
        kick();
        assert_true(driver_take_used(&ring, &id, &length));
        assert_int_equal(length, 64);
        assert_true(is_filled(at, 32) && is_filled(at + 32, 32) && !is_filled(at + 64, 64));
        assert_true(driver_take_used(&ring, &id, &length));
        assert_int_equal(length, 256);
        assert_true(is_filled(at + 8192 + 224, 32) && !is_filled(at + 8192 + 256, 32));
        assert_true(driver_take_used(&ring, &id, &length));
        assert_int_equal(length, 0);
        assert_int_equal(ring.notifications, 1);
        rng_device(rng)->ops->config_read(rng_device(rng), 0, config, sizeof(config));
        assert_memory_equal(config, "\0\0\0\0\0\0\0\0", 8);
        finish();
}

static void much_at_once_takes_rounds(void **state)
{
        (void)state;
        uint32_t id, length;
        begin();
        uint64_t at = guest_alloc(&guest, 256 * RING, 4096);
        for (unsigned i = 0; i < 200; i++)
                driver_add(&ring, 0, 0, at + 256ULL * i, 256);
        kick();
        unsigned first = driver_used_idx(&ring);
        assert_true(first > 0 && first < 200);
        while (driver_used_idx(&ring) != 200)
                assert_true(loop_step(loop, 0) > 0);
        for (unsigned i = 0; i < 200; i++) {
                assert_true(driver_take_used(&ring, &id, &length));
                assert_true(is_filled(at + 256ULL * i, 32));
        }
        assert_int_equal(loop_step(loop, 0), 0);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(buffers_are_filled),
    cmocka_unit_test(much_at_once_takes_rounds),
};

UNIT_TEST_MAIN(cases)
