/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed or read from files: detach keys, environment, tables, formats, progress lines. */
#include "harness.h"

#include "cli/detach.h"
#include "cli/env.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- detach keys ---- */

static void keys_are_parsed_or_refused(void **state)
{
        static const struct {
                const char *keys;
                int code;
                const char *bytes;
        } table[] = {
            {"ctrl-p,ctrl-q", 0, "\x10\x11"},
            {"a,b,c", 0, "abc"},
            {"ctrl-[", 0, "\x1b"},
            {"CTRL-Z", 0, "\x1a"},
            {",", 0, ","},
            {",,a", 0, ",a"},
            {"a,,", 0, "a,"},
            {"", -EINVAL, ""},
            {"ctrl-", -EINVAL, ""},
            {"ctrl-1", -EINVAL, ""},
            {"ab", -EINVAL, ""},
            {"a,", -EINVAL, ""},
            {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", -EINVAL, ""},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct detach d = {.length = 0};
                struct error err = ERROR_INIT;
                int r = detach_init(&d, table[i].keys, &err);
                if (r != table[i].code || d.length != strlen(table[i].bytes) ||
                    memcmp(d.keys, table[i].bytes, d.length) != 0)
                        fail_msg("'%s': %d, %zu keys", table[i].keys, r, d.length);
        }
}

/* Feeds each part alone; what comes through all in all, and whether the sequence was found. */
static bool feed(const char *keys, const char *const *parts, char *out)
{
        struct detach d;
        struct error err = ERROR_INIT;
        assert_int_equal(detach_init(&d, keys, &err), 0);
        for (out[0] = '\0'; *parts != NULL; parts++) {
                char passed[256 + DETACH_KEYS_MAX];
                size_t size = 0;
                bool found = detach_feed(&d, *parts, strlen(*parts), passed, &size);
                strncat(out, passed, size);
                if (found)
                        return true;
        }
        return false;
}

static void keys_are_found_and_others_pass(void **state)
{
        char out[256];
        (void)state;
        assert_true(feed("ctrl-p,ctrl-q",
                         (const char *const[]){"ab\x10\x11"
                                               "cd",
                                               NULL},
                         out));
        assert_string_equal(out, "ab");
        assert_true(feed("ctrl-p,ctrl-q", (const char *const[]){"\x10", "\x11", NULL}, out));
        assert_string_equal(out, "");
        assert_false(feed("ctrl-p,ctrl-q", (const char *const[]){"\x10", "x\x11", NULL}, out));
        assert_string_equal(out, "\x10x\x11");
        assert_true(feed("ctrl-p,ctrl-q", (const char *const[]){"\x10\x10\x11", NULL}, out));
        assert_string_equal(out, "\x10");
        assert_true(feed("a,a,b", (const char *const[]){"aaaa", "b", NULL}, out));
        assert_string_equal(out, "aa");
        assert_true(feed("a,b,a,c", (const char *const[]){"ababac", NULL}, out));
        assert_string_equal(out, "ab");
        assert_false(feed("a,b", (const char *const[]){"xyz", "a", NULL}, out));
        assert_string_equal(out, "xyz"); /* the "a" is held back */
}

/* ---- environment ---- */

static void check_env(const struct env *env, const char *const *expected)
{
        size_t i = 0;
        for (; expected[i] != NULL; i++) {
                assert_true(i < env->count);
                assert_string_equal(env->strings[i], expected[i]);
        }
        assert_int_equal(env->count, i);
}

static void env_files_are_read_as_docker_does(void **state)
{
        char text[] = "\xef\xbb\xbf# comment\n\nA=1\n  B= two words "
                      "\nC=\"quoted\"\r\nFROM_HOST\n\t#also\nNOT_THERE\nA=2\nURL=x=y#z\n"
                      "LAST=end";
        struct env env = {0};
        struct error err = ERROR_INIT;
        (void)state;
        assert_int_equal(setenv("FROM_HOST", "host", 1), 0);
        assert_int_equal(env_add_lines(&env, text, strlen(text), "file", &err), 0);
        check_env(&env, (const char *const[]){"A=2", "B= two words ", "C=\"quoted\"", "FROM_HOST=host",
                                              "URL=x=y#z", "LAST=end", NULL});
        env_done(&env);
}

static void a_name_alone_takes_yours_or_takes_away(void **state)
{
        struct env env = {0};
        struct error err = ERROR_INIT;
        const char *const words[] = {"FROM_HOST", "NOT_THERE=1", "NOT_THERE", "NOT_THERE_TOO"};
        (void)state;
        assert_int_equal(setenv("FROM_HOST", "host", 1), 0);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                assert_int_equal(env_add(&env, words[i], &err), 0);
        check_env(&env, (const char *const[]){"FROM_HOST=host", "NOT_THERE", "NOT_THERE_TOO", NULL});
        env_done(&env);
}

static void bad_env_lines_are_named(void **state)
{
        static const struct {
                const char *text;
                size_t size;
                const char *message;
        } table[] = {
            {"A=1\n=x\n", 7, "f: line 2: invalid environment variable '=x': the name is missing"},
            {"A B=1\n", 6, "f: line 1: the name 'A B' has blanks in it"},
            {"A\0B=1\n", 6, "f: holds a NUL byte"},
            {"A=\xff\n", 4, "f: line 1: an environment variable is not UTF-8 text"},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char copy[64] = {0};
                struct env env = {0};
                struct error err = ERROR_INIT;
                memcpy(copy, table[i].text, table[i].size);
                assert_int_equal(env_add_lines(&env, copy, table[i].size, "f", &err), -EINVAL);
                assert_string_equal(err.text, table[i].message);
                env_done(&env);
        }
        assert_int_equal(setenv("LATIN", "\xe9", 1), 0);
        struct env env = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(env_add(&env, "LATIN", &err), -EINVAL);
        assert_string_equal(err.text, "the value of environment variable 'LATIN' is not UTF-8 text");
        env_done(&env);
}

static void large_environments_fit(void **state)
{
        struct env env = {0};
        struct error err = ERROR_INIT;
        char text[128];
        (void)state;
        for (int i = 0; i < 3000; i++) {
                (void)snprintf(text, sizeof(text), "VARIABLE_%d=%0100d", i, i);
                assert_int_equal(env_add(&env, text, &err), 0);
        }
        assert_int_equal(env.count, 3000);
        assert_null(env.strings[3000]);
        env_done(&env);
}

/* ---- output ---- */

static void tables_are_as_wide_as_their_text(void **state)
{
        struct table table;
        char *text = NULL;
        size_t size = 0;
        (void)state;
        table_init(&table, 3);
        assert_int_equal(table_add(&table, (const char *const[]){"ID", "N", "LAST"}), 0);
        assert_int_equal(table_add(&table, (const char *const[]){"1", "h\xc3\xa9llo", ""}), 0);
        assert_int_equal(table_add(&table, (const char *const[]){"22", "", "a\nb"}), 0);
        FILE *file = open_memstream(&text, &size);
        table_print(&table, file);
        (void)fclose(file);
        assert_string_equal(text, "ID   N       LAST\n1    h\xc3\xa9llo\n22           a?b\n");
        free(text);
        table_done(&table);
}

static void formats_find_members(void **state)
{
        static const struct {
                const char *format;
                int code; /* of format_check(), then of format_print() */
                const char *text;
        } table[] = {
            {"{{.A.B}}", 0, "x\n"},
            {"<{{ .A }}>", 0, "<{\"B\":\"x\",\"N\":3}>\n"},
            {"{{json .A.B}}{{.A.N}}", 0, "\"x\"3\n"},
            {"{{.}}", 0, "{\"A\":{\"B\":\"x\",\"N\":3}}\n"},
            {"{{.A.C}}", -ENOENT, "there is no '.A.C' in it"},
            {"{{.A.B.C}}", -ENOENT, "there is no '.A.B.C' in it"},
            {"{{if .A}}", -ENOTSUP,
             "--format with '{{if .A}}' is not supported: use {{.Member.Member}}, {{json .Member}} or "
             "{{index "
             ".Member \"key\"}}"},
            {"{{.A", -EINVAL, "invalid value '{{.A' for --format: '}}' is missing"},
            {"plain", -EINVAL,
             "invalid value 'plain' for --format: neither json nor a text with {{.Member}} in it"},
        };
        json_t *json = json_pack("{s:{s:s, s:i}}", "A", "B", "x", "N", 3);
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct error err = ERROR_INIT;
                char *text = NULL;
                size_t size = 0;
                FILE *file = open_memstream(&text, &size);
                int r = format_check(table[i].format, &err);
                if (r == 0)
                        r = format_print(file, table[i].format, json, &err);
                (void)fclose(file);
                assert_int_equal(r, table[i].code);
                assert_string_equal(r < 0 ? err.text : text, table[i].text);
                free(text);
        }
        json_decref(json);
}

