/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_CONVERTER_H
#define IMAGE_CONVERTER_H

#include "image/http.h"
#include "image/rootfs_cache.h"

/*
 * A thread that makes the root file system from layers as they arrive. It ends before converter_free()
 * returns. All functions are called from the one other thread.
 */
struct converter;

/* wake: woken whenever something here has changed. The manifest, with its diff_ids, is lent until the end. */
int converter_start(struct image_store *store, const struct manifest *m, struct http *wake,
                    struct converter **ret_converter, struct error *err);
/* The blob of that layer is in the store. */
void converter_layer_ready(struct converter *c, size_t number);
/* 1: at work; 0: done; below 0: failed. */
int converter_result(struct converter *c, struct error *err);
/* Compressed bytes read so far; and whether it waits for another process that makes the same. */
uint64_t converter_progress(struct converter *c, bool *ret_waits);
/* Stops it, if it is not done, and waits for its end. NULL is fine. */
void converter_free(struct converter *c);

static inline void cleanup_converter_p(struct converter **c)
{
        converter_free(*c);
}
#define cleanup_converter __attribute__((cleanup(cleanup_converter_p)))

#endif
