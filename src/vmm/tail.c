/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded copying of text, see tail.h. The ring always holds the last TAIL_BYTES of everything.
 *
 * system calls (loop): write
 */
#include "vmm/tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tail_init(struct tail *t, int fd, uint64_t limit)
{
        memset(t, 0, sizeof(*t));
        t->fd = fd;
        t->limit = limit;
}

static void put(const struct tail *t, const char *bytes, size_t size)
{
        while (t->fd >= 0 && size > 0) {
                ssize_t n = write(t->fd, bytes, size);
                if (n <= 0)
                        return; /* a full disk must not stop the machine; the last words are kept anyway */
                bytes += n;
                size -= (size_t)n;
        }
}

void tail_add(struct tail *t, const char *bytes, size_t size)
{
        uint64_t room = t->total < t->limit ? t->limit - t->total : 0;
        size_t now = size < room ? size : (size_t)room;
        put(t, bytes, now);
        t->unwritten += size - now;
        for (size_t i = size > TAIL_BYTES ? size - TAIL_BYTES : 0; i < size; i++)
                t->ring[(t->total + i) % TAIL_BYTES] = bytes[i];
        t->total += size;
}

void tail_end(struct tail *t)
{
        char line[80];
        if (t->unwritten == 0)
                return;
        uint64_t kept = t->unwritten < TAIL_BYTES ? t->unwritten : TAIL_BYTES;
        int n = snprintf(line, sizeof(line), "\n[%" PRIu64 " bytes left out here]\n", t->unwritten - kept);
        if (t->unwritten > kept)
                put(t, line, (size_t)n);
        uint64_t start = (t->total - kept) % TAIL_BYTES;
        uint64_t first = kept < TAIL_BYTES - start ? kept : TAIL_BYTES - start;
        put(t, t->ring + start, (size_t)first);
        put(t, t->ring, (size_t)(kept - first));
        t->unwritten = 0;
}

void tail_last_words(const struct tail *t, char *text, size_t size)
{
        uint64_t kept = t->total < TAIL_BYTES ? t->total : TAIL_BYTES;
        size_t n = 0, start = 0;
        if (kept > size - 1)
                kept = size - 1;
        for (uint64_t at = t->total - kept; at < t->total; at++) {
                char c = t->ring[at % TAIL_BYTES];
                text[n++] = (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f ? ' ' : c;
                if (c == '\n' && kept < t->total && start == 0)
                        start = n; /* the line before was cut: leave it out */
        }
        while (n > start && text[n - 1] == ' ')
                n--;
        memmove(text, text + start, n - start);
        text[n - start] = '\0';
}
