/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio socket device: moves bytes between guest streams and host sockets.
 *
 * Guest to host: a packet's payload goes from the guest's own pages straight into the socket. What the socket
 * does not take waits in the connection's ring, which is as long as the credit we gave (VSOCK_BUFFER_BYTES),
 * so it can always be taken in: one slow reader on the host never holds up the transmit queue, and so no
 * other stream. Credit comes back as the socket drains.
 *
 * Host to guest: sockets are watched edge-triggered, so a stream that has to wait (for credit, for a receive
 * buffer) costs nothing meanwhile. Streams with something to send stand in line; the first one's turn is one
 * packet, read from its socket into the guest's buffer, then it goes to the end of the line. A round has a
 * budget, after which the loop gets to see other events (again_fd brings us back).
 *
 * Invariants:
 * 1. A connection stands in the ready line if and only if it owes a packet or could send data
 * (may_send_data()).
 * 2. The transmit queue is only taken from while `resets` has a free place, so every packet that needs an RST
 * gets one, without memory growing: a guest that floods us waits for itself to take receive buffers.
 * 3. store_length = received - forwarded <= VSOCK_BUFFER_BYTES; a guest that sends more than its credit is
 * reset.
 * 4. Nothing is allocated per packet.
 *
 * Hostile: every header field (one copy is made and checked), and the guest's idea of order. The guest's
 * credit words concern nobody but itself. Threads: the loop's only.
 *
 * system calls (loop): recvmsg sendmsg shutdown read write
 */
#include "vmm/virtio/vsock.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "vmm/virtio/vsock_connection.h"
#include "vmm/virtio/vsock_packet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEVICE_ID_VSOCK 19 /* virtio 1.2 section 5 */

#define PACKET_DATA_MAX (64U << 10) /* Linux refuses longer ones */
#define RESETS_MAX      256
#define RX_BUDGET       256 /* packets a round */
#define TX_BUDGET       256

/* A guest that was told of the end by both sides answers at once; Linux itself waits 8 s for its peer. */
#define END_WAIT_MS 10000

/* An RST for a connection that we do not have, or no longer. */
struct stray_reset {
        uint32_t guest_port;
        uint32_t host_port;
        uint16_t type;
};

struct vsock {
        struct device device; /* first: ops get this pointer */
        struct loop *loop;
        struct vsock_options options;
        struct connections connections;
        struct stray_reset resets[RESETS_MAX];
        unsigned reset_first;
        unsigned reset_count;
        bool transmit_stalled; /* invariant 2 */
        bool said_spoofed;
        int again_fd;
        struct source *again;
        struct source *end_timer;
        struct chain chain; /* the one being worked on; too large for the stack of every function */
};

static struct queue *rx_queue(struct vsock *v)
{
        return &v->device.queues[VSOCK_QUEUE_RX];
}

static struct queue *tx_queue(struct vsock *v)
{
        return &v->device.queues[VSOCK_QUEUE_TX];
}

static void come_again(struct vsock *v)
{
        uint64_t one = 1;
        (void)!write(v->again_fd, &one, sizeof(one)); /* fails only when it is readable anyway */
}

/* ---- the life of a connection ---- */

static bool may_send_data(const struct connection *c)
{
        return c->state == CONNECTION_OPEN && c->readable && !c->host_ended &&
               !(c->guest_shut & VSOCK_SHUTDOWN_RECEIVE) && connection_credit(c) > 0;
}

/* Restores invariant 1 after anything about c changed. */
static void reconsider(struct vsock *v, struct connection *c)
{
        if (c->state == CONNECTION_OPEN && c->readable && !c->host_ended && connection_credit(c) == 0 &&
            !c->asked_credit && !(c->guest_shut & VSOCK_SHUTDOWN_RECEIVE)) {
                c->owes |= OWES_CREDIT_REQUEST;
                c->asked_credit = true;
        }
        if (c->owes != 0 || may_send_data(c))
                connection_make_ready(&v->connections, c);
        else
                connection_not_ready(c);
}

static void leave_guest(struct vsock *v, struct connection *c)
{
        connection_unhash(&v->connections, c);
        if (c->by_guest && v->options.guest_ended != NULL)
                v->options.guest_ended(v->options.data, c->host_port);
        c->by_guest = false;
}

