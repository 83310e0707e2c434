/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/worker.h"
#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct job {
        struct loop *loop;
        struct worker *worker;
        int gate[2];
        int result;
        struct error err;
        int ticks;
};

static int wait_for_gate(void *data, struct error *err)
{
        struct job *job = data;
        char byte;
        (void)err;
        (void)close(job->gate[1]);
        return read(job->gate[0], &byte, 1) == 1 ? 0 : -EPIPE;
}

static int fail_with_words(void *data, struct error *err)
{
        (void)data;
        return error_set(err, -ENOSPC, "fill '%s': the disk is full", "/data");
}

static int fail_silently(void *data, struct error *err)
{
        (void)data;
        (void)err;
        return -EROFS;
}

static int die(void *data, struct error *err)
{
        (void)data;
        (void)err;
        (void)kill(getpid(), SIGKILL); /* raise(3) would meet the parent, whose thread id it remembers */
        return 0;
}

static void on_done(void *data, const struct error *err)
{
        struct job *job = data;
        job->err = *err;
        worker_free(job->worker);
        job->worker = NULL;
        loop_quit(job->loop, 1);
}

static void run(int (*work)(void *data, struct error *err), struct job *job)
{
        const struct worker_ops ops = {work, on_done};
        struct error err = ERROR_INIT;
        assert_int_equal(loop_new(&job->loop), 0);
        assert_int_equal(worker_start(job->loop, &ops, job, &job->worker, &err), 0);
        assert_int_equal(loop_run(job->loop), 1);
        assert_null(job->worker);
        loop_free(job->loop);
}

static void failures_are_told_with_their_words(void **state)
{
        (void)state;
        struct job job = {0};
        run(fail_with_words, &job);
        assert_int_equal(job.err.code, -ENOSPC);
        assert_string_equal(job.err.text, "fill '/data': the disk is full");
        run(fail_silently, &job);
        assert_int_equal(job.err.code, -EROFS);
        assert_true(job.err.text[0] != '\0');
        run(die, &job);
        assert_int_equal(job.err.code, -EIO);
}

static void on_tick(struct source *s, void *data)
{
        struct job *job = data;
        if (++job->ticks < 3)
                assert_int_equal(source_arm(s, 1), 0);
        else
                assert_int_equal(write(job->gate[1], "x", 1), 1);
}

static void the_loop_goes_on_meanwhile(void **state)
{
        (void)state;
        const struct worker_ops ops = {wait_for_gate, on_done};
        struct job job = {.err = {.code = 1}};
        struct source *timer;
        struct error err = ERROR_INIT;
        assert_int_equal(pipe(job.gate), 0);
        assert_int_equal(loop_new(&job.loop), 0);
        assert_int_equal(loop_add_timer(job.loop, on_tick, &job, &timer), 0);
        assert_int_equal(worker_start(job.loop, &ops, &job, &job.worker, &err), 0);
        assert_int_equal(source_arm(timer, 1), 0);
        assert_int_equal(loop_run(job.loop), 1); /* only the loop itself lets the work end */
        assert_int_equal(job.err.code, 0);
        assert_int_equal(job.ticks, 3);
        source_free(timer);
        loop_free(job.loop);
        (void)close(job.gate[0]);
        (void)close(job.gate[1]);
}

static void freed_at_work_it_is_gone(void **state)
{
        (void)state;
        const struct worker_ops ops = {wait_for_gate, on_done};
        struct job job = {.err = {.code = 1}};
        struct error err = ERROR_INIT;
        char byte;
        assert_int_equal(pipe(job.gate), 0);
        assert_int_equal(loop_new(&job.loop), 0);
        assert_int_equal(worker_start(job.loop, &ops, &job, &job.worker, &err), 0);
        worker_free(job.worker);
        (void)close(job.gate[1]);
        assert_int_equal(read(job.gate[0], &byte, 1), 0); /* nobody holds the other end any more */
        assert_int_equal(job.err.code, 1);
        loop_free(job.loop);
        (void)close(job.gate[0]);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(failures_are_told_with_their_words),
    cmocka_unit_test(the_loop_goes_on_meanwhile),
    cmocka_unit_test(freed_at_work_it_is_gone),
};

UNIT_TEST_MAIN(cases)
