/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock core between a hostile guest and a busy host. The input is a list of steps; each byte chooses
 * one, and the bytes after it are its arguments:
 *
 *     0 guest sends a packet    op, guest port, host port, flags, length, credit (with a wrong address now
 * and then) 1 guest answers the last request    2 guest takes what it received and posts new buffers    3
 * guest posts a raw chain 4 host connects    5 host writes    6 host reads    7 host closes    8 host shuts
 * down    9 driver starts anew
 */
#include "../tests/unit/virtio-driver.h"
#include "base/loop.h"
#include "vmm/virtio/vsock.h"
#include "vmm/virtio/vsock_packet.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING        16
#define SLOT        8192
#define SOCKETS     8
#define CONNECTIONS 6

struct input {
        const uint8_t *data;
        size_t size;
};

struct world {
        struct guest guest;
        struct driver_ring rx, tx;
        struct loop *loop;
        struct vsock *vsock;
        uint64_t rx_place, tx_place;
        int sockets[SOCKETS];
        struct vsock_header last; /* the last packet that the guest received */
        bool is_raw; /* the driver posted chains of its own making: buffers are not where they seem */
};

static uint8_t next_byte(struct input *in)
{
        if (in->size == 0)
                return 0;
        in->size--;
        return *in->data++;
}

static void keep(struct world *w, int fd)
{
        for (unsigned i = 0; i < SOCKETS; i++) {
                if (w->sockets[i] < 0) {
                        w->sockets[i] = fd;
                        return;
                }
        }
        (void)close(w->sockets[0]);
        w->sockets[0] = fd;
}

