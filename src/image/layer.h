/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

/* The two kinds of layers: a tar, read from a stream, and a folder of the host. */
#include "image/layer-stream.h"
#include "image/merge.h"

/* Reads the stream to its end and merges every entry. */
int layer_read_tar(struct layer_stream *stream, struct merge *merge, struct error *err);

/*
 * Merges everything below the folder (borrowed, opened for reading), and its own attributes as those of the
 * root. Needs /proc for extended attributes. on_entry is told about each entry and the bytes of content read
 * so far; other than 0 ends the walk with -ECANCELED.
 */
typedef int (*layer_entry_fn)(const struct merge_entry *entry, uint64_t bytes, void *data);
int layer_read_folder(int folder_fd, struct merge *merge, layer_entry_fn on_entry, void *data,
                      struct error *err);

#endif
