/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_DECODE_H
#define IMAGE_DECODE_H

/* From compressed bytes to plain ones: gzip, zstd, xz, bzip2, or nothing, found out by the first bytes. */
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Where compressed bytes come from: the next of them, lent until the next call; 0 bytes at the end. */
struct decode_source {
        int (*next)(struct decode_source *source, const uint8_t **ret_bytes, size_t *ret_size,
                    struct error *err);
};

struct decoder;

/* source is borrowed for the decoder's life. */
int decoder_new(struct decode_source *source, struct decoder **ret_decoder, struct error *err);
void decoder_free(struct decoder *decoder);

/* Fills room with plain bytes, less of them only at the end. Damaged or cut off input is -EBADMSG. */
int decoder_read(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size, struct error *err);

#endif
