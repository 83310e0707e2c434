/* SPDX-License-Identifier: Apache-2.0 */
/* The vhost-user transport, driven over a socket pair the way QEMU does it, and the ways it should not. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "vmm/virtio/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY_SIZE (1U << 20)
#define PEER_BASE   UINT64_C(0x7f0000000000)

/* A device that gives every chain back, saying that it wrote 7 bytes. */
static unsigned kicks, stops, drains, readies;
static uint64_t ready_features;
static uint32_t written_at;
static char written[16];
static struct device toy;

static void toy_config_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        memset(bytes, 0, size);
        for (size_t i = 0; i < size && offset + i < 8; i++)
                ((uint8_t *)bytes)[i] = (uint8_t)(offset + i + 1);
}
static void toy_config_write(struct device *d, uint32_t offset, const void *bytes, size_t size)
{
        written_at = offset;
        assert_true(size < sizeof(written));
        memcpy(written, bytes, size);
}
static void toy_ready(struct device *d, uint64_t features)
{
        readies++;
        ready_features = features;
        assert_int_equal(kicks, 0);
}
static void toy_drain(struct device *d)
{
        drains++;
        assert_true(d->queues[0].started || d->queues[1].started);
}
static void toy_kick(struct device *d, unsigned queue)
{
        static struct chain chain;
        kicks++;
        assert_int_equal(readies, 1);
        while (queue_next(&d->queues[queue], &chain) > 0)
                queue_put(&d->queues[queue], &chain, 7);
        queue_publish(&d->queues[queue]);
}
static void toy_stop(struct device *d)
{
        stops++;
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

static struct loop *loop;
static struct vhost_user *transport;
static int peer, served;
static unsigned ready_count, ended_count;
static char ended_why[256];
static struct guest guest;
static struct driver_ring driver;
static int memory_fd, kick_fd, call_fd;

static void on_ready(void *data)
{
        ready_count++;
}
static void on_ended(void *data, const char *why)
{
        ended_count++;
        (void)snprintf(ended_why, sizeof(ended_why), "%s", why == NULL ? "(closed)" : why);
}

static void begin(void)
{
        int pair[2];
        struct vhost_user_events events = {.ready = on_ready, .ended = on_ended};
        toy.ops = &toy_ops;
        toy.features = 0x5;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        peer = pair[0];
        served = pair[1];
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(vhost_user_new(loop, served, &toy, &events, &transport), 0);
}

static void finish(void)
{
        vhost_user_free(transport);
        loop_free(loop);
        (void)close(served);
        if (peer >= 0)
                (void)close(peer);
}

static void pump(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

static void send_raw(uint32_t request, uint32_t flags, const void *payload, uint32_t size, uint32_t said_size,
                     int fd)
{
        struct vhost_user_message m = {.request = request, .flags = flags, .size = said_size};
        if (size > 0)
                memcpy(m.payload, payload, size);
        assert_int_equal(fd_send(peer, &m, VHOST_USER_HEADER_SIZE + size, &fd, fd >= 0 ? 1 : 0),
                         VHOST_USER_HEADER_SIZE + size);
        pump();
}

static void send_message(uint32_t request, const void *payload, uint32_t size, int fd)
{
        send_raw(request, 1, payload, size, size, fd);
}

static bool read_reply(struct vhost_user_message *m)
{
        ssize_t n = recv(peer, m, sizeof(*m), MSG_DONTWAIT);
        if (n < 0)
                return false;
        assert_int_equal(n, VHOST_USER_HEADER_SIZE + m->size);
        assert_int_equal(m->flags, 5);
        return true;
}

static uint64_t ask_number(uint32_t request)
{
        struct vhost_user_message m;
        uint64_t number;
        send_message(request, NULL, 0, -1);
        assert_true(read_reply(&m));
        assert_int_equal(m.request, request);
        assert_int_equal(m.size, 8);
        memcpy(&number, m.payload, 8);
        return number;
}

static void send_number(uint32_t request, uint64_t number, int fd)
{
        send_message(request, &number, 8, fd);
}

static void send_state(uint32_t request, uint32_t index, uint32_t number)
{
        uint32_t state[2] = {index, number};
        send_message(request, state, 8, -1);
}

struct table_one {
        uint32_t count, padding;
        uint64_t gpa, size, peer, offset;
};

static void make_guest(void)
{
        memset(&guest, 0, sizeof(guest));
        memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(memory_fd, MEMORY_SIZE), 0);
        assert_int_equal(fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        guest.bytes = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
        assert_true(guest.bytes != MAP_FAILED);
        guest.size = MEMORY_SIZE;
        kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        driver_ring_init(&driver, &guest, 16);
}

static void drop_guest(void)
{
        (void)munmap(guest.bytes, MEMORY_SIZE);
        (void)close(memory_fd);
        (void)close(kick_fd);
        (void)close(call_fd);
}

static void send_memory(void)
{
        struct table_one table = {.count = 1, .gpa = GUEST_BASE, .size = MEMORY_SIZE, .peer = PEER_BASE};
        send_message(5, &table, sizeof(table), memory_fd);
}

static void send_ring(unsigned index)
{
        uint64_t address[5] = {index, driver.address.descriptors - GUEST_BASE + PEER_BASE,
                               driver.address.used - GUEST_BASE + PEER_BASE,
                               driver.address.available - GUEST_BASE + PEER_BASE, 0};
        send_state(8, index, 16);
        send_state(10, index, 0);
        send_message(9, address, 40, -1);
        send_number(12, index, kick_fd);
}

static uint64_t read_event(int fd)
{
        uint64_t count = 0;
        return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* The order in which QEMU 7.2 speaks, see the log of a start. */
static void negotiate(void)
{
        uint32_t config[3 + 2] = {0, 8, 0, 0, 0};
        struct vhost_user_message m;
        assert_int_equal(ask_number(1),
                         0x170000005); /* VERSION_1, PROTOCOL_FEATURES, EVENT_IDX, INDIRECT, ours */
        assert_int_equal(ask_number(15), 0x209);
        send_number(16, 0x209, -1);
        send_message(3, NULL, 0, -1);
        assert_int_equal(ready_count, 0);
        send_message(24, config, 20, -1);
        assert_true(read_reply(&m));
        assert_memory_equal(m.payload + 12, "\1\2\3\4\5\6\7\10", 8);
        assert_int_equal(ready_count, 1);
        send_number(2, 0x170000004, -1);
}

static void a_ring_is_served_from_start_to_stop(void **state)
{
        (void)state;
        struct vhost_user_message m;
        uint32_t id, length;
        begin();
        make_guest();
        send_number(13, 1, call_fd); /* before anything else, as QEMU does */
        negotiate();
        send_memory();
        send_ring(1);
        assert_false(toy.queues[1].started);
        assert_int_equal(readies, 0);
        send_state(18, 1, 1);
        assert_true(toy.queues[1].started);
        assert_int_equal(readies, 1);
        assert_int_equal(ready_features, 4);
        uint64_t buffer = guest_alloc(&guest, 64, 1);
        driver_add(&driver, 0, 0, buffer, 10);
        uint64_t one = 1;
        assert_int_equal(write(kick_fd, &one, 8), 8);
        pump();
        assert_true(driver_take_used(&driver, &id, &length));
        assert_int_equal(length, 7);
        assert_int_equal(read_event(call_fd), 1);
        /* new memory while it runs: looked up anew, nothing lost */
        assert_int_equal(drains, 0);
        send_memory();
        assert_int_equal(drains, 1);
        assert_true(toy.queues[1].started);
        driver_add(&driver, 0, 0, buffer, 10);
        assert_int_equal(write(kick_fd, &one, 8), 8);
        pump();
        assert_true(driver_take_used(&driver, &id, &length));
        send_state(11, 1, 0);
        assert_true(read_reply(&m));
        uint32_t base[2];
        memcpy(base, m.payload, 8);
        assert_int_equal(base[0], 1);
        assert_int_equal(base[1], 2);
        assert_false(toy.queues[1].started);
        assert_int_equal(drains, 2);
        assert_int_equal(stops, 1);
        unsigned before = kicks;
        assert_int_equal(write(kick_fd, &one, 8), 8);
        pump();
        assert_int_equal(kicks, before);
        assert_int_equal(ended_count, 0);
        drop_guest();
        finish();
}

static void the_configuration_can_be_written(void **state)
{
        (void)state;
        uint32_t config[3 + 2] = {4, 4, 0, 0x64636261, 0};
        begin();
        negotiate();
        send_message(25, config, 16, -1);
        assert_int_equal(written_at, 4);
        assert_string_equal(written, "abcd");
        assert_int_equal(ended_count, 0);
        config[1] = 5; /* longer than it is */
        send_message(25, config, 16, -1);
        assert_int_equal(ended_count, 1);
        finish();
}

static void a_broken_ring_is_told_by_its_error_descriptor(void **state)
{
        (void)state;
        begin();
        make_guest();
        cleanup_fd int error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        negotiate();
        send_memory();
        send_number(14, 0, error_fd);
        driver_announce(&driver, 99);
        send_ring(0);
        send_state(18, 0, 1);
        assert_true(toy.queues[0].broken);
        assert_int_equal(read_event(error_fd), 1);
        assert_int_equal(ended_count, 0);
        drop_guest();
        finish();
}

static void replies_come_when_wanted(void **state)
{
        (void)state;
        struct vhost_user_message m;
        begin();
        send_message(3, NULL, 0, -1);
        assert_false(read_reply(&m));
        send_raw(3, 9, NULL, 0, 0, -1);
        assert_true(read_reply(&m));
        assert_int_equal(m.size, 8);
        assert_memory_equal(m.payload, "\0\0\0\0\0\0\0\0", 8);
        /* a message that comes in pieces */
        uint8_t bytes[20] = {16, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8, 2};
        for (unsigned i = 0; i < sizeof(bytes); i++) {
                assert_int_equal(send(peer, bytes + i, 1, 0), 1);
                pump();
        }
        assert_int_equal(ask_number(17), 2);
        assert_int_equal(ended_count, 0);
        close_fd(&peer);
        pump();
        assert_int_equal(ended_count, 1);
        assert_string_equal(ended_why, "(closed)");
        finish();
}

static void expect_end(const char *what)
{
        pump();
        if (ended_count != 1)
                fail_msg("%s: ended %u times", what, ended_count);
        if (strcmp(ended_why, "(closed)") == 0)
                fail_msg("%s: no reason", what);
        ended_count = 0;
}

static void wrong_messages_end_the_conversation(void **state)
{
        (void)state;
        static const struct {
                const char *what;
                uint32_t request, flags, size, said;
                uint8_t payload[48];
                bool fd;
        } table[] = {
            {"unknown request", 200, 1, 0, 0, {0}, false},
            {"request 0", 0, 1, 0, 0, {0}, false},
            {"version 0", 1, 0, 0, 0, {0}, false},
            {"version 2", 1, 2, 0, 0, {0}, false},
            {"a reply", 1, 5, 0, 0, {0}, false},
            {"payload too long", 1, 1, 8, 8, {0}, false},
            {"payload too short", 2, 1, 4, 4, {0}, false},
            {"payload beyond all", 5, 1, 0, 100000, {0}, false},
            {"features not offered", 2, 1, 8, 8, {0, 0, 0, 0, 0, 0, 0, 0x80}, false},
            {"protocol features not offered", 16, 1, 8, 8, {2}, false},
            {"ring index", 8, 1, 8, 8, {2, 0, 0, 0, 16}, false},
            {"ring of no size", 8, 1, 8, 8, {0}, false},
            {"ring of odd size", 8, 1, 8, 8, {0, 0, 0, 0, 15}, false},
            {"ring too large", 8, 1, 8, 8, {0, 0, 0, 0, 0, 8}, false},
            {"base too large", 10, 1, 8, 8, {0, 0, 0, 0, 0, 0, 1}, false},
            {"enabled by 2", 18, 1, 8, 8, {0, 0, 0, 0, 2}, false},
            {"kick without descriptor", 12, 1, 8, 8, {0}, false},
            {"kick by polling", 12, 1, 8, 8, {0, 1}, false},
            {"kick for ring 7", 12, 1, 8, 8, {7}, true},
            {"call said to have none, with one", 13, 1, 8, 8, {0, 1}, true},
            {"descriptor where none belongs", 1, 1, 0, 0, {0}, true},
            {"memory without descriptor", 5, 1, 40, 40, {1}, false},
            {"memory of 9 regions", 5, 1, 8, 8, {9}, false},
            {"memory shorter than said", 5, 1, 8, 8, {1}, true},
            {"memory that is no file", 5, 1, 40, 40, {[0] = 1, [17] = 16}, true},
            {"config longer than itself", 24, 1, 12, 12, {0, 0, 0, 0, 8}, false},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                begin();
                int fd = table[i].fd ? eventfd(0, EFD_CLOEXEC) : -1;
                send_raw(table[i].request, table[i].flags, table[i].payload, table[i].size, table[i].said,
                         fd);
                expect_end(table[i].what);
                if (fd >= 0)
                        (void)close(fd);
                finish();
        }
}

static void rings_outside_memory_end_the_conversation(void **state)
{
        (void)state;
        for (unsigned which = 1; which <= 3; which++) {
                begin();
                make_guest();
                send_memory();
                uint64_t address[5] = {0, PEER_BASE, PEER_BASE + 4096, PEER_BASE + 8192, 0};
                address[which] = which == 2 ? PEER_BASE + MEMORY_SIZE - 4 : PEER_BASE - 16;
                send_state(8, 0, 16);
                send_number(2, 0x100000000, -1); /* no protocol features: enabled from the start */
                send_number(12, 0, kick_fd);
                send_message(9, address, 40, -1);
                expect_end("ring outside");
                assert_false(toy.queues[0].started);
                drop_guest();
                finish();
        }
}

static void a_kick_that_is_no_eventfd_does_not_spin(void **state)
{
        (void)state;
        int pipe_fds[2];
        begin();
        make_guest();
        negotiate();
        send_memory();
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        (void)close(pipe_fds[1]); /* always readable: the end */
        (void)close(kick_fd);
        kick_fd = pipe_fds[0];
        send_ring(0);
        send_state(18, 0, 1);
        pump();
        assert_int_equal(loop_step(loop, 50), 0);
        drop_guest();
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_ring_is_served_from_start_to_stop),
    cmocka_unit_test(the_configuration_can_be_written),
    cmocka_unit_test(a_broken_ring_is_told_by_its_error_descriptor),
    cmocka_unit_test(replies_come_when_wanted),
    cmocka_unit_test(wrong_messages_end_the_conversation),
    cmocka_unit_test(rings_outside_memory_end_the_conversation),
    cmocka_unit_test(a_kick_that_is_no_eventfd_does_not_spin),
};

UNIT_TEST_MAIN(cases)
