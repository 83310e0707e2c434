/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_INDEX_H
#define IMAGE_INDEX_H

#include "image/manifest.h"
#include "image/store.h"

/* index.json: which manifests the store keeps, and under what names. */
#define INDEX_SIZE_MAX (64U << 20)

struct index_entry {
        struct descriptor manifest;
        const char *name;          /* "docker.io/library/alpine:latest"; "" for none; lent by the JSON */
        const char *remote_digest; /* what the registry calls the tag (perhaps an index); "" if not pulled */
        const char *remote_name;   /* "docker.io/library/alpine" it came from; "" if not pulled */
};

int index_read(struct image_store *store, json_t **ret_index, struct error *err);

/* Entry number i, or -ENOENT past the end; one that is no image manifest has an empty digest. */
int index_entry_at(const json_t *index, size_t i, struct index_entry *ret);

/*
 * Changing: fn edits the array of "manifests" under the index lock; what it returns other than 0 leaves
 * everything as it was and is returned.
 */
typedef int (*index_edit_fn)(json_t *manifests, void *data, struct error *err);
int index_edit(struct image_store *store, index_edit_fn fn, void *data, struct error *err);

/* Adds a manifest, under a name unless that is NULL; the name's earlier owner stays, nameless. */
int index_add(struct image_store *store, const struct index_entry *entry, struct error *err);

/* The same inside index_edit(). */
int index_put(json_t *manifests, const struct index_entry *entry, struct error *err);
void index_entry_read(const json_t *json, struct index_entry *ret);

/* Takes the name from the entry: it stays as a nameless one unless there is another of that manifest. */
void index_entry_unname(json_t *manifests, size_t i);

#endif
