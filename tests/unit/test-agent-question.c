/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/question.h"

#include <string.h>

#define NAME "host.boxlet.internal"

static const uint8_t address[4] = {10, 0, 2, 2};
static const uint8_t header[12] = {0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0};
static const char wire_name[] = "\4Host\6boxlet\10internal"; /* its end is the string's */

/* A query for wire_name; its size. */
static size_t make_query(uint8_t *query, uint8_t type)
{
        memcpy(query, header, 12);
        memcpy(query + 12, wire_name, sizeof(wire_name));
        const uint8_t end[4] = {0, type, 0, 1};
        memcpy(query + 12 + sizeof(wire_name), end, 4);
        return 12 + sizeof(wire_name) + 4;
}

static void the_name_is_answered(void **state)
{
        (void)state;
        uint8_t query[64], answer[QUESTION_ANSWER_MAX];
        static const uint8_t types[] = {1, 255};
        static const uint8_t record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 2, 2};
        static const uint8_t head[12] = {0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
        for (size_t i = 0; i < sizeof(types); i++) {
                size_t size = make_query(query, types[i]);
                assert_int_equal(question_answer(query, size, NAME, address, answer), size + 16);
                assert_memory_equal(answer, head, 12);
                assert_memory_equal(answer + 12, query + 12, size - 12);
                assert_memory_equal(answer + size, record, 16);
        }
        size_t size = make_query(query, 1);
        query[2] = 0;  /* recursion is not desired */
        query[11] = 1; /* an additional record (EDNS) follows */
        assert_int_equal(question_answer(query, size + 11, NAME, address, answer), size + 16);
        assert_int_equal(answer[2], 0x84);
        assert_int_equal(answer[11], 0);
}

static void other_kinds_are_empty(void **state)
{
        (void)state;
        uint8_t query[64], answer[QUESTION_ANSWER_MAX];
        static const uint8_t head[12] = {0x12, 0x34, 0x85, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};
        size_t size = make_query(query, 28); /* AAAA */
        assert_int_equal(question_answer(query, size, NAME, address, answer), size);
        assert_memory_equal(answer, head, 12); /* the code in the second byte's half is 0: no error */
        size = make_query(query, 1);
        assert_int_equal(question_answer(query, size, NAME, NULL, answer), size);
}

static void everything_else_is_passed_on(void **state)
{
        (void)state;
        uint8_t query[64], answer[QUESTION_ANSWER_MAX];
        static const struct {
                size_t at;
                uint8_t value;
                const char *what;
        } table[] = {
            {2, 0x81, "a response"},       {2, 0x11, "a status query"}, {5, 0, "no question"},
            {5, 2, "two questions"},       {7, 1, "an answer in it"},   {9, 1, "an authority in it"},
            {12, 5, "another label size"}, {13, 'g', "another name"},   {12, 0xc0, "a pointer"},
            {12, 0, "the root"},           {33, 1, "a longer name"},    {37, 3, "another class"},
        };
        size_t size = make_query(query, 1);
        assert_int_equal(query[33], 0); /* where the name ends */
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                make_query(query, 1);
                query[table[i].at] = table[i].value;
                if (question_answer(query, size, NAME, address, answer) != 0)
                        fail_msg("%s was answered", table[i].what);
        }
        make_query(query, 1);
        for (size_t cut = 0; cut < size; cut++)
                assert_int_equal(question_answer(query, cut, NAME, address, answer), 0);
        assert_int_equal(question_answer(query, size, "boxlet.internal", address, answer), 0);
        assert_int_equal(question_answer(query, size, "host.boxlet.internal.x", address, answer), 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_name_is_answered),
    cmocka_unit_test(other_kinds_are_empty),
    cmocka_unit_test(everything_else_is_passed_on),
};
UNIT_TEST_MAIN(cases)
