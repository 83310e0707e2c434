/* SPDX-License-Identifier: Apache-2.0 */
/* The network device between a driver in this process and the far end of its socket, which plays passt. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/net_frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING 256
#define SLOT (80U << 10)
#define ALL                                                                                                \
        (NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_MRG_RXBUF | NET_F_MAC | \
         NET_F_STATUS)
#define FRAME_MAX NET_FRAME_MAX

static struct guest guest;
static struct driver_ring rx, tx;
static struct loop *loop;
static struct net *net;
static int peer, ours;
static unsigned lost, changes;
static uint64_t rx_at, tx_at, tx_next;
static struct net_options options;
static uint8_t stream[4 << 20]; /* what the far end has read */
static size_t stream_size, stream_start;

static struct device *device(void)
{
        return net_device(net);
}

static void on_lost(void *data)
{
        lost++;
}

static void on_change(struct device *d, void *data)
{
        changes++;
}

static void start(uint64_t features)
{
        struct device *d = device();
        rx.next_desc = tx.next_desc = 0;
        if (d->ops->ready != NULL)
                d->ops->ready(d, features);
        assert_int_equal(driver_start(&rx, &d->queues[NET_QUEUE_RX], 0, features | VIRTIO_F_EVENT_IDX), 0);
        assert_int_equal(driver_start(&tx, &d->queues[NET_QUEUE_TX], 0, features | VIRTIO_F_EVENT_IDX), 0);
        d->ops->kick(d, NET_QUEUE_RX);
        d->ops->kick(d, NET_QUEUE_TX);
}

static void begin(uint64_t features)
{
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        ours = pair[0];
        peer = pair[1];
        options.fd = ours;
        options.link_lost = on_lost;
        memcpy(options.mac, "\x02\xb0\xc5\0\0\1", 6);
        guest_init(&guest, 64 << 20);
        driver_ring_init(&rx, &guest, RING);
        driver_ring_init(&tx, &guest, RING);
        rx_at = guest_alloc(&guest, RING * 65600, 16);
        tx_at = guest_alloc(&guest, RING * SLOT, 16);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(net_new(loop, &options, &net), 0);
        device()->config_changed = on_change;
        start(features);
}

static void finish(void)
{
        net_free(net);
        loop_free(loop);
        guest_done(&guest);
        if (peer >= 0)
                (void)close(peer);
        (void)close(ours);
        memset(&options, 0, sizeof(options));
        stream_size = stream_start = 0;
}