static void tell_count(const struct vsock *v)
{
        if (v->options.counted != NULL)
                v->options.counted(v->options.data, v->connections.count);
}

static void drop(struct vsock *v, struct connection *c)
{
        leave_guest(v, c);
        connection_free(&v->connections, c);
        tell_count(v);
}

/* The end by force: the host's socket is closed now, and the guest is owed an RST. */
static void reset(struct vsock *v, struct connection *c)
{
        source_free(c->source);
        c->source = NULL;
        close_fd(&c->fd);
        connection_store_drop(&v->connections, c, c->store_length);
        c->state = CONNECTION_RESETTING;
        c->owes = OWES_RST;
        connection_make_ready(&v->connections, c);
}

/* The guest knows no such connection any more. What it sent before its end still goes to the host. */
static void guest_is_done(struct vsock *v, struct connection *c)
{
        if (c->store_length == 0) {
                drop(v, c);
                return;
        }
        leave_guest(v, c);
        c->owes = 0;
        c->state = CONNECTION_DRAINING;
        connection_not_ready(c);
}

static void tell_shutdown(struct connection *c, uint8_t flags)
{
        if ((c->host_shut | flags) == c->host_shut || c->state != CONNECTION_OPEN)
                return;
        c->host_shut |= flags;
        c->owes |= OWES_SHUTDOWN;
}

/* The host's stream is at its end; with hung_up, it takes nothing any more either. */
static void host_is_done(struct connection *c)
{
        c->host_ended = true;
        tell_shutdown(c, c->hung_up ? VSOCK_SHUTDOWN_BOTH : VSOCK_SHUTDOWN_SEND);
}

static void await_end(struct vsock *v, struct connection *c)
{
        bool first = connections_first_closing(&v->connections) == NULL;
        c->state = CONNECTION_CLOSING;
        connection_await_end(&v->connections, c, clock_monotonic_ms() + v->options.end_wait_ms);
        if (first)
                (void)source_arm(v->end_timer,
                                 v->options.end_wait_ms); /* timerfd_settime() of a valid time */
}

/* ---- device to driver ---- */

/* Takes a receive buffer into v->chain. */
static bool take_buffer(struct vsock *v)
{
        struct queue *q = rx_queue(v);
        while (queue_next(q, &v->chain) == 0) {
                if (!queue_kicks_on(q))
                        return false; /* a kick comes when there are more */
        }
        if (v->chain.in_bytes <= VSOCK_HEADER_SIZE) {
                queue_break(q, "receive buffer without room for data");
                return false;
        }
        return true;
}

static void give_packet(struct vsock *v, const struct vsock_header *header)
{
        const struct chain *chain = &v->chain;
        (void)iov_write(chain->iov + chain->out_count, chain->in_count, 0, header,
                        sizeof(*header)); /* it fits */
        queue_put(rx_queue(v), chain, VSOCK_HEADER_SIZE + header->length);
}

static struct vsock_header header_for(const struct vsock *v, struct connection *c, enum vsock_op op)
{
        c->forwarded_told = c->forwarded;
        c->owes &= (uint8_t)~OWES_CREDIT_UPDATE; /* every packet is one */
        return (struct vsock_header){.src_cid = VSOCK_CID_HOST,
                                     .dst_cid = v->options.guest_cid,
                                     .src_port = c->host_port,
                                     .dst_port = c->guest_port,
                                     .type = VSOCK_TYPE_STREAM,
                                     .op = (uint16_t)op,
                                     .buf_alloc = VSOCK_BUFFER_BYTES,
                                     .fwd_cnt = c->forwarded};
}

static void send_owed(struct vsock *v, struct connection *c)
{
        static const struct {
                uint8_t bit;
                uint8_t op;
        } order[] = {
            {OWES_RST, VSOCK_OP_RST},           {OWES_REQUEST, VSOCK_OP_REQUEST},
            {OWES_RESPONSE, VSOCK_OP_RESPONSE}, {OWES_CREDIT_REQUEST, VSOCK_OP_CREDIT_REQUEST},
            {OWES_SHUTDOWN, VSOCK_OP_SHUTDOWN}, {OWES_CREDIT_UPDATE, VSOCK_OP_CREDIT_UPDATE},
        };
        unsigned i = 0;
        while (!(c->owes & order[i].bit))
                i++;
        c->owes &= (uint8_t)~order[i].bit;
        struct vsock_header header = header_for(v, c, order[i].op);
        if (order[i].op == VSOCK_OP_SHUTDOWN)
                header.flags = c->host_shut;
        give_packet(v, &header);
        if (order[i].op == VSOCK_OP_RST)
                drop(v, c);
        else if (order[i].op == VSOCK_OP_SHUTDOWN && c->host_shut == VSOCK_SHUTDOWN_BOTH)
                await_end(v, c);
}

