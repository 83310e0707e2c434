/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two relays with a channel between them, as the monitor and the agent have them:
 *
 *     client === relay --(frames)-- relay === server
 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "wire/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct side {
        struct channel *channel;
        struct relay *relay;
        bool over;
        int outer; /* the far end of the relay's socket */
};

static struct loop *loop;
static struct side sides[2];

static void on_over(struct relay *relay, void *data)
{
        struct side *s = data;
        assert_ptr_equal(relay, s->relay);
        assert_false(s->over);
        s->over = true;
        relay_free(s->relay);
        s->relay = NULL;
        if (s->channel != NULL) {
                channel_finish(s->channel);
                channel_pause(s->channel, false);
        }
}

static const struct relay_ops relay_ops = {on_over};

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct side *s = data;
        (void)channel;
        (void)err;
        if (s->relay != NULL)
                relay_take(s->relay, frame->payload, frame->size);
        return 0;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct side *s = data;
        assert_int_equal(err->code, 0);
        channel_free(channel);
        s->channel = NULL;
        if (s->relay != NULL)
                relay_closed(s->relay);
}

static void on_drained(struct channel *channel, void *data)
{
        struct side *s = data;
        (void)channel;
        if (s->relay != NULL)
                relay_drained(s->relay);
}

static const struct channel_ops channel_ops = {on_frame, on_closed, on_drained};

static void begin(void)
{
        int between[2];
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, between), 0);
        for (int i = 0; i < 2; i++) {
                int pair[2];
                struct side *s = &sides[i];
                *s = (struct side){.outer = -1};
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
                s->outer = pair[0];
                assert_int_equal(fd_set_nonblocking(s->outer), 0);
                assert_int_equal(channel_new(loop, between[i], NULL, &channel_ops, s, &s->channel), 0);
                assert_int_equal(relay_new(loop, pair[1], s->channel, i == 0 ? FRAME_STDIN : FRAME_STDOUT,
                                           &relay_ops, s, &s->relay),
                                 0);
        }
}

static void end(void)
{
        for (int i = 0; i < 2; i++) {
                relay_free(sides[i].relay);
                channel_free(sides[i].channel);
                close_fd(&sides[i].outer);
        }
        loop_free(loop);
}

static void step(void)
{
        assert_true(loop_step(loop, 1000) >= 0);
}

/* Everything there is to do now. */
static void settle(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

/* Reads what is there; -1: the end. */
static ssize_t take(int fd, void *bytes, size_t size)
{
        ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);
        if (n == 0)
                return -1;
        return n < 0 ? 0 : n;
}

static void text(int from, int to, const char *words)
{
        char got[64] = "";
        size_t have = 0;
        assert_int_equal(send(sides[from].outer, words, strlen(words), MSG_NOSIGNAL), strlen(words));
        while (have < strlen(words)) {
                step();
                ssize_t n = take(sides[to].outer, got + have, sizeof(got) - 1 - have);
                assert_true(n >= 0);
                have += (size_t)n;
        }
        assert_string_equal(got, words);
}

static void await_end(int side)
{
        char byte;
        while (take(sides[side].outer, &byte, 1) != -1)
                step();
}

static void each_direction_has_its_own_end(void **state)
{
        (void)state;
        begin();
        text(0, 1, "hello");
        text(1, 0, "hello yourself");
        assert_int_equal(shutdown(sides[0].outer, SHUT_WR), 0);
        await_end(1);
        text(1, 0, "after the end of the other direction");
        assert_false(sides[0].over || sides[1].over);
        assert_int_equal(shutdown(sides[1].outer, SHUT_WR), 0);
        await_end(0);
        while (!sides[0].over || !sides[1].over || sides[0].channel != NULL || sides[1].channel != NULL)
                step();
        end();
}