static void pump(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

static void kick(unsigned queue)
{
        device()->ops->kick(device(), queue);
}

/* ---- the guest's side ---- */

static const struct net_header plain = {.num_buffers = 0};

/* A packet as Linux makes it: header and data, one after the other, in two descriptors. */
static void put_packet(const struct net_header *h, const void *frame, uint32_t size)
{
        uint64_t place = tx_at + (uint64_t)SLOT * (tx_next++ % RING);
        memcpy(guest_at(&guest, place), h, sizeof(*h));
        memcpy(guest_at(&guest, place + 1024), frame, size);
        unsigned i = tx.next_desc;
        driver_set_desc(&tx, i, place, sizeof(*h), size > 0 ? DESC_NEXT : 0, (uint16_t)((i + 1) % RING));
        driver_set_desc(&tx, (i + 1) % RING, place + 1024, size, 0, 0);
        tx.next_desc = (uint16_t)((i + 2) % RING);
        driver_announce(&tx, (uint16_t)i);
}

static void send_packet(const struct net_header *h, const void *frame, uint32_t size)
{
        put_packet(h, frame, size);
        kick(NET_QUEUE_TX);
}

static void post_buffers(unsigned count, uint32_t size)
{
        for (unsigned i = 0; i < count; i++)
                driver_add(&rx, 0, 0, rx_at + (uint64_t)65600 * rx.next_desc, size);
        kick(NET_QUEUE_RX);
}

/* The next packet that the guest got, put together; returns its size, 0 if there is none. */
static uint32_t receive(struct net_header *ret_h, uint8_t *frame)
{
        uint32_t id, length, size = 0;
        pump();
        if (!driver_take_used(&rx, &id, &length))
                return 0;
        assert_true(length >= sizeof(*ret_h));
        const uint8_t *place = guest_at(&guest, rx_at + (uint64_t)65600 * id);
        memcpy(ret_h, place, sizeof(*ret_h));
        memcpy(frame, place + sizeof(*ret_h), size = length - (uint32_t)sizeof(*ret_h));
        for (unsigned i = 1; i < ret_h->num_buffers; i++) {
                assert_true(driver_take_used(&rx, &id, &length));
                memcpy(frame + size, guest_at(&guest, rx_at + (uint64_t)65600 * id), length);
                size += length;
        }
        return size;
}

/* ---- the far end ---- */

static void far_sends(const void *frame, uint32_t size)
{
        uint8_t bytes[4 + FRAME_MAX];
        uint32_t length = htonl(size);
        memcpy(bytes, &length, 4);
        memcpy(bytes + 4, frame, size);
        assert_int_equal(send(peer, bytes, 4 + size, MSG_DONTWAIT), 4 + size);
}

static size_t far_reads(void)
{
        ssize_t n = recv(peer, stream + stream_size, sizeof(stream) - stream_size, MSG_DONTWAIT);
        if (n <= 0)
                return 0;
        stream_size += (size_t)n;
        return (size_t)n;
}

/* The next whole frame that came, in place; NULL if there is none. */
static const uint8_t *far_receives(uint32_t *ret_size)
{
        uint32_t length;
        pump();
        while (far_reads() > 0)
                pump();
        if (stream_size - stream_start < 4)
                return NULL;
        memcpy(&length, stream + stream_start, 4);
        length = ntohl(length);
        assert_true(length >= NET_ETHERNET_HEADER && length <= FRAME_MAX);
        if (stream_size - stream_start < 4 + length)
                return NULL;
        const uint8_t *frame = stream + stream_start + 4;
        stream_start += 4 + length;
        *ret_size = length;
        return frame;
}

static void fill(uint8_t *frame, uint32_t size, unsigned seed)
{
        for (uint32_t i = 0; i < size; i++)
                frame[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + seed);
}

static uint8_t frame[FRAME_MAX + 16], got[FRAME_MAX + 16];

/* ---- the cases ---- */

static void frames_go_both_ways(void **state)
{
        (void)state;
        static const uint32_t sizes[] = {14, 60, 255, 256, 257, 1514, 9000, 32764, 65534, 65535};
        struct net_header h;
        uint32_t size;
        begin(ALL);
        post_buffers(RING, 4096);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                fill(frame, sizes[i], i);
                send_packet(&plain, frame, sizes[i]);
                const uint8_t *sent = far_receives(&size);
                assert_non_null(sent);
                assert_int_equal(size, sizes[i]);
                assert_memory_equal(sent, frame, size);
                assert_int_equal(driver_used_idx(&tx), i + 1);
                far_sends(frame, sizes[i]);
                assert_int_equal(receive(&h, got), sizes[i]);
                assert_memory_equal(got, frame, sizes[i]);
                assert_int_equal(h.num_buffers, (sizes[i] + 12 + 4095) / 4096);
                assert_int_equal(h.flags, NET_DATA_VALID);
                assert_int_equal(h.gso_type, NET_GSO_NONE);
        }
        const struct net_counters *c = net_counters(net);
        assert_int_equal(c->frames[NET_TO_HOST], 10);
        assert_int_equal(c->frames[NET_TO_GUEST], 10);
        assert_int_equal(c->bytes[NET_TO_HOST], c->bytes[NET_TO_GUEST]);
        assert_int_equal(c->dropped[NET_TO_HOST], 0);
        finish();
}

static void the_configuration_has_the_address(void **state)
{
        (void)state;
        uint8_t config[16];
        options.mtu = 65520;
        begin(0);
        assert_int_equal(device()->features, ALL | NET_F_MTU);
        device()->ops->config_read(device(), 0, config, sizeof(config));
        assert_memory_equal(config, "\x02\xb0\xc5\0\0\1\1\0\1\0\xf0\xff\0\0\0\0", 16);
        finish();
        begin(0);
        assert_int_equal(device()->features, ALL);
        finish();
}

static void several_frames_are_one_system_call(void **state)
{
        (void)state;
        uint32_t size;
        begin(ALL);
        for (unsigned i = 0; i < 100; i++) {
                fill(frame, 600 + i, i);
                put_packet(&plain, frame, 600 + i);
        }
        kick(NET_QUEUE_TX);
        /* the first read brings a whole batch: each is one piece in the socket */
        assert_true(far_reads() > 8192);
        for (unsigned i = 0; i < 100; i++) {
                const uint8_t *sent = far_receives(&size);
                assert_non_null(sent);
                fill(frame, 600 + i, i);
                assert_int_equal(size, 600 + i);
                assert_memory_equal(sent, frame, size);
        }
        assert_int_equal(driver_used_idx(&tx), 100);
        assert_int_equal(tx.notifications, 1);
        finish();
}