/* Reads from the host's socket into the buffer taken, or puts that back when there is nothing. */
static void send_data(struct vsock *v, struct connection *c)
{
        struct iovec slice[CHAIN_SEGMENTS_MAX];
        const struct chain *chain = &v->chain;
        uint32_t credit = connection_credit(c);
        size_t limit = credit < PACKET_DATA_MAX ? credit : PACKET_DATA_MAX, room;
        unsigned n =
            iov_slice(chain->iov + chain->out_count, chain->in_count, VSOCK_HEADER_SIZE, limit, slice, &room);
        struct msghdr message = {.msg_iov = slice, .msg_iovlen = n};
        ssize_t got;
        do {
                got = recvmsg(c->fd, &message, MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
        if (got > 0) {
                struct vsock_header header = header_for(v, c, VSOCK_OP_RW);
                header.length = (uint32_t)got;
                c->sent += (uint32_t)got;
                give_packet(v, &header);
                return;
        }
        queue_untake(rx_queue(v));
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                c->readable = false;
                return;
        }
        if (got < 0)
                c->hung_up = true; /* the peer closed with our bytes unread: ECONNRESET */
        host_is_done(c);
}

static void take_turn(struct vsock *v, struct connection *c)
{
        if (c->owes == 0 &&
            !may_send_data(c)) { /* not so by invariant 1; a buffer is too good to lose over it */
                queue_untake(rx_queue(v));
                connection_not_ready(c);
                return;
        }
        /* a credit update travels with data if there is some */
        if ((c->owes & ~OWES_CREDIT_UPDATE) == 0 && may_send_data(c))
                send_data(v, c);
        else
                send_owed(v, c); /* may free c */
        if (c->state == CONNECTION_FREE)
                return;
        connection_not_ready(c);
        reconsider(v, c);
}

static void send_stray_reset(struct vsock *v)
{
        const struct stray_reset *r = &v->resets[v->reset_first];
        struct vsock_header header = {.src_cid = VSOCK_CID_HOST,
                                      .dst_cid = v->options.guest_cid,
                                      .src_port = r->host_port,
                                      .dst_port = r->guest_port,
                                      .type = r->type,
                                      .op = VSOCK_OP_RST};
        v->reset_first = (v->reset_first + 1) % RESETS_MAX;
        v->reset_count--;
        give_packet(v, &header);
}

static void serve_receive(struct vsock *v)
{
        struct connection *c;
        unsigned budget = RX_BUDGET;
        queue_kicks_off(rx_queue(v));
        while ((c = connections_first_ready(&v->connections)) != NULL || v->reset_count > 0) {
                if (budget-- == 0) {
                        come_again(v);
                        break;
                }
                if (!take_buffer(v))
                        break;
                if (v->reset_count > 0)
                        send_stray_reset(v);
                else
                        take_turn(v, c);
        }
        queue_publish(rx_queue(v));
        if (v->transmit_stalled && v->reset_count < RESETS_MAX)
                come_again(v);
}

/* ---- driver to device ---- */

static void reply_reset(struct vsock *v, const struct vsock_header *h)
{
        unsigned place = (v->reset_first + v->reset_count) % RESETS_MAX;
        v->resets[place] =
            (struct stray_reset){.guest_port = h->src_port, .host_port = h->dst_port, .type = h->type};
        v->reset_count++; /* there is room: invariant 2 */
}

static void consider_credit(struct connection *c)
{
        if (c->forwarded - c->forwarded_told >= VSOCK_BUFFER_BYTES / 4 &&
            (c->state == CONNECTION_OPEN || c->state == CONNECTION_CLOSING))
                c->owes |= OWES_CREDIT_UPDATE;
}

/* Sends to the host's socket. Returns how much it took; what it will never take counts as taken. */
static size_t push(struct connection *c, struct iovec *iov, unsigned count, size_t size)
{
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
        ssize_t n;
        if (c->host_shut & VSOCK_SHUTDOWN_RECEIVE)
                return size;
        do {
                n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        if (n >= 0)
                return (size_t)n;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
                c->writable = false;
                return 0;
        }
        if (c->state != CONNECTION_OPEN)
                return size;
        tell_shutdown(c, VSOCK_SHUTDOWN_RECEIVE); /* EPIPE: nobody reads there any more */
        return size;
}

static void pass_on_end(struct connection *c)
{
        if ((c->guest_shut & VSOCK_SHUTDOWN_SEND) && c->store_length == 0 && !c->write_end_is_shut) {
                (void)shutdown(c->fd, SHUT_WR); /* fails only when the peer is gone */
                c->write_end_is_shut = true;
        }
}

/* Empties the ring into the socket as far as that goes. May free c. */
static void flush(struct vsock *v, struct connection *c)
{
        while (c->store_length > 0 && c->writable) {
                struct iovec iov[2];
                unsigned count = connection_store_peek(&v->connections, c, iov);
                uint32_t n = (uint32_t)push(c, iov, count, c->store_length);
                connection_store_drop(&v->connections, c, n);
                c->forwarded += n;
        }
        if (c->store_length == 0 && c->state == CONNECTION_DRAINING) {
                drop(v, c);
                return;
        }
        pass_on_end(c);
        consider_credit(c);
}

/* Payload of v->chain goes to the host. */
static void on_data(struct vsock *v, struct connection *c, uint32_t length)
{
        struct iovec slice[CHAIN_SEGMENTS_MAX];
        size_t done = 0, left;
        c->received += length;
        while (done < length && c->store_length == 0 && c->writable) {
                unsigned n = iov_slice(v->chain.iov, v->chain.out_count, VSOCK_HEADER_SIZE + done,
                                       length - done, slice, &left);
                done += push(c, slice, n, left);
        }
        c->forwarded += (uint32_t)done;
        if (done < length)
                connection_store_add(&v->connections, c, v->chain.iov, v->chain.out_count,
                                     VSOCK_HEADER_SIZE + done, length - (uint32_t)done);
        consider_credit(c);
}

static void on_socket(struct source *s, int fd, uint32_t events, void *data)
{
        struct connection *c = data;
        struct vsock *v = c->owner;
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                c->readable = true;
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                c->writable = true;
        if (events & EPOLLHUP)
                c->hung_up = true;
        if (c->state == CONNECTION_CONNECTING && c->hung_up) {
                reset(v, c);
        } else if (c->state != CONNECTION_CONNECTING) {
                flush(v, c);
                if (c->state == CONNECTION_FREE)
                        return;
                if (c->hung_up && (c->host_ended || (c->guest_shut & VSOCK_SHUTDOWN_RECEIVE)))
                        host_is_done(c);
                reconsider(v, c);
        }
        serve_receive(v);
}

static int watch(struct vsock *v, struct connection *c)
{
        c->owner = v;
        c->writable = true;
        return loop_add_io(v->loop, c->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_socket, c,
                           &c->source);
}

static void on_request(struct vsock *v, const struct vsock_header *h)
{
        int fd = -1;
        if (v->connections.count == v->connections.maximum || v->options.guest_connects == NULL ||
            v->options.guest_connects(v->options.data, h->dst_port, &fd) < 0) {
                reply_reset(v, h);
                return;
        }
        struct connection *c = connection_new(&v->connections, h->src_port, h->dst_port);
        c->fd = fd;
        c->by_guest = true;
        c->state = CONNECTION_OPEN;
        c->guest_alloc = h->buf_alloc;
        c->guest_forwarded = h->fwd_cnt;
        c->owes = OWES_RESPONSE;
        tell_count(v);
        if (watch(v, c) < 0)
                reset(v, c);
        reconsider(v, c);
}

static void on_response(struct vsock *v, struct connection *c)
{
        if (c->state != CONNECTION_CONNECTING) {
                reset(v, c);
                return;
        }
        c->state = CONNECTION_OPEN;
        if (v->options.host_connected != NULL &&
            v->options.host_connected(v->options.data, c->fd, c->host_port) < 0)
                reset(v, c);
}

static void on_shutdown(struct vsock *v, struct connection *c, const struct vsock_header *h)
{
        c->guest_shut |= h->flags & VSOCK_SHUTDOWN_BOTH;
        if (c->guest_shut == VSOCK_SHUTDOWN_BOTH) {
                reply_reset(v, h); /* it is waiting for that, to be through with its side */
                guest_is_done(v, c);
                return;
        }
        if (c->guest_shut & VSOCK_SHUTDOWN_RECEIVE) {
                (void)shutdown(c->fd, SHUT_RD); /* fails only when the peer is gone */
                if (c->hung_up)
                        host_is_done(c);
        }
        pass_on_end(c);
}

/* A packet for a connection that there is; its credit words are in already. May free c. */
static void on_known(struct vsock *v, struct connection *c, const struct vsock_header *h)
{
        bool connecting = c->state == CONNECTION_CONNECTING;
        switch (h->op) {
        case VSOCK_OP_RESPONSE:
                on_response(v, c);
                break;
        case VSOCK_OP_RST:
                guest_is_done(v, c);
                break;
        case VSOCK_OP_SHUTDOWN:
                if (connecting)
                        reset(v, c);
                else
                        on_shutdown(v, c, h);
                break;
        case VSOCK_OP_RW:
                if (connecting || (c->guest_shut & VSOCK_SHUTDOWN_SEND) ||
                    h->length > connection_store_room(&v->connections, c))
                        reset(v, c);
                else
                        on_data(v, c, h->length);
                break;
        case VSOCK_OP_CREDIT_UPDATE:
                break;
        case VSOCK_OP_CREDIT_REQUEST:
                if (!connecting)
                        c->owes |= OWES_CREDIT_UPDATE;
                break;
        default: /* REQUEST again, or no operation at all */
                reset(v, c);
        }
}

/* The checks that need nothing but the header. */
static bool is_addressed_right(struct vsock *v, const struct vsock_header *h)
{
        if (h->src_cid == v->options.guest_cid && h->dst_cid == VSOCK_CID_HOST)
                return true;
        if (!v->said_spoofed)
                log_warning("guest sent a packet from address %" PRIu64 " to %" PRIu64
                            "; dropped, as are others",
                            h->src_cid, h->dst_cid);
        v->said_spoofed = true;
        return false;
}

static void on_packet(struct vsock *v)
{
        struct vsock_header h;
        const struct chain *chain = &v->chain;
        if (iov_read(chain->iov, chain->out_count, 0, &h, sizeof(h)) != sizeof(h)) {
                queue_break(tx_queue(v), "packet shorter than its header");
                return;
        }
        if (h.length > chain->out_bytes - VSOCK_HEADER_SIZE) {
                queue_break(tx_queue(v), "packet shorter than it says");
                return;
        }
        if (!is_addressed_right(v, &h))
                return;
        if (h.type != VSOCK_TYPE_STREAM) { /* section 5.10.6.1: unknown types are refused */
                if (h.op != VSOCK_OP_RST)
                        reply_reset(v, &h);
                return;
        }
        struct connection *c = connection_find(&v->connections, h.src_port, h.dst_port);
        if (c == NULL) {
                if (h.op == VSOCK_OP_REQUEST)
                        on_request(v, &h);
                else if (h.op != VSOCK_OP_RST)
                        reply_reset(v, &h);
                return;
        }
        if (c->state == CONNECTION_RESETTING)
                return; /* its RST is on the way */
        if (c->guest_alloc != h.buf_alloc || c->guest_forwarded != h.fwd_cnt)
                c->asked_credit = false;
        c->guest_alloc = h.buf_alloc;
        c->guest_forwarded = h.fwd_cnt;
        on_known(v, c, &h);
        if (c->state != CONNECTION_FREE && c->state != CONNECTION_DRAINING)
                reconsider(v, c);
}

static void serve_transmit(struct vsock *v)
{
        struct queue *q = tx_queue(v);
        unsigned budget = TX_BUDGET;
        v->transmit_stalled = false;
        queue_kicks_off(q);
        do {
                while (v->reset_count < RESETS_MAX && budget > 0 && queue_next(q, &v->chain) > 0) {
                        budget--;
                        on_packet(v);
                        queue_put(q, &v->chain, 0);
                }
                if (v->reset_count == RESETS_MAX) {
                        v->transmit_stalled = true; /* serve_receive() comes back */
                        break;
                }
                if (budget == 0) {
                        come_again(v);
                        break;
                }
        } while (queue_kicks_on(q));
        queue_publish(q);
}

/* ---- entry points ---- */

static void on_again(struct source *s, int fd, uint32_t events, void *data)
{
        struct vsock *v = data;
        uint64_t count;
        (void)!read(fd, &count, sizeof(count)); /* nothing there: then nothing is lost by trying */
        serve_transmit(v);
        serve_receive(v);
}

static void on_end_timer(struct source *s, void *data)
{
        struct vsock *v = data;
        struct connection *c;
        int64_t now = clock_monotonic_ms();
        while ((c = connections_first_closing(&v->connections)) != NULL && c->deadline_ms <= now) {
                connection_no_more_waiting(c);
                reset(v, c);
        }
        if (c != NULL)
                (void)source_arm(v->end_timer, c->deadline_ms - now); /* a valid time */
        serve_receive(v);
}

static void vsock_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        const struct vsock *v = (const struct vsock *)device;
        uint64_t guest_cid = v->options.guest_cid; /* the whole configuration space: section 5.10.4 */
        device_config_copy(&guest_cid, sizeof(guest_cid), offset, bytes, size);
}

