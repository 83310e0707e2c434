/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to unix sockets of a container: the listener is this test, in a folder that the container has.
 */
#include "harness.h"

#include "agent-host.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
        struct agent_host host;
        int init, folder, listener;
        struct buffer input;
};

/* A container with the folder at /shared, in which "sock" listens. */
static void begin(struct world *w)
{
        char *request, *at;
        struct outcome o;
        agent_host_start(&w->host);
        buffer_init(&w->input, 1U << 20);
        w->folder = path_open_dir_at(w->host.folder, "shared", 0755);
        assert_true(w->folder >= 0);
        w->listener = unix_listen_at(w->folder, "sock", SOCK_STREAM, 8);
        assert_true(w->listener >= 0);
        cleanup_free char *plain = start_request("\"args\": [\"sleep\", \"1000\"]", "", "");
        at = strstr(plain, "\"mounts\": [") + strlen("\"mounts\": [");
        assert_true(asprintf(&request,
                             "%.*s{\"destination\": \"/shared\", \"type\": \"bind\", \"source\": "
                             "\"%s/shared\", \"options\": [\"bind\"]},%s",
                             (int)(at - plain), plain, w->host.path, at) > 0);
        w->init = agent_host_connect(&w->host);
        send_text(w->init, FRAME_REQUEST, request);
        await_reply(w->init, &w->input, &o);
        if (o.refused != 0)
                fail_msg("start: %s", o.message);
        outcome_done(&o);
        free(request);
        buffer_clear(&w->input);
}

static void end(struct world *w)
{
        (void)close(w->init);
        (void)close(w->listener);
        (void)close(w->folder);
        buffer_done(&w->input);
        agent_host_stop(&w->host);
}

/* A connection to path; *ret_outcome has what the agent said. */
static int ask(struct world *w, const char *path, struct outcome *ret_outcome)
{
        char request[512];
        int fd = agent_host_connect(&w->host);
        (void)snprintf(request, sizeof(request), "{\"op\": \"connect\", \"unix\": \"%s\"}", path);
        buffer_clear(&w->input);
        send_text(fd, FRAME_REQUEST, request);
        await_reply(fd, &w->input, ret_outcome);
        return fd;
}

/* The next STDOUT frame as text; "" for the end of the stream. */
static void expect_out(struct world *w, int fd, const char *text)
{
        struct frame frame;
        assert_true(next_frame(fd, &w->input, &frame));
        assert_int_equal(frame.type, FRAME_STDOUT);
        assert_int_equal(frame.size, strlen(text));
        assert_memory_equal(frame.payload, text, strlen(text));
        frame_release(&w->input, &frame);
}

static void expect_bytes(int fd, const char *text)
{
        char got[64];
        assert_int_equal(fd_read_full(fd, got, strlen(text)), strlen(text));
        assert_memory_equal(got, text, strlen(text));
}

static void bytes_go_both_ways_with_an_end_each(void **state)
{
        (void)state;
        struct world w;
        struct outcome o;
        struct frame frame;
        begin(&w);
        int fd = ask(&w, "/shared/sock", &o);
        if (o.refused != 0)
                fail_msg("%s", o.message);
        outcome_done(&o);
        cleanup_fd int server = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
        send_text(fd, FRAME_STDIN, "request");
        expect_bytes(server, "request");
        assert_int_equal(fd_write_full(server, "answer", 6), 0);
        expect_out(&w, fd, "answer");
        send_frame(fd, FRAME_STDIN, NULL, 0);
        char byte;
        assert_int_equal(read(server, &byte, 1), 0);
        assert_int_equal(fd_write_full(server, "afterwards", 10), 0);
        expect_out(&w, fd, "afterwards");
        close_fd(&server);
        expect_out(&w, fd, "");
        assert_false(next_frame(fd, &w.input, &frame)); /* the agent has ended the connection */
        (void)close(fd);
        /* a host that leaves without a word */
        fd = ask(&w, "/shared/sock", &o);
        outcome_done(&o);
        cleanup_fd int second = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
        send_text(fd, FRAME_STDIN, "last");
        (void)close(fd);
        expect_bytes(second, "last");
        assert_int_equal(read(second, &byte, 1), 0);
        end(&w);
}

static void what_is_no_listening_socket_is_refused(void **state)
{
        (void)state;
        struct world w;
        struct outcome o;
        char name[200];
        begin(&w);
        assert_int_equal(mkfifoat(w.folder, "fifo", 0600), 0);
        assert_int_equal(symlinkat("loop", w.folder, "loop"), 0);
        memset(name, 'x', sizeof(name) - 1);
        name[0] = '/';
        name[sizeof(name) - 1] = '\0';
        /* the host's own path of the socket means nothing in the container */
        cleanup_free char *outside = path_join(w.host.path, "shared/sock");
        const char *const paths[] = {"/shared/none", "/shared/fifo", "/shared/loop", "/shared",
                                     "relative",     name,           outside};
        const int codes[] = {ENOENT, ECONNREFUSED, ELOOP, ECONNREFUSED, EINVAL, EINVAL, ENOENT};
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                int fd = ask(&w, paths[i], &o);
                if (o.refused != codes[i])
                        fail_msg("%s: refused with %d, %s", paths[i], o.refused, o.message);
                outcome_done(&o);
                (void)close(fd);
        }
        /* and the container's links are followed in the container */
        exec_script(&w.host, "ln -s /shared/sock /tmp/link", "", &o);
        outcome_done(&o);
        int fd = ask(&w, "/tmp/link", &o);
        assert_int_equal(o.refused, 0);
        outcome_done(&o);
        (void)close(fd);
        end(&w);
}

static void a_frame_out_of_place_ends_the_connection_only(void **state)
{
        (void)state;
        struct world w;
        struct outcome o;
        struct frame frame;
        begin(&w);
        int fd = ask(&w, "/shared/sock", &o);
        outcome_done(&o);
        cleanup_fd int server = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
        send_text(fd, FRAME_STDOUT, "not mine to send");
        assert_false(next_frame(fd, &w.input, &frame));
        char byte;
        assert_int_equal(read(server, &byte, 1), 0);
        (void)close(fd);
        exec_script(&w.host, "exit 3", "", &o);
        assert_int_equal(o.code, 3);
        outcome_done(&o);
        end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(bytes_go_both_ways_with_an_end_each),
    cmocka_unit_test(what_is_no_listening_socket_is_refused),
    cmocka_unit_test(a_frame_out_of_place_ends_the_connection_only),
};
UNIT_TEST_MAIN(cases)
