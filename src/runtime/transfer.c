/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation with the agent in which libboxlet waits, bytes one way and then the other's last word:
 *
 *     REQUEST ->  <- REPLY        transfer_open
 *     STDIN ... empty STDIN ->    transfer_write, transfer_end_input
 *     <- STDOUT ... empty STDOUT  transfer_read, transfer_read_all
 *     <- REPLY or ERROR           transfer_finish; an ERROR may come at any time
 *
 * Hostile: the guest. It can send any frames, or none. A frame's length is bounded by the decoder; the
 * channel is paused while more than HELD_MAX is waiting to be read here, so it costs no more memory than
 * that. A guest that says nothing more holds up its caller until that one cancels: the watch is asked every
 * TICK_MS.
 */
#include "runtime/transfer.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "runtime/dial.h"
#include "wire/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HELD_MAX   (256U << 10)
#define TICK_MS    200
#define TOLD_EVERY (1U << 20)
#define ANSWER_MS  30000 /* to the first word; a machine that runs answers in far less, even emulated */

struct transfer {
        struct loop *loop;
        struct channel *channel;
        struct transfer_watch watch;
        struct buffer held; /* of the stream, not read yet */
        json_t *first;
        unsigned replies;
        bool stream_ended, paused, over, input_ended;
        struct error failure; /* code 0: none */
        uint64_t moved, told;
};

static void pause_if_full(struct transfer *t)
{
        bool full = t->held.length > HELD_MAX;
        if (full == t->paused || t->over)
                return;
        t->paused = full;
        channel_pause(t->channel, full);
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct transfer *t = data;
        (void)channel;
        if (frame->type == FRAME_STDOUT && frame->size == 0) {
                t->stream_ended = true;
                return 0;
        }
        if (frame->type == FRAME_STDOUT) {
                int r = buffer_append(&t->held, frame->payload, frame->size);
                pause_if_full(t);
                return r < 0 ? error_errno(err, r, "receive from the box") : 0;
        }
        if (frame->type == FRAME_ERROR) {
                (void)channel_read_error(frame, &t->failure);
                t->over = true;
                return 0;
        }
        if (frame->type != FRAME_REPLY)
                return error_set(err, -EPROTO, "read frame: type %d is not for this", (int)frame->type);
        if (t->replies > 0) {
                t->over = true;
                return 0;
        }
        int r = json_parse((const char *)frame->payload, frame->size, "answer", &t->first, err);
        t->replies += r == 0;
        return r;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct transfer *t = data;
        /* reading and writing may notice it first */
        int code = err->code == 0 || err->code == -EPIPE ? -ECONNRESET : err->code;
        (void)channel;
        if (!t->over)
                (void)error_set(&t->failure, code, "the connection to the box ended%s%s",
                                err->text[0] == '\0' ? "" : ": ", err->text);
        t->over = true;
}

static const struct channel_ops ops = {.frame = on_frame, .closed = on_closed};

static int tell(struct transfer *t, bool at_once, struct error *err)
{
        struct boxlet_progress progress = {
            .size = sizeof(progress),
            .kind = BOXLET_PROGRESS_LAYER,
            .item = t->watch.item,
            .done = t->moved,
            .total = t->watch.total,
        };
        if (t->watch.fn == NULL || (!at_once && t->moved - t->told < TOLD_EVERY))
                return 0;
        t->told = t->moved;
        return t->watch.fn(&progress, t->watch.data) == 0 ? 0 : error_set(err, -ECANCELED, "canceled");
}

/* One round of the loop; what the agent said is told as a failure. */
static int step(struct transfer *t, struct error *err)
{
        if (t->over && t->failure.code != 0) {
                if (err != NULL)
                        *err = t->failure;
                return t->failure.code;
        }
        int r = loop_step(t->loop, TICK_MS);
        if (r < 0)
                return error_errno(err, r, "wait for the box");
        return tell(t, r == 0, err);
}

/* ---- connecting ---- */

static int connect_to_box(int box_fd, int64_t deadline, int *ret_fd, struct error *err)
{
        int r = dial_work(box_fd, deadline, ret_fd);
        if (r == -ETIMEDOUT)
                return error_set(err, r, "its machine does not answer: it may be paused");
        return r < 0 ? error_errno(err, r == -EAGAIN ? -ETIMEDOUT : r, "connect to its machine") : 0;
}

static int converse(struct transfer *t, const json_t *request, int64_t deadline, struct error *err)
{
        int r = channel_send_json(t->channel, FRAME_REQUEST, request);
        if (r < 0)
                return error_errno(err, r, "ask the box");
        while (t->replies == 0) {
                r = step(t, err);
                if (r < 0)
                        return r;
                if (t->replies == 0 && !t->over && clock_monotonic_ms() >= deadline)
                        return error_set(err, -ETIMEDOUT, "the box does not answer: it may be paused");
        }
        return 0;
}

