/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/json.h"
#include "monitor/line.h"

#include <errno.h>
#include <string.h>

static json_t *encode(const char *bytes, size_t size, bool partial)
{
        struct buffer out = BUFFER_INIT(1 << 20);
        json_t *json = NULL;
        assert_int_equal(line_encode(&out, 1700000000123456789, true, bytes, size, partial), 0);
        assert_true(out.length <= LINE_ENTRY_MAX(size));
        const char *text = buffer_content(&out);
        assert_ptr_equal(memchr(text, '\n', out.length), text + out.length - 1);
        assert_int_equal(json_parse(text, out.length, "entry", &json, NULL), 0);
        buffer_done(&out);
        return json;
}

static void text_is_kept(void **state)
{
        (void)state;
        static const char text[] =
            "quote \" back \\ tab \t cr \r esc \x1b del \x7f \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80";
        cleanup_json json_t *json = encode(text, sizeof(text) - 1, false);
        assert_string_equal(json_string_value(json_object_get(json, "l")), text);
        assert_string_equal(json_string_value(json_object_get(json, "s")), "stderr");
        assert_string_equal(json_string_value(json_object_get(json, "t")), "2023-11-14T22:13:20.123456789Z");
        assert_null(json_object_get(json, "p"));
        assert_null(json_object_get(json, "b"));
}

static void empty_and_partial_lines(void **state)
{
        (void)state;
        cleanup_json json_t *json = encode("", 0, true);
        assert_string_equal(json_string_value(json_object_get(json, "l")), "");
        assert_true(json_is_true(json_object_get(json, "p")));
}

static void other_bytes_are_base64(void **state)
{
        (void)state;
        static const struct {
                const char *bytes;
                size_t size;
                const char *base64;
        } cases[] = {
            {"\xff", 1, "/w=="},
            {"a\0b", 3, "YQBi"},
            {"\xc0\xaf", 2, "wK8="},
            {"\xed\xa0\x80", 3, "7aCA"},
            {"\xf4\x90\x80\x80", 4, "9JCAgA=="},
            {"ab\xe2\x82", 4, "YWLigg=="},
            {"\xe0\x80\x80", 3, "4ICA"},
            {"\xf0\x80\x80\x80", 4, "8ICAgA=="},
            {"\x80", 1, "gA=="},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_json json_t *json = encode(cases[i].bytes, cases[i].size, false);
                assert_null(json_object_get(json, "l"));
                assert_string_equal(json_string_value(json_object_get(json, "b")), cases[i].base64);
        }
}

static void characters_are_not_cut(void **state)
{
        (void)state;
        assert_int_equal(line_whole_characters("abc", 3), 3);
        assert_int_equal(line_whole_characters("ab\xc3", 3), 2);
        assert_int_equal(line_whole_characters("ab\xc3\xa9", 4), 4);
        assert_int_equal(line_whole_characters("a\xe2\x82", 3), 1);
        assert_int_equal(line_whole_characters("a\xf0\x9f\x98", 4), 1);
        assert_int_equal(line_whole_characters("\x80\x80\x80\x80", 4), 4); /* no character at all */
        assert_int_equal(line_whole_characters("\xc3", 1), 1);             /* must go on somehow */
        assert_int_equal(line_whole_characters("", 0), 0);
}

static void what_does_not_fit_adds_nothing(void **state)
{
        (void)state;
        struct buffer out = BUFFER_INIT(100);
        assert_int_equal(buffer_append_text(&out, "before"), 0);
        assert_int_equal(line_encode(&out, 0, false, "0123456789", 10, false), -EMSGSIZE);
        assert_string_equal(buffer_content(&out), "before");
        buffer_done(&out);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(text_is_kept),
    cmocka_unit_test(empty_and_partial_lines),
    cmocka_unit_test(other_bytes_are_base64),
    cmocka_unit_test(characters_are_not_cut),
    cmocka_unit_test(what_does_not_fit_adds_nothing),
};

UNIT_TEST_MAIN(cases)
