/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "monitor/backoff.h"

static const struct restart_policy no = {.kind = RESTART_NO};
static const struct restart_policy always = {.kind = RESTART_ALWAYS};
static const struct restart_policy unless_stopped = {.kind = RESTART_UNLESS_STOPPED};

static void the_delay_doubles_up_to_a_minute(void **state)
{
        (void)state;
        static const int64_t expected[] = {100,   200,   400,   800,   1600,  3200, 6400,
                                           12800, 25600, 51200, 60000, 60000, 60000};
        struct backoff b = {0};
        int64_t clock_ms = 0;
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
                assert_int_equal(backoff_next(&b, &always, 1, 50), expected[i]);
                clock_ms += 50 + expected[i];
        }
        assert_int_equal(b.restarts, 13);
        /* a loop of 13 restarts takes minutes, not milliseconds */
        assert_true(clock_ms > 280000);
}

static void a_good_run_begins_anew(void **state)
{
        (void)state;
        struct backoff b = {0};
        for (int i = 0; i < 6; i++)
                (void)backoff_next(&b, &unless_stopped, 0, 0);
        assert_int_equal(backoff_next(&b, &unless_stopped, 0, BACKOFF_GOOD_MS - 1), 6400);
        assert_int_equal(backoff_next(&b, &unless_stopped, 0, BACKOFF_GOOD_MS), 100);
        assert_int_equal(backoff_next(&b, &unless_stopped, 0, 0), 200);
        assert_int_equal(b.restarts, 9);
}

static void no_is_no(void **state)
{
        (void)state;
        struct backoff b = {0};
        assert_int_equal(backoff_next(&b, &no, 0, 0), -1);
        assert_int_equal(backoff_next(&b, &no, 1, 100000), -1);
        assert_int_equal(b.restarts, 0);
}

static void on_failure_looks_at_the_code(void **state)
{
        (void)state;
        const struct restart_policy policy = {.kind = RESTART_ON_FAILURE};
        struct backoff b = {0};
        for (int i = 0; i < 50; i++)
                assert_true(backoff_next(&b, &policy, 125, 20000) == 100);
        assert_int_equal(backoff_next(&b, &policy, 0, 0), -1);
        assert_int_equal(b.restarts, 50);
}

static void on_failure_has_a_maximum(void **state)
{
        (void)state;
        const struct restart_policy policy = {.kind = RESTART_ON_FAILURE, .maximum = 3};
        struct backoff b = {0};
        assert_int_equal(backoff_next(&b, &policy, 1, 0), 100);
        assert_int_equal(backoff_next(&b, &policy, 2, 0), 200);
        assert_int_equal(backoff_next(&b, &policy, 137, 0), 400);
        assert_int_equal(backoff_next(&b, &policy, 1, 99999), -1);
        assert_int_equal(b.restarts, 3);
}

static void another_policy_counts_from_then_on(void **state)
{
        (void)state;
        const struct restart_policy two = {.kind = RESTART_ON_FAILURE, .maximum = 2};
        struct backoff b = {0};
        assert_int_equal(backoff_next(&b, &always, 0, 0), 100);
        assert_int_equal(backoff_next(&b, &always, 0, 0), 200);
        assert_int_equal(backoff_next(&b, &two, 1, 0), 400);
        assert_int_equal(backoff_next(&b, &two, 1, 0), 800);
        assert_int_equal(backoff_next(&b, &two, 1, 0), -1);
        assert_int_equal(backoff_next(&b, &always, 1, 0), 1600);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_delay_doubles_up_to_a_minute),
    cmocka_unit_test(a_good_run_begins_anew),
    cmocka_unit_test(no_is_no),
    cmocka_unit_test(on_failure_looks_at_the_code),
    cmocka_unit_test(on_failure_has_a_maximum),
    cmocka_unit_test(another_policy_counts_from_then_on),
};

UNIT_TEST_MAIN(cases)
