/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DETACH_H
#define CLI_DETACH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define DETACH_KEYS_MAX     16
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

/* Finds a sequence of keys in a stream of typed bytes. Bytes that may be its beginning are held back until it
 * is known that they are not. */
struct detach {
        unsigned char keys[DETACH_KEYS_MAX];
        size_t length;
        size_t matched;
};

/* "ctrl-p,ctrl-q", "a,b", "ctrl-@": single characters and ctrl- with a letter or one of @ [ \ ] ^ _. */
int detach_init(struct detach *detach, const char *keys, struct error *err);

/*
 * Feeds typed bytes; *ret_size bytes of out (room for size + DETACH_KEYS_MAX) are what to pass on. Returns
 * true when the sequence is complete; bytes behind it are dropped.
 */
bool detach_feed(struct detach *detach, const void *bytes, size_t size, void *out, size_t *ret_size);

#endif
