/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_RESOLVER_H
#define MONITOR_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

/* What the host's resolv.conf and routes say. Readers of text, pure. */

#define RESOLVER_SERVERS_MAX 3
#define RESOLVER_SEARCH_MAX  6
#define RESOLVER_NAME_MAX    256

struct resolver {
        struct {
                char address[46];
                bool ipv6, loopback;
        } servers[RESOLVER_SERVERS_MAX];
        size_t server_count;
        char search[RESOLVER_SEARCH_MAX][RESOLVER_NAME_MAX];
        size_t search_count;
};

/* What cannot be used (link-local servers, too long names) is left out. */
void resolver_parse(const char *resolv_conf, struct resolver *ret_resolver);

/* Whether /proc/net/route, /proc/net/ipv6_route hold a default route through an interface. */
bool resolver_has_ipv4_route(const char *route);
bool resolver_has_ipv6_route(const char *ipv6_route);

#endif