/* The checksum as RFC 1071 has it, byte by byte. */
static uint16_t slow_checksum(const uint8_t *bytes, size_t size)
{
        uint32_t sum = 0;
        for (size_t i = 0; i < size; i++)
                sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)~sum;
}

static void checksums_are_completed(void **state)
{
        (void)state;
        static const uint32_t sizes[] = {54, 55, 60, 300, 301, 1514, 65535};
        struct net_header h = {.flags = NET_NEEDS_CHECKSUM, .csum_start = 34, .csum_offset = 16};
        uint32_t size;
        begin(ALL);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                fill(frame, sizes[i], i);
                send_packet(&h, frame, sizes[i]);
                uint16_t expected = slow_checksum(frame + 34, sizes[i] - 34);
                frame[50] = (uint8_t)(expected >> 8);
                frame[51] = (uint8_t)expected;
                const uint8_t *sent = far_receives(&size);
                assert_non_null(sent);
                assert_int_equal(size, sizes[i]);
                assert_memory_equal(sent, frame, size);
        }
        /* a sum of zero is not written as "none" */
        memset(frame, 0, 100);
        frame[34] = frame[35] = 0xff;
        send_packet(&h, frame, 100);
        const uint8_t *sent = far_receives(&size);
        assert_memory_equal(sent + 50, "\xff\xff", 2);
        /* large packets for others to cut go out whole, with their checksum */
        static const uint8_t kinds[] = {NET_GSO_TCPV4, NET_GSO_TCPV6};
        for (unsigned i = 0; i < 2; i++) {
                h.gso_type = kinds[i];
                h.gso_size = 1448;
                fill(frame, 64000, i);
                send_packet(&h, frame, 64000);
                uint16_t expected = slow_checksum(frame + 34, 64000 - 34);
                sent = far_receives(&size);
                assert_non_null(sent);
                assert_int_equal(size, 64000);
                assert_int_equal(sent[50] << 8 | sent[51], expected);
        }
        finish();
}

static void checksums_do_not_care_for_cuts(void **state)
{
        (void)state;
        uint8_t bytes[200];
        fill(bytes, sizeof(bytes), 3);
        uint16_t expected = htons(slow_checksum(bytes + 7, sizeof(bytes) - 7));
        for (unsigned a = 0; a < 100; a++) {
                for (unsigned b = 0; b < 99; b += 3) {
                        struct iovec iov[] = {{bytes, a},
                                              {bytes + a, b},
                                              {bytes + a + b, sizeof(bytes) - a - b}};
                        assert_int_equal(net_checksum(iov, 3, 7), expected);
                }
        }
}

static void wrong_frames_are_dropped(void **state)
{
        (void)state;
        static const struct {
                const char *what;
                uint64_t without;
                uint32_t size;
                struct net_header h;
        } table[] = {
            {"no frame", 0, 0, {0}},
            {"too short", 0, 13, {0}},
            {"too long", 0, 65536, {0}},
            {"checksum not offered", NET_F_CSUM, 100, {.flags = 1, .csum_start = 34, .csum_offset = 16}},
            {"checksum begins in the Ethernet header",
             0,
             100,
             {.flags = 1, .csum_start = 13, .csum_offset = 2}},
            {"checksum begins behind the end", 0, 100, {.flags = 1, .csum_start = 100}},
            {"checksum half behind the end", 0, 100, {.flags = 1, .csum_start = 34, .csum_offset = 65}},
            {"checksum far away", 0, 1000, {.flags = 1, .csum_start = 65535, .csum_offset = 65535}},
            {"checksum in the data", 0, 1000, {.flags = 1, .csum_start = 34, .csum_offset = 500}},
            {"segments not offered, 4", NET_F_HOST_TSO4, 1000, {1, 1, 0, 100, 34, 16, 0}},
            {"segments not offered, 6", NET_F_HOST_TSO6, 1000, {1, 4, 0, 100, 34, 16, 0}},
            {"segments without checksum", 0, 1000, {0, 1, 0, 100, 34, 16, 0}},
            {"segments of no size", 0, 1000, {1, 1, 0, 0, 34, 16, 0}},
            {"UDP segments", 0, 1000, {1, 3, 0, 100, 34, 16, 0}},
            {"ECN", 0, 1000, {1, 0x81, 0, 100, 34, 16, 0}},
        };
        uint32_t size;
        for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                begin(ALL & ~table[i].without);
                uint8_t *bytes = guest_at(&guest, tx_at + 70000);
                put_packet(&plain, bytes, 60);
                put_packet(&table[i].h, bytes, table[i].size);
                put_packet(&plain, bytes, 61);
                kick(NET_QUEUE_TX);
                if (net_counters(net)->dropped[NET_TO_HOST] != 1)
                        fail_msg("%s: not dropped", table[i].what);
                assert_non_null(far_receives(&size));
                assert_int_equal(size, 60);
                assert_non_null(far_receives(&size));
                assert_int_equal(size, 61);
                assert_int_equal(driver_used_idx(&tx), 3);
                finish();
        }
        begin(ALL);
        driver_add(&tx, tx_at, 11, 0, 0);
        kick(NET_QUEUE_TX);
        assert_string_equal(tx.why, "packet shorter than its header");
        finish();
}

