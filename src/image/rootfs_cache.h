/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_ROOTFS_CACHE_H
#define IMAGE_ROOTFS_CACHE_H

#include "image/manifest.h"
#include "image/rootfs.h"
#include "image/store.h"

/*
 * Making one root file system of the store: begin, every layer in order, finish. Only the layers' blobs must
 * be there. Threads: begin and finish on the caller's, add_layer on any one thread.
 */
struct conversion;

/* 0 with *ret NULL when the root file system is there already. Waits while another process makes it. foreign:
 * the layers come from a registry or an archive, and may unpack to UNPACK_FLOOR and 'unpack_ratio' of the
 * registries file times their size; what the user has packed himself, or is in the store, may always. */
int conversion_begin(struct image_store *store, const struct manifest *m, bool foreign,
                     const struct image_observer *observer, rootfs_progress_fn progress, void *data,
                     struct conversion **ret, struct error *err);
int conversion_add_layer(struct conversion *c, size_t number, struct error *err);
int conversion_finish(struct conversion *c, struct error *err);
/* What is not finished is deleted. */
void conversion_free(struct conversion *c);

static inline void cleanup_conversion_p(struct conversion **c)
{
        conversion_free(*c);
}
#define cleanup_conversion __attribute__((cleanup(cleanup_conversion_p)))

/* "<hex>.erofs", the file's name in rootfs/. */
int rootfs_file_name(const struct manifest *m, char ret_name[NAME_MAX + 1]);

#define UNPACK_FLOOR (UINT64_C(2) << 30)

/* All of it on this thread, if it is not there. The manifest has its diff_ids. */
int rootfs_ensure_foreign(struct image_store *store, const struct manifest *m,
                          const struct image_observer *observer, struct error *err);
int rootfs_ensure(struct image_store *store, const struct manifest *m, const struct image_observer *observer,
                  struct error *err);

#endif
