/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt for one box. It gets one end of a socket pair and the machine the other: when the machine is gone,
 * for whatever reason, passt sees the end of its socket and exits, also if nobody is left to kill it.
 *
 * The gateway's IPv6 address is link-local because passt then uses it for connections from the host's ::1.
 *
 * The box always has the same addresses, below; passt carries them out of the host with the host's own. The
 * gateway's address means the host itself (its loopback). Name servers of the host are used directly, unless
 * one of them is on the host's loopback: then passt forwards from an address of its own.
 *
 * passt is started beside the machine, not before it: whether the ports are free and whether there is a way
 * out is looked at first, so it can fail only by a race, which died() tells.
 */
#include "monitor/network.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "monitor/announce.h"
#include "monitor/ports.h"
#include "monitor/tap.h"
#include "monitor/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BOX_IPV4      "10.0.2.15"
#define HOST_IPV4     "10.0.2.2"
#define DNS_IPV4      "10.0.2.3"
#define IPV4_PREFIX   24
#define BOX_IPV6      "fd00:b0:c5::15"
#define HOST_IPV6     "fe80::2"
#define DNS_IPV6      "fd00:b0:c5::3"
#define IPV6_PREFIX   64
#define NAMES_IPV4    "169.254.53.53" /* the box's own name server; link-local, so that it is nobody else's */
#define HOST_MAC      "02:b0:c5:00:00:02"
#define MTU           65520
#define PROC_TEXT_MAX (4U << 20)
#define SAID_MAX      512
#define FIXED_OPTIONS 40

struct network {
        const struct network_ops *ops;
        void *data;
        int machine_fd, pidfd, said_fd;
        struct tap *tap; /* may be NULL */
        struct source *child_source, *said_source;
        bool up, ipv4, ipv6;
        json_t *document, *ports;
        char mac[18];
        uint8_t mac_bytes[6];
        const char *dns_forward; /* the address passt forwards queries from; NULL: none */
        char said[SAID_MAX];     /* the end of what passt printed */
        size_t said_length;
};

/* ---- what the box is told ---- */

static void look_at_routes(struct network *n)
{
        cleanup_free char *v4 = NULL, *v6 = NULL;
        if (path_read_at(AT_FDCWD, "/proc/net/route", PROC_TEXT_MAX, &v4, NULL) == 0)
                n->ipv4 = resolver_has_ipv4_route(v4);
        if (path_read_at(AT_FDCWD, "/proc/net/ipv6_route", PROC_TEXT_MAX, &v6, NULL) == 0)
                n->ipv6 = resolver_has_ipv6_route(v6);
}

/* The first server on the host's loopback decides that passt forwards, which it does for UDP only. Given with
 * -D, a server on the loopback would not be reached: passt has to read resolv.conf by itself (2023-03). */
static bool choose_forward(struct network *n, const struct resolver *r)
{
        for (size_t i = 0; i < r->server_count; i++) {
                if (!r->servers[i].loopback || !(r->servers[i].ipv6 ? n->ipv6 : n->ipv4))
                        continue;
                n->dns_forward = r->servers[i].ipv6 ? DNS_IPV6 : DNS_IPV4;
                return true;
        }
        return false;
}

static json_t *choose_dns(struct network *n, const struct config *c, const struct resolver *r)
{
        if (json_array_size(c->dns) > 0)
                return json_incref((json_t *)c->dns);
        if (choose_forward(n, r))
                return json_pack("[s]", n->dns_forward);
        json_t *dns = json_array();
        for (size_t i = 0; i < r->server_count; i++) {
                if (r->servers[i].ipv6 ? n->ipv6 : n->ipv4)
                        (void)json_array_append_new(dns, json_string(
                                                             r->servers[i].address)); /* NULL is told below */
        }
        return dns;
}

static json_t *choose_search(const struct config *c, const struct resolver *r)
{
        if (json_array_size(c->search) > 0)
                return json_incref((json_t *)c->search);
        json_t *search = json_array();
        for (size_t i = 0; i < r->search_count; i++) {
                json_t *name = json_string(r->search[i]);
                if (name != NULL) /* not UTF-8: no name */
                        (void)json_array_append_new(search, name);
        }
        return search;
}

