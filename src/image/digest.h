/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_DIGEST_H
#define IMAGE_DIGEST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Content digests in the image-spec's form. Only sha256 is spoken. */
#define DIGEST_PREFIX    "sha256:"
#define DIGEST_HEX_SIZE  64
#define DIGEST_TEXT_SIZE (sizeof(DIGEST_PREFIX) + DIGEST_HEX_SIZE) /* with the NUL */

struct digest;

int digest_new(struct digest **ret_digest);
void digest_free(struct digest *d);
int digest_update(struct digest *d, const void *bytes, size_t size);
/* Writes the text and begins anew, as after digest_new(). */
int digest_finish(struct digest *d, char ret_text[DIGEST_TEXT_SIZE]);
int digest_restart(struct digest *d);

int digest_of(const void *bytes, size_t size, char ret_text[DIGEST_TEXT_SIZE]);

/* Whether text is "sha256:" and 64 lower-case digits. */
bool digest_valid(const char *text);

/* The same with the reason: -EPROTONOSUPPORT for an algorithm not spoken, -EINVAL for a wrong form. */
int digest_check(const char *text, struct error *err);

/* The hexadecimal part of a valid digest. */
const char *digest_hex(const char *text);

#endif
