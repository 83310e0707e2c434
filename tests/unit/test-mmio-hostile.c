/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register block with real cores behind it, and a driver that keeps no order: it resets in the middle of
 * I/O, and several vCPUs do what they like with one device while the loop's thread serves it.
 */
#include "vmm/virtio/mmio.h"

#include "base/log.h"
#include "base/loop.h"
#include "harness.h"
#include "virtio-driver.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/blk_format.h"
#include "vmm/virtio/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING      64
#define DISK_SIZE (4U << 20)
#define PIECE     (64U << 10)
#define UP        (MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER | MMIO_STATUS_FEATURES_OK)

struct bench {
        struct loop *loop;
        struct device *device;
        struct guest guest;
        struct driver_ring ring;
        struct mmio *mmio;
        atomic_uint interrupts;
};

static void on_interrupt(void *data)
{
        atomic_fetch_add(&((struct bench *)data)->interrupts, 1);
}

static void set(struct bench *b, uint32_t offset, uint32_t value)
{
        mmio_write(b->mmio, offset, &value, sizeof(value));
}

/* Everything from a reset device to DRIVER_OK, with the ring as it lies there. */
static void bring_up(struct bench *b)
{
        const struct queue_address *a = &b->ring.address;
        set(b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE);
        set(b, MMIO_STATUS, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER);
        set(b, MMIO_DRIVER_FEATURES_SEL, 1);
        set(b, MMIO_DRIVER_FEATURES, 1);
        set(b, MMIO_STATUS, UP);
        set(b, MMIO_QUEUE_NUM, RING);
        set(b, MMIO_QUEUE_DESC_LOW, (uint32_t)a->descriptors);
        set(b, MMIO_QUEUE_DRIVER_LOW, (uint32_t)a->available);
        set(b, MMIO_QUEUE_DEVICE_LOW, (uint32_t)a->used);
        set(b, MMIO_QUEUE_READY, 1);
        set(b, MMIO_STATUS, UP | MMIO_STATUS_DRIVER_OK);
}

static void forget_ring(struct bench *b)
{
        memset(guest_at(&b->guest, b->ring.address.available), 0, 6 + 2 * RING);
        memset(guest_at(&b->guest, b->ring.address.used), 0, 6 + 8 * RING);
        b->ring.available_idx = b->ring.used_seen = b->ring.next_desc = 0;
}

static void begin(struct bench *b, struct device *device)
{
        memset(b, 0, sizeof(*b));
        log_init("test", -1, LOG_LEVEL_ERROR);
        b->device = device;
        guest_init(&b->guest, 8 << 20);
        driver_ring_init(&b->ring, &b->guest, RING);
        forget_ring(b);
        struct mmio_options options = {.device = device,
                                       .memory = &b->guest.memory,
                                       .interrupt = on_interrupt,
                                       .data = b};
        assert_int_equal(mmio_new(&options, &b->mmio), 0);
}

static void finish(struct bench *b)
{
        mmio_free(b->mmio);
        guest_done(&b->guest);
}

/* ---- reset in the middle of I/O ---- */

/* Reads of the disk into memory from data_at on, all announced. */
static void post_reads(struct bench *b, uint64_t header_at, uint64_t data_at, unsigned count)
{
        for (unsigned i = 0; i < count; i++) {
                struct blk_header h = {.type = BLK_T_IN, .sector = i * (PIECE / 512)};
                uint64_t header = header_at + i * sizeof(h);
                memcpy(guest_at(&b->guest, header), &h, sizeof(h));
                driver_set_desc(&b->ring, 3 * i, header, sizeof(h), DESC_NEXT, (uint16_t)(3 * i + 1));
                driver_set_desc(&b->ring, 3 * i + 1, data_at + (uint64_t)i * PIECE, PIECE,
                                DESC_NEXT | DESC_WRITE, (uint16_t)(3 * i + 2));
                driver_set_desc(&b->ring, 3 * i + 2, header_at + 4096 + i, 1, DESC_WRITE, 0);
                driver_announce(&b->ring, (uint16_t)(3 * i));
        }
}

