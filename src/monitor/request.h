/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_REQUEST_H
#define MONITOR_REQUEST_H

#include "base/json.h"
#include "monitor/config.h"

#include <stdint.h>

/* The documents that the agent is sent (docs/protocol.md, sections 3 and 4). NULL: out of memory. */

#define REQUEST_HOST_NAME "host.boxlet.internal"

struct request_network {
        const json_t *document;   /* the "network" member, NULL: none */
        bool ipv6;                /* the interface has IPv6 */
        const char *box_address;  /* what the hostname means; NULL: 127.0.1.1 */
        const char *host_address; /* what host.boxlet.internal means; NULL: nothing */
};

json_t *request_boot(const struct config *config, const struct request_network *network);

/* rows and columns 0: not known. */
json_t *request_start(const struct config *config, uint16_t rows, uint16_t columns);
json_t *request_command(const struct config *config, uint16_t rows, uint16_t columns);

#endif
