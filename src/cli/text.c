/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people: lists of words, UTF-8, what is safe to show on a terminal, sizes and spans as docker words
 * them. Names, labels and commands come from images and guests: nothing of them reaches a terminal but
 * through text_safe().
 */
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int text_list_add(struct text_list *list, const char *text)
{
        /* grows at 2, 4, 8, ...: count + 1 entries are in use, the NULL among them */
        size_t used = list->count + 1;
        if (list->items == NULL || (used & (used - 1)) == 0) {
                const char **grown = realloc(list->items, used * 2 * sizeof(*grown));
                if (grown == NULL)
                        return -ENOMEM;
                list->items = grown;
        }
        list->items[list->count++] = text;
        list->items[list->count] = NULL;
        return 0;
}

void text_list_done(struct text_list *list)
{
        free(list->items);
        *list = (struct text_list){0};
}

/* The length of the character at text and its code point; 0 if it is no valid UTF-8 (or the end). */
static size_t decode(const unsigned char *text, uint32_t *ret_point)
{
        static const uint32_t minimum[] = {0, 0, 0x80, 0x800, 0x10000};
        if (text[0] < 0x80) {
                *ret_point = text[0];
                return text[0] != 0;
        }
        size_t length = text[0] >= 0xf0 && text[0] < 0xf8 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc0 ? 2 : 0;
        if (length == 0 || text[0] >= 0xf8)
                return 0;
        uint32_t point = text[0] & (0xffu >> (length + 1));
        for (size_t i = 1; i < length; i++) {
                if ((text[i] & 0xc0) != 0x80)
                        return 0;
                point = point << 6 | (text[i] & 0x3f);
        }
        if (point < minimum[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
                return 0;
        *ret_point = point;
        return length;
}

bool text_is_utf8(const char *text)
{
        const unsigned char *at = (const unsigned char *)text;
        while (*at != '\0') {
                uint32_t point;
                size_t n = decode(at, &point);
                if (n == 0)
                        return false;
                at += n;
        }
        return true;
}

static bool is_harmless(uint32_t point, bool keep_lines)
{
        if (point == '\n' || point == '\t')
                return keep_lines;
        if (point < 0x20 || (point >= 0x7f && point < 0xa0))
                return false;
        return !(point >= 0x2028 && point <= 0x202e) && !(point >= 0x2066 && point <= 0x2069);
}

char *text_safe(const char *text, bool keep_lines)
{
        char *copy = malloc(strlen(text) + 1), *to = copy;
        if (copy == NULL)
                return NULL;
        for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
                uint32_t point;
                size_t n = decode(at, &point);
                if (n > 0 && is_harmless(point, keep_lines)) {
                        memcpy(to, at, n);
                        to += n;
                } else {
                        *to++ = '?';
                }
                at += n > 0 ? n : 1;
        }
        *to = '\0';
        return copy;
}

size_t text_width(const char *text)
{
        size_t width = 0;
        for (; *text != '\0'; text++)
                width += ((unsigned char)*text & 0xc0) != 0x80;
        return width;
}

#define DISTANCE_MAX 32

size_t text_distance(const char *a, const char *b)
{
        size_t rows[3][DISTANCE_MAX + 1], m = strlen(a), n = strlen(b);
        if (m > DISTANCE_MAX || n > DISTANCE_MAX)
                return DISTANCE_MAX * 2;
        for (size_t j = 0; j <= n; j++)
                rows[0][j] = j;
        for (size_t i = 1; i <= m; i++) {
                size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
                        best = above[j] + 1 < best ? above[j] + 1 : best;
                        best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            before[j - 2] + 1 < best)
                                best = before[j - 2] + 1;
                        row[j] = best;
                }
        }
        return rows[m % 3][n];
}

const char *text_size(uint64_t bytes, char place[TEXT_SIZE_MAX])
{
        static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
        double number = (double)bytes;
        size_t unit = 0;
        while (number >= 1000 && unit < 6) {
                number /= 1000;
                unit++;
        }
        if (number >= 999.5) /* three digits would say 1e+03 */
                (void)snprintf(place, TEXT_SIZE_MAX, "%.0f%s", number, units[unit]);
        else
                (void)snprintf(place, TEXT_SIZE_MAX, "%.3g%s", number, units[unit]);
        return place;
}

const char *text_span(int64_t seconds, char place[TEXT_SPAN_MAX])
{
        int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
        if (seconds < 1)
                return "Less than a second";
        if (seconds == 1)
                return "1 second";
        if (minutes == 1)
                return "About a minute";
        if (minutes >= 60 && hours == 1)
                return "About an hour";
        if (seconds < 60)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " seconds", seconds);
        else if (minutes < 60)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " minutes", minutes);
        else if (hours < 48)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " hours", hours);
        else if (hours < 24 * 14)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " days", hours / 24);
        else if (hours < 24 * 60)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " weeks", hours / 24 / 7);
        else if (hours < 24 * 365 * 2)
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " months", hours / 24 / 30);
        else
                (void)snprintf(place, TEXT_SPAN_MAX, "%" PRId64 " years", hours / 24 / 365);
        return place;
}
