/* SPDX-License-Identifier: Apache-2.0 */
/* The box's name server, between a client and servers that are this process. */
#include "harness.h"

#include "agent/names.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char ours[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\4host\6boxlet\10internal\0\0\1\0";
static const char other[] = "\x56\x78\1\0\0\1\0\0\0\0\0\0\7outside\4test\0\0\1\0";

struct world {
        struct loop *loop;
        struct names *names;
        struct boot_resolver resolver;
        struct sockaddr_in place; /* of the name server */
        int server_udp, server_tcp;
};

static int bound(int type, struct sockaddr_in *ret_place)
{
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(any);
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (ret_place->sin_port != 0)
                any.sin_port = ret_place->sin_port;
        assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
        if (type == SOCK_STREAM)
                assert_int_equal(listen(fd, 4), 0);
        *ret_place = any;
        return fd;
}

static void start(struct world *w)
{
        struct error err = ERROR_INIT;
        struct sockaddr_in server = {0}, free_place = {0};
        struct boot_resolver *r = &w->resolver;
        w->server_udp = bound(SOCK_DGRAM, &server);
        w->server_tcp = bound(SOCK_STREAM, &server);
        int probe = bound(SOCK_STREAM, &free_place); /* a port that is free now */
        (void)close(probe);
        *r = (struct boot_resolver){.present = true,
                                    .listen = {127, 0, 0, 1},
                                    .name = "host.boxlet.internal",
                                    .has_answer = true,
                                    .answer = {10, 0, 2, 2},
                                    .server_count = 1};
        r->servers[0] = (struct boot_server){AF_INET, {127, 0, 0, 1}, ntohs(server.sin_port)};
        w->place = free_place;
        assert_int_equal(loop_new(&w->loop), 0);
        if (names_start(w->loop, r, ntohs(free_place.sin_port), &w->names, &err) < 0)
                fail_msg("%s", err.text);
}

static void stop(struct world *w)
{
        names_free(w->names);
        loop_free(w->loop);
        (void)close(w->server_udp);
        (void)close(w->server_tcp);
}

static size_t query(const char *text, size_t size, uint8_t *ret_query)
{
        memcpy(ret_query, text, size);
        ret_query[size - 1] = 1;
        return size;
}

static int client(const struct world *w, int type)
{
        struct timeval limit = {.tv_sec = 60};
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&w->place, sizeof(w->place)), 0);
        return fd;
}

/* The name server hands the query on as it is, and the reply back as it is. */
static void pass_on_by_udp(const struct world *w, int fd)
{
        uint8_t bytes[512], seen[512];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        size_t size = query(other, sizeof(other), bytes);
        assert_int_equal(send(fd, bytes, size, 0), size);
        assert_int_equal(recvfrom(w->server_udp, seen, sizeof(seen), 0, (struct sockaddr *)&from, &from_size),
                         size);
        assert_memory_equal(seen, bytes, size);
        assert_int_equal(sendto(w->server_udp, "any reply", 9, 0, (struct sockaddr *)&from, from_size), 9);
        assert_int_equal(recv(fd, seen, sizeof(seen), 0), 9);
        assert_memory_equal(seen, "any reply", 9);
}

static void udp(void **state)
{
        (void)state;
        struct world w = {0};
        uint8_t bytes[512];
        static const uint8_t answer[4] = {10, 0, 2, 2};
        start(&w);
        cleanup_fd int fd = client(&w, SOCK_DGRAM);
        size_t size = query(ours, sizeof(ours), bytes);
        assert_int_equal(send(fd, bytes, size, 0), size);
        assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), size + 16);
        assert_memory_equal(bytes + size + 12, answer, 4);
        pass_on_by_udp(&w, fd);
        /* more than there is room for: the oldest give way, and it goes on */
        for (int i = 0; i < 200; i++)
                assert_int_equal(send(fd, other, sizeof(other), 0), sizeof(other));
        assert_int_equal(send(fd, "?", 1, 0), 1);
        uint8_t rest[512];
        while (recv(w.server_udp, rest, sizeof(rest), 0) != 1)
                ;
        pass_on_by_udp(&w, fd);
        stop(&w);
}

static void say(int fd, const void *bytes, size_t size)
{
        uint8_t prefix[2] = {(uint8_t)(size >> 8), (uint8_t)size};
        assert_int_equal(fd_write_full(fd, prefix, 2), 0);
        assert_int_equal(fd_write_full(fd, bytes, size), 0);
}

