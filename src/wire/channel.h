/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_CHANNEL_H
#define WIRE_CHANNEL_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "wire/frame.h"

/*
 * One connection that carries frames, on an event loop: the only file of this folder that moves bytes. It
 * says hello by itself, checks the other side's hello, and hands on every later frame.
 *
 * Flow control: what is sent is queued. When channel_queued() passes CHANNEL_HIGH_WATER, the owner should
 * stop reading its source (a pipe, another channel by channel_pause()) until drained() is called, which
 * happens when the queue falls to zero after having been above the mark. A queue never grows past
 * CHANNEL_QUEUE_MAX: sends then fail with -EMSGSIZE.
 */
#define CHANNEL_HIGH_WATER (256U << 10)
#define CHANNEL_QUEUE_MAX  (16U << 20)

struct channel;

struct channel_ops {
        /* A frame came in (never a HELLO). Below 0 ends the connection with that error (fill err). */
        int (*frame)(struct channel *channel, const struct frame *frame, void *data, struct error *err);
        /* The other side is gone: err->code is 0 after an orderly end, else the reason (also a failed hello).
         * Called once; nothing is called after it. The channel is freed by its owner, here or later. */
        void (*closed)(struct channel *channel, const struct error *err, void *data);
        /* May be NULL. */
        void (*drained)(struct channel *channel, void *data);
};

/*
 * Takes fd (a stream socket, made nonblocking here), also on failure. pending: bytes that were read from the
 * fd before (may be NULL). ops and data are kept by reference.
 */
int channel_new(struct loop *loop, int fd, const struct buffer *pending, const struct channel_ops *ops,
                void *data, struct channel **ret_channel);

/* Closes at once; queued bytes are lost. From any callback of this channel too. NULL is fine. */
void channel_free(struct channel *channel);

/* Queues a frame and sends what the socket takes now. 0, -EMSGSIZE, -ENOMEM; a broken connection is told by
 * closed(). */
int channel_send(struct channel *channel, enum frame_type type, const void *payload, size_t size);

/* Serializes and queues a document. json is borrowed. */
int channel_send_json(struct channel *channel, enum frame_type type, const json_t *json);

/* Queues FRAME_ERROR {"errno", "message"} from err. */
int channel_send_error(struct channel *channel, const struct error *err);

/* The same with "stage": in which part of a start it happened (docs/protocol.md, section 5). */
int channel_send_error_at(struct channel *channel, const struct error *err, const char *stage);

/* Reads a FRAME_ERROR's payload into err (err->code is negative then); returns err->code. */
int channel_read_error(const struct frame *frame, struct error *err);

size_t channel_queued(const struct channel *channel);

/* Stops and resumes taking frames in. */
void channel_pause(struct channel *channel, bool paused);

/* No more is sent: when the queue is out, the write side is shut down. Reading goes on. */
void channel_finish(struct channel *channel);

#endif
