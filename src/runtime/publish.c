/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports. The parser is a pure function over text that may come from anywhere (compose files, other
 * programs): no byte is looked at past the NUL, ranges are bounded before they are written out.
 */
#include "runtime/publish.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct range {
        unsigned first, last;
};

static int bad(struct error *err, const char *text, const char *why)
{
        return error_set(err, -EINVAL, "publish '%s': %s; the form is [IP:][HOST[-HOST]:]BOX[-BOX][/tcp|udp]",
                         text, why);
}

/* One port number of `size` bytes; digits only, so no sign and no blank. */
static int parse_port(const char *text, size_t size, unsigned *ret_port)
{
        unsigned port = 0;
        if (size == 0 || size > 5)
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL;
                port = port * 10 + (unsigned)(text[i] - '0');
        }
        if (port > 65535)
                return -ERANGE;
        *ret_port = port;
        return 0;
}

static int parse_range(const char *text, size_t size, struct range *ret_range)
{
        struct range range = {0};
        const char *dash = memchr(text, '-', size);
        size_t first_size = dash == NULL ? size : (size_t)(dash - text);
        int r = parse_port(text, first_size, &range.first);
        range.last = range.first;
        if (r == 0 && dash != NULL)
                r = parse_port(dash + 1, size - first_size - 1, &range.last);
        if (r == 0 && (range.last < range.first || (dash != NULL && range.first == 0)))
                r = -EINVAL;
        if (r == 0)
                *ret_range = range;
        return r;
}

/* An address of `size` bytes, in brackets or not, made canonical. */
static int parse_address(const char *text, size_t size, char ret_address[INET6_ADDRSTRLEN])
{
        char copy[INET6_ADDRSTRLEN];
        struct in6_addr bytes;
        bool brackets = size >= 2 && text[0] == '[' && text[size - 1] == ']';
        if (brackets) {
                text++;
                size -= 2;
        }
        if (size >= sizeof(copy))
                return -EINVAL;
        memcpy(copy, text, size);
        copy[size] = '\0';
        int family = brackets ? AF_INET6 : AF_INET;
        if (inet_pton(family, copy, &bytes) != 1 ||
            inet_ntop(family, &bytes, ret_address, INET6_ADDRSTRLEN) == NULL)
                return -EINVAL;
        return 0;
}

static int append(struct publish_list *list, const struct publish *entry, const char *text, struct error *err)
{
        for (size_t i = 0; i < list->count && entry->host_port != 0; i++) {
                const struct publish *other = &list->entries[i];
                if (other->host_port == entry->host_port && other->udp == entry->udp &&
                    strcmp(other->address, entry->address) == 0)
                        return error_set(err, -EINVAL, "publish '%s': host port %u is given twice", text,
                                         entry->host_port);
        }
        if (list->count >= PUBLISH_MAX)
                return error_set(err, -E2BIG, "publish '%s': more than %d ports", text, PUBLISH_MAX);
        struct publish *grown = reallocarray(list->entries, list->count + 1, sizeof(*grown));
        if (grown == NULL)
                return error_set(err, -ENOMEM, "publish '%s': out of memory", text);
        list->entries = grown;
        list->entries[list->count++] = *entry;
        return 0;
}

