/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock core, driven from the guest's side by a driver in this process that also does what a guest's
 * kernel would not.
 */
#include "vsock-guest.h"

static void both_sides_can_connect_and_talk(void **state)
{
        (void)state;
        struct packet p;
        char text[16];
        uint32_t port;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        assert_int_equal(write(fd, "to guest", 8), 8);
        expect(VSOCK_OP_RW, &p);
        assert_int_equal(p.header.length, 8);
        assert_memory_equal(p.data, "to guest", 8);
        send_data(1025, port, "to host", 7);
        assert_int_equal(read(fd, text, sizeof(text)), 7);
        assert_memory_equal(text, "to host", 7);
        int other = connect_guest(5000);
        send_data(5000, 1024, "hello", 5);
        assert_int_equal(read(other, text, sizeof(text)), 5);
        assert_int_equal(write(other, "again", 5), 5);
        expect(VSOCK_OP_RW, &p);
        assert_int_equal(p.header.dst_port, 5000);
        assert_int_equal(vsock_count(vsock), 2);
        assert_int_equal(driver_used_idx(&tx), tx.available_idx);
        finish();
}

static void ends_are_passed_on_in_each_direction(void **state)
{
        (void)state;
        struct packet p;
        char text[16];
        uint32_t port;
        begin();
        /* the host ends its half: the guest is told, and can still send */
        cleanup_fd int fd = connect_host(1025, &port);
        assert_int_equal(write(fd, "last", 4), 4);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        expect(VSOCK_OP_RW, &p);
        expect(VSOCK_OP_SHUTDOWN, &p);
        assert_int_equal(p.header.flags, VSOCK_SHUTDOWN_SEND);
        send_data(1025, port, "answer", 6);
        assert_int_equal(read(fd, text, sizeof(text)), 6);
        /* the guest ends it all: the host sees the end, the guest gets its RST */
        send_op(VSOCK_OP_SHUTDOWN, 1025, port, VSOCK_SHUTDOWN_BOTH);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(read(fd, text, sizeof(text)), 0);
        assert_int_equal(vsock_count(vsock), 0);
        /* the guest ends its half: the host sees the end, and can still send */
        uint32_t second;
        cleanup_fd int fd2 = connect_host(1025, &second);
        send_op(VSOCK_OP_SHUTDOWN, 1025, second, VSOCK_SHUTDOWN_SEND);
        assert_int_equal(read(fd2, text, sizeof(text)), 0);
        assert_int_equal(write(fd2, "still", 5), 5);
        expect(VSOCK_OP_RW, &p);
        /* the host closes: both directions, and after the guest's RST nothing is left */
        close_fd(&fd2);
        expect(VSOCK_OP_SHUTDOWN, &p);
        if (p.header.flags != VSOCK_SHUTDOWN_BOTH)
                expect(VSOCK_OP_SHUTDOWN, &p);
        assert_int_equal(p.header.flags, VSOCK_SHUTDOWN_BOTH);
        send_op(VSOCK_OP_RST, 1025, second, 0);
        expect_nothing();
        assert_int_equal(vsock_count(vsock), 0);
        finish();
}

static void a_guest_that_stops_reading_makes_the_host_stop(void **state)
{
        (void)state;
        uint32_t port;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        send_op(VSOCK_OP_SHUTDOWN, 1025, port, VSOCK_SHUTDOWN_RECEIVE);
        assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
        expect_nothing();
        finish();
}

static void refusals_are_resets(void **state)
{
        (void)state;
        struct packet p;
        char text[4];
        int pair[2];
        begin();
        guest_connects_result = -ECONNREFUSED;
        send_op(VSOCK_OP_REQUEST, 7, 1024, 0);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(p.header.src_port, 1024);
        assert_int_equal(p.header.dst_port, 7);
        guest_connects_result = 0;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(vsock_connect(vsock, 99, pair[1]), 0);
        expect(VSOCK_OP_REQUEST, &p);
        send_op(VSOCK_OP_RST, 99, p.header.src_port, 0);
        assert_int_equal(read(pair[0], text, sizeof(text)), 0);
        (void)close(pair[0]);
        assert_int_equal(vsock_count(vsock), 0);
        /* a host that gives up before the guest answered */
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(vsock_connect(vsock, 99, pair[1]), 0);
        expect(VSOCK_OP_REQUEST, &p);
        (void)close(pair[0]);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(vsock_count(vsock), 0);
        send_op(VSOCK_OP_RESPONSE, 99, p.header.src_port, 0); /* too late */
        expect(VSOCK_OP_RST, &p);
        finish();
}