static int on_guest_connects(void *data, uint32_t port, int *ret_fd)
{
        int pair[2];
        if (port != 1024 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -1;
        keep(data, pair[0]);
        *ret_fd = pair[1];
        return 0;
}

static int on_host_connected(void *data, int fd, uint32_t port)
{
        return port % 7 == 3 ? -1 : 0;
}

static void ignore_broken(struct queue *q, const char *why, void *data)
{
}

static void start(struct world *w)
{
        struct device *d = vsock_device(w->vsock);
        if (driver_start(&w->rx, &d->queues[VSOCK_QUEUE_RX], 0, VIRTIO_F_EVENT_IDX) < 0 ||
            driver_start(&w->tx, &d->queues[VSOCK_QUEUE_TX], 0, VIRTIO_F_INDIRECT_DESC) < 0)
                abort();
        d->queues[VSOCK_QUEUE_RX].on_broken = d->queues[VSOCK_QUEUE_TX].on_broken = ignore_broken;
        w->rx.next_desc = w->tx.next_desc = 0;
        w->is_raw = false;
}

static void kick(struct world *w, unsigned queue)
{
        struct device *d = vsock_device(w->vsock);
        d->ops->kick(d, queue);
}

static void post_buffers(struct world *w, unsigned count)
{
        for (unsigned i = 0; i < count && (uint16_t)(w->rx.available_idx - w->rx.used_seen) < RING; i++)
                driver_add(&w->rx, 0, 0, w->rx_place + (uint64_t)SLOT * w->rx.next_desc, 44 + 100 * (i + 1U));
        kick(w, VSOCK_QUEUE_RX);
}

static void take_received(struct world *w)
{
        uint32_t id, length;
        while (driver_take_used(&w->rx, &id, &length)) {
                if (id >= RING || length < VSOCK_HEADER_SIZE || length > SLOT)
                        abort();
                if (w->is_raw)
                        continue;
                memcpy(&w->last, guest_at(&w->guest, w->rx_place + (uint64_t)SLOT * id), sizeof(w->last));
                if (w->last.length != length - VSOCK_HEADER_SIZE || w->last.src_cid != VSOCK_CID_HOST ||
                    w->last.dst_cid != 3 || (w->last.length > 0 && w->last.op != VSOCK_OP_RW))
                        abort();
        }
}

static void send_packet(struct world *w, const struct vsock_header *h, uint32_t payload)
{
        uint64_t place = w->tx_place + (uint64_t)SLOT * w->tx.next_desc;
        memcpy(guest_at(&w->guest, place), h, sizeof(*h));
        driver_add(&w->tx, place, VSOCK_HEADER_SIZE + payload, 0, 0);
        kick(w, VSOCK_QUEUE_TX);
}

static void guest_sends(struct world *w, struct input *in)
{
        uint8_t op = next_byte(in), where = next_byte(in), more = next_byte(in);
        uint32_t length = next_byte(in) * 32U;
        struct vsock_header h = {.src_cid = more == 255 ? 4 : 3,
                                 .dst_cid = more == 254 ? 3 : VSOCK_CID_HOST,
                                 .src_port = where % 4U,
                                 .dst_port = where & 0x80   ? 1024
                                             : where & 0x40 ? (1U << 30) + where % 8U
                                                            : w->last.src_port,
                                 .length = more == 253 ? length + 1 : length,
                                 .type = more == 252 ? 2 : VSOCK_TYPE_STREAM,
                                 .op = op % 10,
                                 .flags = more % 4U,
                                 .buf_alloc = more * 64U,
                                 .fwd_cnt = next_byte(in) * 16U};
        send_packet(w, &h, length);
}

static void guest_answers(struct world *w)
{
        struct vsock_header h = {.src_cid = 3,
                                 .dst_cid = VSOCK_CID_HOST,
                                 .src_port = w->last.dst_port,
                                 .dst_port = w->last.src_port,
                                 .type = VSOCK_TYPE_STREAM,
                                 .op = VSOCK_OP_RESPONSE,
                                 .buf_alloc = 65536};
        send_packet(w, &h, 0);
}

static void guest_posts_raw(struct world *w, struct input *in)
{
        struct driver_ring *ring = next_byte(in) & 1 ? &w->rx : &w->tx;
        unsigned i = next_byte(in) % RING;
        w->is_raw = true;
        driver_set_desc(ring, i, w->tx_place + next_byte(in) * 16U, next_byte(in), next_byte(in) % 8,
                        next_byte(in) % 20);
        driver_announce(ring, (uint16_t)i);
        kick(w, ring == &w->rx ? VSOCK_QUEUE_RX : VSOCK_QUEUE_TX);
}

static void host_connects(struct world *w, struct input *in)
{
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return;
        keep(w, pair[0]);
        if (vsock_connect(w->vsock, next_byte(in) % 4U, pair[1]) < 0)
                (void)close(pair[1]);
}

static void host_acts(struct world *w, unsigned what, struct input *in)
{
        static uint8_t bytes[65536];
        int *fd = &w->sockets[next_byte(in) % SOCKETS];
        if (*fd < 0)
                return;
        if (what == 5)
                (void)!send(*fd, bytes, next_byte(in) * 200U + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (what == 6)
                (void)!recv(*fd, bytes, next_byte(in) * 200U + 1, MSG_DONTWAIT);
        else if (what == 8)
                (void)shutdown(*fd, next_byte(in) % 3);
        else {
                (void)close(*fd);
                *fd = -1;
        }
}

static void step(struct world *w, struct input *in)
{
        unsigned what = next_byte(in) % 10U;
        struct device *d = vsock_device(w->vsock);
        switch (what) {
        case 0:
                guest_sends(w, in);
                break;
        case 1:
                guest_answers(w);
                break;
        case 2:
                take_received(w);
                post_buffers(w, next_byte(in) % RING);
                break;
        case 3:
                guest_posts_raw(w, in);
                break;
        case 4:
                host_connects(w, in);
                break;
        case 9:
                d->ops->stop(d);
                start(w);
                break;
        default:
                host_acts(w, what, in);
        }
        for (unsigned i = 0; i < 4 && loop_step(w->loop, 0) > 0; i++)
                ;
        if (vsock_count(w->vsock) > CONNECTIONS)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct world w;
        struct input in = {data, size};
        struct vsock_options options = {.guest_cid = 3,
                                        .connection_max = CONNECTIONS,
                                        .guest_connects = on_guest_connects,
                                        .host_connected = on_host_connected,
                                        .data = &w};
        memset(&w, 0, sizeof(w));
        for (unsigned i = 0; i < SOCKETS; i++)
                w.sockets[i] = -1;
        guest_init(&w.guest, 512 << 10);
        driver_ring_init(&w.rx, &w.guest, RING);
        driver_ring_init(&w.tx, &w.guest, RING);
        w.rx_place = guest_alloc(&w.guest, (size_t)SLOT * RING, 16);
        w.tx_place = guest_alloc(&w.guest, (size_t)SLOT * RING + SLOT, 16);
        if (loop_new(&w.loop) < 0 || vsock_new(w.loop, &options, &w.vsock) < 0)
                abort();
        start(&w);
        post_buffers(&w, RING);
        for (unsigned i = 0; i < 200 && in.size > 0; i++)
                step(&w, &in);
        vsock_free(w.vsock);
        loop_free(w.loop);
        guest_done(&w.guest);
        for (unsigned i = 0; i < SOCKETS; i++) {
                if (w.sockets[i] >= 0)
                        (void)close(w.sockets[i]);
        }
        return 0;
}
