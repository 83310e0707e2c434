/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "wire/event.h"

#include <stdlib.h>
#include <string.h>

/* The line without its newline. free() it. */
static char *make(const char *action, const json_t *attributes, const char *key, const char *value)
{
        size_t size = 0;
        char *line = event_line(1500000000, "box", action, "ab12", attributes, key, value, &size);
        if (line == NULL)
                return NULL;
        assert_int_equal(line[size - 1], '\n');
        assert_true(size <= EVENT_LINE_MAX);
        line[size - 1] = '\0';
        assert_int_equal(strlen(line), size - 1);
        return line;
}

static void a_line_has_dockers_members(void **state)
{
        cleanup_json json_t *attributes = json_pack("{s:s, s:s}", "image", "i", "name", "a\nb");
        (void)state;
        cleanup_free char *line = make("die", attributes, "exitCode", "3");
        assert_string_equal(
            line, "{\"time\":1,\"timeNano\":1500000000,\"Type\":\"box\",\"Action\":\"die\",\"Actor\":{"
                  "\"ID\":\"ab12\",\"Attributes\":{\"image\":\"i\",\"name\":\"a\\nb\",\"exitCode\":"
                  "\"3\"}},\"scope\":\"local\"}");
        cleanup_free char *plain = make("start", NULL, NULL, NULL);
        assert_non_null(strstr(plain, "\"Attributes\":{}"));
        assert_int_equal(json_object_size(attributes), 2); /* a copy was added to */
}

static void what_is_too_long_is_cut(void **state)
{
        static char longest[EVENT_LINE_MAX + 1], action[2 * EVENT_ACTION_MAX];
        (void)state;
        memset(longest, 'x', sizeof(longest) - 1);
        cleanup_json json_t *attributes =
            json_pack("{s:s, s:s, s:s}", "label", longest, "image", "i", "name", "n");
        cleanup_free char *line = make("die", attributes, "exitCode", "3");
        assert_non_null(strstr(line, "\"Attributes\":{\"image\":\"i\",\"name\":\"n\",\"exitCode\":\"3\"}"));
        cleanup_json json_t *worse = json_pack("{s:s}", "image", longest);
        assert_null(make("die", worse, NULL, NULL));
        memset(action, 'y', EVENT_ACTION_MAX - 1);
        strcpy(action + EVENT_ACTION_MAX - 1, "\xc3\xa9 and so on"); /* a character over the edge */
        cleanup_free char *cut = make(action, NULL, NULL, NULL);
        action[EVENT_ACTION_MAX - 1] = '\0';
        char *at = strstr(cut, action);
        assert_non_null(at);
        assert_int_equal(at[EVENT_ACTION_MAX - 1], '"');
        assert_null(make("bad \xff", NULL, NULL, NULL));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_line_has_dockers_members),
    cmocka_unit_test(what_is_too_long_is_cut),
};

UNIT_TEST_MAIN(cases)