static void what_belongs_to_nothing_is_reset_or_dropped(void **state)
{
        (void)state;
        struct packet p;
        begin();
        static const uint16_t answered[] = {
            VSOCK_OP_RESPONSE,       VSOCK_OP_SHUTDOWN, VSOCK_OP_RW, VSOCK_OP_CREDIT_UPDATE,
            VSOCK_OP_CREDIT_REQUEST, VSOCK_OP_INVALID,  77};
        for (size_t i = 0; i < sizeof(answered) / sizeof(answered[0]); i++) {
                send_op(answered[i], 5, 6, 0);
                expect(VSOCK_OP_RST, &p);
                assert_int_equal(p.header.src_port, 6);
                assert_int_equal(p.header.dst_port, 5);
        }
        send_op(VSOCK_OP_RST, 5, 6, 0); /* never an RST for an RST */
        expect_nothing();
        struct vsock_header h = header(VSOCK_OP_REQUEST, 5, 1024);
        h.type = 2;
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(p.header.type, 2);
        h.type = VSOCK_TYPE_STREAM;
        h.src_cid = 4; /* another guest's address */
        put_packet(&h, NULL, 0);
        h.src_cid = CID;
        h.dst_cid = 9;
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
        expect_nothing();
        assert_int_equal(vsock_count(vsock), 0);
        assert_int_equal(host_end_count, 0);
        finish();
}

static void wrong_moves_reset_the_connection(void **state)
{
        (void)state;
        struct packet p;
        char text[16];
        uint32_t port;
        static const uint16_t wrong[] = {VSOCK_OP_REQUEST, VSOCK_OP_RESPONSE, VSOCK_OP_INVALID, 8, 65535};
        begin();
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                cleanup_fd int fd = connect_host(1025, &port);
                send_op(wrong[i], 1025, port, 0);
                expect(VSOCK_OP_RST, &p);
                assert_int_equal(read(fd, text, sizeof(text)), 0);
                assert_int_equal(vsock_count(vsock), 0);
        }
        /* data after it said that there would be none */
        cleanup_fd int fd = connect_host(1025, &port);
        send_op(VSOCK_OP_SHUTDOWN, 1025, port, VSOCK_SHUTDOWN_SEND);
        send_data(1025, port, "x", 1);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(vsock_count(vsock), 0);
        finish();
}

static void length_lies_break_the_queue_only(void **state)
{
        (void)state;
        uint32_t port;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        struct vsock_header h = header(VSOCK_OP_RW, 1025, port);
        h.length = 100;
        put_packet(&h, "short", 5);
        kick(VSOCK_QUEUE_TX);
        assert_int_equal(tx.broken, 1);
        assert_string_equal(tx.why, "packet shorter than it says");
        /* the other queue still serves */
        struct packet p;
        assert_int_equal(write(fd, "x", 1), 1);
        expect(VSOCK_OP_RW, &p);
        /* a driver that begins anew is served */
        struct device *device = vsock_device(vsock);
        device->ops->stop(device);
        assert_int_equal(vsock_count(vsock), 0);
        tx.next_desc = 0;
        assert_int_equal(driver_start(&tx, &device->queues[VSOCK_QUEUE_TX], 0, 0), 0);
        send_op(VSOCK_OP_RW, 1, 2, 0);
        expect(VSOCK_OP_RST, &p);
        driver_set_desc(&tx, 0, tx_place[0], VSOCK_HEADER_SIZE - 1, 0, 0);
        driver_announce(&tx, 0);
        kick(VSOCK_QUEUE_TX);
        assert_int_equal(tx.broken, 2);
        finish();
}

static void small_receive_buffers_break_the_queue(void **state)
{
        (void)state;
        begin_with(0, 0);
        driver_set_desc(&rx, 0, rx_place[0], VSOCK_HEADER_SIZE, DESC_WRITE, 0);
        driver_announce(&rx, 0);
        send_op(VSOCK_OP_RW, 1, 2, 0);
        assert_int_equal(rx.broken, 1);
        finish();
}

