/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "monitor/idle.h"

#include <time.h>

static void the_rule(void **state)
{
        (void)state;
        struct idle_facts f = {.own = 2, .connections = 2, .touched_ms = 1000};
        assert_int_equal(idle_left(&f, 500, 1000), 500);
        assert_int_equal(idle_left(&f, 500, 1499), 1);
        assert_int_equal(idle_left(&f, 500, 1500), 0);
        assert_int_equal(idle_left(&f, 500, 9999), 0);
        f.touched_ms = 1200;
        assert_int_equal(idle_left(&f, 500, 1500), 200);
        assert_int_equal(idle_left(&f, INT64_MAX, 1500), INT64_MAX - 300);
        f.connections = 3; /* somebody's exec */
        assert_int_equal(idle_left(&f, 500, 9999), -1);
        f.connections = 1; /* one of ours is on its way */
        assert_int_equal(idle_left(&f, 500, 9999), 0);
        f.attached = 1;
        assert_int_equal(idle_left(&f, 500, 9999), -1);
        f.attached = 0;
        f.paused = true;
        assert_int_equal(idle_left(&f, 500, 9999), -1);
}

static void count(void *data)
{
        ++*(int *)data;
}

/* Lets the loop go on for that long; how often it woke. */
static int run_for(struct loop *loop, int64_t ms)
{
        struct timespec start, now;
        int woken = 0;
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        do {
                int r = loop_step(loop, 10);
                assert_true(r >= 0);
                woken += r;
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
        return woken;
}

static void an_idle_box_is_told_once(void **state)
{
        (void)state;
        struct loop *loop;
        struct idle *idle;
        int told = 0;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(idle_new(loop, 100, count, &told, &idle), 0);
        (void)run_for(loop, 200);
        assert_int_equal(told, 0); /* it does not run yet */
        idle_begin(idle, 2);
        (void)run_for(loop, 300);
        assert_int_equal(told, 1);
        idle_end(idle);
        (void)run_for(loop, 200);
        assert_int_equal(told, 1);
        idle_free(idle);
        loop_free(loop);
}

static void who_is_there_holds_it_without_a_timer(void **state)
{
        (void)state;
        struct loop *loop;
        struct idle *idle;
        int told = 0;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(idle_new(loop, 100, count, &told, &idle), 0);
        idle_connections(idle, 1);
        idle_begin(idle, 2);
        idle_connections(idle, 3);
        assert_int_equal(run_for(loop, 300), 0); /* not even woken */
        idle_attached(idle, 1);
        idle_connections(idle, 2);
        assert_int_equal(run_for(loop, 300), 0);
        idle_paused(idle, true);
        idle_attached(idle, 0);
        assert_int_equal(run_for(loop, 300), 0);
        idle_paused(idle, false);
        (void)run_for(loop, 50);
        assert_int_equal(told, 0); /* the time begins when the last one goes */
        (void)run_for(loop, 200);
        assert_int_equal(told, 1);
        idle_free(idle);
        loop_free(loop);
}

static void each_touch_moves_the_moment(void **state)
{
        (void)state;
        struct loop *loop;
        struct idle *idle;
        int told = 0, woken = 0;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(idle_new(loop, 400, count, &told, &idle), 0);
        idle_begin(idle, 2);
        for (int i = 0; i < 100; i++) {
                idle_touch(idle);
                woken += run_for(loop, 10);
        }
        assert_int_equal(told, 0);
        assert_true(woken <= 4); /* a second of traffic, and not a wake-up for each */
        (void)run_for(loop, 900);
        assert_int_equal(told, 1);
        idle_free(idle);
        loop_free(loop);
}

static void health_checks_are_nobody(void **state)
{
        (void)state;
        struct loop *loop;
        struct idle *idle;
        int told = 0;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(idle_new(loop, 400, count, &told, &idle), 0);
        idle_connections(idle, 2);
        idle_begin(idle, 2);
        for (int i = 0; i < 60 && told == 0; i++) { /* the count's news come before and after our own */
                idle_check_begins(idle);
                idle_connections(idle, 3);
                (void)run_for(loop, 5);
                if (i % 2 == 0)
                        idle_check_ended(idle);
                idle_connections(idle, 2);
                if (i % 2 == 1)
                        idle_check_ended(idle);
                (void)run_for(loop, 5);
        }
        assert_int_equal(told, 1);
        idle_end(idle);
        /* one that never connected leaves nothing behind, and an exec beside one is seen */
        told = 0;
        idle_connections(idle, 2);
        idle_begin(idle, 2);
        idle_check_begins(idle);
        idle_check_ended(idle);
        idle_check_begins(idle);
        idle_connections(idle, 3);
        idle_connections(idle, 4);
        (void)run_for(loop, 600);
        assert_int_equal(told, 0);
        idle_check_ended(idle);
        idle_connections(idle, 3);
        (void)run_for(loop, 600);
        assert_int_equal(told, 0);
        idle_connections(idle, 2);
        (void)run_for(loop, 600);
        assert_int_equal(told, 1);
        idle_free(idle);
        loop_free(loop);
}

static void nobody_asks(void **state)
{
        (void)state;
        idle_begin(NULL, 2);
        idle_touch(NULL);
        idle_attached(NULL, 1);
        idle_connections(NULL, 1);
        idle_paused(NULL, true);
        idle_check_begins(NULL);
        idle_check_ended(NULL);
        idle_end(NULL);
        idle_free(NULL);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_rule),
    cmocka_unit_test(an_idle_box_is_told_once),
    cmocka_unit_test(who_is_there_holds_it_without_a_timer),
    cmocka_unit_test(each_touch_moves_the_moment),
    cmocka_unit_test(health_checks_are_nobody),
    cmocka_unit_test(nobody_asks),
};

UNIT_TEST_MAIN(cases)