static void a_frame_waits_for_all_its_buffers(void **state)
{
        (void)state;
        struct net_header h;
        begin(ALL);
        fill(frame, 10000, 1);
        post_buffers(3, 2000);
        far_sends(frame, 10000);
        far_sends(frame, 100);
        assert_int_equal(receive(&h, got), 0);
        assert_int_equal(driver_used_idx(&rx), 0);
        /* asked to be told of what comes after those three */
        assert_int_equal(driver_avail_event(&rx), 3);
        post_buffers(2, 2000);
        assert_int_equal(receive(&h, got), 0);
        post_buffers(1, 2000);
        assert_int_equal(receive(&h, got), 10000);
        assert_int_equal(h.num_buffers, 6);
        assert_memory_equal(got, frame, 10000);
        post_buffers(1, 2000);
        assert_int_equal(receive(&h, got), 100);
        assert_int_equal(net_counters(net)->frames[NET_TO_GUEST], 2);
        finish();
}

static void buffers_may_be_cut_anywhere(void **state)
{
        (void)state;
        uint32_t id, length;
        begin(ALL);
        fill(frame, 20, 1);
        for (unsigned i = 0; i < 40; i++) /* a byte each */
                driver_set_desc(&rx, i, rx_at + 2ULL * i, 1, DESC_WRITE | (i < 39 ? DESC_NEXT : 0),
                                (uint16_t)(i + 1));
        driver_announce(&rx, 0);
        far_sends(frame, 20);
        pump();
        assert_true(driver_take_used(&rx, &id, &length));
        assert_int_equal(length, 32);
        const uint8_t *place = guest_at(&guest, rx_at);
        assert_int_equal(place[0], NET_DATA_VALID);
        assert_int_equal(place[20], 1); /* num_buffers */
        assert_int_equal(place[22], 0);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(place[24 + 2 * i], frame[i]);
        finish();
}

static void a_driver_without_merging_needs_large_buffers(void **state)
{
        (void)state;
        struct net_header h;
        begin(0);
        post_buffers(2, 1526);
        fill(frame, 1514, 1);
        far_sends(frame, 1514);
        assert_int_equal(receive(&h, got), 1514);
        assert_int_equal(h.num_buffers, 1);
        assert_int_equal(h.flags, 0);
        far_sends(frame, 1515);
        pump();
        assert_string_equal(rx.why, "receive buffers too small");
        finish();
        /* with merging: buffers without room for a byte, and very many of very little */
        begin(ALL);
        post_buffers(1, 12);
        far_sends(frame, 100);
        pump();
        assert_string_equal(rx.why, "receive buffers too small");
        finish();
        begin(ALL);
        post_buffers(200, 13);
        far_sends(frame, 2000);
        pump();
        assert_string_equal(rx.why, "receive buffers too small");
        assert_int_equal(driver_used_idx(&rx), 0);
        /* the next driver gets the frame */
        start(ALL);
        post_buffers(1, 2012);
        assert_int_equal(receive(&h, got), 2000);
        finish();
}

