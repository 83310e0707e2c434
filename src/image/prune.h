/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_PRUNE_H
#define IMAGE_PRUNE_H

#include "image/store.h"

/*
 * Deletes the blobs and root file systems that no image of the index needs. -EAGAIN, with nothing deleted,
 * while anybody pulls, loads or converts. ret_freed (may be NULL): bytes.
 */
int store_sweep(struct image_store *store, uint64_t *ret_freed, struct error *err);

#endif
