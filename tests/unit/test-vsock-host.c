/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "vmm/virtio/vsock_host.h"
#include "vmm/virtio/vsock_packet.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct guest guest;
static struct driver_ring rx, tx;
static struct loop *loop;
static struct vsock_host *host;
static int folder_fd, listener;
static uint64_t place;
static unsigned controls, connections;
static int control_fd = -1;

static int on_control(void *data, uint32_t port, int fd)
{
        controls++;
        control_fd = dup(fd);
        return 0;
}

static void on_counted(void *data, unsigned count)
{
        connections = count;
}

static void begin(void)
{
        (void)unit_folder(&folder_fd);
        listener = unix_listen_at(folder_fd, "s", SOCK_STREAM | SOCK_NONBLOCK, 200);
        assert_true(listener >= 0);
        struct vsock_host_options options = {.guest_cid = 3,
                                             .connection_max = 300,
                                             .listen_fd = listener,
                                             .greeting_ms = 300,
                                             .control_port = 1024,
                                             .control = on_control,
                                             .counted = on_counted};
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(vsock_host_new(loop, &options, &host), 0);
        guest_init(&guest, 1 << 20);
        driver_ring_init(&rx, &guest, 64);
        driver_ring_init(&tx, &guest, 64);
        place = guest_alloc(&guest, 64 * 1024, 64);
        struct device *d = vsock_host_device(host);
        assert_int_equal(driver_start(&rx, &d->queues[0], 0, 0), 0);
        assert_int_equal(driver_start(&tx, &d->queues[1], 0, 0), 0);
        for (unsigned i = 0; i < 64; i++)
                driver_add(&rx, 0, 0, place + 1024ULL * i, 1024);
}

static void finish(void)
{
        vsock_host_free(host);
        loop_free(loop);
        guest_done(&guest);
        (void)close(listener);
        if (control_fd >= 0)
                (void)close(control_fd);
}

static void pump(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

static int client(const char *greeting)
{
        int fd = unix_connect_at(folder_fd, "s", SOCK_STREAM);
        assert_true(fd >= 0);
        if (greeting[0] != '\0')
                assert_int_equal(send(fd, greeting, strlen(greeting), MSG_NOSIGNAL), strlen(greeting));
        pump();
        return fd;
}

static bool receive(struct vsock_header *h)
{
        uint32_t id, length;
        pump();
        if (!driver_take_used(&rx, &id, &length))
                return false;
        memcpy(h, guest_at(&guest, place + 1024ULL * id), sizeof(*h));
        return true;
}

static void send_packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
        struct vsock_header h = {.src_cid = 3,
                                 .dst_cid = VSOCK_CID_HOST,
                                 .src_port = guest_port,
                                 .dst_port = host_port,
                                 .type = VSOCK_TYPE_STREAM,
                                 .op = op,
                                 .buf_alloc = 65536};
        uint64_t where = guest_alloc(&guest, sizeof(h), 8);
        memcpy(guest_at(&guest, where), &h, sizeof(h));
        driver_add(&tx, where, sizeof(h), 0, 0);
        struct device *d = vsock_host_device(host);
        d->ops->kick(d, 1);
        pump();
}

static void the_line_is_read_exactly(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int length;
                uint32_t port;
        } table[] = {
            {"CONNECT 1025\n", 13, 1025},
            {"CONNECT 0\nrest", 10, 0},
            {"CONNECT 4294967294\n", 19, 4294967294U},
            {"CONNECT 4294967295\n", -EINVAL, 0},
            {"CONNECT 4294967296\n", -EINVAL, 0},
            {"CONNECT 99999999999999999999999999999999", -EINVAL, 0},
            {"CONNECT 00000000000000000000000000000000", -EINVAL, 0},
            {"CONNECT \n", -EINVAL, 0},
            {"CONNECT 12x\n", -EINVAL, 0},
            {"CONNECT 12 \n", -EINVAL, 0},
            {"CONNECT -1\n", -EINVAL, 0},
            {"connect 1\n", -EINVAL, 0},
            {"\n", -EINVAL, 0},
            {"C", 0, 0},
            {"CONNECT ", 0, 0},
            {"CONNECT 12", 0, 0},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                uint32_t port = 0;
                size_t size = strlen(table[i].text);
                if (size > VSOCK_CONNECT_LINE_MAX)
                        size = VSOCK_CONNECT_LINE_MAX;
                int length = vsock_parse_connect(table[i].text, size, &port);
                if (length != table[i].length || port != table[i].port)
                        fail_msg("'%s': %d, port %u", table[i].text, length, port);
        }
}

