/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SINK_H
#define CLI_SINK_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Standard output or error as a place to write to without blocking, although its descriptor must stay
 * blocking (it is shared with other programs). What cannot be written at once is kept; poll the descriptor
 * for POLLOUT while sink_is_full(), then sink_flush().
 */
enum sink_way {
        SINK_NONBLOCKING, /* a pipe or terminal, opened again: O_NONBLOCK is ours alone */
        SINK_SOCKET,      /* MSG_DONTWAIT */
        SINK_CAREFUL,     /* a pipe or terminal that cannot be opened again: small writes after poll() */
        SINK_FILE,        /* files do not block */
};

struct sink {
        int fd;
        bool owned;
        enum sink_way way;
        struct buffer kept;
};

void sink_init(struct sink *sink, int fd);
void sink_done(struct sink *sink);

/* 0, or -errno: -EPIPE when nobody reads any more. */
int sink_write(struct sink *sink, const void *bytes, size_t size);
int sink_flush(struct sink *sink);
bool sink_is_full(const struct sink *sink);

#endif
