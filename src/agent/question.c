/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question of DNS (RFC 1035, section 4). Pure. Hostile: the query, which any container may send.
 *
 *     query   id(2) flags(2) counts of questions, answers, authorities, additionals (2 each)
 *             name: labels (length, bytes), ended by 0; type(2) class(2); whatever follows (EDNS) is not read
 *     answer  the same id, name, type and class, byte for byte: the case of its letters is a guard of some
 *             clients against forged answers
 *
 * A query that is not plain (a response, another operation, two questions, a compressed name) is not ours.
 * A kind of record that the name does not have gets an empty answer, never "no such name": a client that asks
 * for AAAA and A would take that for both.
 */
#include "agent/question.h"

#include <ctype.h>
#include <string.h>

#define HEADER_SIZE  12
#define FLAGS_ASKED  0xfe00U /* QR, opcode, AA, TC: none of them in a plain query */
#define FLAG_RD      0x0100U
#define FLAGS_ANSWER 0x8480U /* QR, AA, RA */
#define TYPE_A       1
#define TYPE_ANY     255
#define CLASS_IN     1
#define TTL_SECONDS  60
#define NAME_POINTER (0xc000U | HEADER_SIZE)

_Static_assert(HEADER_SIZE + 255 + 4 + 16 == QUESTION_ANSWER_MAX, "header, name, type and class, one record");

static unsigned get16(const uint8_t *p)
{
        return (unsigned)p[0] << 8 | p[1];
}

static uint8_t *put16(uint8_t *p, unsigned value)
{
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
        return p + 2;
}

static int same_letters(const uint8_t *label, const char *name, size_t size)
{
        for (size_t i = 0; i < size; i++) {
                if (tolower(label[i]) != tolower((unsigned char)name[i]))
                        return 0;
        }
        return 1;
}

/* Bytes of the question's name, with its end; 0 when it is not `name`. */
static size_t match_name(const uint8_t *bytes, size_t size, const char *name)
{
        size_t at = 0;
        while (*name != '\0') {
                size_t length = strcspn(name, ".");
                if (at >= size || bytes[at] != length || length > 63 || size - at - 1 < length ||
                    !same_letters(bytes + at + 1, name, length))
                        return 0;
                at += 1 + length;
                name += length + (name[length] == '.');
        }
        return at > 0 && at < size && at < 255 && bytes[at] == 0 ? at + 1 : 0;
}

size_t question_answer(const uint8_t *query, size_t size, const char *name, const uint8_t address[4],
                       uint8_t ret_answer[QUESTION_ANSWER_MAX])
{
        if (size < HEADER_SIZE || (get16(query + 2) & FLAGS_ASKED) != 0 || get16(query + 4) != 1 ||
            get16(query + 6) != 0 || get16(query + 8) != 0)
                return 0;
        size_t name_size = match_name(query + HEADER_SIZE, size - HEADER_SIZE, name);
        size_t question_end = HEADER_SIZE + name_size + 4;
        if (name_size == 0 || question_end > size || get16(query + question_end - 2) != CLASS_IN)
                return 0;
        unsigned type = get16(query + question_end - 4);
        int has_record = address != NULL && (type == TYPE_A || type == TYPE_ANY);
        memcpy(ret_answer, query, question_end);
        uint8_t *p = put16(ret_answer + 2, FLAGS_ANSWER | (get16(query + 2) & FLAG_RD));
        p = put16(p, 1);
        p = put16(p, has_record ? 1 : 0);
        p = put16(p, 0);
        (void)put16(p, 0);
        if (!has_record)
                return question_end;
        p = put16(ret_answer + question_end, NAME_POINTER);
        p = put16(p, TYPE_A);
        p = put16(p, CLASS_IN);
        p = put16(p, 0);
        p = put16(p, TTL_SECONDS);
        p = put16(p, 4);
        memcpy(p, address, 4);
        return question_end + 16;
}
