/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_EROFS_H
#define IMAGE_EROFS_H

/*
 * Writes one EROFS file, forwards: inodes and content as they come, folders and the superblock at the end.
 * Errors are negative errno with err filled ("write root file system: ...").
 */
#include "base/error.h"
#include "image/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct erofs_writer;

/* Attributes of one inode. xattrs: as erofs_xattrs_encode() gives them. */
struct erofs_attributes {
        uint16_t mode; /* with the kind: S_IFREG, ... */
        uint32_t uid, gid;
        int64_t mtime;
        uint32_t mtime_nsec;
        const uint8_t *xattrs;
        uint32_t xattr_size;
};

/* fd: an empty regular file, borrowed. */
int erofs_writer_new(int fd, struct erofs_writer **ret_writer, struct error *err);
void erofs_writer_free(struct erofs_writer *writer);

/*
 * A regular file: begin with its size, write its content with rising offsets (what is left out is zeros),
 * end with its attributes. One at a time.
 */
int erofs_file_begin(struct erofs_writer *writer, uint64_t size, struct error *err);
int erofs_file_write(struct erofs_writer *writer, uint64_t offset, const void *bytes, size_t size,
                     struct error *err);
int erofs_file_end(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                   uint32_t *ret_inode, struct error *err);

/* Everything else but folders: a link's target is its content, a device has a number. */
int erofs_add_symlink(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                      const char *target, uint32_t *ret_inode, struct error *err);
int erofs_add_special(struct erofs_writer *writer, const struct erofs_attributes *attributes, uint32_t device,
                      uint32_t *ret_inode, struct error *err);

/* A name more or less for the inode. Once there is none its data is given back to the file system below. */
int erofs_link(struct erofs_writer *writer, uint32_t inode, struct error *err);
int erofs_unlink(struct erofs_writer *writer, uint32_t inode, struct error *err);

/* The target of a symbolic link, NUL-terminated; room is at least PATH_MAX bytes. */
int erofs_read_symlink(struct erofs_writer *writer, uint32_t inode, char *target, size_t room,
                       struct error *err);

/* Writes the folders of the tree (sorting it) and the superblock. The file is complete, but not synced. Tells
 * its length and how many inodes it has. */
int erofs_finish(struct erofs_writer *writer, struct tree *tree, const uint8_t uuid[16], uint64_t *ret_bytes,
                 uint64_t *ret_inodes, struct error *err);

/* One extended attribute, "user.name" and so on. */
struct erofs_named_value {
        const char *name;
        const void *value;
        size_t size;
};

/*
 * Encodes attributes as the image has them, sorted, the last of equal names. Names of no namespace EROFS
 * knows, and trusted.overlay.*, are left out. -E2BIG if they are too many or too large. free() the result,
 * which may be NULL.
 */
#define EROFS_XATTR_COUNT_MAX 1024
int erofs_xattrs_encode(const struct erofs_named_value *values, size_t count, uint8_t **ret_bytes,
                        uint32_t *ret_size);

#endif
