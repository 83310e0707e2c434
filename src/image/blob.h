/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_BLOB_H
#define IMAGE_BLOB_H

#include "image/digest.h"
#include "image/store.h"

/* Writing a blob: bytes go to a temporary file and through sha256; finish() puts it in place. */
struct blob_writer;

int blob_writer_new(struct image_store *store, struct blob_writer **ret_writer, struct error *err);
int blob_writer_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err);
uint64_t blob_writer_size(const struct blob_writer *w);
/* Forgets what was written. */
int blob_writer_restart(struct blob_writer *w, struct error *err);
/* expected_digest NULL and expected_size below 0: whatever it is. -EBADMSG when it is another. */
int blob_writer_finish(struct blob_writer *w, const char *expected_digest, int64_t expected_size,
                       char ret_digest[DIGEST_TEXT_SIZE], struct error *err);
/* What is not finished is deleted. */
void blob_writer_free(struct blob_writer *w);

static inline void cleanup_blob_writer_p(struct blob_writer **w)
{
        blob_writer_free(*w);
}
#define cleanup_blob_writer __attribute__((cleanup(cleanup_blob_writer_p)))

/* Whether the store has it, with that size (below 0: any): 1, 0, or -errno when that cannot be told. */
int blob_look(struct image_store *store, const char *digest, int64_t size);
/* The same, where not to know is as good as not to have it. */
bool blob_exists(struct image_store *store, const char *digest, int64_t size);

int blob_open(struct image_store *store, const char *digest, int *ret_fd, struct error *err);

/* A document: read whole (at most maximum bytes), its digest checked again; free() it. */
int blob_read(struct image_store *store, const char *digest, size_t maximum, char **ret_text,
              size_t *ret_size, struct error *err);

int blob_put(struct image_store *store, const void *bytes, size_t size, char ret_digest[DIGEST_TEXT_SIZE],
             struct error *err);

/* Copies size bytes at offset of fd into a blob. */
int blob_copy(struct image_store *store, int fd, uint64_t offset, uint64_t size, const char *expected_digest,
              char ret_digest[DIGEST_TEXT_SIZE], struct error *err);

#endif