int transfer_open(int box_fd, const json_t *request, const struct transfer_watch *watch,
                  struct transfer **ret_transfer, json_t **ret_reply, struct error *err)
{
        int64_t deadline = clock_monotonic_ms() + ANSWER_MS;
        int fd = -1;
        cleanup_transfer struct transfer *t = calloc(1, sizeof(*t));
        if (t == NULL)
                return error_errno(err, -ENOMEM, "connect to the box");
        buffer_init(&t->held, HELD_MAX + 2 * FRAME_STREAM_MAX);
        if (watch != NULL)
                t->watch = *watch;
        int r = connect_to_box(box_fd, deadline, &fd, err);
        if (r < 0)
                return r;
        r = loop_new(&t->loop);
        if (r < 0) {
                (void)close(fd);
                return error_errno(err, r, "talk to the box");
        }
        r = channel_new(t->loop, fd, NULL, &ops, t, &t->channel);
        r = r < 0 ? error_errno(err, r, "talk to the box") : converse(t, request, deadline, err);
        if (r < 0)
                return r;
        if (ret_reply != NULL)
                *ret_reply = json_incref(t->first);
        *ret_transfer = take_ptr(&t);
        return 0;
}

void transfer_free(struct transfer *t)
{
        if (t == NULL)
                return;
        channel_free(t->channel);
        loop_free(t->loop);
        buffer_done(&t->held);
        json_decref(t->first);
        free(t);
}

/* ---- bytes ---- */

int transfer_write(void *data, const void *bytes, size_t size, struct error *err)
{
        struct transfer *t = data;
        const char *at = bytes;
        while (size > 0) {
                int r;
                while (t->over || channel_queued(t->channel) > CHANNEL_HIGH_WATER) {
                        if (t->over && t->failure.code == 0)
                                return error_set(err, -EPIPE, "the box took only a part");
                        if ((r = step(t, err)) < 0)
                                return r;
                }
                size_t part = size < FRAME_STREAM_MAX ? size : FRAME_STREAM_MAX;
                r = channel_send(t->channel, FRAME_STDIN, at, part);
                if (r < 0)
                        return error_errno(err, r, "send to the box");
                t->moved += part;
                at += part;
                size -= part;
                r = tell(t, false, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int transfer_end_input(struct transfer *t, struct error *err)
{
        if (t->over || t->input_ended)
                return 0;
        t->input_ended = true;
        int r = channel_send(t->channel, FRAME_STDIN, NULL, 0);
        return r < 0 ? error_errno(err, r, "send to the box") : 0;
}

/* Waits until something is held: 1, or 0 at the end of the stream. */
static int await_bytes(struct transfer *t, struct error *err)
{
        while (t->held.length == 0) {
                if (t->stream_ended || (t->over && t->failure.code == 0))
                        return 0;
                int r = step(t, err);
                if (r < 0)
                        return r;
        }
        return 1;
}

/* The stream ended early: the agent's last word is why, if it has one. */
static int cut_off(struct transfer *t, struct error *err)
{
        int r = transfer_finish(t, err);
        return r < 0 ? r : error_set(err, -EBADMSG, "the tar from the box ends in the middle");
}

int transfer_read(void *data, void *bytes, size_t size, struct error *err)
{
        struct transfer *t = data;
        char *at = bytes;
        while (size > 0) {
                int r = await_bytes(t, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        return cut_off(t, err);
                size_t part = size < t->held.length ? size : t->held.length;
                memcpy(at, buffer_content(&t->held), part);
                buffer_consume(&t->held, part);
                t->moved += part;
                at += part;
                size -= part;
                pause_if_full(t);
                r = tell(t, false, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int transfer_read_all(struct transfer *t, size_t maximum, char **ret_bytes, size_t *ret_size,
                      struct error *err)
{
        cleanup_buffer struct buffer all = BUFFER_INIT(maximum);
        int r;
        while ((r = await_bytes(t, err)) > 0) {
                r = buffer_append(&all, buffer_content(&t->held), t->held.length);
                if (r < 0)
                        return error_errno(err, r, "read what the box says");
                t->moved += t->held.length;
                buffer_clear(&t->held);
                pause_if_full(t);
        }
        if (r == 0)
                r = transfer_finish(t, err);
        if (r < 0)
                return r;
        *ret_size = all.length;
        *ret_bytes = buffer_take(&all);
        return *ret_bytes == NULL ? error_errno(err, -ENOMEM, "read what the box says") : 0;
}

int transfer_finish(struct transfer *t, struct error *err)
{
        int r = transfer_end_input(t, err);
        while (r == 0 && !t->over) {
                buffer_clear(&t->held);
                pause_if_full(t);
                if (t->over)
                        break;
                r = step(t, err);
        }
        if (r == 0 && t->failure.code != 0) {
                if (err != NULL)
                        *err = t->failure;
                r = t->failure.code;
        }
        t->watch.total = t->moved;
        return r < 0 ? r : tell(t, true, err);
}
