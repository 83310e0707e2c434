/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_LOGLINE_H
#define RUNTIME_LOGLINE_H

/* One line of a box's log (docs/protocol.md, section 5) back to what was printed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logline {
        int stream; /* 1 stdout, 2 stderr */
        int64_t time_ns;
        char *bytes; /* with its newline, unless the line was not ended there; free() it */
        size_t size;
};

/* text: one line without its newline. 0, -EBADMSG when it is no line of a log, -ENOMEM. */
int logline_parse(const char *text, size_t size, struct logline *ret_line);

#endif
