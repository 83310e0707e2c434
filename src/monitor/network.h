/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_NETWORK_H
#define MONITOR_NETWORK_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "monitor/config.h"
#include "monitor/request.h"

#include <stdbool.h>

/* The box's network: a passt of its own (DESIGN section 6). */

struct network;

struct network_ops {
        /* passt ended by itself. no_uplink: because this host has no way out. reason is lent. */
        void (*died)(struct network *network, bool no_uplink, const char *reason, void *data);
        /* Something passed; only where box.json wants to know whether the box is idle. */
        void (*passed)(void *data);
};

/*
 * Plans the ports, sees whether they are free, and starts passt. 0 with *ret_network NULL: this host has no
 * uplink, so there is no network.
 */
int network_start(struct loop *loop, const struct config *config, const struct network_ops *ops, void *data,
                  struct network **ret_network, struct error *err);

/* The machine's end of the socket; lent until network_hand_over() closes it (the machine has its own then).
 */
int network_fd(const struct network *network);
void network_hand_over(struct network *network);

const char *network_mac(const struct network *network);

/* For the boot request; lent. */
void network_describe(const struct network *network, struct request_network *ret_request);

/* The published ports as state.json has them, lent; NULL: none. */
json_t *network_ports(const struct network *network);

bool network_is_up(const struct network *network);

/* Ends passt. NULL is fine. */
void network_free(struct network *network);

#endif