/* The host does not read: the guest may send exactly its credit, and gets more as the host reads. */
static void credit_holds_and_comes_back(void **state)
{
        (void)state;
        static uint8_t block[32768];
        struct packet p;
        uint32_t port, sent = 0, told = 0;
        size_t got = 0;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        for (;;) {
                while (receive(&p)) {
                        assert_int_equal(p.header.op, VSOCK_OP_CREDIT_UPDATE);
                        told = p.header.fwd_cnt;
                }
                if (sent - told + sizeof(block) > VSOCK_BUFFER_BYTES)
                        break;
                for (size_t i = 0; i < sizeof(block); i++)
                        block[i] = (uint8_t)((sent + i) % 251);
                send_data(1025, port, block, sizeof(block));
                sent += sizeof(block);
        }
        assert_true(sent >= VSOCK_BUFFER_BYTES);
        assert_int_equal(vsock_count(vsock), 1);
        /* now the host reads all: everything in order, and credit for all of it */
        while (got < sent) {
                uint8_t bytes[5000];
                ssize_t n = read(fd, bytes, sizeof(bytes));
                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        pump();
                        continue;
                }
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal(bytes[i], (got + (size_t)i) % 251);
                got += (size_t)n;
        }
        while (receive(&p))
                told = p.header.fwd_cnt;
        assert_true(sent - told < VSOCK_BUFFER_BYTES / 4);
        send_op(VSOCK_OP_CREDIT_REQUEST, 1025, port, 0);
        expect(VSOCK_OP_CREDIT_UPDATE, &p);
        assert_int_equal(p.header.fwd_cnt, sent);
        assert_int_equal(p.header.buf_alloc, VSOCK_BUFFER_BYTES);
        finish();
}

static void more_than_the_credit_is_a_reset(void **state)
{
        (void)state;
        static uint8_t block[32768];
        struct packet p;
        uint32_t port;
        unsigned resets = 0;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        for (unsigned i = 0; i < 64 && resets == 0; i++) { /* 2 MiB, whatever it is told */
                send_data(1025, port, block, sizeof(block));
                while (receive(&p))
                        resets += p.header.op == VSOCK_OP_RST;
        }
        assert_int_equal(resets, 1);
        assert_int_equal(vsock_count(vsock), 0);
        finish();
}

static void the_guests_credit_is_kept(void **state)
{
        (void)state;
        static uint8_t block[100000];
        struct packet p;
        uint32_t port, got = 0;
        begin();
        cleanup_fd int fd = connect_host(1025, &port); /* buf_alloc 65536 */
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
        while (receive(&p) && p.header.op == VSOCK_OP_RW)
                got += p.header.length;
        assert_int_equal(got, 65536);
        assert_int_equal(p.header.op, VSOCK_OP_CREDIT_REQUEST); /* asked once */
        expect_nothing();
        struct vsock_header h = header(VSOCK_OP_CREDIT_UPDATE, 1025, port);
        h.fwd_cnt = 1000;
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
        expect(VSOCK_OP_RW, &p);
        assert_int_equal(p.header.length, 1000);
        expect(VSOCK_OP_CREDIT_REQUEST, &p);
        h.fwd_cnt = 900000; /* more than it was ever sent: nothing for such a guest */
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
        expect(VSOCK_OP_CREDIT_REQUEST, &p);
        expect_nothing();
        h.fwd_cnt = 66536;
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
        got = 0;
        while (receive(&p))
                got += p.header.length;
        assert_int_equal(got, 100000 - 66536);
        finish();
}

/* What the guest sent before it closed reaches a host that reads late. */
static void data_before_the_end_is_not_lost(void **state)
{
        (void)state;
        static uint8_t block[32768], back[32768];
        struct packet p;
        uint32_t port, sent = 0, told = 0;
        size_t got = 0;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        while (sent - told + sizeof(block) <= VSOCK_BUFFER_BYTES) {
                send_data(1025, port, block, sizeof(block));
                sent += sizeof(block);
                while (receive(&p))
                        told = p.header.fwd_cnt;
        }
        send_op(VSOCK_OP_SHUTDOWN, 1025, port, VSOCK_SHUTDOWN_BOTH);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(vsock_count(vsock), 1); /* draining */
        for (;;) {
                ssize_t n = read(fd, back, sizeof(back));
                if (n == 0)
                        break;
                if (n > 0)
                        got += (size_t)n;
                pump();
        }
        assert_int_equal(got, sent);
        assert_int_equal(vsock_count(vsock), 0);
        finish();
}

static void connections_are_limited(void **state)
{
        (void)state;
        struct packet p;
        int pair[2];
        begin();
        for (uint32_t i = 0; i < CONNECTIONS; i++)
                (void)connect_guest(2000 + i);
        send_op(VSOCK_OP_REQUEST, 3000, 1024, 0);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(host_end_count, CONNECTIONS);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(vsock_connect(vsock, 1025, pair[1]), -EMFILE);
        (void)close(pair[1]); /* still ours */
        (void)close(pair[0]);
        send_op(VSOCK_OP_RST, 2000, 1024, 0);
        assert_int_equal(ended, 1);
        (void)connect_guest(3000);
        finish();
}

