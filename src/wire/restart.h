/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_RESTART_H
#define WIRE_RESTART_H

#include "base/error.h"
#include "base/json.h"

#include <stdint.h>

/* A box's restart policy: as people write it ("on-failure:3"), and as the member "restart" of box.json and of
 * the record. Pure. */

enum restart_kind { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_UNLESS_STOPPED };

struct restart_policy {
        enum restart_kind kind;
        int64_t maximum; /* on-failure: how many restarts; 0: any number */
};

/* "no" (also "" and NULL), "on-failure[:N]", "always", "unless-stopped". */
int restart_parse(const char *text, struct restart_policy *ret_policy, struct error *err);

/* {"policy": "on-failure", "maximum": 3}; NULL and null are "no". */
int restart_read(const json_t *json, struct restart_policy *ret_policy, struct error *err);
json_t *restart_describe(const struct restart_policy *policy);

const char *restart_name(enum restart_kind kind);

#endif