static void much_goes_both_ways_at_once(void **state)
{
        (void)state;
        enum { SIZE = 8 << 20 };
        static unsigned char data[2][SIZE], got[2][SIZE];
        size_t sent[2] = {0, 0}, have[2] = {0, 0};
        begin();
        for (size_t i = 0; i < SIZE; i++) {
                data[0][i] = (unsigned char)(i * 7 + (i >> 9));
                data[1][i] = (unsigned char)(i * 13 + (i >> 10));
        }
        while (have[0] < SIZE || have[1] < SIZE) {
                for (int i = 0; i < 2; i++) {
                        ssize_t n = sent[i] == SIZE ? 0
                                                    : send(sides[i].outer, data[i] + sent[i], SIZE - sent[i],
                                                           MSG_DONTWAIT | MSG_NOSIGNAL);
                        sent[i] += n > 0 ? (size_t)n : 0;
                        if (sent[i] == SIZE && n > 0)
                                assert_int_equal(shutdown(sides[i].outer, SHUT_WR), 0);
                        n = take(sides[i].outer, got[i] + have[i], SIZE - have[i]);
                        have[i] += n > 0 ? (size_t)n : 0;
                }
                settle();
        }
        assert_memory_equal(got[0], data[1], SIZE);
        assert_memory_equal(got[1], data[0], SIZE);
        while (!sides[0].over || !sides[1].over)
                step();
        end();
}

static void who_does_not_read_stops_the_writer(void **state)
{
        (void)state;
        static char block[65536];
        size_t sent = 0;
        begin();
        for (;;) {
                ssize_t n = send(sides[0].outer, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
                settle();
                if (n < 0)
                        break;
                sent += (size_t)n;
                assert_true(sent < 8U << 20);
        }
        /* the other direction is not held up, and it goes on when there is room again */
        text(1, 0, "still here");
        size_t have = 0;
        while (have < sent) {
                ssize_t n = take(sides[1].outer, block, sizeof(block));
                assert_true(n >= 0);
                have += (size_t)n;
                settle();
        }
        text(0, 1, "on");
        end();
}

static void what_was_sent_before_a_close_arrives(void **state)
{
        (void)state;
        begin();
        assert_int_equal(send(sides[0].outer, "last words", 10, MSG_NOSIGNAL), 10);
        close_fd(&sides[0].outer);
        char got[16] = "";
        size_t have = 0;
        while (have < 10) {
                step();
                ssize_t n = take(sides[1].outer, got + have, sizeof(got) - have);
                assert_true(n >= 0);
                have += (size_t)n;
        }
        assert_memory_equal(got, "last words", 10);
        await_end(1);
        /* the server's side is closed as a whole: its writes fail, and nothing is left */
        while (!sides[0].over || !sides[1].over || sides[1].channel != NULL || sides[0].channel != NULL)
                step();
        assert_int_equal(send(sides[1].outer, "x", 1, MSG_NOSIGNAL), -1);
        end();
}

/* A client that went away while the server sends without end. */
static void a_server_that_never_stops_is_cut_off(void **state)
{
        (void)state;
        static char block[65536];
        begin();
        text(1, 0, "begin");
        while (send(sides[1].outer, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                settle();
        close_fd(&sides[0].outer);
        while (!sides[0].over || !sides[1].over) {
                (void)!send(sides[1].outer, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
                step();
        }
        end();
}

/* The machine died in the middle: what came is handed on. */
static void a_lost_channel_ends_the_socket_after_what_came(void **state)
{
        (void)state;
        begin();
        assert_int_equal(send(sides[0].outer, "before", 6, MSG_NOSIGNAL), 6);
        settle();
        channel_free(sides[0].channel);
        sides[0].channel = NULL;
        relay_closed(sides[0].relay);
        await_end(0);
        char got[16];
        while (take(sides[1].outer, got, 6) != 6)
                step();
        await_end(1);
        while (!sides[1].over)
                step();
        assert_true(sides[0].over);
        end();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(each_direction_has_its_own_end),
    cmocka_unit_test(much_goes_both_ways_at_once),
    cmocka_unit_test(who_does_not_read_stops_the_writer),
    cmocka_unit_test(what_was_sent_before_a_close_arrives),
    cmocka_unit_test(a_server_that_never_stops_is_cut_off),
    cmocka_unit_test(a_lost_channel_ends_the_socket_after_what_came),
};
UNIT_TEST_MAIN(cases)
