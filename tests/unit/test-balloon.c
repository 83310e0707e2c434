/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon, on private memory and on a file's: what is given away is gone from this process. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "vmm/virtio/balloon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING        16
#define PAGE        4096U
#define MEMORY_SIZE (8U << 20)
#define F_STATS     (1U << 1)
#define F_OOM       (1U << 2)
#define F_REPORTING (1U << 5)
#define FIRST_PAGE  (GUEST_BASE / PAGE)
#define POOL        (4U << 20) /* from here on, memory is the test's to give away */

static struct guest guest;
static struct driver_ring rings[4];
static struct loop *loop;
static struct balloon *balloon;
static int memory_fd = -1;
static unsigned stats_calls, changes;
static uint64_t last_stats[BALLOON_STAT_COUNT];

static struct device *device(void)
{
        return balloon_device(balloon);
}

static void on_stats(void *data, const uint64_t stats[BALLOON_STAT_COUNT])
{
        stats_calls++;
        memcpy(last_stats, stats, sizeof(last_stats));
}

static void on_change(struct device *d, void *data)
{
        changes++;
}

static void begin(bool shared, uint64_t features)
{
        struct balloon_options options = {.shared = shared, .stats = on_stats};
        memset(&guest, 0, sizeof(guest));
        if (shared) {
                memory_fd = memfd_create("guest", MFD_CLOEXEC);
                assert_int_equal(ftruncate(memory_fd, MEMORY_SIZE), 0);
        }
        guest.bytes = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                           shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, memory_fd, 0);
        assert_true(guest.bytes != MAP_FAILED);
        (void)madvise(guest.bytes, MEMORY_SIZE, MADV_NOHUGEPAGE);
        memset(guest.bytes + POOL, 0x77, MEMORY_SIZE - POOL);
        guest.size = POOL;
        assert_int_equal(memory_add(&guest.memory, GUEST_BASE, MEMORY_SIZE, GUEST_BASE, guest.bytes), 0);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(balloon_new(loop, &options, &balloon), 0);
        device()->config_changed = on_change;
        assert_int_equal(device()->features, F_STATS | F_OOM | F_REPORTING);
        device()->ops->ready(device(), features);
        for (unsigned i = 0; i < 4; i++) {
                driver_ring_init(&rings[i], &guest, RING);
                assert_int_equal(driver_start(&rings[i], &device()->queues[i], 0, features), 0);
        }
}

static void finish(void)
{
        balloon_free(balloon);
        loop_free(loop);
        (void)munmap(guest.bytes, MEMORY_SIZE);
        if (memory_fd >= 0)
                (void)close(memory_fd);
        memory_fd = -1;
}

static void kick(unsigned queue)
{
        device()->ops->kick(device(), queue);
}

static unsigned resident(uint64_t offset, unsigned pages)
{
        unsigned char state[1024];
        unsigned count = 0;
        assert_true(pages <= sizeof(state));
        assert_int_equal(mincore(guest.bytes + offset, (size_t)pages * PAGE, state), 0);
        for (unsigned i = 0; i < pages; i++)
                count += state[i] & 1U;
        return count;
}

static uint64_t put_pages(unsigned queue, const uint32_t *pages, unsigned count)
{
        uint64_t at = guest_alloc(&guest, 4 * count, 4);
        memcpy(guest_at(&guest, at), pages, 4 * count);
        driver_add(&rings[queue], at, 4 * count, 0, 0);
        kick(queue);
        return at;
}

static void pages_that_are_given_are_released(void **state)
{
        (void)state;
        for (unsigned shared = 0; shared < 2; shared++) {
                uint32_t pages[256];
                const uint32_t pool = (uint32_t)FIRST_PAGE + POOL / PAGE;
                begin(shared, 0);
                assert_int_equal(resident(POOL, 1024), 1024);
                for (unsigned i = 0; i < 256; i++) /* upwards, downwards, here and there */
                        pages[i] = pool + (i < 100 ? i : i < 200 ? 299 - i : 3 * i);
                put_pages(0, pages, 256);
                assert_int_equal(driver_used_idx(&rings[0]), 1);
                assert_int_equal(balloon_released(balloon), 256 * PAGE);
                assert_int_equal(resident(POOL, 200), 0);
                assert_int_equal(resident(POOL, 1024), 1024 - 256);
                assert_int_equal(guest.bytes[POOL], 0); /* touched again: zeroes */
                assert_int_equal(guest.bytes[POOL + 250 * PAGE], 0x77);
                /* taking back needs nothing */
                put_pages(1, pages, 256);
                assert_int_equal(driver_used_idx(&rings[1]), 1);
                /* pages that are no memory, at both ends and beyond all */
                static const uint32_t wrong[] = {0, FIRST_PAGE - 1, FIRST_PAGE + MEMORY_SIZE / PAGE,
                                                 UINT32_MAX};
                put_pages(0, wrong, 4);
                assert_int_equal(driver_used_idx(&rings[0]), 2);
                assert_int_equal(balloon_released(balloon), 256 * PAGE);
                finish();
        }
}

