/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_PORTS_H
#define MONITOR_PORTS_H

#include "base/error.h"
#include "base/json.h"
#include "monitor/config.h"

#include <stddef.h>

/* Published ports: what was asked for becomes a plan that passt can carry out. */

/*
 * Checks items (count of them, changed in place): "0.0.0.0" and "::" of one port become any address, the same
 * port twice is refused, every host port must be free, and host port 0 becomes a free one. *ret_count: how
 * many are left. A port that is taken is -EADDRINUSE. Between this and passt's own bind somebody else may
 * take a port; passt says so then.
 */
int ports_plan(struct publish *items, size_t count, size_t *ret_count, struct error *err);

/* As state.json has them; NULL: out of memory. */
json_t *ports_describe(const struct publish *items, size_t count);

/* One item as passt's -t and -u take it. */
#define PORTS_OPTION_MAX (CONFIG_ADDRESS_MAX + 16)
void ports_option(const struct publish *item, char ret_text[PORTS_OPTION_MAX]);

#endif
