/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_QUESTION_H
#define AGENT_QUESTION_H

#include <stddef.h>
#include <stdint.h>

/* The longest answer: header, a name of 255 bytes with type and class, one address. */
#define QUESTION_ANSWER_MAX (12 + 255 + 4 + 16)

/*
 * Answers a DNS query that asks for `name` (dots between labels, none at the end): its IPv4 address, or that
 * there is nothing of the kind that was asked for, also when address is NULL. The answer's size; 0 for
 * everything else, which is not ours to judge.
 */
size_t question_answer(const uint8_t *query, size_t size, const char *name, const uint8_t address[4],
                       uint8_t ret_answer[QUESTION_ANSWER_MAX]);

#endif
