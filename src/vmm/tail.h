/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TAIL_H
#define VMM_TAIL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Text from something not trusted, on its way to a file: the first bytes are written as they come, up to a
 * limit, so that nobody fills the host's disk; of the rest the last TAIL_BYTES are kept, and written when it
 * ends.
 */
#define TAIL_BYTES (16U << 10)

struct tail {
        int fd; /* where to; -1: nowhere */
        uint64_t limit;
        uint64_t total;
        uint64_t unwritten; /* bytes seen past the limit */
        char ring[TAIL_BYTES];
};

void tail_init(struct tail *t, int fd, uint64_t limit);
void tail_add(struct tail *t, const char *bytes, size_t size);

/* Writes what was kept back, after a line that says how much is missing. */
void tail_end(struct tail *t);

/* The last bytes of all, at most size - 1 of them and whole lines if possible, as printable text on one line.
 */
void tail_last_words(const struct tail *t, char *text, size_t size);

#endif
