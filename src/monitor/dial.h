/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_DIAL_H
#define MONITOR_DIAL_H

#include "base/error.h"
#include "base/loop.h"

/* A connection to the agent's work port through vsock.sock (docs/protocol.md, section 1). */
struct dial;

/* fd is the callee's; -1: it failed, err says why. The last call; the dial may be freed in it. */
typedef void (*dial_fn)(struct dial *dial, int fd, const struct error *err, void *data);

/* what: "for init", for messages; kept by reference. */
int dial_new(struct loop *loop, int box_fd, const char *what, dial_fn fn, void *data, struct dial **ret_dial,
             struct error *err);
void dial_free(struct dial *dial);

#endif
