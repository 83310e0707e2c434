/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_PRUNE_H
#define IMAGE_PRUNE_H

#include "image/store.h"

/*
 * Deletes the blobs and root file systems that no image of the index needs. -EAGAIN, with nothing deleted,
 * while anybody pulls, loads or converts. ret_freed (may be NULL): bytes.
 */
int store_sweep(struct image_store *store, uint64_t *ret_freed, struct error *err);

/* Puts the names of all files that the index needs ("<hex>" of blobs, "<hex>.erofs") into keep, an object
 * used as a set. 0 or -errno. */
int store_mark(struct image_store *store, const json_t *index, json_t *keep);

/* Calls fn for every blob and root file system, with what it takes on the disk, until fn returns below 0. */
typedef int (*store_visit_fn)(int dir_fd, const char *name, uint64_t size_bytes, void *data);
int store_visit(struct image_store *store, store_visit_fn fn, void *data);

#endif