/* Small and large ones; what is sent is what comes, however full the socket is in between. */
static void a_full_socket_makes_the_guest_wait(void **state)
{
        (void)state;
        uint32_t size, id, length;
        unsigned sent = 0, seen = 0, waits = 0;
        begin(ALL);
        while (seen < 600) {
                while (sent < 600 && (uint16_t)(tx.available_idx - driver_used_idx(&tx)) < RING / 2) {
                        fill(frame, 14 + sent * 109, sent);
                        put_packet(&plain, frame, 14 + sent * 109);
                        sent++;
                }
                kick(NET_QUEUE_TX);
                pump();
                if (tx.available_idx != driver_used_idx(&tx)) {
                        waits++;
                        assert_int_equal(loop_step(loop, 0), 0); /* nothing spins */
                }
                (void)far_reads(); /* some */
                pump();
                const uint8_t *bytes;
                while ((bytes = far_receives(&size)) != NULL) {
                        fill(frame, 14 + seen * 109, seen);
                        assert_int_equal(size, 14 + seen * 109);
                        assert_memory_equal(bytes, frame, size);
                        seen++;
                }
                memmove(stream, stream + stream_start, stream_size - stream_start);
                stream_size -= stream_start;
                stream_start = 0;
                while (driver_take_used(&tx, &id, &length))
                        ;
        }
        assert_true(waits > 0);
        assert_int_equal(net_counters(net)->frames[NET_TO_HOST] >= 600, 1);
        finish();
}

static void a_reset_in_the_middle_of_a_frame_keeps_step(void **state)
{
        (void)state;
        uint32_t size;
        unsigned count = 0, whole = 0;
        begin(ALL);
        fill(frame, 65000, 0);
        for (; count < RING / 2; count++)
                put_packet(&plain, frame, 65000);
        kick(NET_QUEUE_TX);
        assert_true(driver_used_idx(&tx) < count);
        struct device *d = device();
        queue_stop(&d->queues[NET_QUEUE_RX]);
        queue_stop(&d->queues[NET_QUEUE_TX]);
        d->ops->stop(d);
        memset(guest_at(&guest, tx_at), 0xee, (size_t)RING * SLOT);
        const uint8_t *bytes;
        while ((bytes = far_receives(&size)) != NULL) {
                whole++;
                assert_int_equal(size, 65000);
                assert_memory_equal(bytes, frame, size);
        }
        assert_true(whole > 0);
        assert_int_equal(stream_start, stream_size); /* no half of a frame */
        start(ALL);
        send_packet(&plain, frame, 99);
        assert_non_null(far_receives(&size));
        assert_int_equal(size, 99);
        finish();
}