static bool is_filled_with(const uint8_t *bytes, size_t size, uint8_t value)
{
        return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void reset_again_and_again(enum blk_engine engine, int disk)
{
        enum { READS = 20 };
        struct bench b;
        struct loop *loop;
        struct blk *blk;
        struct error err = ERROR_INIT;
        struct blk_options options = {.fd = disk, .id = "disk", .engine = engine};
        assert_int_equal(loop_new(&loop), 0);
        if (blk_new(loop, &options, &blk, &err) < 0) {
                loop_free(loop);
                print_message("left out: %s\n", err.text);
                return;
        }
        begin(&b, blk_device(blk));
        uint64_t header_at = guest_alloc(&b.guest, 8192, 16);
        uint64_t data_at = guest_alloc(&b.guest, READS * PIECE, 4096);
        uint8_t *data = guest_at(&b.guest, data_at);
        for (unsigned round = 0; round < 150; round++) {
                bring_up(&b);
                memset(data, 0, READS * PIECE);
                post_reads(&b, header_at, data_at, READS);
                set(&b, MMIO_QUEUE_NOTIFY, 0);
                for (unsigned i = 0; i < round % 4; i++)
                        assert_true(loop_step(loop, 0) >= 0); /* some are done, some are not */
                set(&b, MMIO_STATUS, 0);
                /* the memory is the driver's again */
                memset(data, 0x55, READS * PIECE);
                uint16_t used = driver_used_idx(&b.ring);
                for (unsigned i = 0; i < 3; i++)
                        assert_true(loop_step(loop, 0) >= 0);
                assert_true(is_filled_with(data, READS * PIECE, 0x55));
                assert_int_equal(driver_used_idx(&b.ring), used);
                assert_int_equal(mmio_status(b.mmio), 0);
                forget_ring(&b);
        }
        /* and it still reads */
        bring_up(&b);
        post_reads(&b, header_at, data_at, READS);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        while (driver_used_idx(&b.ring) != READS)
                assert_true(loop_step(loop, -1) >= 0);
        assert_true(is_filled_with(data, READS * PIECE, 0xab));
        finish(&b);
        blk_free(blk);
        loop_free(loop);
}

static void a_reset_in_the_middle_of_reading_leaves_memory_alone(void **state)
{
        (void)state;
        static uint8_t bytes[DISK_SIZE];
        int disk = memfd_create("disk", MFD_CLOEXEC);
        memset(bytes, 0xab, sizeof(bytes));
        assert_int_equal(write(disk, bytes, sizeof(bytes)), sizeof(bytes));
        reset_again_and_again(BLK_ENGINE_URING, disk);
        reset_again_and_again(BLK_ENGINE_THREADS, disk);
        (void)close(disk);
}

/* ---- several vCPUs ---- */

struct vcpu {
        struct bench *bench;
        pthread_mutex_t *loop_thread; /* held by whoever plays the loop's thread */
        unsigned seed;
};

static unsigned next_number(struct vcpu *v)
{
        v->seed = v->seed * 1103515245U + 12345U;
        return v->seed >> 8;
}

/* Each access as vmm/kvm/slot.c makes it: in the vCPU's own thread if that can be, else in the loop's. */
static void access_one(struct vcpu *v)
{
        static const uint32_t values[] = {0,    1,          3,  UP, UP | MMIO_STATUS_DRIVER_OK,
                                          0x80, UINT32_MAX, 64, 12, 8};
        struct mmio *m = v->bench->mmio;
        bool write = next_number(v) % 2 != 0;
        uint32_t offset = next_number(v) % 8 == 0 ? next_number(v) % 0x200 : (next_number(v) % 0x40) * 4;
        uint32_t value = values[next_number(v) % (sizeof(values) / sizeof(values[0]))];
        size_t size = next_number(v) % 8 == 0 ? 1U << next_number(v) % 3 : 4;
        if (mmio_try_quick(m, write, offset, &value, size))
                return;
        (void)pthread_mutex_lock(v->loop_thread);
        mmio_write(m, offset, &value, size);
        (void)pthread_mutex_unlock(v->loop_thread);
}

static void *run_vcpu(void *data)
{
        for (unsigned i = 0; i < 60000; i++)
                access_one(data);
        return NULL;
}

static void several_vcpus_at_one_device(void **state)
{
        (void)state;
        enum { VCPUS = 4 };
        struct bench b;
        struct rng *rng;
        struct loop *loop;
        pthread_t threads[VCPUS];
        struct vcpu vcpus[VCPUS];
        pthread_mutex_t loop_thread = PTHREAD_MUTEX_INITIALIZER;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(rng_new(loop, &rng), 0);
        begin(&b, rng_device(rng));
        for (unsigned i = 0; i < VCPUS; i++) {
                vcpus[i] = (struct vcpu){.bench = &b, .loop_thread = &loop_thread, .seed = i + 1};
                assert_int_equal(pthread_create(&threads[i], NULL, run_vcpu, &vcpus[i]), 0);
        }
        uint64_t data_at = guest_alloc(&b.guest, 4096, 16);
        for (unsigned i = 0; i < 200; i++) { /* in between, a driver that does it right, and the loop */
                uint32_t id, length;
                (void)pthread_mutex_lock(&loop_thread);
                set(&b, MMIO_STATUS, 0);
                set(&b, MMIO_QUEUE_SEL, 0);
                forget_ring(&b);
                bring_up(&b);
                (void)driver_add(&b.ring, 0, 0, data_at, 64);
                set(&b, MMIO_QUEUE_NOTIFY, 0);
                (void)driver_take_used(&b.ring, &id, &length); /* perhaps: the others are at it as well */
                (void)loop_step(loop, 0);
                (void)pthread_mutex_unlock(&loop_thread);
        }
        for (unsigned i = 0; i < VCPUS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        /* alone again, it works */
        uint32_t id, length;
        set(&b, MMIO_STATUS, 0);
        set(&b, MMIO_QUEUE_SEL, 0);
        forget_ring(&b);
        bring_up(&b);
        (void)driver_add(&b.ring, 0, 0, data_at, 64);
        set(&b, MMIO_QUEUE_NOTIFY, 0);
        while (!driver_take_used(&b.ring, &id, &length))
                assert_true(loop_step(loop, -1) >= 0);
        assert_int_equal(length, 64);
        finish(&b);
        rng_free(rng);
        loop_free(loop);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_reset_in_the_middle_of_reading_leaves_memory_alone),
    cmocka_unit_test(several_vcpus_at_one_device),
};
UNIT_TEST_MAIN(cases)
