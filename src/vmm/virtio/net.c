/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames between two queues and a stream socket.
 *
 * To the host: a frame's first bytes are copied, for they are looked at; the rest goes from the guest's pages
 * into the socket. Frames are sent in batches of one system call, which either hold several frames in
 * BATCH_BYTES or one frame of any size. The kernel keeps BATCH_BYTES of a unix socket in one piece, and a
 * largest frame in two; passt 2023-03 needs that, since it reads the end of a frame by one recv(2) and is out
 * of step for ever when that brings less. When the socket is full, chains stay in the queue and the guest
 * waits. Only the end of a frame of which the beginning was sent is kept here (`rest`).
 *
 * To the guest: as much as there is, is read into one buffer, and each whole frame in it copied into as many
 * of the driver's buffers as it takes. When the driver has no more, the socket is left alone and the sender
 * waits. Nothing grows, nothing is allocated per frame.
 *
 * Offloads. passt speaks plain frames, with no room for a word about checksums or segments, but it takes
 * frames of up to 64 KiB and ends TCP itself. So:
 *   - CSUM: what the guest leaves open is computed here.
 *   - HOST_TSO4/6: a packet of many segments is, with its checksum, one valid large frame; the link to passt
 *     has an MTU that lets it through whole, so nobody has to cut it.
 *   - GUEST_CSUM: passt makes the checksums, and frames come from its memory through the kernel into the
 *     guest's: on the way nothing can have happened to them, and the guest is told not to look again.
 *   - GUEST_TSO is not offered: with passt's large MTU frames are large as they are.
 *
 * The socket is watched edge-triggered: who has to wait (for the driver's buffers, or for room in the socket)
 * costs nothing meanwhile.
 *
 *     UP -> DOWN [lose_link()]   the other side closed, failed, or sent a length that no frame has; for good
 *
 * Invariants:
 * 1. incoming[start .. start + length) is what was read and not delivered; it begins with a frame's length.
 * 2. While rest_length > 0 nothing else is sent.
 * 3. Chains of a batch are given back, or put back into the queue, before collect() runs again.
 *
 * Hostile: header and frame from the guest (copied once, then checked), lengths and frames from the host's
 * side. Threads: the loop's only.
 *
 * system calls (loop): sendmsg recvfrom
 */
#include "vmm/virtio/net.h"

#include "base/log.h"
#include "vmm/virtio/again.h"
#include "vmm/virtio/net_frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define DEVICE_ID_NET 1 /* virtio 1.2 section 5 */

#define LENGTH_SIZE    4 /* before each frame on the socket */
#define BATCH_BYTES    (32U << 10)
#define BATCH_FRAMES   64
#define BATCH_SEGMENTS 1024 /* IOV_MAX */
#define INCOMING_BYTES (256U << 10)
#define MERGE_MAX      128 /* buffers for one frame; Linux's hold 1500 bytes at least */
#define RX_BUDGET      256 /* frames a round */
#define TX_BUDGET      256
#define SOCKET_BYTES   (1U << 20) /* asked for as the socket's buffers; the host has a limit of its own */

#define STATUS_LINK_UP 1U

struct config {
        uint8_t mac[6];
        uint16_t status;
        uint16_t max_virtqueue_pairs;
        uint16_t mtu;
};
_Static_assert(sizeof(struct config) == 12, "virtio 1.2 section 5.1.4");

/* A frame on its way to the host; of size 0 if it is dropped. */
struct outgoing {
        uint16_t head;      /* the chain's */
        uint16_t first_iov; /* in batch.iov */
        uint16_t iov_count;
        uint32_t size; /* with its length before it */
        uint8_t bytes[LENGTH_SIZE + NET_HEAD_BYTES];
};

struct batch {
        unsigned frame_count;
        unsigned iov_count;
        size_t size;
        struct outgoing frames[BATCH_FRAMES];
        struct iovec iov[BATCH_SEGMENTS];
};

struct net {
        struct device device; /* first: ops get this pointer */
        struct net_options options;
        struct again again;
        struct source *source;
        struct config config;
        struct net_counters counters;
        uint64_t features; /* negotiated */
        bool is_up;
        bool readable; /* there may be something to read */
        bool writable;
        bool said_wrong;

        size_t start, length; /* invariant 1 */
        bool first_passed;    /* passes() has seen the first frame there, and let it through */
        size_t rest_start, rest_length;
        struct batch batch;
        struct chain chain; /* the one being worked on */
        uint8_t rest[LENGTH_SIZE + NET_FRAME_MAX];
        uint8_t incoming[INCOMING_BYTES];
};

static struct queue *rx_queue(struct net *n)
{
        return &n->device.queues[NET_QUEUE_RX];
}

static struct queue *tx_queue(struct net *n)
{
        return &n->device.queues[NET_QUEUE_TX];
}

static void lose_link(struct net *n, const char *why)
{
        if (!n->is_up)
                return;
        log_warning("the network's other side is lost: %s", why);
        n->is_up = false;
        n->length = n->rest_length = 0;
        source_free(n->source);
        n->source = NULL;
        n->config.status &= (uint16_t)~STATUS_LINK_UP;
        device_config_changed(&n->device);
        if (n->options.link_lost != NULL)
                n->options.link_lost(n->options.data);
}

/* The one place that all frames pass. */
static bool passes(struct net *n, enum net_direction direction, const uint8_t *head, size_t head_size,
                   size_t size)
{
        if (n->options.passes != NULL &&
            !n->options.passes(n->options.data, direction, head, head_size, size)) {
                n->counters.dropped[direction]++;
                return false;
        }
        n->counters.frames[direction]++;
        n->counters.bytes[direction] += size;
        return true;
}

/* ---- driver to device ---- */

static void say_wrong(struct net *n, const char *wrong)
{
        n->counters.dropped[NET_TO_HOST]++;
        if (!n->said_wrong)
                log_warning("guest sent a frame that is %s; dropped, as are others", wrong);
        n->said_wrong = true;
}

static void complete_checksum(struct net *n, struct outgoing *f, const struct net_header *h)
{
        uint16_t sum = net_checksum(n->batch.iov + f->first_iov, f->iov_count, LENGTH_SIZE + h->csum_start);
        memcpy(f->bytes + LENGTH_SIZE + h->csum_start + h->csum_offset, &sum, sizeof(sum));
}

/* Makes f of the frame in n->chain; false when it is not to be sent. */
static bool make_frame(struct net *n, struct outgoing *f)
{
        const struct chain *c = &n->chain;
        struct net_header h;
        size_t size = c->out_bytes - sizeof(h), rest;
        size_t head = size < NET_HEAD_BYTES ? size : NET_HEAD_BYTES;
        (void)iov_read(c->iov, c->out_count, 0, &h, sizeof(h)); /* the caller has seen that it is there */
        const char *wrong = net_check_header(&h, size, head, n->features);
        if (wrong != NULL) {
                say_wrong(n, wrong);
                return false;
        }
        (void)iov_read(c->iov, c->out_count, sizeof(h), f->bytes + LENGTH_SIZE, head);
        if (!n->is_up || !passes(n, NET_TO_HOST, f->bytes + LENGTH_SIZE, head, size))
                return false;
        uint32_t length = htonl((uint32_t)size);
        memcpy(f->bytes, &length, sizeof(length));
        struct iovec *iov = n->batch.iov + f->first_iov;
        iov[0] = (struct iovec){.iov_base = f->bytes, .iov_len = LENGTH_SIZE + head};
        f->iov_count =
            (uint16_t)(1 + iov_slice(c->iov, c->out_count, sizeof(h) + head, size - head, iov + 1, &rest));
        f->size = (uint32_t)(LENGTH_SIZE + size);
        if (h.flags & NET_NEEDS_CHECKSUM)
                complete_checksum(n, f, &h);
        return true;
}

/* Fills the batch from the queue, with `limit` chains at most. */
static void collect(struct net *n, unsigned limit)
{
        struct batch *b = &n->batch;
        struct queue *q = tx_queue(n);
        b->frame_count = b->iov_count = 0;
        b->size = 0;
        while (b->frame_count < limit && b->frame_count < BATCH_FRAMES &&
               b->iov_count + 1 + CHAIN_SEGMENTS_MAX <= BATCH_SEGMENTS && queue_next(q, &n->chain) > 0) {
                if (n->chain.out_bytes < sizeof(struct net_header)) {
                        queue_untake(q);
                        queue_break(q, "packet shorter than its header");
                        return;
                }
                size_t size = LENGTH_SIZE + n->chain.out_bytes - sizeof(struct net_header);
                if (b->size > 0 && b->size + size > BATCH_BYTES) {
                        queue_untake(q);
                        return;
                }
                struct outgoing *f = &b->frames[b->frame_count++];
                f->head = n->chain.head;
                f->first_iov = (uint16_t)b->iov_count;
                f->iov_count = 0;
                f->size = 0;
                if (make_frame(n, f)) {
                        b->iov_count += f->iov_count;
                        b->size += f->size;
                }
        }
}

/* `sent` bytes of the batch are gone: chains go back to the driver, or into the queue if nothing of them was
 * sent. */
static void settle(struct net *n, size_t sent)
{
        struct batch *b = &n->batch;
        unsigned i = 0;
        for (; i < b->frame_count && (sent > 0 || b->frames[i].size == 0); i++) {
                const struct outgoing *f = &b->frames[i];
                if (sent < f->size) {
                        n->rest_start = 0;
                        n->rest_length =
                            iov_read(b->iov + f->first_iov, f->iov_count, sent, n->rest, f->size - sent);
                        sent = f->size;
                }
                sent -= f->size;
                queue_put_head(tx_queue(n), f->head, 0);
        }
        for (; i < b->frame_count; i++)
                queue_untake(tx_queue(n));
        b->frame_count = 0;
}

/* Bytes that the socket took; 0 with n->writable false when it is full, or with the link lost. */
static size_t push(struct net *n, struct iovec *iov, unsigned count)
{
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
        ssize_t sent;
        do {
                sent = sendmsg(n->options.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent >= 0)
                return (size_t)sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
                n->writable = false;
        else
                lose_link(n, strerror(errno));
        return 0;
}

static void push_batch(struct net *n)
{
        struct batch *b = &n->batch;
        size_t sent = b->size > 0 ? push(n, b->iov, b->iov_count) : 0;
        if (!n->is_up)
                sent = b->size; /* lost with the link: the driver gets its chains back */
        settle(n, sent);
        if (!n->is_up)
                n->rest_length = 0;
}

static void push_rest(struct net *n)
{
        while (n->rest_length > 0 && n->writable) {
                struct iovec iov = {.iov_base = n->rest + n->rest_start, .iov_len = n->rest_length};
                size_t sent = push(n, &iov, 1);
                if (!n->is_up)
                        return;
                n->rest_start += sent;
                n->rest_length -= sent;
        }
}

static void serve_transmit(struct net *n)
{
        struct queue *q = tx_queue(n);
        unsigned budget = TX_BUDGET;
        push_rest(n);
        queue_kicks_off(q);
        do {
                while (budget > 0 && n->writable && n->rest_length == 0) {
                        collect(n, budget);
                        if (n->batch.frame_count == 0)
                                break;
                        budget -= n->batch.frame_count;
                        push_batch(n);
                        push_rest(n);
                }
        } while (budget > 0 && n->writable && n->rest_length == 0 && queue_kicks_on(q));
        if (budget == 0)
                again_ask(&n->again);
        queue_publish(q);
}

/* ---- device to driver ---- */

/* The length of the first frame of which all is there, or 0. */
static uint32_t whole_frame(struct net *n)
{
        uint32_t length;
        if (n->length < LENGTH_SIZE)
                return 0;
        memcpy(&length, n->incoming + n->start, sizeof(length));
        length = ntohl(length);
        if (length < NET_ETHERNET_HEADER || length > NET_FRAME_MAX) {
                lose_link(n, "it sent a frame of a length that no frame has");
                return 0;
        }
        return n->length >= LENGTH_SIZE + length ? length : 0;
}

static void forget_frame(struct net *n, uint32_t length)
{
        n->start += LENGTH_SIZE + length;
        n->length -= LENGTH_SIZE + length;
        n->first_passed = false;
        if (n->length == 0)
                n->start = 0; /* little traffic then stays on the same pages */
}

/* Reads more; false when there is nothing now. */
static bool fill(struct net *n)
{
        if (!n->is_up || !n->readable)
                return false;
        if (n->start > 0 && INCOMING_BYTES - n->start < 2 * (LENGTH_SIZE + NET_FRAME_MAX)) {
                memmove(n->incoming, n->incoming + n->start, n->length);
                n->start = 0;
        }
        size_t end = n->start + n->length;
        ssize_t got;
        do {
                got = recv(n->options.fd, n->incoming + end, INCOMING_BYTES - end, MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
        if (got > 0) {
                n->length += (size_t)got;
                return true;
        }
        n->readable = false;
        if (got == 0)
                lose_link(n, "it closed the connection");
        else if (errno != EAGAIN && errno != EWOULDBLOCK)
                lose_link(n, strerror(errno));
        return false;
}

/* Puts `count` back whose chains were taken last. */
static void untake(struct queue *q, unsigned count)
{
        while (count-- > 0)
                queue_untake(q);
}

/* The next buffer into n->chain; false when there is none now, and a kick will come. */
static bool take_buffer(struct net *n)
{
        struct queue *q = rx_queue(n);
        while (queue_next(q, &n->chain) == 0) {
                if (!queue_kicks_on(q))
                        return false;
        }
        return true;
}

/* A frame in the driver's buffers, not given back yet. */
struct delivery {
        unsigned count;
        struct {
                uint16_t head;
                uint32_t written;
        } used[MERGE_MAX];
        struct iovec header[sizeof(struct net_header)]; /* its place, at worst a byte a segment */
        unsigned header_segments;
};

/* What is wrong with the buffer in n->chain as the next one for a frame of which `left` bytes are left? */
static bool is_too_small(const struct net *n, const struct delivery *d, size_t skip, size_t left)
{
        return n->chain.in_bytes <= skip || d->count == MERGE_MAX ||
               (!(n->features & NET_F_MRG_RXBUF) && n->chain.in_bytes - skip < left);
}

static void give_buffers(struct net *n, const struct delivery *d)
{
        struct net_header h = {.flags = n->features & NET_F_GUEST_CSUM ? NET_DATA_VALID : 0,
                               .num_buffers = (uint16_t)d->count};
        (void)iov_write(d->header, d->header_segments, 0, &h, sizeof(h)); /* it fits */
        for (unsigned i = 0; i < d->count; i++)
                queue_put_head(rx_queue(n), d->used[i].head, d->used[i].written);
}

/*
 * Copies a frame into the driver's buffers and gives them back. False when there are not enough of them:
 * those taken are in the queue again, and are filled anew from the beginning when more have come.
 */
static bool deliver(struct net *n, const uint8_t *frame, uint32_t length)
{
        struct queue *q = rx_queue(n);
        const struct chain *c = &n->chain;
        struct delivery d;
        size_t bytes;
        d.count = d.header_segments = 0;
        for (size_t done = 0; done < length;) {
                size_t skip = d.count == 0 ? sizeof(struct net_header) : 0;
                if (!take_buffer(n)) {
                        untake(q, d.count);
                        return false;
                }
                if (is_too_small(n, &d, skip, length - done)) {
                        untake(q, d.count + 1);
                        queue_break(q, "receive buffers too small");
                        return false;
                }
                const struct iovec *in = c->iov + c->out_count;
                if (d.count == 0)
                        d.header_segments = iov_slice(in, c->in_count, 0, skip, d.header, &bytes);
                size_t written = iov_write(in, c->in_count, skip, frame + done, length - done);
                done += written;
                d.used[d.count].head = c->head;
                d.used[d.count++].written = (uint32_t)(skip + written);
        }
        give_buffers(n, &d);
        return true;
}

static void serve_receive(struct net *n)
{
        struct queue *q = rx_queue(n);
        unsigned budget = RX_BUDGET;
        if (!q->started || q->broken)
                return;
        queue_kicks_off(q);
        for (;;) {
                uint32_t length = whole_frame(n);
                if (length == 0) {
                        if (!fill(n))
                                break;
                        continue;
                }
                if (budget-- == 0) {
                        again_ask(&n->again);
                        break;
                }
                const uint8_t *frame = n->incoming + n->start + LENGTH_SIZE;
                n->first_passed = n->first_passed || passes(n, NET_TO_GUEST, frame, length, length);
                if (n->first_passed && !deliver(n, frame, length))
                        break; /* it comes again */
                forget_frame(n, length);
        }
        queue_publish(q);
}

/* ---- entry points ---- */

static void on_socket(struct source *s, int fd, uint32_t events, void *data)
{
        struct net *n = data;
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                n->readable = true;
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                n->writable = true;
        serve_transmit(n);
        serve_receive(n);
        /* without a driver nobody would read the end */
        if (n->is_up && (events & (EPOLLHUP | EPOLLERR)) && n->readable && !rx_queue(n)->started)
                lose_link(n, "it closed the connection");
}

static void on_again(void *data)
{
        struct net *n = data;
        serve_transmit(n);
        serve_receive(n);
}

static void net_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        const struct net *n = (const struct net *)device;
        device_config_copy(&n->config, sizeof(n->config), offset, bytes, size);
}

static void net_ready(struct device *device, uint64_t features)
{
        ((struct net *)device)->features = features;
}

static void net_kick(struct device *device, unsigned queue)
{
        struct net *n = (struct net *)device;
        if (queue == NET_QUEUE_TX)
                serve_transmit(n);
        else
                serve_receive(n);
}

/* Frames that were read stay, as on a wire; so does the end of one that was begun, or passt would be lost. */
static void net_stop(struct device *device)
{
}

static const struct device_ops net_ops = {
    .name = "net",
    .id = DEVICE_ID_NET,
    .queue_count = 2,
    .config_read = net_config_read,
    .ready = net_ready,
    .kick = net_kick,
    .stop = net_stop,
};

static void describe(struct net *n)
{
        n->device.ops = &net_ops;
        n->device.features = NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 |
                             NET_F_MRG_RXBUF | NET_F_MAC | NET_F_STATUS |
                             (n->options.mtu != 0 ? NET_F_MTU : 0);
        n->config =
            (struct config){.status = STATUS_LINK_UP, .max_virtqueue_pairs = 1, .mtu = n->options.mtu};
        memcpy(n->config.mac, n->options.mac, sizeof(n->config.mac));
}

int net_new(struct loop *loop, const struct net_options *options, struct net **ret_net)
{
        struct net *n = calloc(1, sizeof(*n));
        int bytes = SOCKET_BYTES;
        if (n == NULL)
                return -ENOMEM;
        n->options = *options;
        n->is_up = n->readable = n->writable = true;
        describe(n);
        /* larger ones save switches between two processes; it is as well without */
        (void)setsockopt(options->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        (void)setsockopt(options->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
        int r = again_init(&n->again, loop, on_again, n);
        if (r == 0)
                r = loop_add_io(loop, options->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_socket, n,
                                &n->source);
        if (r < 0) {
                net_free(n);
                return r;
        }
        *ret_net = n;
        return 0;
}

void net_free(struct net *n)
{
        if (n == NULL)
                return;
        source_free(n->source);
        again_done(&n->again);
        free(n);
}

struct device *net_device(struct net *n)
{
        return &n->device;
}

const struct net_counters *net_counters(const struct net *n)
{
        return &n->counters;
}