static json_t *address(bool there, const char *box, int prefix, const char *gateway)
{
        return there ? json_pack("{s:s, s:i, s:s}", "address", box, "prefix", prefix, "gateway", gateway)
                     : json_null();
}

/* Locally administered, then the id's first digits. */
static void make_mac(const char *id, uint8_t ret_mac[6])
{
        char digits[11] = "";
        memcpy(digits, id, 10);
        unsigned long long number = strtoull(digits, NULL, 16);
        ret_mac[0] = 6;
        for (int i = 5; i > 0; i--, number >>= 8)
                ret_mac[i] = (uint8_t)number;
}

/* A name server in the box, beside its /etc/hosts: containers of an engine in the box see only the former. */
static int add_resolver(struct network *n)
{
        json_t *resolver = json_pack("{s:s, s:s, s:s?}", "listen", NAMES_IPV4, "name", REQUEST_HOST_NAME,
                                     "address", n->ipv4 ? HOST_IPV4 : NULL);
        return json_object_set_new(n->document, "resolver", resolver);
}

static int describe(struct network *n, const struct config *c, struct error *err)
{
        struct resolver resolver = {0};
        cleanup_free char *text = NULL;
        if (path_read_at(AT_FDCWD, "/etc/resolv.conf", 65536, &text, NULL) == 0)
                resolver_parse(text, &resolver);
        const uint8_t *m = n->mac_bytes;
        make_mac(c->id, n->mac_bytes);
        (void)snprintf(n->mac, sizeof(n->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
                       m[5]);
        n->document = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "mac", n->mac, "mtu", MTU, "ipv4",
                                address(n->ipv4, BOX_IPV4, IPV4_PREFIX, HOST_IPV4), "ipv6",
                                address(n->ipv6, BOX_IPV6, IPV6_PREFIX, HOST_IPV6), "dns",
                                choose_dns(n, c, &resolver), "search", choose_search(c, &resolver));
        if (n->document == NULL || (c->nested_names && add_resolver(n) < 0))
                return error_set(err, -ENOMEM, "plan the network: out of memory");
        return 0;
}

/*
 * Makes the box known to passt before it has said anything, so that the first connection to a published port
 * finds it: passt 2023-03 sends to the last source address it saw.
 */
static int introduce(const struct network *n)
{
        static const uint8_t ipv4[4] = {10, 0, 2, 15};
        uint8_t arp[ANNOUNCE_ARP_SIZE], neighbour[ANNOUNCE_NA_SIZE];
        int r = 0;
        announce_arp(n->mac_bytes, ipv4, arp);
        announce_neighbour(n->mac_bytes, neighbour);
        if (n->ipv4)
                r = fd_write_full(n->machine_fd, arp, sizeof(arp));
        if (r == 0 && n->ipv6)
                r = fd_write_full(n->machine_fd, neighbour, sizeof(neighbour));
        return r;
}

/* ---- passt ---- */

struct arguments {
        const char **list;
        size_t count;
        char (*options)[PORTS_OPTION_MAX]; /* texts of -t and -u */
};

static void add(struct arguments *a, const char *text)
{
        a->list[a->count++] = text;
}

static void add_pair(struct arguments *a, const char *option, const char *value)
{
        add(a, option);
        add(a, value);
}

static void add_addresses(struct arguments *a, const struct network *n)
{
        if (n->ipv4) {
                add_pair(a, "-a", BOX_IPV4);
                add_pair(a, "-n", "24");
                add_pair(a, "-g", HOST_IPV4);
        }
        if (n->ipv6) {
                add_pair(a, "-a", BOX_IPV6);
                add_pair(a, "-g", HOST_IPV6);
        }
        if (!n->ipv4 || !n->ipv6)
                add(a, n->ipv4 ? "-4" : "-6");
        add_pair(a, "-M", HOST_MAC);
        add_pair(a, "-m", "65520");
        add(a, "--no-dhcp");
        add(a, "--no-dhcpv6");
        add(a, "--no-ra");
        if (n->dns_forward != NULL)
                add_pair(a, "--dns-forward", n->dns_forward); /* to the first server of its own resolv.conf */
        else
                add_pair(a, "-D", "none");
}

