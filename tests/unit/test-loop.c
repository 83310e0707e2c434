/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

struct seen {
        struct loop *loop;
        struct source *mine, *other;
        int calls, other_calls, value;
};

static void free_both(struct source *s, int fd, uint32_t events, void *data)
{
        struct seen *seen = data;
        (void)s;
        (void)fd;
        (void)events;
        seen->calls++;
        source_free(seen->mine);
        source_free(seen->other);
}

static void a_source_freed_in_a_callback_is_not_called_again(void **state)
{
        (void)state;
        struct seen seen = {0};
        int one[2], two[2];
        assert_int_equal(loop_new(&seen.loop), 0);
        assert_int_equal(pipe2(one, O_CLOEXEC), 0);
        assert_int_equal(pipe2(two, O_CLOEXEC), 0);
        assert_int_equal(loop_add_io(seen.loop, one[0], EPOLLIN, free_both, &seen, &seen.mine), 0);
        assert_int_equal(loop_add_io(seen.loop, two[0], EPOLLIN, free_both, &seen, &seen.other), 0);
        assert_int_equal(write(one[1], "x", 1), 1);
        assert_int_equal(write(two[1], "x", 1), 1);
        (void)loop_step(seen.loop, 0);
        (void)loop_step(seen.loop, 0);
        assert_int_equal(seen.calls, 1);
        loop_free(seen.loop);
        for (int i = 0; i < 2; i++) {
                (void)close(one[i]);
                (void)close(two[i]);
        }
}

static void on_timer(struct source *s, void *data)
{
        struct seen *seen = data;
        (void)s;
        seen->calls++;
        loop_quit(seen->loop, 7);
}

static void a_timer_fires_once_and_can_be_disarmed(void **state)
{
        (void)state;
        struct seen seen = {0};
        assert_int_equal(loop_new(&seen.loop), 0);
        assert_int_equal(loop_add_timer(seen.loop, on_timer, &seen, &seen.mine), 0);
        assert_int_equal(loop_step(seen.loop, 0), 0);
        assert_int_equal(source_arm(seen.mine, 0), 0);
        assert_int_equal(loop_run(seen.loop), 7);
        assert_int_equal(source_arm(seen.mine, 0), 0);
        assert_int_equal(source_arm(seen.mine, -1), 0);
        assert_int_equal(loop_step(seen.loop, 20), 0);
        assert_int_equal(seen.calls, 1);
        source_free(seen.mine);
        loop_free(seen.loop);
}

static void on_signal(struct source *s, int signal, pid_t sender, void *data)
{
        struct seen *seen = data;
        (void)s;
        assert_int_equal(sender, getpid());
        seen->value = signal;
}

static void a_signal_arrives_as_an_event(void **state)
{
        (void)state;
        struct seen seen = {0};
        assert_int_equal(loop_new(&seen.loop), 0);
        assert_int_equal(loop_add_signal(seen.loop, SIGUSR1, on_signal, &seen, &seen.mine), 0);
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        assert_int_equal(loop_step(seen.loop, 1000), 1);
        assert_int_equal(seen.value, SIGUSR1);
        source_free(seen.mine);
        loop_free(seen.loop);
}

static void on_child(struct source *s, int pidfd, void *data)
{
        struct seen *seen = data;
        source_free(s);
        assert_int_equal(process_wait(pidfd, &seen->value), 0);
        loop_quit(seen->loop, 0);
}

static void a_child_that_ends_is_told(void **state)
{
        (void)state;
        struct seen seen = {0};
        struct error err = ERROR_INIT;
        pid_t pid;
        cleanup_fd int pidfd = -1;
        struct process_plan plan = {
            .path = "/bin/sh",
            .argv = (const char *const[]){"sh", "-c", "exit 9", NULL},
            .working_dir_fd = -1,
        };
        assert_int_equal(loop_new(&seen.loop), 0);
        assert_int_equal(process_spawn(&plan, &pid, &pidfd, &err), 0);
        assert_int_equal(loop_add_child(seen.loop, pidfd, on_child, &seen, &seen.mine), 0);
        assert_int_equal(loop_run(seen.loop), 0);
        assert_int_equal(seen.value, 9);
        loop_free(seen.loop);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_source_freed_in_a_callback_is_not_called_again),
    cmocka_unit_test(a_timer_fires_once_and_can_be_disarmed),
    cmocka_unit_test(a_signal_arrives_as_an_event),
    cmocka_unit_test(a_child_that_ends_is_told),
};

UNIT_TEST_MAIN(cases)
