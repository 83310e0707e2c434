/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_SOURCE_H
#define IMAGE_SOURCE_H

#include "image/store.h"

/*
 * Where images are loaded from: files with names, in a folder or in a tar archive. Nothing is extracted by
 * name; whoever knows a name asks for its bytes.
 */
struct source;

/* A folder by path, or an archive (tar; gzip, zstd, xz, bzip2 or not) from fd, which may be a pipe. */
int source_open_folder(const char *path, struct source **ret_source, struct error *err);
int source_open_archive(struct image_store *store, int fd, const struct image_observer *observer,
                        struct source **ret_source, struct error *err);
void image_source_free(struct source *s);

static inline void cleanup_source_p(struct source **s)
{
        image_source_free(*s);
}
#define cleanup_source __attribute__((cleanup(cleanup_source_p)))

/* A regular file: bytes [offset, offset + size) of *ret_fd, which the caller closes. -ENOENT without a
 * message. */
int source_find(struct source *s, const char *name, int *ret_fd, uint64_t *ret_offset, uint64_t *ret_size,
                struct error *err);

/* A document of at most maximum bytes; NUL-terminated; free() it. -ENOENT without a message. */
int source_read(struct source *s, const char *name, size_t maximum, char **ret_text, size_t *ret_size,
                struct error *err);

#endif