static int make_arguments(const struct network *n, const struct config *c, size_t ports, struct arguments *a)
{
        a->list = calloc(FIXED_OPTIONS + 2 * ports, sizeof(*a->list));
        a->options = calloc(ports + 1, sizeof(*a->options));
        if (a->list == NULL || a->options == NULL)
                return -ENOMEM;
        add(a, "passt");
        add(a, "-f");
        add(a, "-q");
        add_pair(a, "--fd", "3");
        add_addresses(a, n);
        for (size_t i = 0; i < ports; i++) {
                ports_option(&c->publish[i], a->options[i]);
                add_pair(a, c->publish[i].udp ? "-u" : "-t", a->options[i]);
        }
        return 0;
}

/* What passt prints is kept for the case that it ends; "Failed to send N bytes to syslog" is not worth it. */
static void take_said(struct network *n)
{
        char bytes[1024];
        for (int rounds = 0; rounds < 16; rounds++) {
                ssize_t got = read(n->said_fd, bytes, sizeof(bytes));
                if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
                        source_free(n->said_source);
                        n->said_source = NULL;
                }
                if (got <= 0)
                        return;
                size_t size = (size_t)got < SAID_MAX ? (size_t)got : SAID_MAX;
                size_t keep = n->said_length < SAID_MAX - size ? n->said_length : SAID_MAX - size;
                memmove(n->said, n->said + n->said_length - keep, keep);
                memcpy(n->said + keep, bytes + (size_t)got - size, size);
                n->said_length = keep + size;
        }
}

static void on_said(struct source *s, int fd, uint32_t events, void *data)
{
        (void)s;
        (void)fd;
        (void)events;
        take_said(data);
}

/* The last lines that say something, joined by "; ". */
static void last_words(const struct network *n, int code, char *text, size_t size)
{
        char copy[SAID_MAX + 1];
        char *save = NULL;
        size_t used = 0;
        memcpy(copy, n->said, n->said_length);
        copy[n->said_length] = '\0';
        text[0] = '\0';
        for (char *line = strtok_r(copy, "\r\n", &save); line != NULL; line = strtok_r(NULL, "\r\n", &save)) {
                if (strstr(line, "to syslog") != NULL || strstr(line, "Don't run as root") != NULL ||
                    line[strspn(line, " ")] == '\0')
                        continue;
                int n_written = snprintf(text + used, size - used, "%s%s", used > 0 ? "; " : "", line);
                if (n_written < 0 || (size_t)n_written >= size - used)
                        break;
                used += (size_t)n_written;
        }
        if (used == 0)
                (void)snprintf(text, size, code > 128 ? "by signal %d" : "with code %d",
                               code > 128 ? code - 128 : code);
}

static void on_exit_of_passt(struct source *s, int pidfd, void *data)
{
        struct network *n = data;
        char reason[SAID_MAX];
        int code = 0;
        source_free(s);
        n->child_source = NULL;
        n->up = false;
        if (process_wait(pidfd, &code) < 0)
                code = 255;
        close_fd(&n->pidfd);
        if (n->said_source != NULL)
                take_said(n);
        last_words(n, code, reason, sizeof(reason));
        n->ops->died(n, strstr(reason, "interface") != NULL, reason, n->data);
}

static int spawn(struct network *n, const struct config *c, size_t ports, int socket_fd, int said_fd,
                 struct error *err)
{
        struct arguments a = {0};
        int r = make_arguments(n, c, ports, &a);
        const struct process_fd fds[] = {{socket_fd, 3}, {said_fd, 2}};
        pid_t pid;
        if (r < 0) {
                (void)error_errno(err, r, "start passt");
        } else {
                struct process_plan plan = {.path = c->passt,
                                            .argv = a.list,
                                            .fds = fds,
                                            .fd_count = 2,
                                            .new_session = true,
                                            .parent_death_signal = SIGKILL,
                                            .working_dir_fd = -1};
                r = process_spawn(&plan, &pid, &n->pidfd, err);
        }
        free(a.list);
        free(a.options);
        return r < 0 ? error_wrap(err, "start the network") : 0;
}

