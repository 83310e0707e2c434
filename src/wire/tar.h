/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_TAR_H
#define WIRE_TAR_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tar that host and agent exchange: POSIX ustar headers with pax records (path, linkpath, size, uid, gid,
 * mtime, SCHILY.xattr.*), no other dialect. A block is 512 bytes:
 *
 *     0    name, 100       124  size, 12 octal       257  "ustar\0" "00"     345  prefix, 155
 *     100  mode, 8 octal   136  mtime, 12 octal      265  uname, 32
 *     108  uid, 8 octal    148  checksum, 8 octal    297  gname, 32
 *     116  gid, 8 octal    156  type                 329  device, 8 and 8
 *                          157  link, 100
 */
#define TAR_BLOCK        512
#define TAR_NAME_MAX     4096       /* bytes of a name or link target, with a NUL */
#define TAR_RECORDS_MAX  (1U << 20) /* bytes of pax records before one entry */
#define TAR_XATTRS_MAX   64
#define TAR_XATTR_PREFIX "SCHILY.xattr."
#define TAR_CONTENT_MAX  (INT64_C(1) << 50)

enum tar_type {
        TAR_FILE = '0',
        TAR_HARD_LINK = '1',
        TAR_SYMLINK = '2',
        TAR_CHARACTER = '3',
        TAR_BLOCK_DEVICE = '4',
        TAR_FOLDER = '5',
        TAR_FIFO = '6',
};

struct tar_xattr {
        const char *name;
        const void *value;
        size_t size;
};

/* All that is pointed to is lent: by the caller to the encoder, by the reader until its next call. */
struct tar_entry {
        enum tar_type type;
        const char *name;
        const char *link; /* of a symlink or a hard link; else "" */
        uint32_t mode;    /* permission bits, 07777 */
        uint32_t uid, gid;
        uint64_t size; /* of a file's content, which follows; else 0 */
        int64_t mtime;
        uint32_t mtime_nsec;
        uint32_t device_major, device_minor;
        const struct tar_xattr *xattrs;
        size_t xattr_count;
};

/* Appends the blocks that come before the content. 0, -ENOMEM, -EMSGSIZE, or -EINVAL for what no tar holds.
 */
int tar_encode(const struct tar_entry *entry, struct buffer *b);

/* How many zeros follow that much content. */
size_t tar_padding(uint64_t size);

/* The two blocks of zeros at the end. */
int tar_encode_end(struct buffer *b);

/*
 * Reading. read: gives exactly size bytes, or -errno with err filled; the end of the stream is an error to
 * it, since the end of a tar is in it.
 */
struct tar_source {
        int (*read)(void *data, void *bytes, size_t size, struct error *err);
        void *data;
};
struct tar_reader;

int tar_reader_new(const struct tar_source *source, struct tar_reader **ret_reader);
void tar_reader_free(struct tar_reader *reader);

/* 1 with the next entry, 0 at the end, -EBADMSG for what is no tar of the form above. Content of the last
 * entry that was not read is skipped. */
int tar_reader_next(struct tar_reader *reader, struct tar_entry *ret_entry, struct error *err);

/* The next bytes of the entry's content, at most size of them; 0 at its end. */
int64_t tar_reader_content(struct tar_reader *reader, void *bytes, size_t size, struct error *err);

/* Whether a name stays where it is put: relative, not empty, with no "..", "." or empty component. */
bool tar_name_is_plain(const char *name);

static inline void cleanup_tar_reader_p(struct tar_reader **reader)
{
        tar_reader_free(*reader);
}
#define cleanup_tar_reader __attribute__((cleanup(cleanup_tar_reader_p)))

#endif
