/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.boxlet.internal stands in the box's /etc/hosts, which the containers of an engine in the box never
 * see: an engine hands on the box's name servers, and only those with an address that is not the loopback's.
 * So such a box has a name server, on an address of its own on the interface lo: it answers for that one
 * name (question.c) and passes every other packet on to the host's name servers and back, unchanged.
 *
 * UDP: a query gets a socket of its own, connected to the server in use, so the kernel chooses a port and
 * drops what others send; the client's id is the one that travels. There is room for QUERIES_MAX; the oldest
 * makes room for the next. A server that lets a query wait for ANSWER_MS is left for the next one in the
 * list. TCP: a forked process for each connection, at most CONNECTIONS_MAX, which carries one message after
 * another.
 *
 * Hostile: what arrives on both. The process has no privileges: it holds no file of the agent's, is nobody,
 * and cannot reach the host by vsock. When it dies the agent starts it anew; the sockets stay, and what was
 * asked in between waits in them.
 */
#include "agent/names.h"

#include "agent/question.h"
#include "agent/seccomp.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX     65535
#define QUERIES_MAX     64
#define CONNECTIONS_MAX 16
#define ANSWER_MS       5000
#define TCP_SECONDS     10
#define RESTARTS_MAX    100
#define NOBODY          65534

struct names {
        const struct boot_resolver *resolver;
        struct loop *loop;
        struct worker *worker;
        int udp_fd, tcp_fd;
        unsigned restarts;
};

/* A question that waits for its answer; fd -1: none. */
struct query {
        int fd;
        size_t server;
        int64_t deadline_ms;
        struct sockaddr_in client;
};

/* What the process works with. */
struct service {
        const struct boot_resolver *resolver;
        int udp_fd, tcp_fd;
        size_t server; /* the one in use */
        size_t connections;
        struct query queries[QUERIES_MAX];
        uint8_t message[MESSAGE_MAX];
};

/* A socket that is connected to that server of the list, or -1. */
static int connect_server(const struct boot_resolver *r, size_t index, int type)
{
        if (r->server_count == 0)
                return -1;
        const struct boot_server *server = &r->servers[index];
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(server->port)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(server->port)};
        memcpy(&v4.sin_addr, server->address, sizeof(v4.sin_addr));
        memcpy(&v6.sin6_addr, server->address, sizeof(v6.sin6_addr));
        bool ipv4 = server->family == AF_INET;
        struct timeval limit = {.tv_sec = TCP_SECONDS};
        cleanup_fd int fd = socket(server->family, type | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
            connect(fd, ipv4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
                    ipv4 ? sizeof(v4) : sizeof(v6)) < 0)
                return -1;
        return take_fd(&fd);
}

static size_t answer(const struct boot_resolver *r, const uint8_t *query, size_t size,
                     uint8_t ret_answer[QUESTION_ANSWER_MAX])
{
        return question_answer(query, size, r->name, r->has_answer ? r->answer : NULL, ret_answer);
}

/* ---- UDP ---- */

static struct query *take_slot(struct service *s)
{
        struct query *oldest = &s->queries[0];
        for (size_t i = 0; i < QUERIES_MAX && oldest->fd >= 0; i++) {
                struct query *q = &s->queries[i];
                if (q->fd < 0 || q->deadline_ms < oldest->deadline_ms)
                        oldest = q;
        }
        close_fd(&oldest->fd);
        return oldest;
}

static void on_query(struct service *s)
{
        uint8_t ours[QUESTION_ANSWER_MAX];
        struct sockaddr_in client;
        socklen_t client_size = sizeof(client);
        ssize_t n = recvfrom(s->udp_fd, s->message, sizeof(s->message), MSG_DONTWAIT,
                             (struct sockaddr *)&client, &client_size);
        if (n < 0)
                return;
        size_t size = answer(s->resolver, s->message, (size_t)n, ours);
        if (size > 0) { /* an answer that is lost is asked for again, here and below */
                (void)!sendto(s->udp_fd, ours, size, MSG_DONTWAIT, (struct sockaddr *)&client, client_size);
                return;
        }
        struct query *q = take_slot(s);
        q->fd = connect_server(s->resolver, s->server, SOCK_DGRAM);
        q->server = s->server;
        q->client = client;
        q->deadline_ms = clock_monotonic_ms() + ANSWER_MS;
        if (q->fd >= 0)
                (void)!send(q->fd, s->message, (size_t)n, MSG_DONTWAIT);
}

