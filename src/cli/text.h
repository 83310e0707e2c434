/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Strings lent by somebody else; items is NULL-terminated unless it is NULL (count 0). */
struct text_list {
        const char **items;
        size_t count;
};

int text_list_add(struct text_list *list, const char *text);
void text_list_done(struct text_list *list);

bool text_is_utf8(const char *text);

/* How many single edits (also swapping neighbours) lead from a to b; a large number for very long ones. */
size_t text_distance(const char *a, const char *b);

/*
 * A copy that a terminal shows as it is: control characters, line separators, direction overrides and bytes
 * that are no UTF-8 become '?'; with keep_lines newline and tab stay. free() it; NULL when out of memory.
 */
char *text_safe(const char *text, bool keep_lines);

/* Columns a terminal needs for it, taking every character as one wide. */
size_t text_width(const char *text);

/* "7.05MB", as docker prints sizes. */
#define TEXT_SIZE_MAX 16
const char *text_size(uint64_t bytes, char place[TEXT_SIZE_MAX]);

/* "2 minutes", "About an hour", as docker prints spans of time. */
#define TEXT_SPAN_MAX 32
const char *text_span(int64_t seconds, char place[TEXT_SPAN_MAX]);

#endif