static void vsock_kick(struct device *device, unsigned queue)
{
        struct vsock *v = (struct vsock *)device;
        if (queue == VSOCK_QUEUE_TX)
                serve_transmit(v);
        if (queue != VSOCK_QUEUE_EVENT) /* its buffers are for migration, which we never announce */
                serve_receive(v);
}

static void vsock_stop(struct device *device)
{
        struct vsock *v = (struct vsock *)device;
        for (unsigned i = 0; i < v->connections.maximum; i++) {
                if (v->connections.pool[i].state != CONNECTION_FREE)
                        drop(v, &v->connections.pool[i]);
        }
        v->reset_count = 0;
        v->transmit_stalled = false;
}

static const struct device_ops vsock_ops = {
    .name = "vsock",
    .id = DEVICE_ID_VSOCK,
    .queue_count = 3,
    .config_read = vsock_config_read,
    .kick = vsock_kick,
    .stop = vsock_stop,
};

int vsock_connect(struct vsock *v, uint32_t guest_port, int fd)
{
        uint32_t host_port = connections_host_port(&v->connections, guest_port);
        struct connection *c = connection_new(&v->connections, guest_port, host_port);
        if (c == NULL)
                return -EMFILE;
        c->state = CONNECTION_CONNECTING;
        c->fd = fd;
        int r = watch(v, c);
        if (r < 0) {
                c->fd = -1; /* stays the caller's */
                drop(v, c);
                return r;
        }
        c->owes = OWES_REQUEST;
        tell_count(v);
        reconsider(v, c);
        serve_receive(v);
        return 0;
}

