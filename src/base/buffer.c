/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing bytes with a ceiling. Whatever an outsider can make longer lives in one of these, so that "too
 * long" is an error with a name and not the end of the host's memory.
 *
 * Invariants: start + length <= capacity - 1 when data is not NULL; length <= maximum; data[start + length]
 * == 0.
 */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *b, size_t maximum)
{
        *b = (struct buffer){.maximum = maximum};
}

void buffer_done(struct buffer *b)
{
        free(b->data);
        b->data = NULL;
        b->start = b->length = b->capacity = 0;
}

static void compact(struct buffer *b)
{
        if (b->start == 0)
                return;
        memmove(b->data, b->data + b->start, b->length + 1);
        b->start = 0;
}

int buffer_reserve(struct buffer *b, size_t size, char **ret_place)
{
        if (size > b->maximum || b->length > b->maximum - size)
                return -EMSGSIZE;
        if (b->data == NULL || b->capacity - b->start - b->length < size + 1) {
                if (b->data != NULL)
                        compact(b);
                size_t needed = b->length + size + 1;
                if (b->capacity < needed) {
                        size_t capacity = b->capacity < 128 ? 256 : b->capacity * 2;
                        if (capacity < needed)
                                capacity = needed;
                        char *data = realloc(b->data, capacity);
                        if (data == NULL)
                                return -ENOMEM;
                        b->data = data;
                        b->capacity = capacity;
                }
        }
        *ret_place = b->data + b->start + b->length;
        return 0;
}

void buffer_grow(struct buffer *b, size_t size)
{
        assert(b->start + b->length + size < b->capacity);
        b->length += size;
        b->data[b->start + b->length] = '\0';
}

int buffer_append(struct buffer *b, const void *bytes, size_t size)
{
        char *place;
        int r = buffer_reserve(b, size, &place);
        if (r < 0)
                return r;
        if (size > 0)
                memcpy(place, bytes, size);
        buffer_grow(b, size);
        return 0;
}

int buffer_append_text(struct buffer *b, const char *text)
{
        return buffer_append(b, text, strlen(text));
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        va_list again;
        va_copy(again, args);
        int size = vsnprintf(NULL, 0, format, args);
        va_end(args);
        char *place;
        int r = size < 0 ? -EINVAL : buffer_reserve(b, (size_t)size, &place);
        if (r == 0) {
                (void)vsnprintf(place, (size_t)size + 1, format, again); /* room was made just above */
                buffer_grow(b, (size_t)size);
        }
        va_end(again);
        return r;
}

const char *buffer_content(const struct buffer *b)
{
        return b->data == NULL ? "" : b->data + b->start;
}

void buffer_consume(struct buffer *b, size_t size)
{
        assert(size <= b->length);
        b->start += size;
        b->length -= size;
        if (b->length == 0)
                b->start = 0;
        if (b->data != NULL)
                b->data[b->start + b->length] = '\0';
}

void buffer_clear(struct buffer *b)
{
        buffer_consume(b, b->length);
}

char *buffer_take(struct buffer *b)
{
        if (b->data == NULL)
                return strdup("");
        compact(b);
        char *data = b->data;
        b->data = NULL;
        b->start = b->length = b->capacity = 0;
        return data;
}