static void clients_are_connected_and_told(void **state)
{
        (void)state;
        struct vsock_header h;
        char text[64] = {0}, expected[64];
        begin();
        cleanup_fd int fd = client("CONNECT 10");
        assert_false(receive(&h)); /* the line is not whole */
        assert_int_equal(send(fd, "25\nearly", 8, 0), 8);
        assert_true(receive(&h));
        assert_int_equal(h.op, VSOCK_OP_REQUEST);
        assert_int_equal(h.dst_port, 1025);
        assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1);
        uint32_t host_port = h.src_port;
        send_packet(VSOCK_OP_RESPONSE, 1025, host_port);
        (void)snprintf(expected, sizeof(expected), "OK %u\n", host_port);
        assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), strlen(expected));
        assert_string_equal(text, expected);
        assert_true(receive(&h)); /* what came behind the line */
        assert_int_equal(h.op, VSOCK_OP_RW);
        assert_int_equal(h.length, 5);
        assert_int_equal(connections, 1);
        /* refused by the guest: the end, without a word */
        cleanup_fd int refused = client("CONNECT 9\n");
        assert_true(receive(&h));
        send_packet(VSOCK_OP_RST, 9, h.src_port);
        assert_int_equal(recv(refused, text, sizeof(text), MSG_DONTWAIT), 0);
        assert_int_equal(connections, 1);
        send_packet(VSOCK_OP_RST, 1025, host_port);
        assert_int_equal(connections, 0);
        assert_int_equal(vsock_host_count(host), 0);
        finish();
}

static void bad_greetings_are_the_end(void **state)
{
        (void)state;
        static const char *const bad[] = {"GET / HTTP/1.1\r\n", "CONNECT x\n",
                                          "CONNECT 12345678901234567890123456789"};
        char text[8];
        struct vsock_header h;
        begin();
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cleanup_fd int fd = client(bad[i]);
                assert_true(recv(fd, text, sizeof(text), MSG_DONTWAIT) <= 0);
                assert_int_not_equal(errno, EAGAIN);
                errno = 0;
        }
        cleanup_fd int half = client("CONNECT 10");
        assert_int_equal(shutdown(half, SHUT_WR), 0); /* the rest will never come */
        pump();
        assert_true(recv(half, text, sizeof(text), MSG_DONTWAIT) <= 0);
        assert_int_not_equal(errno, EAGAIN);
        assert_false(receive(&h));
        finish();
}

static void silent_clients_do_not_shut_others_out(void **state)
{
        (void)state;
        int silent[150];
        struct vsock_header h;
        begin();
        for (unsigned i = 0; i < 150; i++)
                silent[i] = client("C"); /* more than there is place for: the rest wait in the backlog */
        cleanup_fd int fd = client("CONNECT 1025\n");
        assert_false(receive(&h));
        for (unsigned i = 0; i < 150; i++)
                (void)close(silent[i]);
        assert_true(receive(&h));
        assert_int_equal(h.dst_port, 1025);
        finish();
}

static void silent_clients_are_dropped_in_time(void **state)
{
        (void)state;
        char text[8];
        begin();
        cleanup_fd int first = client("CONN");
        assert_int_equal(loop_step(loop, 150), 0);
        cleanup_fd int second = client("");
        assert_int_equal(loop_step(loop, 5000), 1);
        assert_true(recv(first, text, sizeof(text), MSG_DONTWAIT) <= 0);
        errno = 0;
        assert_int_equal(recv(second, text, sizeof(text), MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN); /* its time has not come */
        assert_int_equal(loop_step(loop, 5000), 1);
        assert_int_equal(recv(second, text, sizeof(text), MSG_DONTWAIT), 0);
        assert_int_equal(loop_step(loop, 400), 0);
        finish();
}

static void the_guest_has_one_way_out(void **state)
{
        (void)state;
        struct vsock_header h;
        char text[8];
        begin();
        send_packet(VSOCK_OP_REQUEST, 5000, 1024);
        assert_true(receive(&h));
        assert_int_equal(h.op, VSOCK_OP_RESPONSE);
        assert_int_equal(controls, 1);
        for (uint32_t i = 0; i < 10; i++) { /* another one, other ports */
                send_packet(VSOCK_OP_REQUEST, 6000 + i, i % 2 ? 1024 : 22);
                assert_true(receive(&h));
                assert_int_equal(h.op, VSOCK_OP_RST);
        }
        assert_int_equal(controls, 1);
        assert_int_equal(connections, 1);
        send_packet(VSOCK_OP_RST, 5000, 1024);
        assert_int_equal(connections, 0);
        assert_int_equal(recv(control_fd, text, sizeof(text), 0), 0);
        (void)close(control_fd);
        send_packet(VSOCK_OP_REQUEST, 5000, 1024); /* it is free again */
        assert_true(receive(&h));
        assert_int_equal(h.op, VSOCK_OP_RESPONSE);
        assert_int_equal(controls, 2);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_line_is_read_exactly),
    cmocka_unit_test(clients_are_connected_and_told),
    cmocka_unit_test(bad_greetings_are_the_end),
    cmocka_unit_test(silent_clients_do_not_shut_others_out),
    cmocka_unit_test(silent_clients_are_dropped_in_time),
    cmocka_unit_test(the_guest_has_one_way_out),
};

UNIT_TEST_MAIN(cases)
