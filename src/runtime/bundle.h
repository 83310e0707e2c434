/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_BUNDLE_H
#define RUNTIME_BUNDLE_H

/*
 * A box as one file: a tar (pax, so any tar program reads it, with the disk's holes kept) of these members,
 * in this order, and of nothing else:
 *
 *     boxlet-box.json    what box it is (bundle_document)
 *     image.tar          the image, an oci-archive; may be missing
 *     disk.ext4          the box's disk
 *     boxlet-box.sha256  64 hexadecimal digits and 448 line feeds: the SHA-256 of all bytes of the file
 * before these
 *
 * and then the two blocks of zeros of every tar, and the end.
 */
#include "base/error.h"
#include "base/json.h"
#include "runtime/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BUNDLE_DOCUMENT     "boxlet-box.json"
#define BUNDLE_IMAGE        "image.tar"
#define BUNDLE_DISK         "disk.ext4"
#define BUNDLE_SUM          "boxlet-box.sha256"
#define BUNDLE_DOCUMENT_MAX (4U << 20)
#define BUNDLE_SUM_SIZE     512

/* ---- the document: bundle_document.c ---- */

struct bundle_document {
        struct state_box box; /* id: of the box it was, or "" */
        uint64_t disk_bytes;
        bool refers_to_host; /* to folders, volumes with a name, sockets or a kernel of the host */
        char what[128];      /* which of them, for a person */
};
void bundle_document_done(struct bundle_document *document);

/* free() it; NULL when out of memory. */
char *bundle_document_make(const struct state_box *box, uint64_t disk_bytes, size_t *ret_size,
                           struct error *err);

/* Hostile input: everything that is not what a create would have made is refused. Pure. */
int bundle_document_parse(const char *text, size_t size, struct bundle_document *ret_document,
                          struct error *err);

/* ---- reading: bundle_read.c ---- */

/* Fills bytes as far as there is something; 0 only at the end, or -errno. */
struct bundle_source {
        ssize_t (*read)(void *bytes, size_t size, void *data);
        void *data;
};

/* What is found, in the order of the file. Below 0 ends the reading. Nothing of it is proven before
 * bundle_read() has returned 0. */
struct bundle_sink {
        int (*document)(const char *text, size_t size, void *data, struct error *err);
        int (*image)(const void *bytes, size_t size, void *data, struct error *err);
        int (*disk_begin)(uint64_t size_bytes, void *data, struct error *err);
        /* offset + size is within the disk, and offset past all that came before; what is left out are zeros.
         */
        int (*disk)(uint64_t offset, const void *bytes, size_t size, void *data, struct error *err);
        void *data;
};

/* Hostile input. No I/O but through the two. */
int bundle_read(const struct bundle_source *source, const struct bundle_sink *sink, struct error *err);

/* ---- writing: bundle_write.c ---- */

/* Writes the whole file to fd, only ever forward. image_fd -1: without. Both descriptors are read from their
 * beginning to their end. */
int bundle_write(int fd, const char *document, size_t size, int image_fd, int disk_fd, struct error *err);

#endif