static void next_server(struct service *s, const struct query *q)
{
        if (q->server == s->server && s->resolver->server_count > 1)
                s->server = (s->server + 1) % s->resolver->server_count;
}

static void on_reply(struct service *s, struct query *q)
{
        ssize_t n = recv(q->fd, s->message, sizeof(s->message), MSG_DONTWAIT);
        if (n >= 0)
                (void)!sendto(s->udp_fd, s->message, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&q->client,
                              sizeof(q->client));
        else if (errno == EAGAIN)
                return;
        else
                next_server(s, q); /* nobody listens there */
        close_fd(&q->fd);
}

/* ---- TCP: each message has its size before it (RFC 1035, section 4.2.2) ---- */

static int read_message(int fd, uint8_t *message)
{
        uint8_t prefix[2];
        if (fd_read_full(fd, prefix, 2) != 2)
                return -EIO;
        ssize_t size = prefix[0] << 8 | prefix[1];
        return fd_read_full(fd, message, (size_t)size) == size ? (int)size : -EIO;
}

static int write_message(int fd, const uint8_t *message, size_t size)
{
        uint8_t prefix[2] = {(uint8_t)(size >> 8), (uint8_t)size};
        int r = fd_write_full(fd, prefix, 2);
        return r == 0 ? fd_write_full(fd, message, size) : r;
}

/* In a process of its own: blocking, and each wait has its limit. */
static void carry_connection(struct service *s, int client)
{
        uint8_t ours[QUESTION_ANSWER_MAX];
        struct timeval limit = {.tv_sec = TCP_SECONDS};
        cleanup_fd int server = -1;
        if (setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
            setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
                return;
        for (;;) {
                int n = read_message(client, s->message);
                if (n < 0)
                        return;
                size_t size = answer(s->resolver, s->message, (size_t)n, ours);
                if (size == 0 && server < 0)
                        server = connect_server(s->resolver, s->server, SOCK_STREAM);
                if (size == 0 && (server < 0 || write_message(server, s->message, (size_t)n) < 0))
                        return;
                if (size == 0)
                        n = read_message(server, s->message);
                if (n < 0 ||
                    write_message(client, size > 0 ? ours : s->message, size > 0 ? size : (size_t)n) < 0)
                        return;
        }
}

static void on_connection(struct service *s)
{
        cleanup_fd int fd = accept4(s->tcp_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || s->connections >= CONNECTIONS_MAX)
                return;
        pid_t pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG,
                            SIGKILL); /* the server's end is ours; there is no other way out of it */
                carry_connection(s, fd);
                _exit(0);
        }
        s->connections += pid > 0;
}

/* ---- the process ---- */

/* Closes all descriptors but those three from 3 on. */
static int close_others(int a, int b, int c)
{
        unsigned first = 3;
        for (;;) {
                const unsigned kept[3] = {(unsigned)a, (unsigned)b, (unsigned)c};
                unsigned next = ~0U;
                for (size_t i = 0; i < 3; i++) {
                        if (kept[i] >= first && kept[i] < next)
                                next = kept[i];
                }
                if (next > first && syscall(SYS_close_range, first, next == ~0U ? next : next - 1, 0) < 0)
                        return -errno;
                if (next == ~0U)
                        return 0;
                first = next + 1;
        }
}

/* Closes the agent's descriptors, and gives up what root may do. */
static int drop_everything(const struct service *s, struct error *err)
{
        int closed = close_others(s->udp_fd, s->tcp_fd, worker_result_fd());
        if (closed < 0)
                return error_errno(err, closed, "close the agent's descriptors");
        if (geteuid() != 0)
                return 0; /* a test, with nothing to give up */
        int r = seccomp_hide_vsock(err);
        if (r < 0)
                return r;
        if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(err, -errno, "become nobody");
        return 0;
}

