/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "runtime/logline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *text, int stream, int64_t time_ns, const char *bytes, size_t size)
{
        struct logline line;
        if (logline_parse(text, strlen(text), &line) < 0)
                fail_msg("refused: %s", text);
        assert_int_equal(line.stream, stream);
        assert_true(line.time_ns == time_ns);
        assert_int_equal(line.size, size);
        assert_memory_equal(line.bytes, bytes, size);
        free(line.bytes);
}

static void lines_come_back_as_printed(void **state)
{
        (void)state;
        expect("{\"t\":\"1970-01-01T00:00:01.000000002Z\",\"s\":\"stdout\",\"l\":\"hi\"}", 1, 1000000002,
               "hi\n", 3);
        expect("{\"t\":\"1970-01-01T00:00:01Z\",\"s\":\"stderr\",\"l\":\"\"}", 2, 1000000000, "\n", 1);
        expect("{\"t\":\"1970-01-01T00:00:00.5Z\",\"s\":\"stdout\",\"p\":true,\"l\":\"part\"}", 1, 500000000,
               "part", 4);
        expect("{\"t\":\"2024-02-29T12:00:00Z\",\"s\":\"stdout\",\"b\":\"AP8=\"}", 1, 1709208000000000000,
               "\x00\xff\n", 3);
        expect("{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"p\":true,\"b\":\"\"}", 1, 0, "", 0);
        expect("{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"QUJD\",\"p\":true}", 1, 0, "ABC", 3);
}

static void what_is_no_line_is_refused(void **state)
{
        (void)state;
        static const char *const table[] = {
            "",
            "{}",
            "null",
            "[]",
            "{\"t\":\"x\",\"s\":\"stdout\",\"l\":\"a\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"l\":\"a\"}",
            "{\"t\":\"1970-01-01T00:00:00\",\"s\":\"stdout\",\"l\":\"a\"}",
            "{\"t\":\"9970-01-01T00:00:00Z\",\"s\":\"stdout\",\"l\":\"a\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"l\":5}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"A\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"A===\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"AA=A\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"AA==AAAA\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"b\":\"....\"}",
            "{\"t\":\"1970-01-01T00:00:00Z\",\"s\":\"stdout\",\"l\":\"half",
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct logline line;
                if (logline_parse(table[i], strlen(table[i]), &line) != -EBADMSG)
                        fail_msg("taken: %s", table[i]);
        }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(lines_come_back_as_printed),
    cmocka_unit_test(what_is_no_line_is_refused),
};
UNIT_TEST_MAIN(cases)
