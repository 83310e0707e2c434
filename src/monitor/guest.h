/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_GUEST_H
#define MONITOR_GUEST_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"

#include <stdbool.h>

/* The agent's control connection (docs/protocol.md, section 3). */

struct guest;

struct guest_ops {
        /* The boot request was carried out. */
        void (*booted)(struct guest *guest, void *data);
        /* It was not; stage as the agent names it ("root", "network", ...) or "agent". */
        void (*failed)(struct guest *guest, const char *stage, const struct error *err, void *data);
        /* All is unmounted, the machine may be ended. */
        void (*halted)(struct guest *guest, void *data);
        /* The connection ended. The last call. */
        void (*gone)(struct guest *guest, const struct error *err, void *data);
};

/* Takes fd, also on failure. The boot request is sent at once; it is borrowed. */
int guest_new(struct loop *loop, int fd, const json_t *boot, const struct guest_ops *ops, void *data,
              struct guest **ret_guest);
void guest_free(struct guest *guest);

/* Asks the agent to end everything and unmount. 0 or -errno. */
int guest_shutdown(struct guest *guest);

#endif
