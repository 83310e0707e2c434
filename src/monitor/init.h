/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_INIT_H
#define MONITOR_INIT_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The container's init: its work connection (docs/protocol.md, section 4). */

struct init;

struct init_ops {
        void (*started)(struct init *init, int64_t pid, void *data);
        /* It could not be started. */
        void (*failed)(struct init *init, const struct error *err, void *data);
        /* size 0: the end of that stream. */
        void (*output)(struct init *init, bool is_stderr, const void *bytes, size_t size, void *data);
        void (*exited)(struct init *init, const struct frame_exit *status, void *data);
        /* The queue of what was sent to it is empty again after having been long. */
        void (*drained)(struct init *init, void *data);
        /* The connection ended. The last call. */
        void (*gone)(struct init *init, const struct error *err, void *data);
};

/* Connects to the agent through box_fd/vsock.sock and sends the request, which is borrowed. */
int init_new(struct loop *loop, int box_fd, const json_t *request, const struct init_ops *ops, void *data,
             struct init **ret_init, struct error *err);
void init_free(struct init *init);

/* Sends a frame (STDIN, RESIZE, SIGNAL). 0 or -errno. */
int init_send(struct init *init, enum frame_type type, const void *payload, size_t size);

/* True while what was sent is above the mark: the senders are to wait for drained(). */
bool init_is_full(const struct init *init);

/* Stops and resumes taking its output in. */
void init_pause(struct init *init, bool paused);

#endif