/* A guest that sends and never takes a receive buffer: nothing grows, and nothing is lost when it takes some.
 */
static void a_flood_waits_for_its_own_answers(void **state)
{
        (void)state;
        struct packet p;
        unsigned sent = 0, resets = 0, idle = 0;
        begin_with(VIRTIO_F_EVENT_IDX, 0);
        struct vsock_header h = header(VSOCK_OP_RW, 5, 6);
        while (idle < 3) { /* as much as the device takes without giving one answer */
                while ((uint16_t)(tx.available_idx - driver_used_idx(&tx)) < RING / 2 - 1) {
                        h.src_port = sent++;
                        put_packet(&h, NULL, 0);
                        idle = 0;
                }
                kick(VSOCK_QUEUE_TX);
                pump();
                idle++;
        }
        assert_in_range(sent, 100, 1000);
        for (unsigned i = 0; i < RING / 2; i++)
                post_buffer(i);
        kick(VSOCK_QUEUE_RX);
        while (receive(&p)) {
                assert_int_equal(p.header.op, VSOCK_OP_RST);
                assert_int_equal(p.header.dst_port, resets++);
        }
        assert_int_equal(resets, sent);
        finish();
}

/* Streams take turns: a busy one does not keep the others waiting. */
static void turns_are_fair(void **state)
{
        (void)state;
        static uint8_t block[60000];
        struct packet p;
        uint32_t busy, quiet, other;
        begin();
        cleanup_fd int busy_fd = connect_host(1025, &busy);
        cleanup_fd int quiet_fd = connect_host(1026, &quiet);
        cleanup_fd int other_fd = connect_host(1027, &other);
        assert_int_equal(write(busy_fd, block, sizeof(block)), sizeof(block));
        assert_int_equal(write(quiet_fd, "q", 1), 1);
        assert_int_equal(write(other_fd, "o", 1), 1);
        unsigned position = 0, quiet_at = 0, other_at = 0;
        while (receive(&p)) {
                position++;
                if (p.header.dst_port == 1026)
                        quiet_at = position;
                if (p.header.dst_port == 1027)
                        other_at = position;
        }
        assert_true(position > 14);
        assert_in_range(quiet_at, 1, position);
        assert_in_range(other_at, 1, position);
        finish();
}

/* A connection that nobody reads on the host does not hold up others. */
static void a_stuck_stream_holds_nobody_up(void **state)
{
        (void)state;
        static uint8_t block[32768];
        char text[8];
        struct packet p;
        uint32_t stuck, fine, told = 0, sent = 0;
        begin();
        cleanup_fd int stuck_fd = connect_host(1025, &stuck);
        cleanup_fd int fine_fd = connect_host(1026, &fine);
        while (sent - told + sizeof(block) <= VSOCK_BUFFER_BYTES) {
                send_data(1025, stuck, block, sizeof(block));
                sent += sizeof(block);
                while (receive(&p))
                        told = p.header.fwd_cnt;
        }
        for (unsigned i = 0; i < 100; i++) {
                send_data(1026, fine, "ping", 4);
                assert_int_equal(read(fine_fd, text, sizeof(text)), 4);
                assert_int_equal(write(fine_fd, "pong", 4), 4);
                expect(VSOCK_OP_RW, &p);
        }
        assert_int_equal(driver_used_idx(&tx), tx.available_idx);
        finish();
}

/* A host reader that is gone: the guest is told, its further bytes go nowhere and cost nobody anything. */
static void a_host_that_is_gone_swallows(void **state)
{
        (void)state;
        struct packet p;
        uint32_t port;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        assert_int_equal(shutdown(fd, SHUT_RD), 0);
        send_data(1025, port, "x", 1);
        expect(VSOCK_OP_SHUTDOWN, &p);
        assert_int_equal(p.header.flags, VSOCK_SHUTDOWN_RECEIVE);
        for (unsigned i = 0; i < 100; i++) {
                static uint8_t block[32768];
                send_data(1025, port, block, sizeof(block));
        }
        assert_int_equal(vsock_count(vsock), 1);
        assert_int_equal(write(fd, "still", 5), 5);
        do
                assert_true(receive(&p));
        while (p.header.op == VSOCK_OP_CREDIT_UPDATE);
        assert_int_equal(p.header.op, VSOCK_OP_RW);
        finish();
}

