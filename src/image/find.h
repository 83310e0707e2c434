/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_FIND_H
#define IMAGE_FIND_H

#include "image/index.h"
#include "image/reference.h"

/* Reads and checks a manifest of the store, and its configuration (which gives the manifest its diff_ids). */
int manifest_load(struct image_store *store, const char *digest, struct manifest **ret_manifest,
                  struct error *err);
/* Whether -errno of these says that the document is none, or is gone: for good, while any other says nothing
 * about it but that it cannot be read now. What an image needs that cannot be read now is not known, and so
 * nothing may be deleted as not needed. */
bool document_is_bad(int r);
int config_load(struct image_store *store, struct manifest *m, json_t **ret_config, struct error *err);

int image_open_entry(struct image_store *store, const struct index_entry *entry, struct image **ret_image,
                     struct error *err);

/* -ENOENT without a message when no entry has that name. The entry's texts are lent by index. */
int index_find_reference(const json_t *index, const struct reference *r, struct index_entry *ret,
                         struct error *err);

/* By name, id or prefix of an id; *ret_by_id tells which. */
int index_find(struct image_store *store, const json_t *index, const char *name, struct index_entry *ret,
               bool *ret_by_id, struct error *err);

#endif
