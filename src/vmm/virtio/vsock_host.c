/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between unix sockets of the host and the vsock core. A client of the listening socket is in a greeting
 * until its line is whole: the line is peeked at and then taken off the socket exactly, because what follows
 * it belongs to the guest. Greetings are few (GREETINGS_MAX) and end after GREETING_MS; when all are in use,
 * nobody is accepted until one is free, and clients wait in the socket's backlog.
 *
 * The guest's way to the host is one port with one live connection: a guest that opens more gets RSTs, and
 * costs the monitor nothing.
 *
 * system calls (loop): accept4 recvfrom sendto socketpair(0=AF_UNIX)
 */
#include "vmm/virtio/vsock_host.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GREETINGS_MAX 128
#define GREETING_MS   10000
#define NO_FDS_MS     100 /* pause when the process has no descriptors left */

struct greeting {
        struct vsock_host *host;
        int fd;
        struct source *source;
        int64_t deadline_ms;
};

struct vsock_host {
        struct loop *loop;
        struct vsock_host_options options;
        struct vsock *vsock;
        struct source *listener;
        struct source *timer;
        struct greeting greetings[GREETINGS_MAX];
        unsigned greeting_count;
        bool paused;
        bool control_is_live;
};

int vsock_parse_connect(const char *text, size_t size, uint32_t *ret_port)
{
        static const char word[] = "CONNECT ";
        size_t word_length = sizeof(word) - 1;
        uint64_t port = 0;
        size_t i;
        if (memcmp(text, word, size < word_length ? size : word_length) != 0)
                return -EINVAL;
        for (i = word_length; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
                port = port * 10 + (uint64_t)(text[i] - '0');
                if (port >= UINT32_MAX) /* that one means "any" */
                        return -EINVAL;
        }
        if (i >= size)
                return size >= VSOCK_CONNECT_LINE_MAX ? -EINVAL : 0;
        if (text[i] != '\n' || i == word_length)
                return -EINVAL;
        *ret_port = (uint32_t)port;
        return (int)i + 1;
}

static void listen_again(struct vsock_host *h)
{
        if (h->paused && source_set_events(h->listener, EPOLLIN) == 0)
                h->paused = false;
}

static void pause_listening(struct vsock_host *h)
{
        if (source_set_events(h->listener, 0) == 0)
                h->paused = true;
}

static void arm(struct vsock_host *h)
{
        int64_t first = INT64_MAX;
        for (unsigned i = 0; i < GREETINGS_MAX; i++) {
                if (h->greetings[i].fd >= 0 && h->greetings[i].deadline_ms < first)
                        first = h->greetings[i].deadline_ms;
        }
        int64_t delay = first == INT64_MAX ? -1 : first - clock_monotonic_ms();
        (void)source_arm(h->timer, first != INT64_MAX && delay < 0 ? 0 : delay); /* a valid time */
}

/* Ends a greeting; the descriptor is the caller's. */
static int greeting_end(struct greeting *g)
{
        int fd = take_fd(&g->fd);
        source_free(g->source);
        g->source = NULL;
        g->host->greeting_count--;
        listen_again(g->host);
        return fd;
}

static void greeting_drop(struct greeting *g)
{
        int fd = greeting_end(g);
        close_fd(&fd);
}

