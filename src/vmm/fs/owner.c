/* SPDX-License-Identifier: Apache-2.0 */
/* The record of owner.h. It lies on the host's files, where other programs may have written to it: it is read
 * strictly, and one that is wrong counts as none. */
#include "vmm/fs/owner.h"

#include <stdio.h>

/* A number in digits of the base, up to `end`, without signs, blanks or needless zeros; NULL when it is none.
 */
static const char *number(const char *at, const char *end, unsigned base, uint64_t maximum,
                          uint32_t *ret_number)
{
        const char *start = at;
        uint64_t value = 0;
        for (; at < end && *at >= '0' && (unsigned)(*at - '0') < base; at++) {
                value = value * base + (unsigned)(*at - '0');
                if (value > maximum)
                        return NULL;
        }
        if (at == start || (*start == '0' && at > start + 1))
                return NULL;
        *ret_number = (uint32_t)value;
        return at;
}

bool owner_parse(const char *text, size_t size, struct owner *ret_owner)
{
        const char *end = text + size, *at;
        struct owner o;
        /* (uint32_t)-1 is no id: chown(2) takes it for "leave it" */
        if ((at = number(text, end, 10, UINT32_MAX - 1, &o.uid)) == NULL || at == end || *at != ':')
                return false;
        if ((at = number(at + 1, end, 10, UINT32_MAX - 1, &o.gid)) == NULL || at == end || *at != ':')
                return false;
        if ((at = number(at + 1, end, 8, 07777, &o.mode)) != end || (o.mode & ~(uint32_t)OWNER_MODE) != 0)
                return false;
        *ret_owner = o;
        return true;
}

size_t owner_print(const struct owner *owner, char text[OWNER_TEXT_MAX])
{
        int n = snprintf(text, OWNER_TEXT_MAX, "%u:%u:%o", owner->uid, owner->gid, owner->mode);
        return n < 0 ? 0 : (size_t)n; /* at most 10 + 1 + 10 + 1 + 4 */
}
