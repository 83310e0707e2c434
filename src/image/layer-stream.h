/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_LAYER_STREAM_H
#define IMAGE_LAYER_STREAM_H

/* The plain bytes of a layer, unpacked by a thread of its own, and their digest. For one thread. */
#include "base/error.h"
#include "image/rootfs.h"

#include <stddef.h>
#include <stdint.h>

struct layer_stream;

#define LAYER_DIGEST_SIZE 32 /* SHA-256 */

/* fd is borrowed and read from where it stands. More than bytes_max plain bytes are an error. */
int layer_stream_new(int fd, uint64_t bytes_max, rootfs_progress_fn progress, void *data,
                     struct layer_stream **ret_stream, struct error *err);

/* Ends the thread, whatever it is doing. */
void layer_stream_free(struct layer_stream *stream);

/* The next bytes, lent until the next call; 0 of them at the end. An error stays. */
int layer_stream_next(struct layer_stream *stream, const void **ret_bytes, size_t *ret_size,
                      struct error *err);

/* After the end: the digest of all bytes, and how many they were. */
int layer_stream_digest(struct layer_stream *stream, uint8_t ret_digest[LAYER_DIGEST_SIZE],
                        uint64_t *ret_bytes, struct error *err);

#endif
