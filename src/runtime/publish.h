/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PUBLISH_H
#define RUNTIME_PUBLISH_H

/*
 * Published ports: "[IP:][HOST[-HOST]:]BOX[-BOX][/tcp|udp]", as docker run -p has them. An IPv6 address
 * stands in brackets.
 */
#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct publish {
        char address[INET6_ADDRSTRLEN]; /* canonical; "" is any address, IPv4 and IPv6 */
        uint16_t host_port;             /* 0: any free one */
        uint16_t box_port;
        bool udp;
};

#define PUBLISH_MAX 1024 /* entries of one box, ranges written out */

struct publish_list {
        size_t count;
        struct publish *entries;
};

/* Appends what text says, one entry a port. A host port given twice for one protocol and address is refused.
 */
int publish_parse(struct publish_list *list, const char *text, struct error *err);
void publish_done(struct publish_list *list);

/*
 * Takes each fixed host port for a moment, and lets it go: -EADDRINUSE names the one that is taken. It may be
 * taken by another before the network gets it; then the start fails a little later.
 */
int publish_check_free(const struct publish_list *list, struct error *err);

#endif