static void a_flood_from_outside_waits_outside(void **state)
{
        (void)state;
        struct net_header h;
        unsigned sent = 0, seen = 0;
        uint32_t size;
        begin(ALL);
        fill(frame, 1400, 0);
        uint8_t bytes[1404];
        uint32_t length = htonl(1400);
        memcpy(bytes, &length, 4);
        memcpy(bytes + 4, frame, 1400);
        for (;;) { /* until the far end cannot send any more */
                ssize_t n = send(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
                if (n < 0)
                        break;
                assert_int_equal(n, sizeof(bytes));
                sent++;
                assert_true(sent < 100000);
        }
        pump();
        assert_int_equal(loop_step(loop, 0), 0);
        post_buffers(RING / 2, 2000);
        while (seen < sent) {
                while ((size = receive(&h, got)) > 0) {
                        assert_int_equal(size, 1400);
                        seen++;
                        post_buffers(1, 2000);
                }
        }
        assert_int_equal(seen, sent);
        finish();
}

static void a_frame_may_come_in_pieces(void **state)
{
        (void)state;
        struct net_header h;
        begin(ALL);
        post_buffers(8, 4096);
        fill(frame, 300, 0);
        uint8_t bytes[304] = {0, 0, 1, 44};
        memcpy(bytes + 4, frame, 300);
        for (unsigned i = 0; i < sizeof(bytes); i++) {
                assert_int_equal(receive(&h, got), 0);
                assert_int_equal(send(peer, bytes + i, 1, 0), 1);
        }
        assert_int_equal(receive(&h, got), 300);
        assert_memory_equal(got, frame, 300);
        finish();
}

static uint16_t link_status(void)
{
        uint16_t status;
        device()->ops->config_read(device(), 6, &status, sizeof(status));
        return status;
}

static void a_lost_link_is_told(void **state)
{
        (void)state;
        static const uint8_t wrong[][4] = {{0, 0, 0, 0}, {0, 0, 0, 13}, {0, 1, 0, 0}, {255, 255, 255, 255}};
        for (unsigned i = 0; i < 4 + 2; i++) {
                lost = changes = 0;
                begin(ALL);
                assert_int_equal(link_status(), 1);
                if (i == 5) { /* full first, then gone */
                        for (unsigned k = 0; k < RING / 2; k++)
                                put_packet(&plain, frame, 65000);
                        kick(NET_QUEUE_TX);
                }
                if (i < 4) {
                        assert_int_equal(send(peer, wrong[i], 4, 0), 4);
                } else {
                        (void)close(peer);
                        peer = -1;
                }
                pump();
                assert_int_equal(link_status(), 0);
                assert_int_equal(lost, 1);
                assert_int_equal(changes, 1);
                /* the guest may send on, into nothing */
                if (i == 5)
                        assert_int_equal(driver_used_idx(&tx), RING / 2);
                uint16_t before = driver_used_idx(&tx);
                if (i != 5) {
                        send_packet(&plain, frame, 100);
                        assert_int_equal(driver_used_idx(&tx), before + 1);
                }
                post_buffers(4, 2000);
                assert_int_equal(loop_step(loop, 0), 0);
                assert_int_equal(lost, 1);
                finish();
        }
}

static void a_link_lost_without_a_driver_is_told_too(void **state)
{
        (void)state;
        begin(ALL);
        struct device *d = device();
        queue_stop(&d->queues[NET_QUEUE_RX]);
        queue_stop(&d->queues[NET_QUEUE_TX]);
        d->ops->stop(d);
        (void)close(peer);
        peer = -1;
        pump();
        assert_int_equal(link_status(), 0);
        assert_int_equal(lost, 1);
        finish();
}

static unsigned asked[2];

static bool no_odd_frames(void *data, enum net_direction direction, const uint8_t *head, size_t head_size,
                          size_t size)
{
        asked[direction]++;
        assert_true(head_size == size || head_size >= NET_HEAD_BYTES);
        assert_int_equal(head[0], frame[0]);
        assert_int_equal(head[head_size - 1], frame[head_size - 1]);
        return size % 2 == 0;
}

static void a_policy_sees_every_frame(void **state)
{
        (void)state;
        struct net_header h;
        uint32_t size;
        options.passes = no_odd_frames;
        begin(ALL);
        fill(frame, 2000, 0);
        for (unsigned i = 0; i < 20; i++) {
                put_packet(&plain, frame, 250 + i);
                far_sends(frame, 250 + i);
        }
        kick(NET_QUEUE_TX);
        post_buffers(4, 64); /* not enough for one: it is asked about once all the same */
        post_buffers(100, 2000);
        pump();
        assert_int_equal(asked[NET_TO_HOST], 20);
        assert_int_equal(asked[NET_TO_GUEST], 20);
        for (unsigned i = 0; i < 20; i += 2) {
                assert_non_null(far_receives(&size));
                assert_int_equal(size, 250 + i);
                assert_int_equal(receive(&h, got), 250 + i);
        }
        assert_null(far_receives(&size));
        assert_int_equal(receive(&h, got), 0);
        assert_int_equal(net_counters(net)->dropped[NET_TO_HOST], 10);
        assert_int_equal(net_counters(net)->dropped[NET_TO_GUEST], 10);
        assert_int_equal(driver_used_idx(&tx), 20);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(frames_go_both_ways),
    cmocka_unit_test(the_configuration_has_the_address),
    cmocka_unit_test(several_frames_are_one_system_call),
    cmocka_unit_test(checksums_are_completed),
    cmocka_unit_test(checksums_do_not_care_for_cuts),
    cmocka_unit_test(wrong_frames_are_dropped),
    cmocka_unit_test(a_frame_waits_for_all_its_buffers),
    cmocka_unit_test(buffers_may_be_cut_anywhere),
    cmocka_unit_test(a_driver_without_merging_needs_large_buffers),
    cmocka_unit_test(a_full_socket_makes_the_guest_wait),
    cmocka_unit_test(a_reset_in_the_middle_of_a_frame_keeps_step),
    cmocka_unit_test(a_flood_from_outside_waits_outside),
    cmocka_unit_test(a_frame_may_come_in_pieces),
    cmocka_unit_test(a_lost_link_is_told),
    cmocka_unit_test(a_link_lost_without_a_driver_is_told_too),
    cmocka_unit_test(a_policy_sees_every_frame),
};

UNIT_TEST_MAIN(cases)
