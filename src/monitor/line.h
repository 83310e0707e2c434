/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_LINE_H
#define MONITOR_LINE_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One entry of a box's log (docs/protocol.md, section 5), ended by a newline. bytes: what was printed,
 * without its newline; partial: no newline came yet. 0, -ENOMEM or -EMSGSIZE, and then nothing is added.
 */
int line_encode(struct buffer *out, int64_t time_ns, bool is_stderr, const char *bytes, size_t size,
                bool partial);

/* The largest entry that size bytes can become. */
#define LINE_ENTRY_MAX(size) ((size)*6 + 128)

/* How many of the size bytes can be taken without cutting an UTF-8 character that has begun at their end. */
size_t line_whole_characters(const char *bytes, size_t size);

#endif
