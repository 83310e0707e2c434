/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

#include "base/json.h"

#include <stddef.h>
#include <stdint.h>

/* Lines of the journal of events (docs/protocol.md, section 7). Pure. */

#define EVENT_JOURNAL       "journal"
#define EVENT_JOURNAL_BYTES (4LL << 20) /* of each of its two files */
#define EVENT_LINE_MAX      (64U << 10)
#define EVENT_ACTION_MAX    200

/*
 * type: "box", "image", "volume". attributes: an object of strings, or NULL; key and value: one more, or
 * NULL. An action longer than EVENT_ACTION_MAX is cut, and attributes that would make the line too long are
 * left out, but for name and image. *ret_size bytes with the newline, free() it; NULL: out of memory, or not
 * UTF-8.
 */
char *event_line(int64_t time_ns, const char *type, const char *action, const char *id,
                 const json_t *attributes, const char *key, const char *value, size_t *ret_size);

#endif
