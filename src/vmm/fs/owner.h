/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_OWNER_H
#define VMM_FS_OWNER_H

/*
 * What the guest believes about a file's owner and mode where the host's own inode may not say it: an
 * extended attribute of ours, text "UID:GID:MODE", decimal, decimal, octal. MODE holds set-user-ID and
 * set-group-ID only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define OWNER_PREFIX   "user.boxlet."
#define OWNER_NAME     OWNER_PREFIX "owner"
#define OWNER_TEXT_MAX 40
#define OWNER_MODE     (S_ISUID | S_ISGID)

struct owner {
        uint32_t uid;
        uint32_t gid;
        uint32_t mode;
};

/* Reads a record that is size bytes long; false when it is none. */
bool owner_parse(const char *text, size_t size, struct owner *ret_owner);

/* Returns the length of the text. */
size_t owner_print(const struct owner *owner, char text[OWNER_TEXT_MAX]);

#endif
