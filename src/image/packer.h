/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_PACKER_H
#define IMAGE_PACKER_H

#include "image/blob.h"

#include <zstd.h>

/* Plain tar bytes go in, a blob comes out. */
struct packer {
        const struct image_observer *observer;
        struct blob_writer *writer;
        ZSTD_CCtx *context;
        struct digest *digest; /* of the plain bytes */
        uint64_t plain, told;
        char *room;
        struct error *err; /* for libarchive's callback */
};

/* A layer of the store. */
struct packed {
        char digest[DIGEST_TEXT_SIZE], diff_id[DIGEST_TEXT_SIZE];
        uint64_t size; /* as stored */
};

/* p begins with its observer set and zeroes; packer_done() is fine after a failure too. */
int packer_init(struct packer *p, struct image_store *store, struct error *err);
int packer_add(struct packer *p, const void *bytes, size_t size, struct error *err);
int packer_finish(struct packer *p, struct packed *ret, struct error *err);
void packer_done(struct packer *p);

#endif
