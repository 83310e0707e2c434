/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

/* The two kinds of layers: a tar, read from a stream, and a folder of the host. */
#include "image/layer-stream.h"
#include "image/merge.h"

/* Reads the stream to its end and merges every entry. */
int layer_read_tar(struct layer_stream *stream, struct merge *merge, struct error *err);

#endif
