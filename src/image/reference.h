/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_REFERENCE_H
#define IMAGE_REFERENCE_H

#include "base/error.h"

/* An image's name, normalized as Docker does: "alpine" is docker.io / library/alpine / latest. */
struct reference {
        char *domain; /* "docker.io", "localhost:5000", "[::1]:5000" */
        char *path;   /* "library/alpine" */
        char *tag;    /* NULL if there is a digest and no tag */
        char *digest; /* "sha256:...", or NULL */
};

#define REFERENCE_INIT \
        {              \
                NULL   \
        }

/* -EINVAL with the reason when text is none. ret is written only on success. */
int reference_parse(const char *text, struct reference *ret, struct error *err);
void reference_done(struct reference *r);

/* "domain/path:tag", "domain/path@digest" or "domain/path:tag@digest"; free() it; NULL when out of memory. */
char *reference_print(const struct reference *r);

/* The name under which the store keeps it: with a digest the tag says nothing and is left out. */
char *reference_store_name(const struct reference *r);

/* A canonical name as people write it: without "docker.io/library/" or "docker.io/"; lent by name. */
const char *reference_familiar(const char *name);

#define cleanup_reference __attribute__((cleanup(reference_done)))

#endif
