/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream socket on an event loop.
 *
 *     GREETING -> OPEN    [take_hello]   the other side's hello was good
 *     GREETING, OPEN -> CLOSED  [end]    end of stream, error, or bytes that are not frames
 *
 * Invariants:
 * 1. closed() is called at most once and is the last callback.
 * 2. Callbacks may free the channel: after each of them `freed` is looked at before anything else is touched;
 * memory of a channel freed inside a callback goes when the outermost entry returns.
 * 3. Errors while sending are told through closed() from the loop, not from channel_send(): senders need no
 * second path.
 */
#include "wire/channel.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_CHUNK (128U << 10)

struct channel {
        struct loop *loop;
        struct source *source;
        int fd;
        const struct channel_ops *ops;
        void *data;
        struct buffer in, out;
        bool greeted, closed, paused, finishing, finished, above_mark;
        int send_error;
        unsigned entered;
        bool freed;
};

static void destroy(struct channel *c)
{
        source_free(c->source);
        close_fd(&c->fd);
        buffer_done(&c->in);
        buffer_done(&c->out);
        free(c);
}

static void leave(struct channel *c)
{
        if (--c->entered == 0 && c->freed)
                destroy(c);
}

static void end(struct channel *c, const struct error *err)
{
        if (c->closed || c->freed)
                return;
        c->closed = true;
        source_free(c->source);
        c->source = NULL;
        c->ops->closed(c, err, c->data);
}

static void update_events(struct channel *c)
{
        if (c->source == NULL)
                return;
        uint32_t events =
            (c->paused ? 0 : EPOLLIN) | (c->out.length > 0 || c->send_error != 0 ? EPOLLOUT : 0);
        (void)source_set_events(c->source,
                                events); /* a registered descriptor and valid bits cannot be refused */
}

static void flush(struct channel *c)
{
        while (c->out.length > 0 && c->send_error == 0) {
                ssize_t n = send(c->fd, buffer_content(&c->out), c->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0)
                        c->send_error = -errno;
                else
                        buffer_consume(&c->out, (size_t)n);
        }
        if (c->out.length == 0 && c->finishing && !c->finished) {
                c->finished = true;
                (void)shutdown(c->fd, SHUT_WR); /* the other side may be gone already: reading tells */
        }
}

static int take_hello(struct channel *c, const struct frame *frame, struct error *err)
{
        int r = frame_hello_check(frame, err);
        if (r == 0)
                c->greeted = true;
        return r;
}

/* Hands on whole frames. Returns below 0 with err when the conversation cannot go on. */
static int hand_on(struct channel *c, struct error *err)
{
        while (!c->paused && !c->freed && !c->closed) {
                struct frame frame;
                int r = frame_next(&c->in, &frame, err);
                if (r <= 0)
                        return r;
                if (!c->greeted)
                        r = take_hello(c, &frame, err);
                else if (frame.type == FRAME_HELLO)
                        r = error_set(err, -EPROTO, "read frame: a second hello");
                else
                        r = c->ops->frame(c, &frame, c->data, err);
                if (c->freed)
                        return 0;
                if (r < 0) {
                        if (err->code == 0)
                                (void)error_errno(err, r, "handle frame");
                        return r;
                }
                frame_release(&c->in, &frame);
        }
        return 0;
}

/* Reads once. Returns 1 after bytes, 0 when there are none now, -ENODATA at the end, other -errno on failure.
 */