static void lists_of_bad_size_break_the_queue(void **state)
{
        (void)state;
        static const uint32_t sizes[] = {3, 4 * 1024 + 4, 1 << 20};
        for (unsigned i = 0; i < 3; i++) {
                begin(false, 0);
                driver_add(&rings[0], GUEST_BASE + POOL, sizes[i], 0, 0);
                kick(0);
                assert_string_equal(rings[0].why, "bad size of a list of pages");
                assert_int_equal(balloon_released(balloon), 0);
                finish();
        }
}

static void free_pages_that_are_reported_are_released(void **state)
{
        (void)state;
        for (unsigned shared = 0; shared < 2; shared++) {
                begin(shared, F_REPORTING);
                /* two ranges, and around them not a byte: the second one begins and ends inside pages */
                driver_set_desc(&rings[2], 0, GUEST_BASE + POOL + 8 * PAGE, 64 * PAGE, DESC_WRITE | DESC_NEXT,
                                1);
                driver_set_desc(&rings[2], 1, GUEST_BASE + POOL + 200 * PAGE + 1, 3 * PAGE - 2,
                                DESC_WRITE | DESC_NEXT, 2);
                driver_set_desc(&rings[2], 2, GUEST_BASE + POOL + 300 * PAGE + 8, 16, DESC_WRITE, 0);
                driver_announce(&rings[2], 0);
                kick(2);
                assert_int_equal(driver_used_idx(&rings[2]), 1);
                assert_int_equal(balloon_released(balloon), 65 * PAGE);
                assert_int_equal(resident(POOL, 8), 8);
                assert_int_equal(resident(POOL + 8 * PAGE, 64), 0);
                assert_int_equal(resident(POOL + 72 * PAGE, 129), 129);
                assert_int_equal(resident(POOL + 201 * PAGE, 1), 0);
                assert_int_equal(resident(POOL + 202 * PAGE, 200), 200);
                if (shared) {
                        struct stat st;
                        assert_int_equal(fstat(memory_fd, &st), 0);
                        assert_int_equal(st.st_size, MEMORY_SIZE);
                }
                /* what is to be read is not free memory */
                driver_add(&rings[2], GUEST_BASE + POOL, PAGE, 0, 0);
                kick(2);
                assert_int_equal(balloon_released(balloon), 65 * PAGE);
                /* without the queue, its number means nothing */
                kick(3);
                finish();
        }
}

static void queue_numbers_follow_the_features(void **state)
{
        (void)state;
        begin(false, F_STATS | F_REPORTING);
        driver_add(&rings[3], 0, 0, GUEST_BASE + POOL, 4 * PAGE);
        kick(3);
        assert_int_equal(balloon_released(balloon), 4 * PAGE);
        driver_add(&rings[2], 0, 0, GUEST_BASE + POOL + 64 * PAGE, 4 * PAGE);
        kick(2); /* the statistics: stays there */
        assert_int_equal(driver_used_idx(&rings[2]), 0);
        assert_int_equal(balloon_released(balloon), 4 * PAGE);
        finish();
}

