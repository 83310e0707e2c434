/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct end {
        struct channel *channel;
        struct channel *partner; /* paused while this end's queue is high */
        size_t bytes;
        unsigned frames;
        bool closed;
        int close_code;
        bool free_on_frame;
        int frame_result;
};

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct end *e = data;
        (void)err;
        e->frames++;
        e->bytes += frame->size;
        if (e->free_on_frame) {
                channel_free(channel);
                e->channel = NULL;
        }
        return e->frame_result;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct end *e = data;
        (void)channel;
        e->closed = true;
        e->close_code = err->code;
}

static const struct channel_ops ops = {.frame = on_frame, .closed = on_closed};

struct pair {
        struct loop *loop;
        struct end a, b;
};

static void setup(struct pair *p)
{
        int fds[2];
        memset(p, 0, sizeof(*p));
        assert_int_equal(loop_new(&p->loop), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(p->loop, fds[0], NULL, &ops, &p->a, &p->a.channel), 0);
        assert_int_equal(channel_new(p->loop, fds[1], NULL, &ops, &p->b, &p->b.channel), 0);
}

static void teardown(struct pair *p)
{
        channel_free(p->a.channel);
        channel_free(p->b.channel);
        loop_free(p->loop);
}

static void settle(struct pair *p)
{
        while (loop_step(p->loop, 0) > 0)
                ;
}

static void frames_arrive_both_ways(void **state)
{
        (void)state;
        struct pair p;
        setup(&p);
        assert_int_equal(channel_send(p.a.channel, FRAME_STDIN, "hello", 5), 0);
        assert_int_equal(channel_send(p.b.channel, FRAME_STDOUT, "yes", 3), 0);
        settle(&p);
        assert_int_equal(p.b.bytes, 5);
        assert_int_equal(p.a.bytes, 3);
        assert_false(p.a.closed);
        teardown(&p);
}

static void orderly_end_is_told_after_the_last_frame(void **state)
{
        (void)state;
        struct pair p;
        char chunk[FRAME_STREAM_MAX] = {0};
        setup(&p);
        for (int i = 0; i < 100; i++)
                assert_int_equal(channel_send(p.a.channel, FRAME_STDOUT, chunk, sizeof(chunk)), 0);
        channel_finish(p.a.channel);
        settle(&p);
        assert_int_equal(p.b.bytes, 100 * sizeof(chunk));
        assert_true(p.b.closed);
        assert_int_equal(p.b.close_code, 0);
        teardown(&p);
}

static void nothing_is_lost_when_the_sender_closes_while_we_pause(void **state)
{
        (void)state;
        struct pair p;
        setup(&p);
        settle(&p);
        channel_pause(p.b.channel, true);
        assert_int_equal(channel_send(p.a.channel, FRAME_STDOUT, "late", 4), 0);
        channel_free(p.a.channel);
        p.a.channel = NULL;
        settle(&p);
        assert_false(p.b.closed);
        assert_int_equal(p.b.bytes, 0);
        channel_pause(p.b.channel, false);
        settle(&p);
        assert_int_equal(p.b.bytes, 4);
        assert_true(p.b.closed);
        assert_int_equal(p.b.close_code, 0);
        teardown(&p);
}

static void a_channel_may_be_freed_in_its_own_callback(void **state)
{
        (void)state;
        struct pair p;
        setup(&p);
        p.b.free_on_frame = true;
        assert_int_equal(channel_send(p.a.channel, FRAME_STDOUT, "x", 1), 0);
        assert_int_equal(channel_send(p.a.channel, FRAME_STDOUT, "y", 1), 0);
        settle(&p);
        assert_int_equal(p.b.frames, 1);
        assert_true(p.a.closed);
        teardown(&p);
}

static void garbage_ends_the_conversation(void **state)
{
        (void)state;
        struct end e = {0};
        struct loop *loop;
        int fds[2];
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(loop, fds[0], NULL, &ops, &e, &e.channel), 0);
        assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n", 16), 16);
        while (!e.closed)
                assert_true(loop_step(loop, 1000) > 0);
        assert_int_equal(e.close_code, -EPROTO);
        (void)close(fds[1]);
        channel_free(e.channel);
        loop_free(loop);
}

static void a_refused_frame_ends_with_its_error(void **state)
{
        (void)state;
        struct pair p;
        setup(&p);
        p.b.frame_result = -EINVAL;
        assert_int_equal(channel_send(p.a.channel, FRAME_EVENT, "{}", 2), 0);
        settle(&p);
        assert_true(p.b.closed);
        assert_int_equal(p.b.close_code, -EINVAL);
        teardown(&p);
}

static void the_queue_has_an_end(void **state)
{
        (void)state;
        struct pair p;
        char chunk[FRAME_STREAM_MAX] = {0};
        int r = 0;
        setup(&p);
        channel_pause(p.b.channel, true);
        for (int i = 0; i < 1000 && r == 0; i++)
                r = channel_send(p.a.channel, FRAME_STDOUT, chunk, sizeof(chunk));
        assert_int_equal(r, -EMSGSIZE);
        assert_true(channel_queued(p.a.channel) <= CHANNEL_QUEUE_MAX);
        teardown(&p);
}

static void errors_travel(void **state)
{
        (void)state;
        struct error sent = ERROR_INIT, got = ERROR_INIT;
        (void)error_set(&sent, -ENOENT, "find 'x': it is not there");
        static const char text[] = "{\"errno\":2,\"message\":\"find 'x': it is not there\"}";
        struct frame frame = {.type = FRAME_ERROR,
                              .size = sizeof(text) - 1,
                              .payload = (const uint8_t *)text};
        assert_int_equal(channel_read_error(&frame, &got), -ENOENT);
        assert_string_equal(got.text, sent.text);
        frame.size = 5;
        assert_int_equal(channel_read_error(&frame, &got), -EBADMSG);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(frames_arrive_both_ways),
    cmocka_unit_test(orderly_end_is_told_after_the_last_frame),
    cmocka_unit_test(nothing_is_lost_when_the_sender_closes_while_we_pause),
    cmocka_unit_test(a_channel_may_be_freed_in_its_own_callback),
    cmocka_unit_test(garbage_ends_the_conversation),
    cmocka_unit_test(a_refused_frame_ends_with_its_error),
    cmocka_unit_test(the_queue_has_an_end),
    cmocka_unit_test(errors_travel),
};

UNIT_TEST_MAIN(cases)