static void progress_lines_fit_the_terminal(void **state)
{
        struct progress_layer layer = {.name = "0123456789ab",
                                       .done = 30000000,
                                       .total = 60000000,
                                       .first_ms = 1000};
        char line[PROGRESS_LINE_MAX];
        (void)state;
        progress_line(&layer, 4000, 80, line);
        assert_string_equal(line, "0123456789ab  [===============>              ]  30MB/60MB  10MB/s");
        progress_line(&layer, 1100, 55, line);
        assert_string_equal(line, "0123456789ab  30MB/60MB");
        for (unsigned width = 1; width < 300; width++) {
                progress_line(&layer, 4000, width, line);
                assert_true(strlen(line) < (width > 1 ? width : 2));
        }
        layer.total = 0;
        progress_line(&layer, 1100, 40, line);
        assert_string_equal(line, "0123456789ab  30MB");
        layer.finished = true;
        progress_line(&layer, 4000, 70, line);
        assert_string_equal(line, "0123456789ab  [====================]  30MB");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(keys_are_parsed_or_refused),
    cmocka_unit_test(keys_are_found_and_others_pass),
    cmocka_unit_test(env_files_are_read_as_docker_does),
    cmocka_unit_test(a_name_alone_takes_yours_or_takes_away),
    cmocka_unit_test(bad_env_lines_are_named),
    cmocka_unit_test(large_environments_fit),
    cmocka_unit_test(tables_are_as_wide_as_their_text),
    cmocka_unit_test(formats_find_members),
    cmocka_unit_test(progress_lines_fit_the_terminal),
};

UNIT_TEST_MAIN(cases)
