/* SPDX-License-Identifier: Apache-2.0 */
/* A new layer: a tar compressed by zstd at its fastest; the plain tar's digest is taken on the way. */
#include "image/packer.h"

#include "image/progress.h"

#include <errno.h>
#include <stdlib.h>

#define LAYER_BYTES_MAX (UINT64_C(1) << 40)
#define PACK_LEVEL      1
#define PACK_SIZE       (128U << 10)
#define TOLD_EVERY      (8U << 20)

void packer_done(struct packer *p)
{
        blob_writer_free(p->writer);
        (void)ZSTD_freeCCtx(p->context); /* only frees */
        digest_free(p->digest);
        free(p->room);
}

int packer_init(struct packer *p, struct image_store *store, struct error *err)
{
        p->context = ZSTD_createCCtx();
        p->room = malloc(PACK_SIZE);
        p->err = err;
        if (p->context == NULL || p->room == NULL || digest_new(&p->digest) < 0 ||
            ZSTD_isError(ZSTD_CCtx_setParameter(p->context, ZSTD_c_compressionLevel, PACK_LEVEL)))
                return error_set(err, -ENOMEM, "pack a layer: out of memory");
        return blob_writer_new(store, &p->writer, err);
}

static int pack_some(struct packer *p, ZSTD_inBuffer *in, ZSTD_EndDirective mode, size_t *ret_left,
                     struct error *err)
{
        ZSTD_outBuffer out = {.dst = p->room, .size = PACK_SIZE};
        size_t left = ZSTD_compressStream2(p->context, &out, in, mode);
        if (ZSTD_isError(left))
                return error_set(err, -EIO, "pack a layer: compress: %s", ZSTD_getErrorName(left));
        *ret_left = left;
        return out.pos > 0 ? blob_writer_write(p->writer, p->room, out.pos, err) : 0;
}

int packer_add(struct packer *p, const void *bytes, size_t size, struct error *err)
{
        ZSTD_inBuffer in = {.src = bytes, .size = size};
        size_t left;
        if (digest_update(p->digest, bytes, size) < 0)
                return error_set(err, -EIO, "pack a layer: the sha256 function fails");
        while (in.pos < in.size) {
                int r = pack_some(p, &in, ZSTD_e_continue, &left, err);
                if (r < 0)
                        return r;
        }
        p->plain += size;
        if (p->plain > LAYER_BYTES_MAX)
                return error_set(err, -EFBIG, "pack a layer: larger than 1 TiB");
        if (p->plain - p->told < TOLD_EVERY)
                return 0;
        p->told = p->plain;
        return progress_bytes(p->observer, IMAGE_PROGRESS_LAYER, "layer", p->plain, 0, err);
}

int packer_finish(struct packer *p, struct packed *ret, struct error *err)
{
        ZSTD_inBuffer in = {.src = NULL};
        size_t left = 1;
        while (left > 0) {
                int r = pack_some(p, &in, ZSTD_e_end, &left, err);
                if (r < 0)
                        return r;
        }
        if (digest_finish(p->digest, ret->diff_id) < 0)
                return error_set(err, -EIO, "pack a layer: the sha256 function fails");
        ret->size = blob_writer_size(p->writer);
        return blob_writer_finish(p->writer, NULL, -1, ret->digest, err);
}