static size_t hear(int fd, uint8_t *bytes)
{
        uint8_t prefix[2];
        assert_int_equal(fd_read_full(fd, prefix, 2), 2);
        size_t size = (size_t)prefix[0] << 8 | prefix[1];
        assert_int_equal(fd_read_full(fd, bytes, size), size);
        return size;
}

static void tcp(void **state)
{
        (void)state;
        struct world w = {0};
        uint8_t *bytes = malloc(65535), *seen = malloc(65535);
        assert_true(bytes != NULL && seen != NULL);
        start(&w);
        cleanup_fd int fd = client(&w, SOCK_STREAM);
        size_t size = query(ours, sizeof(ours), bytes);
        say(fd, bytes, size);
        assert_int_equal(hear(fd, seen), size + 16);
        size = query(other, sizeof(other), bytes);
        say(fd, bytes, size);
        cleanup_fd int server = accept4(w.server_tcp, NULL, NULL, SOCK_CLOEXEC);
        assert_true(server >= 0);
        assert_int_equal(hear(server, seen), size);
        assert_memory_equal(seen, bytes, size);
        memset(bytes, 0xab, 65535);
        say(server, bytes, 65535);
        assert_int_equal(hear(fd, seen), 65535);
        assert_memory_equal(seen, bytes, 65535);
        (void)shutdown(fd, SHUT_WR);
        assert_int_equal(fd_read_full(server, seen, 1), 0); /* the client's end is the server's */
        free(bytes);
        free(seen);
        stop(&w);
}

static void a_silent_server_is_left_for_the_next(void **state)
{
        (void)state;
        struct world w = {0};
        struct sockaddr_in deaf_place = {0};
        uint8_t seen[512];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        start(&w);
        names_free(w.names);
        w.names = NULL;
        cleanup_fd int deaf = bound(SOCK_DGRAM, &deaf_place);
        w.resolver.servers[1] = w.resolver.servers[0];
        w.resolver.servers[0].port = ntohs(deaf_place.sin_port);
        w.resolver.server_count = 2;
        struct error err = ERROR_INIT;
        assert_int_equal(names_start(w.loop, &w.resolver, ntohs(w.place.sin_port), &w.names, &err), 0);
        cleanup_fd int fd = client(&w, SOCK_DGRAM);
        struct pollfd there = {.fd = w.server_udp, .events = POLLIN};
        int tries = 0;
        do /* a client asks again, as they do */
                assert_int_equal(send(fd, other, sizeof(other), 0), sizeof(other));
        while (poll(&there, 1, 1000) == 0 && ++tries < 50);
        assert_true(tries > 0 && tries < 50);
        assert_int_equal(recvfrom(w.server_udp, seen, sizeof(seen), 0, (struct sockaddr *)&from, &from_size),
                         sizeof(other));
        stop(&w);
}

/* The process that has the socket bound to our port, which is the only child there is. */
static pid_t only_child(void)
{
        char path[64], text[64] = "";
        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        (void)fclose(file);
        return (pid_t)strtol(text, NULL, 10);
}

static void on_tick(struct source *s, void *data)
{
        (void)s;
        loop_quit(data, 1);
}

static void a_process_that_dies_is_started_anew(void **state)
{
        (void)state;
        struct world w = {0};
        struct source *timer;
        start(&w);
        cleanup_fd int fd = client(&w, SOCK_DGRAM);
        pass_on_by_udp(&w, fd);
        pid_t first = only_child();
        assert_int_equal(loop_add_timer(w.loop, on_tick, w.loop, &timer), 0);
        assert_int_equal(source_arm(timer, 300), 0);
        assert_int_equal(loop_run(w.loop), 1);
        assert_int_equal(only_child(), first); /* it does not end by itself */
        assert_int_equal(kill(first, SIGKILL), 0);
        do {
                assert_int_equal(source_arm(timer, 50), 0);
                assert_int_equal(loop_run(w.loop), 1);
        } while (only_child() == first);
        pass_on_by_udp(&w, fd);
        source_free(timer);
        stop(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(udp),
    cmocka_unit_test(tcp),
    cmocka_unit_test(a_silent_server_is_left_for_the_next),
    cmocka_unit_test(a_process_that_dies_is_started_anew),
};
UNIT_TEST_MAIN(cases)
