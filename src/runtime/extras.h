/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_EXTRAS_H
#define RUNTIME_EXTRAS_H

/*
 * What a box's monitor does beside running it: its pid file, its log, its health. From the options into
 * members of the box's configuration, and from there into box.json (docs/protocol.md, section 6) under the
 * same names.
 */
#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"

/* An object with the members that are wanted. image_config: the whole image configuration. */
int extras_resolve(const json_t *image_config, const struct boxlet_box_options *options, json_t **ret_extras,
                   struct error *err);

/* Copies the members into box.json. 0 or -ENOMEM. */
int extras_hand_on(const json_t *config, json_t *box_json);

#endif
