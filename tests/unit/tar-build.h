/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_TAR_BUILD_H
#define UNIT_TAR_BUILD_H

/* Makes tars byte by byte, good ones and bad ones. Running out of memory aborts. */
#include <stddef.h>
#include <stdint.h>

struct tar {
        uint8_t *bytes;
        size_t size, room;
        uint8_t *pax; /* records waiting for the next entry */
        size_t pax_size;
};

struct tar_entry {
        const char *name, *link;
        char type;     /* '0' if left out */
        unsigned mode; /* 0644, or 0755 for folders, if left out */
        unsigned uid, gid;
        uint64_t mtime;
        const void *content;
        size_t size;
        uint64_t said_size; /* in the header, if not 0 */
        unsigned major, minor;
};

void tar_done(struct tar *tar);
void tar_bytes(struct tar *tar, const void *bytes, size_t size);

/* A record for the next entry: "path", "SCHILY.xattr.user.a", ... */
void tar_pax(struct tar *tar, const char *key, const void *value, size_t size);
void tar_pax_text(struct tar *tar, const char *key, const char *value);

/* Header (with the name cut to 100 bytes) and content. */
void tar_add(struct tar *tar, const struct tar_entry *entry);

/* Computes the checksum of the header at that place again. */
void tar_seal(struct tar *tar, size_t at);

/* Short forms: a file with text, a folder, a symbolic link, a hard link. */
void tar_file(struct tar *tar, const char *name, const char *text);
void tar_folder(struct tar *tar, const char *name);
void tar_symlink(struct tar *tar, const char *name, const char *target);
void tar_hard_link(struct tar *tar, const char *name, const char *target);

/* The two blocks of zeros. */
void tar_end(struct tar *tar);

#endif
