/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_MAKE_H
#define IMAGE_MAKE_H

#include "image/packer.h"

/* The descriptor of a layer that was packed, for a manifest; NULL when out of memory. */
json_t *make_layer(const struct packed *packed);

/*
 * An image of these layers (an array of descriptors, all in the store) and this configuration: put into the
 * store, made bootable, and named unless name is NULL. The caller holds the store in use.
 */
int make_image(struct image_store *store, const json_t *config, json_t *layers, const char *name,
               const struct image_observer *observer, char ret_id[DIGEST_TEXT_SIZE], struct error *err);

/* "2024-01-31T12:00:00Z", now. */
int make_time(char ret_text[32], struct error *err);

/* The name under which a reference is kept; NULL stays NULL. free() it. */
int make_name(const char *reference, char **ret_name, struct error *err);

#endif
