/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "cli/text.h"
#include "cli/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void sizes_are_those_of_docker(void **state)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {
            {"0", 0},
            {"512", 512},
            {"512b", 512},
            {"512m", 512ull << 20},
            {"512M", 512ull << 20},
            {"1g", 1ull << 30},
            {"10GiB", 10ull << 30},
            {"10 gb", 10ull << 30},
            {"1.5g", 3ull << 29},
            {".5k", 512},
            {"2t", 2ull << 40},
            {"0.25t", 1ull << 38},
            {"1.1k", 1126},
        };
        static const char *const bad[] = {"",
                                          "g",
                                          "-1",
                                          "1x",
                                          "1gg",
                                          "1gibb",
                                          "1 ",
                                          " 1",
                                          "1e3",
                                          "0x10",
                                          "1..5g",
                                          "16777216t",
                                          "99999999999999999999",
                                          "512bb",
                                          "1 g b",
                                          "nan",
                                          "."};
        (void)state;
        for (size_t i = 0; i < COUNT(good); i++) {
                uint64_t bytes = 77;
                if (value_size(good[i].text, &bytes) != 0 || bytes != good[i].bytes)
                        fail_msg("'%s' gave %llu", good[i].text, (unsigned long long)bytes);
        }
        for (size_t i = 0; i < COUNT(bad); i++) {
                uint64_t bytes = 77;
                if (value_size(bad[i], &bytes) != -EINVAL || bytes != 77)
                        fail_msg("'%s' was taken for %llu", bad[i], (unsigned long long)bytes);
        }
}

static void durations_are_those_of_docker(void **state)
{
        static const struct {
                const char *text;
                int64_t ms;
        } good[] = {
            {"0", 0},       {"10", 10000},       {"10s", 10000}, {"1m30s", 90000}, {"1.5h", 5400000},
            {"250ms", 250}, {"1h1m1s", 3661000}, {"1us", 1},     {"0.5", 500},     {"2h45m", 9900000},
        };
        static const char *const bad[] = {"",     "s",   "-1s",  "1m30",           "1d",
                                          "10 s", "s10", "1e3s", "9999999999999h", "1mm"};
        (void)state;
        for (size_t i = 0; i < COUNT(good); i++) {
                int64_t ms = -7;
                if (value_duration(good[i].text, &ms) != 0 || ms != good[i].ms)
                        fail_msg("'%s' gave %lld", good[i].text, (long long)ms);
        }
        for (size_t i = 0; i < COUNT(bad); i++) {
                int64_t ms = -7;
                if (value_duration(bad[i], &ms) != -EINVAL || ms != -7)
                        fail_msg("'%s' was taken for %lld", bad[i], (long long)ms);
        }
}

static void times_are_dates_seconds_or_ago(void **state)
{
        const int64_t now = 1800000000000000000;
        static const struct {
                const char *text;
                int64_t ns;
        } good[] = {
            {"1700000000", 1700000000000000000},
            {"1700000000.25", 1700000000250000000},
            {"10m", 1799999400000000000},
            {"1h30m", 1799994600000000000},
            {"2023-11-14T22:13:20Z", 1700000000000000000},
            {"2023-11-14T22:13:20.5Z", 1700000000500000000},
            {"2023-11-14T23:13:20+01:00", 1700000000000000000},
            {"2023-11-14T17:43:20-04:30", 1700000000000000000},
            {"2023-11-14T22:13:20.123456789Z", 1700000000123456789},
            {"2023-11-14T22:13:20", 1700000000000000000}, /* local time: TZ is set to UTC below */
            {"2023-11-14", 1699920000000000000},
        };
        static const char *const bad[] = {"",
                                          "yesterday",
                                          "2023-13-01",
                                          "2023-11-14T25:00:00Z",
                                          "2023-11-14T22:13:20+1",
                                          "2023-11-14T22:13:20Zx",
                                          "2023-1-1",
                                          "12:00",
                                          "99999999999999999999"};
        (void)state;
        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        for (size_t i = 0; i < COUNT(good); i++) {
                int64_t ns = -7;
                if (value_time(good[i].text, now, &ns) != 0 || ns != good[i].ns)
                        fail_msg("'%s' gave %lld", good[i].text, (long long)ns);
        }
        for (size_t i = 0; i < COUNT(bad); i++) {
                int64_t ns = -7;
                if (value_time(bad[i], now, &ns) != -EINVAL || ns != -7)
                        fail_msg("'%s' was taken for %lld", bad[i], (long long)ns);
        }
        char place[VALUE_TIME_MAX];
        assert_string_equal(value_print_time(1700000000123456789, place), "2023-11-14T22:13:20.123456789Z");
}

