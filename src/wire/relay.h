/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_RELAY_H
#define WIRE_RELAY_H

#include "base/loop.h"
#include "wire/channel.h"

#include <stddef.h>

/*
 * A stream socket whose bytes travel as frames of a channel, both ways, each direction with an end of its own
 * (an empty frame for a shut-down write side). The channel stays the owner's: it calls in here from its
 * callbacks.
 */
struct relay;

struct relay_ops {
        /* Nothing more can come from the socket or go to it. Called once, the last call; the owner then frees
         * the relay, here or later, and finishes the channel if that still is. */
        void (*over)(struct relay *relay, void *data);
};

/* Takes fd (made nonblocking here), also on failure. type: of the frames that are sent (STDIN or STDOUT). */
int relay_new(struct loop *loop, int fd, struct channel *channel, enum frame_type type,
              const struct relay_ops *ops, void *data, struct relay **ret_relay);
void relay_free(struct relay *relay);

/* Bytes that came over the channel; size 0: the end of them. May call over(). */
void relay_take(struct relay *relay, const void *bytes, size_t size);

/* The channel was drained. */
void relay_drained(struct relay *relay);

/* The channel is gone: what came before goes to the socket still, then over() is called, perhaps at once. */
void relay_closed(struct relay *relay);

#endif
