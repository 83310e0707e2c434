/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_HEALTH_H
#define MONITOR_HEALTH_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "monitor/config.h"

#include <stdbool.h>

/* The health check: a command that is run in the container every so often (docs/protocol.md, section 6). */

struct health;

/* status: "starting", "healthy" or "unhealthy"; NULL when it is the one it was. */
typedef void (*health_changed_fn)(const char *status, void *data);

/* config is borrowed and has a health check; box_fd is borrowed. Nothing happens before health_begin(). */
int health_new(struct loop *loop, int box_fd, const struct config *config, health_changed_fn changed,
               void *data, struct health **ret_health, struct error *err);
/* NULL is fine, for all. */
void health_free(struct health *health);

/* Tells when a check connects to the guest, and when it is done with that. */
void health_watch(struct health *health, void (*checking)(bool begins, void *data));

/* Init runs: what was known of an earlier run is forgotten, the first check follows after its interval. */
void health_begin(struct health *health);

/* No more checks; one that runs is given up, and the agent kills it with all it started. */
void health_end(struct health *health);

/* Checks go on after an end, with what is known so far: the machine was paused. */
void health_resume(struct health *health);

/* {"status", "failing_streak", "log": [{"start_ns", "end_ns", "exit_code", "output"}]}, for state.json; NULL
 * when health is NULL or there is no memory. The reference is the caller's. */
json_t *health_json(const struct health *health);

/* What a check printed as text that any reader of JSON takes: no NUL, UTF-8. Pure; NULL: out of memory. */
json_t *health_text(const char *bytes, size_t size);

#endif