/* Edge-triggered: a line that is not whole stays in the socket without waking us again. */
static void on_greeting(struct source *s, int fd, uint32_t events, void *data)
{
        struct greeting *g = data;
        struct vsock_host *h = g->host;
        char line[VSOCK_CONNECT_LINE_MAX];
        uint32_t port = 0;
        ssize_t n = recv(fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
                return;
        int length = n > 0 ? vsock_parse_connect(line, (size_t)n, &port) : -EINVAL;
        if (length == 0 && !(events & (EPOLLHUP | EPOLLRDHUP)))
                return;
        if (length <= 0 || recv(fd, line, (size_t)length, MSG_DONTWAIT) != length) {
                greeting_drop(g);
                return;
        }
        int client = greeting_end(g);
        int r = vsock_connect(h->vsock, port, client);
        if (r < 0) {
                log_warning("cannot connect to guest port %" PRIu32 ": %s", port, strerror(-r));
                close_fd(&client);
        }
}

static void on_timer(struct source *s, void *data)
{
        struct vsock_host *h = data;
        int64_t now = clock_monotonic_ms();
        for (unsigned i = 0; i < GREETINGS_MAX; i++) {
                if (h->greetings[i].fd >= 0 && h->greetings[i].deadline_ms <= now)
                        greeting_drop(&h->greetings[i]);
        }
        listen_again(h);
        arm(h);
}

static void greet(struct vsock_host *h, int fd)
{
        struct greeting *g = h->greetings;
        while (g->fd >= 0)
                g++;
        if (loop_add_io(h->loop, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, on_greeting, g, &g->source) < 0) {
                close_fd(&fd);
                return;
        }
        g->fd = fd;
        g->deadline_ms = clock_monotonic_ms() + h->options.greeting_ms;
        if (h->greeting_count++ == 0)
                arm(h);
        if (h->greeting_count == GREETINGS_MAX)
                pause_listening(h);
}

static void on_client(struct source *s, int fd, uint32_t events, void *data)
{
        struct vsock_host *h = data;
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0) {
                greet(h, client);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                pause_listening(h);
                (void)source_arm(h->timer, NO_FDS_MS); /* a valid time */
        }
}

static int on_guest_connects(void *data, uint32_t port, int *ret_fd)
{
        struct vsock_host *h = data;
        int pair[2];
        if (port != h->options.control_port || h->control_is_live)
                return -ECONNREFUSED;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        cleanup_fd int ours = pair[0];
        cleanup_fd int theirs = pair[1];
        int r = h->options.control(h->options.data, port, theirs);
        if (r < 0)
                return r;
        h->control_is_live = true;
        *ret_fd = take_fd(&ours);
        return 0;
}

static void on_guest_ended(void *data, uint32_t port)
{
        struct vsock_host *h = data;
        h->control_is_live = false;
}

static int on_host_connected(void *data, int fd, uint32_t host_port)
{
        char line[24];
        int length = snprintf(line, sizeof(line), "OK %" PRIu32 "\n", host_port);
        /* nothing was written to this socket before: it fits, or the client is gone */
        return send(fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length ? 0 : -EPIPE;
}

static void on_counted(void *data, unsigned count)
{
        struct vsock_host *h = data;
        if (h->options.counted != NULL)
                h->options.counted(h->options.data, count);
}

int vsock_host_new(struct loop *loop, const struct vsock_host_options *options, struct vsock_host **ret_host)
{
        struct vsock_host *h = calloc(1, sizeof(*h));
        if (h == NULL)
                return -ENOMEM;
        h->loop = loop;
        h->options = *options;
        if (h->options.greeting_ms == 0)
                h->options.greeting_ms = GREETING_MS;
        for (unsigned i = 0; i < GREETINGS_MAX; i++)
                h->greetings[i] = (struct greeting){.host = h, .fd = -1};
        struct vsock_options core = {.guest_cid = options->guest_cid,
                                     .connection_max = options->connection_max,
                                     .guest_connects = on_guest_connects,
                                     .host_connected = on_host_connected,
                                     .guest_ended = on_guest_ended,
                                     .counted = on_counted,
                                     .data = h};
        int r = vsock_new(loop, &core, &h->vsock);
        if (r == 0)
                r = loop_add_timer(loop, on_timer, h, &h->timer);
        if (r == 0)
                r = loop_add_io(loop, options->listen_fd, EPOLLIN, on_client, h, &h->listener);
        if (r < 0) {
                vsock_host_free(h);
                return r;
        }
        *ret_host = h;
        return 0;
}

void vsock_host_free(struct vsock_host *h)
{
        if (h == NULL)
                return;
        source_free(h->listener);
        h->listener = NULL;
        h->paused = false;
        for (unsigned i = 0; i < GREETINGS_MAX; i++) {
                if (h->greetings[i].fd >= 0)
                        greeting_drop(&h->greetings[i]);
        }
        source_free(h->timer);
        vsock_free(h->vsock);
        free(h);
}

struct device *vsock_host_device(struct vsock_host *h)
{
        return vsock_device(h->vsock);
}

unsigned vsock_host_count(const struct vsock_host *h)
{
        return vsock_count(h->vsock);
}
