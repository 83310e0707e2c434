/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_DOWNLOAD_H
#define IMAGE_DOWNLOAD_H

#include "image/fetch.h"
#include "image/manifest.h"
#include "image/store.h"

/* One blob on its way into the store. */
struct download;

/* endpoint: the first to ask. */
int download_new(struct session *s, struct image_store *store, const struct descriptor *blob, size_t endpoint,
                 struct download **ret_download, struct error *err);
void download_free(struct download *d);

/* 1: it goes on; 0: the blob is in the store; below: failed. */
int download_advance(struct download *d, struct error *err);
/* Bytes so far. */
uint64_t download_position(const struct download *d);

#endif
