/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matcher of the detach keys. When a byte does not go on with the sequence, the held bytes are given up
 * one by one from the front until what is left is a beginning again (keys are few, so the plain search will
 * do).
 */
#include "cli/detach.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static int read_key(const char *text, size_t length, unsigned char *ret_key)
{
        if (length == 1) {
                *ret_key = (unsigned char)text[0];
                return 0;
        }
        if (length != 6 || strncasecmp(text, "ctrl-", 5) != 0)
                return -EINVAL;
        char key = text[5];
        if (key >= 'a' && key <= 'z')
                key = (char)(key - 'a' + 'A');
        if (key < '@' || key > '_')
                return -EINVAL;
        *ret_key = (unsigned char)(key - '@');
        return 0;
}

int detach_init(struct detach *detach, const char *keys, struct error *err)
{
        struct detach d = {.length = 0};
        for (const char *at = keys; at != NULL;) {
                size_t length = at[0] == ',' ? 1 : strcspn(at, ","); /* the key "," itself */
                const char *comma = at[length] == ',' ? at + length : NULL;
                if (at[0] == ',' && at[1] != ',' && at[1] != '\0')
                        length = 0;
                if (d.length == DETACH_KEYS_MAX || read_key(at, length, &d.keys[d.length]) < 0)
                        return error_set(
                            err, -EINVAL,
                            "invalid value '%s' for --detach-keys: not a list such as ctrl-p,ctrl-q", keys);
                d.length++;
                at = comma != NULL ? comma + 1 : NULL;
        }
        *detach = d;
        return 0;
}

bool detach_feed(struct detach *detach, const void *bytes, size_t size, void *out, size_t *ret_size)
{
        const unsigned char *from = bytes;
        unsigned char *to = out;
        size_t made = 0;
        for (size_t i = 0; i < size; i++) {
                unsigned char held[DETACH_KEYS_MAX + 1];
                size_t count = detach->matched;
                memcpy(held, detach->keys, count);
                held[count++] = from[i];
                size_t given_up = 0;
                while (given_up < count && memcmp(held + given_up, detach->keys, count - given_up) != 0)
                        to[made++] = held[given_up++];
                detach->matched = count - given_up;
                if (detach->matched == detach->length) {
                        detach->matched = 0;
                        *ret_size = made;
                        return true;
                }
        }
        *ret_size = made;
        return false;
}
