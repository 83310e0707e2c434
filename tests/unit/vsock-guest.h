/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_VSOCK_GUEST_H
#define UNIT_VSOCK_GUEST_H

/* The guest's side of test-vsock.c: its rings, its packets, and the host's callbacks that count. One world at
 * a time. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "vmm/virtio/vsock.h"
#include "vmm/virtio/vsock_packet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CID         3
#define RING        128
#define BUFFER_DATA 4096
#define CONNECTIONS 16

struct packet {
        struct vsock_header header;
        uint8_t data[BUFFER_DATA];
};

static struct guest guest;
static struct driver_ring rx, tx;
static struct loop *loop;
static struct vsock *vsock;
static uint64_t rx_place[RING], tx_place[RING];
static int guest_connects_result;
static int host_ends[64]; /* what guest_connects() made */
static unsigned host_end_count;
static uint32_t connected_port;
static unsigned connected, ended;

static int on_guest_connects(void *data, uint32_t port, int *ret_fd)
{
        int pair[2];
        if (guest_connects_result < 0)
                return guest_connects_result;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        host_ends[host_end_count++] = pair[0];
        *ret_fd = pair[1];
        return 0;
}

static int on_host_connected(void *data, int fd, uint32_t port)
{
        connected++;
        connected_port = port;
        return 0;
}

static void on_guest_ended(void *data, uint32_t port)
{
        ended++;
}

static void post_buffer(unsigned i)
{
        uint16_t head = (uint16_t)(i * 2);
        driver_set_desc(&rx, head, rx_place[i], VSOCK_HEADER_SIZE, DESC_WRITE | DESC_NEXT,
                        (uint16_t)(head + 1));
        driver_set_desc(&rx, head + 1U, rx_place[i] + 64, BUFFER_DATA, DESC_WRITE, 0);
        driver_announce(&rx, head);
}

static void kick(unsigned queue)
{
        const struct device_ops *ops = vsock_device(vsock)->ops;
        ops->kick(vsock_device(vsock), queue);
}

static void begin_with(uint64_t features, unsigned buffers)
{
        static const struct vsock_options options = {.guest_cid = CID,
                                                     .connection_max = CONNECTIONS,
                                                     .end_wait_ms = 300,
                                                     .guest_connects = on_guest_connects,
                                                     .host_connected = on_host_connected,
                                                     .guest_ended = on_guest_ended};
        guest_init(&guest, 8 << 20);
        driver_ring_init(&rx, &guest, RING);
        driver_ring_init(&tx, &guest, RING);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(vsock_new(loop, &options, &vsock), 0);
        struct device *device = vsock_device(vsock);
        assert_int_equal(driver_start(&rx, &device->queues[VSOCK_QUEUE_RX], 0, features), 0);
        assert_int_equal(driver_start(&tx, &device->queues[VSOCK_QUEUE_TX], 0, features), 0);
        for (unsigned i = 0; i < RING / 2; i++)
                rx_place[i] = guest_alloc(&guest, 64 + BUFFER_DATA, 64);
        for (unsigned i = 0; i < RING / 2; i++)
                tx_place[i] = guest_alloc(&guest, 64 + 40000, 64);
        for (unsigned i = 0; i < buffers; i++)
                post_buffer(i);
}

static void begin(void)
{
        begin_with(VIRTIO_F_EVENT_IDX, RING / 2);
}

static void finish(void)
{
        vsock_free(vsock);
        loop_free(loop);
        guest_done(&guest);
        while (host_end_count > 0)
                (void)close(host_ends[--host_end_count]);
}

static void pump(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

/* Puts a packet on the transmit ring without a kick. */
static void put_packet(const struct vsock_header *h, const void *data, uint32_t size)
{
        uint32_t id, length;
        while (driver_take_used(&tx, &id, &length))
                ;
        unsigned i = tx.next_desc / 2;
        memcpy(guest_at(&guest, tx_place[i]), h, sizeof(*h));
        driver_set_desc(&tx, 2 * i, tx_place[i], VSOCK_HEADER_SIZE, size > 0 ? DESC_NEXT : 0,
                        (uint16_t)(2 * i + 1));
        if (size > 0) {
                memcpy(guest_at(&guest, tx_place[i] + 64), data, size);
                driver_set_desc(&tx, 2 * i + 1, tx_place[i] + 64, size, 0, 0);
        }
        tx.next_desc = (uint16_t)((tx.next_desc + 2) % RING);
        driver_announce(&tx, (uint16_t)(2 * i));
}

static struct vsock_header header(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
        return (struct vsock_header){.src_cid = CID,
                                     .dst_cid = VSOCK_CID_HOST,
                                     .src_port = guest_port,
                                     .dst_port = host_port,
                                     .type = VSOCK_TYPE_STREAM,
                                     .op = op,
                                     .buf_alloc = 65536};
}

static void send_op(uint16_t op, uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
        struct vsock_header h = header(op, guest_port, host_port);
        h.flags = flags;
        put_packet(&h, NULL, 0);
        kick(VSOCK_QUEUE_TX);
}

static void send_data(uint32_t guest_port, uint32_t host_port, const void *data, uint32_t size)
{
        struct vsock_header h = header(VSOCK_OP_RW, guest_port, host_port);
        h.length = size;
        put_packet(&h, data, size);
        kick(VSOCK_QUEUE_TX);
}

static bool receive(struct packet *p)
{
        uint32_t id, length;
        pump();
        if (!driver_take_used(&rx, &id, &length))
                return false;
        unsigned i = id / 2;
        memcpy(&p->header, guest_at(&guest, rx_place[i]), VSOCK_HEADER_SIZE);
        assert_int_equal(length, VSOCK_HEADER_SIZE + p->header.length);
        memcpy(p->data, guest_at(&guest, rx_place[i] + 64), p->header.length);
        assert_int_equal(p->header.src_cid, VSOCK_CID_HOST);
        assert_int_equal(p->header.dst_cid, CID);
        post_buffer(i);
        kick(VSOCK_QUEUE_RX);
        return true;
}

static void expect(uint16_t op, struct packet *p)
{
        assert_true(receive(p));
        assert_int_equal(p->header.op, op);
}

static void expect_nothing(void)
{
        struct packet p;
        if (receive(&p))
                fail_msg("unexpected packet: op %d", p.header.op);
}

/* A connection that the host asks for: returns the host's end. */
static int connect_host(uint32_t guest_port, uint32_t *ret_host_port)
{
        int pair[2];
        struct packet p;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(vsock_connect(vsock, guest_port, pair[1]), 0);
        expect(VSOCK_OP_REQUEST, &p);
        assert_int_equal(p.header.dst_port, guest_port);
        assert_int_equal(p.header.buf_alloc, VSOCK_BUFFER_BYTES);
        *ret_host_port = p.header.src_port;
        unsigned before = connected;
        send_op(VSOCK_OP_RESPONSE, guest_port, p.header.src_port, 0);
        assert_int_equal(connected, before + 1);
        assert_int_equal(connected_port, p.header.src_port);
        return pair[0];
}

static int connect_guest(uint32_t guest_port)
{
        struct packet p;
        send_op(VSOCK_OP_REQUEST, guest_port, 1024, 0);
        expect(VSOCK_OP_RESPONSE, &p);
        assert_int_equal(p.header.src_port, 1024);
        assert_int_equal(p.header.dst_port, guest_port);
        return host_ends[host_end_count - 1];
}

#endif
