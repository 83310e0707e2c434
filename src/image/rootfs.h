/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_ROOTFS_H
#define IMAGE_ROOTFS_H

/*
 * From layers to one read-only EROFS file: the layers are given in order, lowest first, each as a stream of a
 * tar, compressed (gzip, zstd, xz, bzip2) or not; whiteouts are applied while merging (image-spec layer.md).
 * Without root.
 */
#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

struct rootfs_builder;

struct rootfs_limits {
        uint64_t entries; /* at most so many names, replaced ones included; 0: 4,000,000 */
        uint64_t bytes;   /* at most so many bytes of file content, holes not counted; 0: 64 GiB */
};
#define ROOTFS_BYTES_DEFAULT (UINT64_C(64) << 30)

/* entries: inodes in the image; bytes_in: of the layers, unpacked; bytes_out: the file's length. */
struct rootfs_statistics {
        uint64_t entries, bytes_in, bytes_out, layers;
};

/* Asked about every MiB with the compressed bytes read so far; other than 0 cancels with -ECANCELED. */
typedef int (*rootfs_progress_fn)(uint64_t compressed_bytes, void *data);

/*
 * out_fd: an empty regular file opened for reading and writing, borrowed. scratch_fd: a folder for temporary
 * files, or -1; none are made at present. After an error in any call below the builder can only be freed, and
 * the file holds nothing of use. Nothing is left behind. A builder is used by one thread at a time; a thread
 * of its own unpacks while a layer is added, and has ended when the call returns.
 *
 * Memory: about 10 MiB, and 50 bytes an entry. Errors beside those of reading and writing: -EBADMSG for a
 * damaged or hostile layer, -EFBIG and -E2BIG past a limit (the image may not pass 128 GiB), -ENAMETOOLONG,
 * -ENOTDIR, -ELOOP and -ENOENT for paths that cannot be.
 */
int rootfs_builder_new(int out_fd, int scratch_fd, const struct rootfs_limits *limits,
                       rootfs_progress_fn progress, void *data, struct rootfs_builder **ret_builder,
                       struct error *err);

/* Adds the next layer from layer_fd (read from its present position to its end; a pipe will do).
 * expected_diff_id is "sha256:..." of the uncompressed tar, or NULL; a difference is -EBADMSG. name is for
 * errors. */
int rootfs_builder_add_layer(struct rootfs_builder *builder, int layer_fd, const char *name,
                             const char *expected_diff_id, struct error *err);

/* Adds a folder of the host as a layer, without following its links (for import). */
int rootfs_builder_add_folder(struct rootfs_builder *builder, int folder_fd, const char *name,
                              struct error *err);

/* Writes the metadata and fsyncs. Nothing more can be added. */
int rootfs_builder_finish(struct rootfs_builder *builder, struct rootfs_statistics *ret_statistics,
                          struct error *err);
void rootfs_builder_free(struct rootfs_builder *builder);

#endif