unsigned vsock_count(const struct vsock *v)
{
        return v->connections.count;
}

struct device *vsock_device(struct vsock *v)
{
        return &v->device;
}

int vsock_new(struct loop *loop, const struct vsock_options *options, struct vsock **ret_vsock)
{
        struct vsock *v = calloc(1, sizeof(*v));
        if (v == NULL)
                return -ENOMEM;
        v->device.ops = &vsock_ops; /* no features: streams are there without a feature bit */
        v->loop = loop;
        v->options = *options;
        if (v->options.end_wait_ms == 0)
                v->options.end_wait_ms = END_WAIT_MS;
        v->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = v->again_fd < 0
                    ? -errno
                    : connections_init(&v->connections, options->connection_max, VSOCK_BUFFER_BYTES);
        if (r == 0)
                r = loop_add_io(loop, v->again_fd, EPOLLIN, on_again, v, &v->again);
        if (r == 0)
                r = loop_add_timer(loop, on_end_timer, v, &v->end_timer);
        if (r < 0) {
                vsock_free(v);
                return r;
        }
        *ret_vsock = v;
        return 0;
}

void vsock_free(struct vsock *v)
{
        if (v == NULL)
                return;
        source_free(v->end_timer);
        source_free(v->again);
        close_fd(&v->again_fd);
        connections_done(&v->connections);
        free(v);
}
