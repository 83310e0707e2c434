/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan for published ports. passt keeps one table of host ports for each protocol, whatever the address:
 * the same port on two addresses cannot be had with it, but for "any IPv4 and any IPv6", which is one socket.
 *
 * Whether a port is free is found out by binding to it. TCP is probed as passt binds (SO_REUSEADDR: a port
 * whose old connections linger is free); UDP without, as with it two boxes would silently share a port.
 */
#include "monitor/ports.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

static const char *protocol_name(const struct publish *p)
{
        return p->udp ? "udp" : "tcp";
}

static bool is_any(const char *address)
{
        return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

/* 1: b is the other half of a, which now stands for both; 0: they have nothing to do with each other. */
static int join(struct publish *a, const struct publish *b, struct error *err)
{
        if (a->udp != b->udp || a->host_port != b->host_port || a->host_port == 0)
                return 0;
        if (a->box_port == b->box_port) {
                if (strcmp(a->address, b->address) == 0)
                        return 1;
                if (is_any(a->address) && is_any(b->address)) {
                        a->address[0] = '\0';
                        return 1;
                }
        }
        return error_set(
            err, -EINVAL,
            "publish port %u/%s: it is asked for twice; one host port can lead to one port of the "
            "box, on one address or on all",
            a->host_port, protocol_name(a));
}

static int merge(struct publish *items, size_t count, size_t *ret_count, struct error *err)
{
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
                int r = 0;
                for (size_t k = 0; k < kept && r == 0; k++)
                        r = join(&items[k], &items[i], err);
                if (r < 0)
                        return r;
                if (r == 0)
                        items[kept++] = items[i];
        }
        *ret_count = kept;
        return 0;
}

static socklen_t make_address(const char *text, uint16_t port, bool ipv6, union address *ret)
{
        *ret = (union address){0};
        if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1 || (text[0] == '\0' && !ipv6)) {
                ret->v4.sin_family = AF_INET;
                ret->v4.sin_port = htons(port);
                return sizeof(ret->v4);
        }
        if (text[0] != '\0')
                (void)inet_pton(AF_INET6, text, &ret->v6.sin6_addr); /* config_parse() has checked it */
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        return sizeof(ret->v6);
}

/* Binds as passt would; the socket, or -errno. */
static int bind_one(const struct publish *p, bool ipv6)
{
        union address address;
        const int yes = 1, only = p->address[0] != '\0';
        socklen_t size = make_address(p->address, p->host_port, ipv6, &address);
        cleanup_fd int fd =
            socket(address.any.sa_family, (p->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (!p->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
                return -errno;
        if (address.any.sa_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0)
                return -errno;
        if (bind(fd, &address.any, size) < 0 || (!p->udp && listen(fd, 1) < 0))
                return -errno;
        return take_fd(&fd);
}

static int bound_port(int fd, uint16_t *ret_port)
{
        union address address;
        socklen_t size = sizeof(address);
        if (getsockname(fd, &address.any, &size) < 0)
                return -errno;
        *ret_port = ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
        return 0;
}

static int refused(const struct publish *p, int r, struct error *err)
{
        const char *where = p->address[0] != '\0' ? p->address : "every address";
        if (r == -EADDRINUSE)
                return error_set(err, r,
                                 "publish port %u/%s on %s: the port is taken by another program or box",
                                 p->host_port, protocol_name(p), where);
        if (r == -EACCES)
                return error_set(err, r,
                                 "publish port %u/%s on %s: ports below "
                                 "net.ipv4.ip_unprivileged_port_start are for root only",
                                 p->host_port, protocol_name(p), where);
        if (r == -EADDRNOTAVAIL)
                return error_set(err, r, "publish port %u/%s on %s: this host does not have that address",
                                 p->host_port, protocol_name(p), where);
        return error_errno(err, r, "publish port %u/%s on %s", p->host_port, protocol_name(p), where);
}

/* Binds every port at once, so that the free ones that are chosen differ; fds: room for count. */
static int probe(struct publish *items, size_t count, int *fds, struct error *err)
{
        for (size_t i = 0; i < count; i++) {
                int r = bind_one(&items[i], true);
                if (r == -EAFNOSUPPORT && items[i].address[0] == '\0')
                        r = bind_one(&items[i], false); /* a kernel without IPv6 */
                fds[i] = r;
                if (r >= 0 && items[i].host_port == 0)
                        r = bound_port(fds[i], &items[i].host_port);
                if (r < 0)
                        return refused(&items[i], r, err);
        }
        return 0;
}

int ports_plan(struct publish *items, size_t count, size_t *ret_count, struct error *err)
{
        size_t left;
        int r = merge(items, count, &left, err);
        if (r < 0)
                return r;
        cleanup_free int *fds = malloc((left + 1) * sizeof(*fds));
        if (fds == NULL)
                return error_set(err, -ENOMEM, "publish ports: out of memory");
        for (size_t i = 0; i < left; i++)
                fds[i] = -1;
        r = probe(items, left, fds, err);
        for (size_t i = 0; i < left; i++)
                close_fd(&fds[i]);
        if (r == 0)
                *ret_count = left;
        return r;
}

json_t *ports_describe(const struct publish *items, size_t count)
{
        json_t *array = json_array();
        for (size_t i = 0; i < count; i++) {
                const struct publish *p = &items[i];
                json_t *item = json_pack("{s:s?, s:i, s:i, s:s}", "address",
                                         p->address[0] != '\0' ? p->address : NULL, "host_port", p->host_port,
                                         "box_port", p->box_port, "protocol", protocol_name(p));
                if (json_array_append_new(array, item) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

void ports_option(const struct publish *p, char ret_text[PORTS_OPTION_MAX])
{
        (void)snprintf(ret_text, PORTS_OPTION_MAX, "%s%s%u:%u", p->address, p->address[0] != '\0' ? "/" : "",
                       p->host_port, p->box_port); /* 45 + 1 + 5 + 1 + 5 */
}