/* Milliseconds to the first deadline, -1 without one; those that are past are given up. */
static int expire(struct service *s)
{
        int64_t now = clock_monotonic_ms(), first = -1;
        for (size_t i = 0; i < QUERIES_MAX; i++) {
                struct query *q = &s->queries[i];
                if (q->fd < 0)
                        continue;
                if (q->deadline_ms <= now) {
                        next_server(s, q);
                        close_fd(&q->fd);
                } else if (first < 0 || q->deadline_ms - now < first) {
                        first = q->deadline_ms - now;
                }
        }
        while (s->connections > 0 && waitpid(-1, NULL, WNOHANG) > 0)
                s->connections--;
        return s->connections > 0 && (first < 0 || first > 1000) ? 1000 : (int)first;
}

static int serve_once(struct service *s)
{
        struct pollfd fds[QUERIES_MAX + 2] = {{.fd = s->udp_fd, .events = POLLIN},
                                              {.fd = s->tcp_fd, .events = POLLIN}};
        for (size_t i = 0; i < QUERIES_MAX; i++)
                fds[i + 2] = (struct pollfd){.fd = s->queries[i].fd, .events = POLLIN};
        if (poll(fds, QUERIES_MAX + 2, expire(s)) < 0)
                return errno == EINTR ? 0 : -errno;
        for (size_t i = 0; i < QUERIES_MAX; i++) {
                if (fds[i + 2].revents != 0 && s->queries[i].fd == fds[i + 2].fd)
                        on_reply(s, &s->queries[i]);
        }
        if (fds[0].revents != 0)
                on_query(s);
        if (fds[1].revents != 0)
                on_connection(s);
        return 0;
}

static int serve(void *data, struct error *err)
{
        const struct names *names = data;
        struct service *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_errno(err, -ENOMEM, "serve names");
        *s = (struct service){.resolver = names->resolver, .udp_fd = names->udp_fd, .tcp_fd = names->tcp_fd};
        for (size_t i = 0; i < QUERIES_MAX; i++)
                s->queries[i].fd = -1;
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigaction(SIGCHLD, &standard, NULL);   /* the agent's loop has it blocked */
        (void)sigprocmask(SIG_SETMASK, &none, NULL); /* the same */
        int r = drop_everything(s, err);
        while (r == 0)
                r = serve_once(s);
        free(s);
        return r;
}

/* ---- in the agent ---- */

static void ended(void *data, const struct error *err);
static const struct worker_ops names_ops = {serve, ended};

static void ended(void *data, const struct error *err)
{
        struct names *names = data;
        struct error again = ERROR_INIT;
        worker_free(names->worker);
        names->worker = NULL;
        log_warning("the box's name server ended: %s", err->text);
        if (names->restarts++ < RESTARTS_MAX &&
            worker_start(names->loop, &names_ops, names, &names->worker, &again) < 0)
                log_warning("start the box's name server: %s", again.text);
}

static int listen_on(const struct boot_resolver *resolver, uint16_t port, int type, struct error *err)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        int on = 1;
        memcpy(&address.sin_addr, resolver->listen, sizeof(address.sin_addr));
        cleanup_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        if (fd < 0 ||
            (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
            bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            (type == SOCK_STREAM && listen(fd, CONNECTIONS_MAX) < 0))
                return error_errno(err, -errno, "listen for DNS queries");
        return take_fd(&fd);
}

int names_start(struct loop *loop, const struct boot_resolver *resolver, uint16_t port,
                struct names **ret_names, struct error *err)
{
        struct names *names = calloc(1, sizeof(*names));
        if (names == NULL)
                return error_errno(err, -ENOMEM, "serve names");
        *names = (struct names){.resolver = resolver, .loop = loop, .udp_fd = -1, .tcp_fd = -1};
        int r = names->udp_fd = listen_on(resolver, port, SOCK_DGRAM, err);
        if (r >= 0)
                r = names->tcp_fd = listen_on(resolver, port, SOCK_STREAM, err);
        if (r >= 0)
                r = worker_start(loop, &names_ops, names, &names->worker, err);
        if (r < 0) {
                names_free(names);
                return r;
        }
        *ret_names = names;
        return 0;
}

void names_free(struct names *names)
{
        if (names == NULL)
                return;
        worker_free(names->worker);
        close_fd(&names->udp_fd);
        close_fd(&names->tcp_fd);
        free(names);
}
