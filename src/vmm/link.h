/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_LINK_H
#define VMM_LINK_H

#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* The socket to the monitor, docs/protocol.md section 2: a packet is a JSON document. */
struct link;

struct link_events {
        /* The monitor said quit, or is gone: end everything. May come more than once. */
        void (*quit)(void *data);
        /* The processors are to stop, or to go on. */
        void (*pause)(bool paused, void *data);
        /* How many vsock connections there are is to be told, now and whenever it changes. */
        void (*watch)(void *data);
        void *data;
};

int link_new(struct loop *loop, int fd, const struct link_events *events, struct link **ret_link);
void link_free(struct link *link);

int link_send_running(struct link *link);
int link_send_paused(struct link *link, bool paused);
int link_send_connections(struct link *link, unsigned count);
int link_send_jail(struct link *link, const char *lacks);
int link_send_connection(struct link *link, uint32_t port, int fd); /* fd stays the caller's */
int link_send_ended(struct link *link, const char *reason, const char *detail);

#endif
