/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, json_t **ret_json, struct error *err)
{
        return json_parse(text, strlen(text), "test document", ret_json, err);
}

static void what_is_not_one_document_is_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"",     "{",  "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":\"\\u0000\"}",
                                          "\xff", "nul"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct error err = ERROR_INIT;
                json_t *json;
                assert_int_equal(parse(bad[i], &json, &err), -EBADMSG);
                assert_non_null(strstr(err.text, "test document"));
        }
}

static void a_million_brackets_are_refused(void **state)
{
        (void)state;
        size_t size = 1000000;
        cleanup_free char *text = malloc(size);
        struct error err = ERROR_INIT;
        json_t *json;
        assert_non_null(text);
        memset(text, '[', size);
        assert_int_equal(json_parse(text, size, "deep", &json, &err), -EBADMSG);
}

static void members_have_types_and_ranges(void **state)
{
        (void)state;
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        const char *text;
        int64_t number;
        bool truth;
        assert_int_equal(parse("{\"s\":\"x\",\"n\":5,\"b\":true,\"z\":null,\"f\":1.5}", &json, &err), 0);
        assert_int_equal(json_get_string(json, "s", &text, &err), 0);
        assert_string_equal(text, "x");
        assert_int_equal(json_get_string(json, "n", &text, &err), -EINVAL);
        assert_int_equal(json_get_string(json, "missing", &text, &err), -ENOENT);
        assert_int_equal(json_get_string(json, "z", &text, &err), -ENOENT);
        assert_int_equal(json_get_string_or(json, "z", "else", &text, &err), 0);
        assert_string_equal(text, "else");
        assert_int_equal(json_get_integer(json, "n", 0, 5, &number, &err), 0);
        assert_int_equal(json_get_integer(json, "n", 0, 4, &number, &err), -EINVAL);
        assert_int_equal(json_get_integer(json, "f", 0, 4, &number, &err), -EINVAL);
        assert_int_equal(json_get_integer_or(json, "missing", 0, 4, -9, &number, &err), 0);
        assert_int_equal(number, -9);
        assert_int_equal(json_get_bool_or(json, "b", false, &truth, &err), 0);
        assert_true(truth);
        assert_int_equal(json_get_bool_or(json, "s", false, &truth, &err), -EINVAL);
}

static void string_vectors(void **state)
{
        (void)state;
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        char **strings;
        size_t count;
        assert_int_equal(parse("{\"a\":[\"x\",\"y\"],\"mixed\":[\"x\",1],\"o\":{}}", &json, &err), 0);
        assert_int_equal(json_get_strings(json, "a", &strings, &count, &err), 0);
        assert_int_equal(count, 2);
        assert_string_equal(strings[1], "y");
        assert_null(strings[2]);
        json_free_strings(strings);
        assert_int_equal(json_get_strings(json, "none", &strings, &count, &err), 0);
        assert_int_equal(count, 0);
        json_free_strings(strings);
        assert_int_equal(json_get_strings(json, "mixed", &strings, &count, &err), -EINVAL);
        assert_int_equal(json_get_strings(json, "o", &strings, &count, &err), -EINVAL);
}

static void errors_are_wrapped_cut_and_defused(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        assert_int_equal(error_errno(&err, -ENOENT, "open '%s'", "\x1b[31mx"), -ENOENT);
        assert_string_equal(err.text, "open '?[31mx': No such file or directory");
        assert_int_equal(error_wrap(&err, "start box '%s'", "b"), -ENOENT);
        assert_string_equal(err.text, "start box 'b': open '?[31mx': No such file or directory");
        char big[3000];
        memset(big, 'a', sizeof(big) - 1);
        big[sizeof(big) - 1] = '\0';
        assert_int_equal(error_set(&err, -EINVAL, "%s", big), -EINVAL);
        assert_int_equal(error_wrap(&err, "%s", big), -EINVAL);
        assert_true(strlen(err.text) < ERROR_TEXT_MAX);
        assert_int_equal(error_set(NULL, -EPERM, "nobody reads this"), -EPERM);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(what_is_not_one_document_is_refused), cmocka_unit_test(a_million_brackets_are_refused),
    cmocka_unit_test(members_have_types_and_ranges),       cmocka_unit_test(string_vectors),
    cmocka_unit_test(errors_are_wrapped_cut_and_defused),
};

UNIT_TEST_MAIN(cases)
