/* SPDX-License-Identifier: Apache-2.0 */
/* The host's name servers and default routes, from the text of resolv.conf(5) and /proc/net. */
#include "monitor/resolver.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LENGTH 1024
#define RTF_UP_FLAG     1U
#define RTF_REJECT_FLAG 0x200U

/* Copies the next line; NULL at the end. A line that is too long is cut. */
static const char *next_line(const char *text, char line[LINE_MAX_LENGTH])
{
        if (*text == '\0')
                return NULL;
        size_t length = strcspn(text, "\n");
        size_t kept = length < LINE_MAX_LENGTH - 1 ? length : LINE_MAX_LENGTH - 1;
        memcpy(line, text, kept);
        line[kept] = '\0';
        return text + length + (text[length] == '\n');
}

static void add_server(struct resolver *r, const char *text)
{
        struct in_addr v4;
        struct in6_addr v6;
        bool ipv6 = false, loopback;
        if (r->server_count == RESOLVER_SERVERS_MAX)
                return;
        if (inet_pton(AF_INET, text, &v4) == 1) {
                loopback = ntohl(v4.s_addr) >> 24 == 127 || v4.s_addr == 0;
        } else if (inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_LINKLOCAL(&v6)) {
                ipv6 = true;
                loopback = IN6_IS_ADDR_LOOPBACK(&v6);
        } else {
                return;
        }
        (void)snprintf(r->servers[r->server_count].address, sizeof(r->servers[0].address), "%s", text);
        r->servers[r->server_count].ipv6 = ipv6;
        r->servers[r->server_count].loopback = loopback;
        r->server_count++;
}

static void set_search(struct resolver *r, char *rest)
{
        char *save = NULL;
        r->search_count = 0; /* the last line counts */
        for (char *word = strtok_r(rest, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save)) {
                if (strlen(word) < RESOLVER_NAME_MAX && r->search_count < RESOLVER_SEARCH_MAX)
                        (void)snprintf(r->search[r->search_count++], RESOLVER_NAME_MAX, "%s", word);
        }
}

void resolver_parse(const char *text, struct resolver *r)
{
        char line[LINE_MAX_LENGTH];
        *r = (struct resolver){0};
        while ((text = next_line(text, line)) != NULL) {
                char *save = NULL;
                char *key = strtok_r(line, " \t", &save);
                if (key == NULL)
                        continue;
                if (strcmp(key, "nameserver") == 0) {
                        const char *address = strtok_r(NULL, " \t", &save);
                        if (address != NULL)
                                add_server(r, address);
                } else if (strcmp(key, "search") == 0 || strcmp(key, "domain") == 0) {
                        set_search(r, save);
                }
        }
}

bool resolver_has_ipv4_route(const char *text)
{
        char line[LINE_MAX_LENGTH], name[32];
        unsigned destination, gateway, flags, mask;
        while ((text = next_line(text, line)) != NULL) {
                /* Iface Destination Gateway Flags RefCnt Use Metric Mask */
                if (sscanf(line, "%31s %x %x %x %*d %*u %*d %x", name, &destination, &gateway, &flags,
                           &mask) == 5 &&
                    destination == 0 && mask == 0 && (flags & RTF_UP_FLAG) && !(flags & RTF_REJECT_FLAG))
                        return true;
        }
        return false;
}

bool resolver_has_ipv6_route(const char *text)
{
        char line[LINE_MAX_LENGTH], destination[33], name[32];
        unsigned length, flags;
        while ((text = next_line(text, line)) != NULL) {
                /* destination, length, source, length, next hop, metric, references, use, flags, interface */
                if (sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %x %31s", destination, &length, &flags,
                           name) == 4 &&
                    length == 0 && strspn(destination, "0") == 32 && (flags & RTF_UP_FLAG) &&
                    !(flags & RTF_REJECT_FLAG) && strcmp(name, "lo") != 0)
                        return true;
        }
        return false;
}