static int take_in(struct channel *c)
{
        char *place;
        int r = buffer_reserve(&c->in, READ_CHUNK, &place);
        if (r < 0)
                return r;
        ssize_t n = recv(c->fd, place, READ_CHUNK, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ENODATA;
        buffer_grow(&c->in, (size_t)n);
        return 1;
}

static void readable(struct channel *c)
{
        struct error err = ERROR_INIT;
        int r = take_in(c);
        if (r == -ENODATA && (c->in.length > 0 || !c->greeted))
                (void)error_set(&err, -EPIPE, "read frame: the connection ended in the middle");
        else if (r < 0 && r != -ENODATA)
                (void)error_errno(&err, r, "read frame");
        if (r < 0)
                end(c, &err);
}

static void writable(struct channel *c)
{
        flush(c);
        if (c->send_error != 0) {
                struct error err = ERROR_INIT;
                (void)error_errno(&err, c->send_error, "send frame");
                end(c, &err);
                return;
        }
        if (c->out.length == 0 && c->above_mark) {
                c->above_mark = false;
                if (c->ops->drained != NULL)
                        c->ops->drained(c, c->data);
        }
}

static void go_on(struct channel *c)
{
        struct error err = ERROR_INIT;
        if (hand_on(c, &err) < 0)
                end(c, &err);
}

static void on_io(struct source *s, int fd, uint32_t events, void *data)
{
        struct channel *c = data;
        (void)s;
        (void)fd;
        c->entered++;
        if (events & (EPOLLOUT | EPOLLERR))
                writable(c);
        if (!c->closed && !c->freed && !c->paused && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                readable(c);
        if (!c->closed && !c->freed)
                go_on(c);
        if (!c->closed && !c->freed && c->paused && (events & (EPOLLHUP | EPOLLERR))) {
                source_free(c->source);
                c->source = NULL;
        }
        if (!c->freed && !c->closed)
                update_events(c);
        leave(c);
}

/* The hang-up of a paused channel is put off: epoll would report it without end, and unread frames may lie
 * before it. */
static int watch(struct channel *c)
{
        if (c->source != NULL)
                return 0;
        return loop_add_io(c->loop, c->fd, EPOLLIN, on_io, c, &c->source);
}

static int start(struct channel *c, const struct buffer *pending)
{
        struct frame_hello hello;
        int r = fd_set_nonblocking(c->fd);
        if (r == 0 && pending != NULL)
                r = buffer_append(&c->in, buffer_content(pending), pending->length);
        if (r == 0)
                r = watch(c);
        if (r < 0)
                return r;
        frame_hello_make(&hello);
        r = channel_send(c, FRAME_HELLO, &hello, sizeof(hello));
        if (r == 0 && c->in.length > 0)
                r = source_set_events(c->source, EPOLLIN | EPOLLOUT); /* a round for what is here already */
        return r;
}

int channel_new(struct loop *loop, int fd, const struct buffer *pending, const struct channel_ops *ops,
                void *data, struct channel **ret_channel)
{
        cleanup_fd int owned = fd;
        struct channel *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return -ENOMEM;
        *c = (struct channel){.loop = loop, .fd = take_fd(&owned), .ops = ops, .data = data};
        buffer_init(&c->in, FRAME_HEADER_SIZE + FRAME_DOCUMENT_MAX + READ_CHUNK);
        buffer_init(&c->out, CHANNEL_QUEUE_MAX);
        int r = start(c, pending);
        if (r < 0) {
                destroy(c);
                return r;
        }
        *ret_channel = c;
        return 0;
}

void channel_free(struct channel *c)
{
        if (c == NULL || c->freed)
                return;
        c->freed = true;
        source_free(c->source);
        c->source = NULL;
        if (c->entered == 0)
                destroy(c);
}

int channel_send(struct channel *c, enum frame_type type, const void *payload, size_t size)
{
        if (c->closed || c->freed)
                return 0; /* closed() has told, or the owner knows */
        assert(!c->finishing);
        int r = frame_append(&c->out, type, payload, size);
        if (r < 0)
                return r;
        flush(c);
        if (c->out.length > CHANNEL_HIGH_WATER)
                c->above_mark = true;
        update_events(c);
        return 0;
}

int channel_send_json(struct channel *c, enum frame_type type, const json_t *json)
{
        size_t size;
        cleanup_free char *text = json_print(json, &size);
        if (text == NULL)
                return -ENOMEM;
        return channel_send(c, type, text, size);
}

int channel_send_error_at(struct channel *c, const struct error *err, const char *stage)
{
        cleanup_json json_t *json = json_pack("{s:i, s:s%, s:s*}", "errno", -err->code, "message", err->text,
                                              strlen(err->text), "stage", stage);
        if (json == NULL) /* not UTF-8: say at least what kind of failure it was */
                json = json_pack("{s:i, s:s, s:s*}", "errno", -err->code, "message", strerror(-err->code),
                                 "stage", stage);
        return json == NULL ? -ENOMEM : channel_send_json(c, FRAME_ERROR, json);
}

int channel_send_error(struct channel *c, const struct error *err)
{
        return channel_send_error_at(c, err, NULL);
}

int channel_read_error(const struct frame *frame, struct error *err)
{
        cleanup_json json_t *json = NULL;
        int64_t code;
        const char *message;
        int r = json_parse((const char *)frame->payload, frame->size, "error frame", &json, err);
        if (r == 0)
                r = json_get_integer(json, "errno", 1, 4095, &code, err);
        if (r == 0)
                r = json_get_string(json, "message", &message, err);
        if (r < 0)
                return r;
        return error_set(err, -(int)code, "%s", message);
}

size_t channel_queued(const struct channel *c)
{
        return c->out.length;
}

void channel_pause(struct channel *c, bool paused)
{
        if (c->paused == paused || c->closed || c->freed)
                return;
        c->paused = paused;
        c->entered++;
        struct error err = ERROR_INIT;
        int r = paused ? 0 : watch(c);
        if (r < 0) {
                (void)error_errno(&err, r, "read frame");
                end(c, &err);
        } else if (!paused && c->entered == 1) {
                go_on(c); /* inside a callback, whoever called it goes on */
        }
        if (!c->closed && !c->freed)
                update_events(c);
        leave(c);
}

void channel_finish(struct channel *c)
{
        if (c->closed || c->freed || c->finishing)
                return;
        c->finishing = true;
        flush(c);
        update_events(c);
}
