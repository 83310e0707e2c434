/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device between a hostile driver and a far end that sends anything. Input: steps, see
 * device-world.h; more of them:
 *
 *     7 255 0  the far end sends a frame: length, its bytes
 *     7 255 1  the far end sends bytes: count, the bytes
 *     7 255 2  the far end reads: how much, in 256 bytes
 *     7 255 3  the far end closes
 *     7 255 4  a packet as a driver makes it: header's flags, gso_type, csum_start, csum_offset, length
 *     7 255 5  many receive buffers: size
 *
 * What the far end gets must be whole frames of possible lengths, whatever the driver does.
 */
#include "device-world.h"

#include "vmm/virtio/net.h"
#include "vmm/virtio/net_frame.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct far {
        struct world world; /* first */
        struct net *net;
        int fd;
        uint8_t head[4];
        unsigned head_size;
        uint32_t left; /* of the frame being read */
};

static uint64_t features(uint8_t choice)
{
        return (uint64_t)(choice & 3) | (choice & 4 ? NET_F_HOST_TSO4 : 0) |
               (choice & 8 ? NET_F_HOST_TSO6 : 0) | (choice & 16 ? NET_F_MRG_RXBUF : 0) | NET_F_MAC |
               NET_F_STATUS;
}

static void far_parse(struct far *f, const uint8_t *bytes, size_t size)
{
        for (size_t i = 0; i < size;) {
                if (f->left > 0) {
                        size_t n = size - i < f->left ? size - i : f->left;
                        i += n;
                        f->left -= (uint32_t)n;
                        continue;
                }
                f->head[f->head_size++] = bytes[i++];
                if (f->head_size == 4) {
                        uint32_t length;
                        memcpy(&length, f->head, 4);
                        f->left = ntohl(length);
                        f->head_size = 0;
                        if (f->left < NET_ETHERNET_HEADER || f->left > NET_FRAME_MAX)
                                abort();
                }
        }
}

static void far_reads(struct far *f, size_t limit)
{
        static uint8_t bytes[65536];
        ssize_t n =
            f->fd < 0 ? 0 : recv(f->fd, bytes, limit < sizeof(bytes) ? limit : sizeof(bytes), MSG_DONTWAIT);
        if (n > 0)
                far_parse(f, bytes, (size_t)n);
}

static void far_sends(struct far *f, struct input *in, bool framed)
{
        uint8_t bytes[4 + 32768] = {0};
        uint32_t size = framed ? next_length(in) : next_byte(in);
        uint32_t length = htonl(size);
        if (framed)
                memcpy(bytes, &length, 4);
        for (uint32_t i = 0; i < size && i < 64 && in->size > 0; i++)
                bytes[(framed ? 4 : 0) + i] = next_byte(in);
        if (f->fd >= 0)
                (void)!send(f->fd, bytes, size + (framed ? 4 : 0), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void post_packet(struct world *w, struct input *in)
{
        struct driver_ring *r = &w->rings[NET_QUEUE_TX];
        struct net_header h = {.flags = next_byte(in), .gso_type = next_byte(in)};
        h.csum_start = next_byte(in);
        h.csum_offset = next_byte(in);
        h.gso_size = (uint16_t)(h.csum_offset * 40);
        uint32_t length = next_length(in) * 2;
        unsigned i = r->next_desc;
        uint64_t at = w->place + 4096ULL * i;
        memcpy(guest_at(&w->guest, at), &h, sizeof(h));
        driver_set_desc(r, i, at, sizeof(h), DESC_NEXT, (uint16_t)((i + 1) % WORLD_RING));
        driver_set_desc(r, (i + 1) % WORLD_RING, at + 16, length, 0, 0);
        r->next_desc = (uint16_t)((i + 2) % WORLD_RING);
        driver_announce(r, (uint16_t)i);
        w->device->ops->kick(w->device, NET_QUEUE_TX);
}

static void post_buffers(struct world *w, struct input *in)
{
        struct driver_ring *r = &w->rings[NET_QUEUE_RX];
        uint32_t size = next_length(in) + 1;
        while ((uint16_t)(r->available_idx - driver_used_idx(r)) < WORLD_RING)
                driver_add(r, 0, 0, w->place + 4096ULL * r->next_desc, size);
        w->device->ops->kick(w->device, NET_QUEUE_RX);
}

static void step_more(struct world *w, struct input *in)
{
        struct far *f = (struct far *)w;
        switch (next_byte(in) % 6) {
        case 0:
                far_sends(f, in, true);
                break;
        case 1:
                far_sends(f, in, false);
                break;
        case 2:
                far_reads(f, next_byte(in) * 256U);
                break;
        case 3:
                if (f->fd >= 0 && next_byte(in) % 4 == 3) {
                        (void)close(f->fd);
                        f->fd = -1;
                }
                break;
        case 4:
                post_packet(w, in);
                break;
        default:
                post_buffers(w, in);
        }
}

static bool passes(void *data, enum net_direction direction, const uint8_t *head, size_t head_size,
                   size_t size)
{
        if (head_size < NET_ETHERNET_HEADER || head_size > size)
                abort();
        return head[head_size - 1] != 0x99;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = {data, size};
        static struct far f;
        struct net_options options = {.mtu = 65520, .passes = passes};
        int pair[2];
        world_init(&f.world);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                abort();
        options.fd = pair[0];
        f.fd = pair[1];
        f.head_size = f.left = 0;
        if (loop_new(&f.world.loop) < 0 || net_new(f.world.loop, &options, &f.net) < 0)
                abort();
        f.world.device = net_device(f.net);
        f.world.features = features;
        f.world.step_more = step_more;
        world_run(&f.world, &in);
        for (unsigned i = 0; i < 100 && f.fd >= 0; i++) {
                far_reads(&f, SIZE_MAX);
                world_pump(&f.world);
        }
        net_free(f.net);
        loop_free(f.world.loop);
        (void)close(pair[0]);
        if (f.fd >= 0)
                (void)close(f.fd);
        guest_done(&f.world.guest);
        return 0;
}
