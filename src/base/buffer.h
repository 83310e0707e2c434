/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes that grow up to a maximum given at birth. data is NUL-terminated beyond length whenever it is not
 * NULL, so text can be read in place. Reading happens from start: bytes [start, start + length) are the
 * content.
 */
struct buffer {
        char *data;
        size_t start;
        size_t length;
        size_t capacity;
        size_t maximum;
};

#define BUFFER_INIT(max)         \
        {                        \
                .maximum = (max) \
        }

void buffer_init(struct buffer *b, size_t maximum);
void buffer_done(struct buffer *b);

/* All return 0, -ENOMEM, or -EMSGSIZE when the content would pass the maximum (nothing is added then). */
int buffer_append(struct buffer *b, const void *bytes, size_t size);
int buffer_append_text(struct buffer *b, const char *text);
int buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for size more bytes and gives the place to put them; buffer_grow() then says how many were put.
 */
int buffer_reserve(struct buffer *b, size_t size, char **ret_place);
void buffer_grow(struct buffer *b, size_t size);

/* The content, and dropping size bytes of it from the front. */
const char *buffer_content(const struct buffer *b);
void buffer_consume(struct buffer *b, size_t size);
void buffer_clear(struct buffer *b);

/* Hands the memory over as NUL-terminated text (free() it); "" when empty; NULL on -ENOMEM. b is empty after.
 */
char *buffer_take(struct buffer *b);

#define cleanup_buffer __attribute__((cleanup(buffer_done)))

#endif