static void the_target_is_told_and_the_answer_kept(void **state)
{
        (void)state;
        uint32_t config[3];
        begin(false, 0);
        balloon_set_target(balloon, 512 * PAGE + 5);
        assert_int_equal(changes, 1);
        device()->ops->config_read(device(), 0, config, sizeof(config));
        assert_int_equal(config[0], 512);
        assert_int_equal(config[1], 0);
        assert_int_equal(config[2], 0);
        uint32_t actual = 100;
        device()->ops->config_write(device(), 4, &actual, 4);
        assert_int_equal(balloon_actual(balloon), 100 * PAGE);
        /* nothing else can be written */
        device()->ops->config_write(device(), 0, &actual, 4);
        device()->ops->config_write(device(), 4, &actual, 2);
        device()->ops->config_write(device(), 2, &actual, 4);
        device()->ops->config_write(device(), 4096, &actual, 4);
        device()->ops->config_read(device(), 0, config, sizeof(config));
        assert_int_equal(config[0], 512);
        assert_int_equal(config[1], 100);
        balloon_set_target(balloon, UINT64_MAX);
        device()->ops->config_read(device(), 0, config, sizeof(config));
        assert_int_equal(config[0], UINT32_MAX);
        device()->ops->stop(device());
        assert_int_equal(balloon_actual(balloon), 0);
        finish();
}

static void put_stats(const void *bytes, uint32_t size)
{
        memcpy(guest_at(&guest, GUEST_BASE + POOL), bytes, size);
        driver_add(&rings[2], GUEST_BASE + POOL, size, 0, 0);
        kick(2);
}

static void statistics_come_when_asked_for(void **state)
{
        (void)state;
        uint32_t id, length;
        uint8_t stats[] = {4,   0, 1, 2, 0, 0, 0, 0, 0, 0,           /* FREE 0x201 */
                           5,   0, 0, 0, 1, 0, 0, 0, 0, 0,           /* TOTAL 0x10000 */
                           200, 1, 9, 9, 9, 9, 9, 9, 9, 9, 1, 0, 3}; /* unknown; one that is cut */
        begin(false, F_STATS);
        assert_int_equal(balloon_ask_stats(balloon), -EAGAIN); /* nothing lies there yet */
        put_stats(stats, sizeof(stats));
        assert_int_equal(stats_calls, 0);
        assert_int_equal(balloon_ask_stats(balloon), 0);
        assert_true(driver_take_used(&rings[2], &id, &length));
        assert_int_equal(balloon_ask_stats(balloon), -EAGAIN); /* one question at a time */
        put_stats(stats, sizeof(stats));
        assert_int_equal(stats_calls, 1);
        assert_int_equal(last_stats[BALLOON_STAT_FREE], 0x201);
        assert_int_equal(last_stats[BALLOON_STAT_TOTAL], 0x10000);
        assert_true(last_stats[BALLOON_STAT_SWAP_IN] == BALLOON_STAT_UNKNOWN);
        kick(2); /* nothing new: nothing is told */
        assert_int_equal(stats_calls, 1);
        assert_int_equal(balloon_ask_stats(balloon), 0);
        device()->ops->stop(device());
        assert_int_equal(balloon_ask_stats(balloon), -EAGAIN);
        finish();
}

static void many_chains_take_rounds(void **state)
{
        (void)state;
        begin(false, 0);
        driver_ring_init(&rings[1], &guest, 256);
        assert_int_equal(driver_start(&rings[1], &device()->queues[1], 0, 0), 0);
        for (unsigned i = 0; i < 200; i++)
                driver_add(&rings[1], GUEST_BASE + POOL, 4, 0, 0);
        kick(1);
        assert_true(driver_used_idx(&rings[1]) < 200);
        while (driver_used_idx(&rings[1]) != 200)
                assert_true(loop_step(loop, 0) > 0);
        finish();
}

static void memory_that_cannot_be_released_is_said_once(void **state)
{
        (void)state;
        begin(false, F_REPORTING);
        assert_int_equal(syscall(SYS_mlock, guest.bytes + POOL, 16 * PAGE),
                         0); /* sanitizers ignore mlock() */
        driver_add(&rings[2], 0, 0, GUEST_BASE + POOL, 4 * PAGE);
        driver_add(&rings[2], 0, 0, GUEST_BASE + POOL, 4 * PAGE);
        kick(2);
        assert_int_equal(driver_used_idx(&rings[2]), 2);
        assert_int_equal(balloon_released(balloon), 0);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(pages_that_are_given_are_released),
    cmocka_unit_test(lists_of_bad_size_break_the_queue),
    cmocka_unit_test(free_pages_that_are_reported_are_released),
    cmocka_unit_test(queue_numbers_follow_the_features),
    cmocka_unit_test(the_target_is_told_and_the_answer_kept),
    cmocka_unit_test(statistics_come_when_asked_for),
    cmocka_unit_test(many_chains_take_rounds),
    cmocka_unit_test(memory_that_cannot_be_released_is_said_once),
};

UNIT_TEST_MAIN(cases)
