/* SPDX-License-Identifier: Apache-2.0 */
/* The console that only speaks. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "vmm/virtio/console.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING 256

static struct guest guest;
static struct driver_ring ring;
static struct loop *loop;
static struct virtio_console *console;
static uint64_t text_at;

static struct device *device(void)
{
        return virtio_console_device(console);
}

static void begin(int fd, uint64_t limit)
{
        struct virtio_console_options options = {.fd = fd, .limit = limit};
        guest_init(&guest, 4 << 20);
        driver_ring_init(&ring, &guest, RING);
        text_at = guest_alloc(&guest, 2 << 20, 4096);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(virtio_console_new(loop, &options, &console), 0);
        assert_int_equal(driver_start(&ring, &device()->queues[1], 0, VIRTIO_F_EVENT_IDX), 0);
}

static void finish(void)
{
        virtio_console_free(console);
        loop_free(loop);
        guest_done(&guest);
}

static void kick(void)
{
        device()->ops->kick(device(), 1);
}

static void say(const char *text)
{
        uint32_t size = (uint32_t)strlen(text);
        memcpy(guest_at(&guest, text_at), text, size);
        driver_add(&ring, text_at, size, 0, 0);
        kick();
}

static void a_file_gets_what_the_guest_says(void **state)
{
        (void)state;
        char text[64] = "";
        cleanup_fd int fd = memfd_create("log", MFD_CLOEXEC);
        begin(fd, 0);
        say("[    0.000000] Linux");
        say(" version 6.1\n");
        /* in several pieces, with room to write that is left alone */
        memcpy(guest_at(&guest, text_at), "abcdef", 6);
        driver_set_desc(&ring, 10, text_at, 2, DESC_NEXT, 11);
        driver_set_desc(&ring, 11, text_at + 2, 4, DESC_NEXT, 12);
        driver_set_desc(&ring, 12, text_at + 64, 4, DESC_WRITE, 0);
        driver_announce(&ring, 10);
        kick();
        assert_int_equal(driver_used_idx(&ring), 3);
        assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
        assert_string_equal(text, "[    0.000000] Linux version 6.1\nabcdef");
        /* the other queue's buffers are never used */
        device()->ops->kick(device(), 0);
        finish();
}

static void past_the_limit_nothing_is_written(void **state)
{
        (void)state;
        char text[64] = "";
        cleanup_fd int fd = memfd_create("log", MFD_CLOEXEC);
        begin(fd, 10);
        say("123456");
        say("7890ab");
        say("cdef");
        assert_int_equal(driver_used_idx(&ring), 3);
        assert_int_equal(pread(fd, text, sizeof(text), 0), 10);
        assert_string_equal(text, "1234567890");
        finish();
}

static size_t drain_pipe(int fd, uint8_t *expected)
{
        static uint8_t bytes[65536];
        size_t total = 0;
        ssize_t n;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal(bytes[i], (*expected)++);
                total += (size_t)n;
        }
        return total;
}

static void a_full_pipe_makes_the_guest_wait(void **state)
{
        (void)state;
        int pair[2];
        uint8_t expected = 0;
        uint8_t *bytes;
        assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
        begin(pair[1], 0);
        bytes = guest_at(&guest, text_at);
        for (unsigned i = 0; i < 1 << 20; i++)
                bytes[i] = (uint8_t)i;
        for (unsigned i = 0; i < 4; i++)
                driver_add(&ring, text_at + 262144ULL * i, 262144, 0, 0);
        kick();
        assert_int_equal(driver_used_idx(&ring), 0);
        assert_int_equal(loop_step(loop, 0), 0); /* nothing spins */
        kick();
        size_t total = 0;
        while (total < 1 << 20) {
                total += drain_pipe(pair[0], &expected);
                (void)loop_step(loop, 0);
        }
        assert_int_equal(total, 1 << 20);
        assert_int_equal(driver_used_idx(&ring), 4);
        assert_int_equal(loop_step(loop, 0), 0);
        /* a driver that starts anew while the pipe is full begins with its own first byte */
        driver_add(&ring, text_at, 262144, 0, 0);
        kick();
        queue_stop(&device()->queues[1]);
        device()->ops->stop(device());
        expected = 0;
        (void)drain_pipe(pair[0], &expected);
        ring.next_desc = 0;
        assert_int_equal(driver_start(&ring, &device()->queues[1], 0, 0), 0);
        say("new");
        char text[4] = "";
        assert_int_equal(read(pair[0], text, 3), 3);
        assert_string_equal(text, "new");
        finish();
        (void)close(pair[0]);
        (void)close(pair[1]);
}

static void a_reader_that_is_gone_does_not_stop_the_guest(void **state)
{
        (void)state;
        int pair[2];
        (void)signal(SIGPIPE, SIG_IGN);
        assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
        begin(pair[1], 0);
        /* gone while the guest waits */
        driver_add(&ring, text_at, 1 << 20, 0, 0);
        kick();
        assert_int_equal(driver_used_idx(&ring), 0);
        (void)close(pair[0]);
        while (driver_used_idx(&ring) != 1)
                assert_true(loop_step(loop, 30000) > 0);
        say("into nothing");
        assert_int_equal(driver_used_idx(&ring), 2);
        assert_int_equal(loop_step(loop, 0), 0);
        finish();
        (void)close(pair[1]);
}

static void many_chains_take_rounds(void **state)
{
        (void)state;
        cleanup_fd int fd = memfd_create("log", MFD_CLOEXEC);
        uint8_t config[12];
        begin(fd, 0);
        for (unsigned i = 0; i < 200; i++)
                driver_add(&ring, text_at + i, 1, 0, 0);
        kick();
        assert_true(driver_used_idx(&ring) < 200);
        while (driver_used_idx(&ring) != 200)
                assert_true(loop_step(loop, 0) > 0);
        assert_int_equal(lseek(fd, 0, SEEK_END), 200);
        device()->ops->config_read(device(), 0, config, sizeof(config));
        assert_memory_equal(config, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
        finish();
        struct virtio_console_options bad = {.fd = fd};
        struct loop *l;
        assert_int_equal(loop_new(&l), 0);
        close_fd(&fd);
        assert_true(virtio_console_new(l, &bad, &console) < 0);
        loop_free(l);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_file_gets_what_the_guest_says),
    cmocka_unit_test(past_the_limit_nothing_is_written),
    cmocka_unit_test(a_full_pipe_makes_the_guest_wait),
    cmocka_unit_test(a_reader_that_is_gone_does_not_stop_the_guest),
    cmocka_unit_test(many_chains_take_rounds),
};

UNIT_TEST_MAIN(cases)
