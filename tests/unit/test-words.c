/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "runtime/words.h"

#include <errno.h>
#include <string.h>

static void signals_by_name_and_number(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int number;
        } table[] = {
            {"SIGTERM", 15},  {"term", 15},       {"15", 15},      {"KILL", 9},   {"sigkill", 9},
            {"HUP", 1},       {"SIGSYS", 31},     {"64", 64},      {"RTMIN", 34}, {"RTMIN+3", 37},
            {"SIGRTMAX", 64}, {"SIGRTMAX-1", 63}, {"0", -1},       {"65", -1},    {"SIGNOT", -1},
            {"", -1},         {"RTMIN+31", -1},   {"RTMIN-1", -1}, {"-9", -1},    {"9 ", -1},
            {"SIG", -1},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct error err = ERROR_INIT;
                int number = -1;
                int r = words_signal(table[i].text, &number, &err);
                if ((r < 0 ? -1 : number) != table[i].number)
                        fail_msg("%s: %d", table[i].text, number);
        }
}

static void capabilities_as_docker_adds_and_drops(void **state)
{
        (void)state;
        static const struct {
                const char *add[3], *drop[3];
                uint64_t expected;
        } table[] = {
            {{0}, {0}, 0xa80425fb},
            {{"NET_ADMIN"}, {0}, 0xa80425fb | 1U << 12},
            {{"cap_net_admin"}, {"CAP_CHOWN"}, (0xa80425fb | 1U << 12) & ~1ULL},
            {{0}, {"ALL"}, 0},
            {{"CHOWN"}, {"ALL"}, 1},
            {{"ALL"}, {0}, 0x1ffffffffff},
            {{"ALL"}, {"SYS_ADMIN"}, 0x1ffffffffff & ~(1ULL << 21)},
            {{"CHECKPOINT_RESTORE"}, {"all"}, 1ULL << 40},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct error err = ERROR_INIT;
                uint64_t set;
                assert_int_equal(words_capabilities(WORDS_DEFAULT_CAPABILITIES, table[i].add, table[i].drop,
                                                    &set, &err),
                                 0);
                assert_true(set == table[i].expected);
        }
        const char *const wrong[] = {"NO_SUCH", NULL};
        struct error err = ERROR_INIT;
        uint64_t set;
        assert_int_equal(words_capabilities(0, wrong, NULL, &set, &err), -EINVAL);
        assert_non_null(strstr(err.text, "NO_SUCH"));
        json_t *names = words_capability_names(0x1ffffffffff);
        assert_int_equal(json_array_size(names), 41);
        json_decref(names);
}

static void ulimits(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        json_t *json;
        assert_int_equal(words_ulimit("nofile=10:20", &json, &err), 0);
        assert_string_equal(json_string_value(json_object_get(json, "type")), "RLIMIT_NOFILE");
        assert_int_equal(json_integer_value(json_object_get(json, "soft")), 10);
        assert_int_equal(json_integer_value(json_object_get(json, "hard")), 20);
        json_decref(json);
        assert_int_equal(words_ulimit("core=-1", &json, &err), 0);
        assert_int_equal(json_integer_value(json_object_get(json, "hard")), -1);
        json_decref(json);
        static const char *const wrong[] = {"nofile",
                                            "nofile=",
                                            "nofile=a",
                                            "nofile=20:10",
                                            "nofile=-1:10",
                                            "x=1",
                                            "nofile=1:2:3",
                                            "=1",
                                            "",
                                            "nofile=99999999999999999999"};
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                if (words_ulimit(wrong[i], &json, &err) >= 0)
                        fail_msg("'%s' was taken", wrong[i]);
        }
}

static void check_tmpfs(const char *text, const char *expected_destination, const char *expected)
{
        struct error err = ERROR_INIT;
        json_t *json;
        if (words_tmpfs(text, &json, &err) < 0)
                fail_msg("%s: %s", text, err.text);
        assert_string_equal(json_string_value(json_object_get(json, "destination")), expected_destination);
        char *printed = json_print(json_object_get(json, "options"), NULL);
        assert_string_equal(printed, expected);
        free(printed);
        json_decref(json);
}

static void tmpfs_options_over_dockers(void **state)
{
        (void)state;
        check_tmpfs("/run", "/run", "[\"noexec\",\"nosuid\",\"nodev\",\"rw\"]");
        check_tmpfs("/run//:size=64m,mode=1777", "/run",
                    "[\"noexec\",\"nosuid\",\"nodev\",\"rw\",\"size=64m\",\"mode=1777\"]");
        check_tmpfs("/./var/../run/a:exec,ro", "/run/a", "[\"exec\",\"nosuid\",\"nodev\",\"ro\"]");
        static const char *const wrong[] = {
            "run", "/", "", "/a/..", "/run:size=", "/run:bad", "/run:size=1;2", "/run:lowerdir=/etc"};
        struct error err = ERROR_INIT;
        json_t *json;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                if (words_tmpfs(wrong[i], &json, &err) >= 0)
                        fail_msg("'%s' was taken", wrong[i]);
        }
}

static void names(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        static const char *const good[] = {"a", "A1", "web-1", "x_y.z", "0"};
        static const char *const bad[] = {"", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n"};
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_int_equal(words_check_name(good[i], &err), 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(words_check_name(bad[i], &err), -EINVAL);
        for (uint64_t i = 0; i < 5000; i++) {
                char made[WORDS_NAME_MAX];
                words_make_name(i * 0x9e3779b97f4a7c15ULL, made);
                assert_int_equal(words_check_name(made, &err), 0);
        }
        assert_int_equal(words_check_hostname("box-1.example", &err), 0);
        assert_int_equal(words_check_hostname("-x", &err), -EINVAL);
        assert_int_equal(words_check_hostname("a..b", &err), -EINVAL);
        assert_int_equal(words_check_hostname("", &err), -EINVAL);
        assert_int_equal(words_check_utf8("gr\xc3\xbc\xc3\x9f", "text", &err), 0);
        assert_int_equal(words_check_utf8("A=\xff", "environment", &err), -EILSEQ);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(signals_by_name_and_number),
    cmocka_unit_test(capabilities_as_docker_adds_and_drops),
    cmocka_unit_test(ulimits),
    cmocka_unit_test(tmpfs_options_over_dockers),
    cmocka_unit_test(names),
};
UNIT_TEST_MAIN(cases)