/* A guest that never agrees to the end does not keep the connection for ever. */
static void an_end_without_an_answer_is_a_reset(void **state)
{
        (void)state;
        struct packet p;
        uint32_t first, second;
        begin();
        int fd = connect_host(1025, &first);
        int later = connect_host(1026, &second);
        (void)close(fd);
        do
                assert_true(receive(&p));
        while (p.header.flags != VSOCK_SHUTDOWN_BOTH);
        assert_true(loop_step(loop, 100) == 0);
        (void)close(later);
        do
                assert_true(receive(&p));
        while (p.header.flags != VSOCK_SHUTDOWN_BOTH);
        assert_int_equal(vsock_count(vsock), 2);
        assert_int_equal(loop_step(loop, 5000), 1); /* the timer */
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(p.header.dst_port, 1025);
        assert_int_equal(vsock_count(vsock), 1); /* each has its own time */
        while (vsock_count(vsock) > 0)
                assert_int_equal(loop_step(loop, 5000), 1);
        expect(VSOCK_OP_RST, &p);
        assert_int_equal(p.header.dst_port, 1026);
        assert_int_equal(loop_step(loop, 400), 0);
        finish();
}

static void nothing_happens_when_idle(void **state)
{
        (void)state;
        struct packet p;
        uint32_t port;
        begin();
        cleanup_fd int fd = connect_host(1025, &port);
        assert_int_equal(write(fd, "x", 1), 1);
        expect(VSOCK_OP_RW, &p);
        pump();
        assert_int_equal(loop_step(loop, 300), 0);
        finish();
}

static void many_bytes_in_both_directions_arrive_in_order(void **state)
{
        (void)state;
        struct packet p;
        uint32_t port, forwarded = 0;
        uint64_t written = 0, received = 0;
        static uint8_t block[50000];
        begin_with(0, RING / 2);
        cleanup_fd int fd = connect_host(1025, &port);
        while (received < 4000000) {
                for (size_t i = 0; i < sizeof(block); i++)
                        block[i] = (uint8_t)((written + i) % 253);
                ssize_t n = write(fd, block, sizeof(block));
                if (n > 0)
                        written += (uint64_t)n;
                while (receive(&p)) {
                        if (p.header.op != VSOCK_OP_RW)
                                continue;
                        for (uint32_t i = 0; i < p.header.length; i++)
                                assert_int_equal(p.data[i], (received + i) % 253);
                        received += p.header.length;
                        forwarded += p.header.length;
                        struct vsock_header h = header(VSOCK_OP_CREDIT_UPDATE, 1025, port);
                        h.fwd_cnt = forwarded;
                        put_packet(&h, NULL, 0);
                        kick(VSOCK_QUEUE_TX);
                }
        }
        finish();
}

static void the_configuration_is_the_address(void **state)
{
        (void)state;
        uint8_t bytes[12];
        begin();
        struct device *d = vsock_device(vsock);
        d->ops->config_read(d, 0, bytes, sizeof(bytes));
        assert_memory_equal(bytes, "\3\0\0\0\0\0\0\0\0\0\0\0", 12);
        d->ops->config_read(d, UINT32_MAX, bytes, sizeof(bytes));
        assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(both_sides_can_connect_and_talk),
    cmocka_unit_test(ends_are_passed_on_in_each_direction),
    cmocka_unit_test(a_guest_that_stops_reading_makes_the_host_stop),
    cmocka_unit_test(refusals_are_resets),
    cmocka_unit_test(what_belongs_to_nothing_is_reset_or_dropped),
    cmocka_unit_test(wrong_moves_reset_the_connection),
    cmocka_unit_test(length_lies_break_the_queue_only),
    cmocka_unit_test(small_receive_buffers_break_the_queue),
    cmocka_unit_test(credit_holds_and_comes_back),
    cmocka_unit_test(more_than_the_credit_is_a_reset),
    cmocka_unit_test(the_guests_credit_is_kept),
    cmocka_unit_test(data_before_the_end_is_not_lost),
    cmocka_unit_test(connections_are_limited),
    cmocka_unit_test(a_flood_waits_for_its_own_answers),
    cmocka_unit_test(turns_are_fair),
    cmocka_unit_test(a_stuck_stream_holds_nobody_up),
    cmocka_unit_test(a_host_that_is_gone_swallows),
    cmocka_unit_test(an_end_without_an_answer_is_a_reset),
    cmocka_unit_test(nothing_happens_when_idle),
    cmocka_unit_test(many_bytes_in_both_directions_arrive_in_order),
    cmocka_unit_test(the_configuration_is_the_address),
};

UNIT_TEST_MAIN(cases)
