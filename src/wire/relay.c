/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each direction is open until its end:
 *
 *     socket -> channel   in_ended    an empty frame was sent, or there is no channel any more
 *     channel -> socket   out_ended   the other side's empty frame came; shut down once all is written
 *                         write_dead  the socket takes nothing more
 *
 * The relay is over when in_ended holds, and either out_ended with nothing left to write, or write_dead.
 *
 * Flow: no more is read from the socket while the channel's queue is above its mark; the channel is paused
 * while more than that waits for the socket. So neither a slow reader nor a fast writer costs more than the
 * two marks.
 *
 * Whoever is behind the socket is not trusted (a container's process, a user's program): every way it can end
 * is one of the above. A hang-up is reported by epoll whether it is asked for or not, so the source is taken
 * away while the relay does not want to read (the hang-up is found by the next read), and kept once reading
 * has ended (then it means write_dead).
 */
#include "wire/relay.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct relay {
        struct loop *loop;
        int fd;
        struct channel *channel; /* NULL once it is gone */
        enum frame_type type;
        const struct relay_ops *ops;
        void *data;
        struct source *source;
        struct buffer out; /* for the socket */
        bool in_ended, out_ended, write_dead, shut, paused, over;
};

static void on_io(struct source *s, int fd, uint32_t events, void *data);

static bool is_full(const struct relay *r)
{
        return r->channel != NULL && channel_queued(r->channel) > CHANNEL_HIGH_WATER;
}

static int watch(struct relay *r)
{
        bool wants_in = !r->in_ended && !is_full(r);
        uint32_t events = (wants_in ? EPOLLIN : 0) | (r->out.length > 0 ? EPOLLOUT : 0);
        if (events == 0 && !r->in_ended) {
                source_free(r->source);
                r->source = NULL;
                return 0;
        }
        if (r->source == NULL)
                return loop_add_io(r->loop, r->fd, events, on_io, r, &r->source);
        return source_set_events(r->source, events);
}

/* To be the last thing a function does with the relay. */
static void settle(struct relay *r)
{
        if (r->over)
                return;
        if (r->out_ended && r->out.length == 0 && !r->shut && !r->write_dead) {
                r->shut = true;
                (void)shutdown(r->fd, SHUT_WR); /* it may be gone already: reading tells */
        }
        bool done = r->in_ended && (r->write_dead || r->shut);
        if (!done && watch(r) < 0)
                done = true; /* out of memory: there is no way to hear of it again */
        if (done) {
                r->over = true;
                source_free(r->source);
                r->source = NULL;
                r->ops->over(r, r->data);
                return;
        }
        bool paused = r->out.length > CHANNEL_HIGH_WATER || (r->paused && r->out.length > 0);
        if (r->channel != NULL && paused != r->paused) {
                r->paused = paused;
                channel_pause(r->channel, paused); /* going on may hand frames to us, or free us */
        }
}

static void end_of_input(struct relay *r)
{
        if (r->channel != NULL)
                (void)channel_send(r->channel, r->type, NULL, 0); /* an empty frame finds room */
        r->in_ended = true;
}

static void writing_failed(struct relay *r)
{
        r->write_dead = true;
        buffer_clear(&r->out);
}

static void flush(struct relay *r)
{
        while (r->out.length > 0) {
                ssize_t n = send(r->fd, buffer_content(&r->out), r->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        writing_failed(r);
                        return;
                }
                buffer_consume(&r->out, (size_t)n);
        }
}

static void read_some(struct relay *r)
{
        char bytes[FRAME_STREAM_MAX];
        ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0 && channel_send(r->channel, r->type, bytes, (size_t)n) == 0)
                return;
        end_of_input(r); /* also after a reset, and without memory */
}

static void on_io(struct source *s, int fd, uint32_t events, void *data)
{
        struct relay *r = data;
        (void)s;
        (void)fd;
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
                flush(r);
        if (!r->in_ended && !is_full(r))
                read_some(r);
        else if (r->in_ended && (events & (EPOLLHUP | EPOLLERR)))
                writing_failed(r);
        settle(r);
}

int relay_new(struct loop *loop, int fd, struct channel *channel, enum frame_type type,
              const struct relay_ops *ops, void *data, struct relay **ret_relay)
{
        cleanup_fd int owned = fd;
        struct relay *r = calloc(1, sizeof(*r));
        if (r == NULL)
                return -ENOMEM;
        *r = (struct relay){
            .loop = loop, .fd = fd, .channel = channel, .type = type, .ops = ops, .data = data};
        buffer_init(&r->out, CHANNEL_HIGH_WATER + 2 * FRAME_STREAM_MAX);
        int result = fd_set_nonblocking(fd);
        if (result == 0)
                result = watch(r);
        if (result < 0) {
                free(r);
                return result;
        }
        (void)take_fd(&owned);
        *ret_relay = r;
        return 0;
}

void relay_free(struct relay *r)
{
        if (r == NULL)
                return;
        source_free(r->source);
        close_fd(&r->fd);
        buffer_done(&r->out);
        free(r);
}

void relay_take(struct relay *r, const void *bytes, size_t size)
{
        if (r->over || r->out_ended)
                return;
        if (size == 0)
                r->out_ended = true;
        else if (!r->write_dead && buffer_append(&r->out, bytes, size) < 0)
                writing_failed(r); /* no memory: the stream has a hole, so it ends here */
        flush(r);
        settle(r);
}

void relay_drained(struct relay *r)
{
        settle(r);
}

void relay_closed(struct relay *r)
{
        r->channel = NULL;
        r->in_ended = true;
        r->out_ended = true;
        settle(r);
}
