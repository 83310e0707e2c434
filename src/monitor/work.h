/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_WORK_H
#define MONITOR_WORK_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process of the container: its work connection (docs/protocol.md, section 4). */

struct work;

struct work_ops {
        void (*started)(struct work *work, int64_t pid, void *data);
        /* It could not be started. */
        void (*failed)(struct work *work, const struct error *err, void *data);
        /* size 0: the end of that stream. */
        void (*output)(struct work *work, bool is_stderr, const void *bytes, size_t size, void *data);
        void (*exited)(struct work *work, const struct frame_exit *status, void *data);
        /* The queue of what was sent to it is empty again after having been long. */
        void (*drained)(struct work *work, void *data);
        /* The connection ended. The last call. */
        void (*gone)(struct work *work, const struct error *err, void *data);
};

/* Connects to the agent through box_fd/vsock.sock and sends the request, which is borrowed. */
int work_new(struct loop *loop, int box_fd, const json_t *request, const struct work_ops *ops, void *data,
             struct work **ret_work, struct error *err);
void work_free(struct work *work);

/* Sends a frame (STDIN, RESIZE, SIGNAL, a later REQUEST). 0 or -errno. */
int work_send(struct work *work, enum frame_type type, const void *payload, size_t size);

/* True while what was sent is above the mark: the senders are to wait for drained(). */
bool work_is_full(const struct work *work);

/* Stops and resumes taking its output in. */
void work_pause(struct work *work, bool paused);

#endif
