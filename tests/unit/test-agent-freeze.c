/* SPDX-License-Identifier: Apache-2.0 */
/* The disk held still for the host: it is thawed whatever becomes of who asked for it. */
#include "harness.h"

#include "agent-host.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_frozen(const struct agent_host *host)
{
        return faccessat(host->folder, "run/disk/frozen", F_OK, 0) == 0;
}

static void await_thaw(const struct agent_host *host)
{
        for (int i = 0; i < 3000 && is_frozen(host); i++)
                (void)poll(NULL, 0, 10);
        assert_false(is_frozen(host));
}

/* A connection that asks for a freeze; what was answered. */
static int ask(struct agent_host *host, const char *timeout, struct buffer *input, struct outcome *o)
{
        char request[128];
        int fd = agent_host_connect(host);
        (void)snprintf(request, sizeof(request), "{\"op\": \"freeze\"%s%s}",
                       timeout[0] == '\0' ? "" : ", \"timeout_ms\": ", timeout);
        send_text(fd, FRAME_REQUEST, request);
        buffer_clear(input);
        await_reply(fd, input, o);
        return fd;
}

static int held(struct agent_host *host, const char *timeout, struct buffer *input)
{
        struct outcome o;
        int fd = ask(host, timeout, input, &o);
        if (o.refused != 0)
                fail_msg("freeze: %s", o.message);
        outcome_done(&o);
        return fd;
}

static void it_stands_still_until_it_is_thawed(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct buffer input;
        struct frame frame;
        buffer_init(&input, 1U << 20);
        agent_host_start(&host);
        for (int i = 0; i < 2; i++) { /* and so again */
                int fd = held(&host, "60000", &input);
                assert_true(is_frozen(&host));
                send_text(fd, FRAME_REQUEST, "{\"op\": \"thaw\"}");
                await_reply(fd, &input, &o);
                assert_int_equal(o.refused, 0);
                outcome_done(&o);
                assert_false(is_frozen(&host));
                assert_false(next_frame(fd, &input, &frame));
                (void)close(fd);
        }
        agent_host_stop(&host);
        buffer_done(&input);
}

static void a_host_that_leaves_thaws_it(void **state)
{
        (void)state;
        struct agent_host host;
        struct buffer input;
        buffer_init(&input, 1U << 20);
        agent_host_start(&host);
        int fd = held(&host, "600000", &input);
        assert_true(is_frozen(&host));
        (void)close(fd); /* as the kernel does for one that was killed */
        await_thaw(&host);
        (void)close(held(&host, "600000", &input));
        await_thaw(&host);
        agent_host_stop(&host);
        buffer_done(&input);
}

static void its_time_is_limited(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct buffer input;
        buffer_init(&input, 1U << 20);
        agent_host_start(&host);
        int fd = held(&host, "50", &input);
        await_thaw(&host);
        await_reply(fd, &input, &o);
        assert_int_equal(o.refused, ETIMEDOUT);
        assert_non_null(strstr(o.message, "50 ms"));
        outcome_done(&o);
        (void)close(fd);
        agent_host_stop(&host);
        buffer_done(&input);
}

static void the_end_of_the_machine_thaws_it(void **state)
{
        (void)state;
        struct agent_host host;
        struct buffer input;
        buffer_init(&input, 1U << 20);
        agent_host_start(&host);
        int init = start_sleeper(&host), fd = held(&host, "600000", &input);
        int folder = dup(host.folder);
        struct agent_host seen = {.folder = folder};
        agent_host_stop(&host);
        assert_false(is_frozen(&seen));
        (void)close(folder);
        (void)close(fd);
        (void)close(init);
        buffer_done(&input);
}

static void what_cannot_be_is_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"", "0", "-1", "600001", "\"long\"", "null"};
        struct agent_host host;
        struct outcome o;
        struct buffer input;
        buffer_init(&input, 1U << 20);
        agent_host_start(&host);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                int fd = ask(&host, bad[i], &input, &o);
                if (o.refused != EINVAL)
                        fail_msg("'%s': %d, %s", bad[i], o.refused, o.message);
                outcome_done(&o);
                (void)close(fd);
        }
        int first = held(&host, "600000", &input), second = ask(&host, "600000", &input, &o);
        assert_int_equal(o.refused, EBUSY);
        outcome_done(&o);
        (void)close(second);
        assert_true(is_frozen(&host)); /* the second one's end is not the first one's */
        send_text(first, FRAME_STDIN, "nonsense");
        await_thaw(&host);
        (void)close(first);
        agent_host_stop(&host);
        buffer_done(&input);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(it_stands_still_until_it_is_thawed),
    cmocka_unit_test(a_host_that_leaves_thaws_it),
    cmocka_unit_test(its_time_is_limited),
    cmocka_unit_test(the_end_of_the_machine_thaws_it),
    cmocka_unit_test(what_cannot_be_is_refused),
};
UNIT_TEST_MAIN(cases)