static int watch(struct network *n, struct loop *loop)
{
        int r = fd_set_nonblocking(n->said_fd);
        if (r == 0)
                r = loop_add_io(loop, n->said_fd, EPOLLIN, on_said, n, &n->said_source);
        if (r == 0)
                r = loop_add_child(loop, n->pidfd, on_exit_of_passt, n, &n->child_source);
        return r;
}

/* The machine gets the end of another socket pair, which leads through us. */
static int put_tap_between(struct network *n, struct loop *loop)
{
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        int to_passt = take_fd(&n->machine_fd);
        n->machine_fd = pair[0];
        return tap_new(loop, pair[1], to_passt, n->ops->passed, n->data, &n->tap);
}

static int start(struct network *n, struct loop *loop, const struct config *c, size_t ports,
                 struct error *err)
{
        int pair[2], pipe_fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, -errno, "start the network");
        n->machine_fd = pair[0];
        cleanup_fd int theirs = pair[1];
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "start the network");
        n->said_fd = pipe_fds[0];
        cleanup_fd int said_write = pipe_fds[1];
        int r = introduce(n);
        if (r < 0)
                return error_errno(err, r, "start the network");
        r = spawn(n, c, ports, theirs, said_write, err);
        if (r < 0)
                return r;
        r = watch(n, loop);
        if (r == 0 && c->idle_stop_ms > 0)
                r = put_tap_between(n, loop);
        if (r < 0)
                return error_errno(err, r, "watch passt");
        n->up = true;
        return 0;
}

int network_start(struct loop *loop, const struct config *c, const struct network_ops *ops, void *data,
                  struct network **ret_network, struct error *err)
{
        size_t ports = 0;
        struct network *n = calloc(1, sizeof(*n));
        if (n == NULL)
                return error_set(err, -ENOMEM, "start the network: out of memory");
        *n = (struct network){.ops = ops, .data = data, .machine_fd = -1, .pidfd = -1, .said_fd = -1};
        look_at_routes(n);
        int r = ports_plan(c->publish, c->publish_count, &ports, err);
        if (r == 0 && !n->ipv4 && !n->ipv6) {
                network_free(n);
                *ret_network = NULL;
                return 0;
        }
        if (r == 0)
                r = describe(n, c, err);
        n->ports = r < 0 ? NULL : ports_describe(c->publish, ports);
        if (r == 0)
                r = start(n, loop, c, ports, err);
        if (r < 0) {
                network_free(n);
                return r;
        }
        *ret_network = n;
        return 0;
}

int network_fd(const struct network *n)
{
        return n->machine_fd;
}

void network_hand_over(struct network *n)
{
        close_fd(&n->machine_fd);
}

const char *network_mac(const struct network *n)
{
        return n->mac;
}

void network_describe(const struct network *n, struct request_network *ret)
{
        *ret = (struct request_network){.document = n->document,
                                        .ipv6 = n->ipv6,
                                        .box_address = n->ipv4 ? BOX_IPV4 : BOX_IPV6,
                                        .host_address = n->ipv4 ? HOST_IPV4 : HOST_IPV6};
}

json_t *network_ports(const struct network *n)
{
        return n->ports;
}

bool network_is_up(const struct network *n)
{
        return n->up;
}

void network_free(struct network *n)
{
        int code;
        if (n == NULL)
                return;
        source_free(n->child_source);
        source_free(n->said_source);
        tap_free(n->tap);
        close_fd(&n->machine_fd);
        if (n->pidfd >= 0 && process_signal(n->pidfd, SIGKILL) == 0)
                (void)process_wait(n->pidfd, &code); /* nobody asks for it any more */
        close_fd(&n->pidfd);
        close_fd(&n->said_fd);
        json_decref(n->document);
        json_decref(n->ports);
        free(n);
}
