/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_EVENTS_H
#define MONITOR_EVENTS_H

#include "monitor/config.h"

/* What happens to the box, for the journal of events. An event that cannot be written is lost: nothing waits
 * for it, and nothing fails because of it. */

struct events;

/* NULL when box.json names no journal, or it cannot be opened. config is borrowed. */
struct events *events_new(const struct config *config);
void events_free(struct events *events);

/* action: "start", "die", ... key and value: an attribute, or NULL. events NULL is fine. */
void events_tell(struct events *events, const char *action, const char *key, const char *value);
/* The box has another name from now on. */
void events_rename(struct events *events, const char *name);
void events_tell_number(struct events *events, const char *action, const char *key, int64_t value);

#endif