/* Host side and box side ranges, written out one by one. */
static int append_ranges(struct publish_list *list, const struct publish *draft, struct range host,
                         struct range box, bool any_host, const char *text, struct error *err)
{
        unsigned count = box.last - box.first + 1;
        if (!any_host && host.last - host.first + 1 != count)
                return bad(err, text, "the two ranges differ in length");
        for (unsigned i = 0; i < count; i++) {
                struct publish entry = *draft;
                entry.host_port = (uint16_t)(any_host ? 0 : host.first + i);
                entry.box_port = (uint16_t)(box.first + i);
                int r = append(list, &entry, text, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Cuts "/tcp" or "/udp" off the end. */
static int take_protocol(const char *text, size_t *size, struct publish *entry)
{
        const char *slash = memchr(text, '/', *size);
        if (slash == NULL)
                return 0;
        entry->udp = strcasecmp(slash, "/udp") == 0;
        *size = (size_t)(slash - text);
        return entry->udp || strcasecmp(slash, "/tcp") == 0 ? 0 : -EINVAL;
}

int publish_parse(struct publish_list *list, const char *text, struct error *err)
{
        struct publish entry = {0};
        struct range host = {0}, box = {0};
        size_t size = strlen(text);
        size_t count_before = list->count;
        if (take_protocol(text, &size, &entry) < 0)
                return bad(err, text, "the protocol is tcp or udp");
        const char *colon = memrchr(text, ':', size);
        const char *box_text = colon == NULL ? text : colon + 1;
        if (parse_range(box_text, size - (size_t)(box_text - text), &box) < 0 || box.first == 0)
                return bad(err, text, "the box port is no port or range");
        size_t left = colon == NULL ? 0 : (size_t)(colon - text);
        const char *address_end = memrchr(text, ':', left);
        /* "[::1]:80" would find a colon inside the brackets: then there is no host port part */
        const char *bracket = memrchr(text, ']', left);
        if (bracket != NULL && (address_end == NULL || address_end < bracket))
                address_end = text + left;
        const char *host_text = address_end == NULL ? text : address_end + 1;
        size_t host_size = host_text > text + left ? 0 : left - (size_t)(host_text - text);
        if (address_end == NULL && memchr(text, '.', left) != NULL) { /* "127.0.0.1:80" */
                address_end = text + left;
                host_size = 0;
        }
        if (address_end != NULL && parse_address(text, (size_t)(address_end - text), entry.address) < 0)
                return bad(err, text, "the address is no IPv4 address, nor an IPv6 address in brackets");
        if (host_size > 0 && parse_range(host_text, host_size, &host) < 0)
                return bad(err, text, "the host port is no port or range");
        bool any_host = host_size == 0 || (host.first == 0 && host.last == 0);
        int r = append_ranges(list, &entry, host, box, any_host, text, err);
        if (r < 0)
                list->count = count_before;
        return r;
}

void publish_done(struct publish_list *list)
{
        free(list->entries);
        *list = (struct publish_list){0};
}

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

static socklen_t fill_address(const struct publish *entry, int family, union address *a)
{
        *a = (union address){0};
        if (family == AF_INET) {
                a->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(entry->host_port)};
                if (entry->address[0] != '\0')
                        (void)inet_pton(AF_INET, entry->address, &a->v4.sin_addr); /* made by inet_ntop */
                return sizeof(a->v4);
        }
        a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(entry->host_port)};
        if (entry->address[0] != '\0')
                (void)inet_pton(AF_INET6, entry->address, &a->v6.sin6_addr); /* as above */
        return sizeof(a->v6);
}

/* 0, or -errno of what would happen to somebody who listens there. */
static int try_bind(const struct publish *entry, int family)
{
        union address address;
        socklen_t size = fill_address(entry, family, &address);
        cleanup_fd int fd = socket(family, (entry->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return errno == EAFNOSUPPORT ? 0 : -errno; /* no such family on this host: nothing to take */
        int on = 1;
        if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return -errno;
        /* connections of an earlier listener that wait out their time do not keep TCP listeners away */
        if (!entry->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;
        if (bind(fd, &address.any, size) < 0)
                return errno == EADDRNOTAVAIL && entry->address[0] == '\0' ? 0 : -errno;
        if (!entry->udp && listen(fd, 1) < 0)
                return -errno;
        return 0;
}

static int check_one(const struct publish *entry, struct error *err)
{
        bool is_v6 = strchr(entry->address, ':') != NULL;
        int r = 0;
        if (entry->address[0] == '\0' || !is_v6)
                r = try_bind(entry, AF_INET);
        if (r == 0 && (entry->address[0] == '\0' || is_v6))
                r = try_bind(entry, AF_INET6);
        if (r == -EADDRINUSE)
                return error_set(err, r, "publish port %u/%s: it is already in use on this host",
                                 entry->host_port, entry->udp ? "udp" : "tcp");
        if (r == -EACCES)
                return error_set(err, r,
                                 "publish port %u/%s: permission denied: ports below "
                                 "net.ipv4.ip_unprivileged_port_start need root",
                                 entry->host_port, entry->udp ? "udp" : "tcp");
        if (r < 0)
                return error_errno(err, r, "publish %s%sport %u/%s", entry->address,
                                   entry->address[0] == '\0' ? "" : " ", entry->host_port,
                                   entry->udp ? "udp" : "tcp");
        return 0;
}

int publish_check_free(const struct publish_list *list, struct error *err)
{
        for (size_t i = 0; i < list->count; i++) {
                int r = list->entries[i].host_port == 0 ? 0 : check_one(&list->entries[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}
