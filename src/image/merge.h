/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_MERGE_H
#define IMAGE_MERGE_H

/*
 * Puts entries of layers into the image: what a path means, whiteouts, links, replacement (image-spec
 * layer.md). Paths are those of the layer, hostile. Errors name the path.
 */
#include "base/error.h"
#include "image/erofs.h"
#include "image/tree.h"

#include <stdint.h>

struct merge {
        struct tree *tree;
        struct erofs_writer *writer;
        uint16_t layer;                /* the first is 1 */
        uint64_t content, content_max; /* bytes of files */
        uint64_t xattr_bytes;          /* of folders, in memory */
};

struct merge_entry {
        const char *path;
        struct erofs_attributes attributes; /* mode says which kind; xattrs are borrowed */
        const char *hard_link;              /* the path of another, or NULL; then the kind does not matter */
        const char *target;                 /* of a symbolic link */
        uint32_t device;                    /* as merge_device() makes it */
        uint64_t size;                      /* of a regular file */
};

/* Writes the content of a regular file by merge_write(). */
typedef int (*merge_content_fn)(struct merge *merge, void *data, struct error *err);

int merge_begin_layer(struct merge *merge, struct error *err);
int merge_add(struct merge *merge, const struct merge_entry *entry, merge_content_fn content, void *data,
              struct error *err);
int merge_write(struct merge *merge, uint64_t offset, const void *bytes, size_t size, struct error *err);

/* The number of a device file in the image; -EOVERFLOW if Linux cannot have it. */
int merge_device(uint64_t major, uint64_t minor, uint32_t *ret_device);

#endif