static void signals_have_names_and_numbers(void **state)
{
        static const struct {
                const char *text;
                int signal;
        } good[] = {{"TERM", 15},  {"SIGTERM", 15}, {"sigkill", 9}, {"9", 9},
                    {"HUP", 1},    {"WINCH", 28},   {"RTMIN", 34},  {"SIGRTMIN+3", 37},
                    {"RTMAX", 64}, {"RTMAX-1", 63}, {"64", 64}};
        static const char *const bad[] = {"",    "0",       "65",      "-1",       "TERMX",
                                          "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+31", "1.5"};
        (void)state;
        for (size_t i = 0; i < COUNT(good); i++) {
                int signal = -7;
                if (value_signal(good[i].text, &signal) != 0 || signal != good[i].signal)
                        fail_msg("'%s' gave %d", good[i].text, signal);
        }
        for (size_t i = 0; i < COUNT(bad); i++) {
                int signal = -7;
                if (value_signal(bad[i], &signal) != -EINVAL)
                        fail_msg("'%s' was taken for %d", bad[i], signal);
        }
}

static void safe_text_has_no_controls(void **state)
{
        static const struct {
                const char *text;
                bool lines;
                const char *safe;
        } table[] = {
            {"plain", false, "plain"},
            {"\033[31mred", false, "?[31mred"},
            {"a\nb\tc", true, "a\nb\tc"},
            {"a\nb\tc", false, "a?b?c"},
            {"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", false, "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
            {"\xc2\x9b", false, "?"},                      /* CSI as one character */
            {"\xff\xc0\x80\xed\xa0\x80", false, "??????"}, /* no UTF-8: bad byte, overlong NUL, surrogate */
            {"\xe2\x80\xae"
             "evil",
             false, "?evil"},          /* right-to-left override */
            {"\xe2\x82", false, "??"}, /* cut */
            {"\x7f", false, "?"},
        };
        (void)state;
        for (size_t i = 0; i < COUNT(table); i++) {
                char *safe = text_safe(table[i].text, table[i].lines);
                assert_string_equal(safe, table[i].safe);
                free(safe);
        }
        assert_true(text_is_utf8("h\xc3\xa9"));
        assert_false(text_is_utf8("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
        assert_false(text_is_utf8("\xc3"));
        assert_int_equal(text_width("h\xc3\xa9\xe2\x82\xac"), 3);
}

static void distances_count_edits(void **state)
{
        (void)state;
        assert_int_equal(text_distance("run", "run"), 0);
        assert_int_equal(text_distance("rnu", "run"), 1);
        assert_int_equal(text_distance("", "abc"), 3);
        assert_int_equal(text_distance("memroy", "memory"), 1);
        assert_int_equal(text_distance("kitten", "sitting"), 3);
        assert_true(text_distance("a-word-that-is-far-longer-than-any-option-of-ours", "run") > 32);
}

static void sizes_and_spans_read_as_in_docker(void **state)
{
        char size[TEXT_SIZE_MAX], span[TEXT_SPAN_MAX];
        (void)state;
        assert_string_equal(text_size(0, size), "0B");
        assert_string_equal(text_size(999, size), "999B");
        assert_string_equal(text_size(7050000, size), "7.05MB");
        assert_string_equal(text_size(123456789, size), "123MB");
        assert_string_equal(text_size(999600, size), "1000kB");
        assert_string_equal(text_size(UINT64_MAX, size), "18.4EB");
        assert_string_equal(text_span(-5, span), "Less than a second");
        assert_string_equal(text_span(1, span), "1 second");
        assert_string_equal(text_span(59, span), "59 seconds");
        assert_string_equal(text_span(60, span), "About a minute");
        assert_string_equal(text_span(150, span), "2 minutes");
        assert_string_equal(text_span(3600, span), "About an hour");
        assert_string_equal(text_span(47 * 3600, span), "47 hours");
        assert_string_equal(text_span(3 * 86400, span), "3 days");
        assert_string_equal(text_span(20 * 86400, span), "2 weeks");
        assert_string_equal(text_span(90 * 86400, span), "3 months");
        assert_string_equal(text_span(800 * 86400, span), "2 years");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(sizes_are_those_of_docker),         cmocka_unit_test(durations_are_those_of_docker),
    cmocka_unit_test(times_are_dates_seconds_or_ago),    cmocka_unit_test(signals_have_names_and_numbers),
    cmocka_unit_test(safe_text_has_no_controls),         cmocka_unit_test(distances_count_edits),
    cmocka_unit_test(sizes_and_spans_read_as_in_docker),
};

UNIT_TEST_MAIN(cases)
