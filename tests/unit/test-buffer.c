/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void text_is_terminated_after_every_step(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(10000);
        assert_string_equal(buffer_content(&b), "");
        for (int i = 0; i < 1000; i++) {
                assert_int_equal(buffer_printf(&b, "%d,", i % 10), 0);
                assert_int_equal(strlen(buffer_content(&b)), b.length);
                if (i % 3 == 0)
                        buffer_consume(&b, 1);
        }
        assert_int_equal(b.length, 2000 - 334);
}

static void the_maximum_holds(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(8);
        char *place;
        assert_int_equal(buffer_append(&b, "12345678", 8), 0);
        assert_int_equal(buffer_append(&b, "9", 1), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX, &place), -EMSGSIZE);
        assert_string_equal(buffer_content(&b), "12345678");
        buffer_consume(&b, 3);
        assert_int_equal(buffer_append(&b, "abc", 3), 0);
        assert_string_equal(buffer_content(&b), "45678abc");
}

static void taking_leaves_it_empty(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(100);
        assert_int_equal(buffer_append_text(&b, "xyz"), 0);
        buffer_consume(&b, 1);
        char *text = buffer_take(&b);
        assert_string_equal(text, "yz");
        assert_int_equal(b.length, 0);
        free(text);
        text = buffer_take(&b);
        assert_string_equal(text, "");
        free(text);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(text_is_terminated_after_every_step),
    cmocka_unit_test(the_maximum_holds),
    cmocka_unit_test(taking_leaves_it_empty),
};

UNIT_TEST_MAIN(cases)
