/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_HEALTH_H
#define RUNTIME_HEALTH_H

#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"

#include <stdbool.h>

/*
 * The health check of a box: the image's HEALTHCHECK, the options over it, docker's defaults under it. An
 * object for the box's configuration and box.json: test (docker's), args (what is run), interval_ms,
 * timeout_ms, retries, start_period_ms, start_interval_ms. *ret_health is NULL when there is none. Pure.
 */
int health_resolve(const json_t *image_config, const struct boxlet_box_options *options, json_t **ret_health,
                   struct error *err);

/* Whether it is such an object, when it comes from elsewhere. */
bool health_is_good(const json_t *health);

/* "healthy", ... of a state.json; "none" without a check. */
const char *health_status(const json_t *state);

/* State.Health and Config.Healthcheck as docker's inspect has them; NULL: there is none, or no memory. */
json_t *health_state(const json_t *state);
json_t *health_config(const json_t *health);

#endif
