/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes as they lie behind an inode: a header, then entries of name without its namespace and
 * value, each padded to 4 bytes. Nothing is shared between inodes.
 */
#include "image/erofs-format.h"
#include "image/erofs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 65535U                                    /* the format's; the kernel's is one more */
#define BODY_MAX  (EROFS_XATTR_HEADER + 4U * (65535U - 1U)) /* xattr_count has 16 bits */

static const struct prefix {
        const char *text;
        uint8_t number;
        bool whole; /* nothing may follow */
} prefixes[] = {
    {"user.", 1, false},
    {"system.posix_acl_access", 2, true},
    {"system.posix_acl_default", 3, true},
    {"trusted.", 4, false},
    {"security.", 6, false},
};

/* What an overlayfs of the image's maker wrote for itself: it would mislead the one in the box. */
#define OVERLAY_PREFIX "trusted.overlay."

static const struct prefix *find_prefix(const char *name)
{
        if (strncmp(name, OVERLAY_PREFIX, strlen(OVERLAY_PREFIX)) == 0)
                return NULL;
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
                size_t length = strlen(prefixes[i].text);
                if (strncmp(name, prefixes[i].text, length) == 0 &&
                    (name[length] == '\0') == prefixes[i].whole)
                        return &prefixes[i];
        }
        return NULL;
}

/* By name; equal ones by place in the array, which is the order of their coming. */
static int compare(const void *a, const void *b)
{
        const struct erofs_named_value *left = *(const struct erofs_named_value *const *)a;
        const struct erofs_named_value *right = *(const struct erofs_named_value *const *)b;
        int order = strcmp(left->name, right->name);
        return order != 0 ? order : (left > right) - (left < right);
}

static size_t entry_size(const struct erofs_named_value *value)
{
        size_t name = strlen(value->name) - strlen(find_prefix(value->name)->text);
        return (sizeof(struct erofs_xattr) + name + value->size + 3) & ~(size_t)3;
}

static void put(uint8_t *to, const struct erofs_named_value *value)
{
        const struct prefix *prefix = find_prefix(value->name);
        const char *name = value->name + strlen(prefix->text);
        struct erofs_xattr entry = {
            .name_length = (uint8_t)strlen(name),
            .prefix = prefix->number,
            .value_size = (uint16_t)value->size,
        };
        memcpy(to, &entry, sizeof(entry));
        memcpy(to + sizeof(entry), name, entry.name_length);
        if (value->size > 0)
                memcpy(to + sizeof(entry) + entry.name_length, value->value, value->size);
}

/* Pointers to those that count, sorted; returns how many. */
static size_t choose(const struct erofs_named_value *values, size_t count,
                     const struct erofs_named_value **chosen)
{
        size_t kept = 0, last = 0;
        for (size_t i = 0; i < count; i++) {
                if (find_prefix(values[i].name) != NULL)
                        chosen[kept++] = &values[i];
        }
        if (kept == 0)
                return 0;
        qsort(chosen, kept, sizeof(*chosen), compare);
        for (size_t i = 1; i < kept; i++) {
                if (strcmp(chosen[i]->name, chosen[last]->name) != 0)
                        last++;
                chosen[last] = chosen[i];
        }
        return last + 1;
}

int erofs_xattrs_encode(const struct erofs_named_value *values, size_t count, uint8_t **ret_bytes,
                        uint32_t *ret_size)
{
        const struct erofs_named_value *chosen[EROFS_XATTR_COUNT_MAX];
        size_t size = EROFS_XATTR_HEADER;
        if (count > EROFS_XATTR_COUNT_MAX)
                return -E2BIG;
        count = choose(values, count, chosen);
        for (size_t i = 0; i < count; i++) {
                if (chosen[i]->size > VALUE_MAX || strlen(chosen[i]->name) > TREE_NAME_MAX)
                        return -E2BIG;
                size += entry_size(chosen[i]);
        }
        if (size > BODY_MAX)
                return -E2BIG;
        *ret_bytes = NULL;
        *ret_size = 0;
        if (count == 0)
                return 0;
        uint8_t *bytes = calloc(1, size);
        if (bytes == NULL)
                return -ENOMEM;
        uint8_t *at = bytes + EROFS_XATTR_HEADER;
        for (size_t i = 0; i < count; i++) {
                put(at, chosen[i]);
                at += entry_size(chosen[i]);
        }
        *ret_bytes = bytes;
        *ret_size = (uint32_t)size;
        return 0;
}
