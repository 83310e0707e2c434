/* SPDX-License-Identifier: Apache-2.0 */
/* The readers of resolv.conf and of /proc/net, on any text. */
#include "monitor/resolver.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct resolver r;
        char *text = malloc(size + 1);
        if (text == NULL)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        resolver_parse(text, &r);
        assert(r.server_count <= RESOLVER_SERVERS_MAX && r.search_count <= RESOLVER_SEARCH_MAX);
        (void)resolver_has_ipv4_route(text); /* only that they come back */
        (void)resolver_has_ipv6_route(text);
        free(text);
        return 0;
}
