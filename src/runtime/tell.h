/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_TELL_H
#define RUNTIME_TELL_H

/*
 * What the library does, for the journal of events. An event that cannot be written is lost: nothing fails
 * because of it. What happens to a box while it runs is told by its monitor.
 */
#include "base/json.h"
#include "runtime/runtime.h"

/* What an event says about a box: its image, name and labels. NULL when that cannot be made. */
json_t *tell_attributes(const struct state_box *record);

/* key and value: an attribute, or NULL. */
void tell_box(struct boxlet *b, const struct state_box *record, const char *action, const char *key,
              const char *value);
/* The same with attributes made before, which may be NULL. */
void tell_box_with(struct boxlet *b, const char *id, const json_t *attributes, const char *action,
                   const char *key, const char *value);

/* "exec_start: sh -c true", where args is the command's array. */
void tell_exec(struct boxlet *b, const char *id, const json_t *attributes, const char *action,
               const json_t *args, const char *key, const char *value);

/* "die" of a box whose monitor was killed, by whoever finds it so and takes its lock. */
void tell_dead(struct boxlet *b, const struct state_box *record, int box_fd);

/* id: as docker has it (of a pull, the reference). name NULL: none. */
void tell_image(struct boxlet *b, const char *action, const char *id, const char *name);
/* For each line "Untagged: NAME" and "Deleted: ID" of a report. */
void tell_removed_images(struct boxlet *b, const char *report);
void tell_volume(struct boxlet *b, const char *action, const char *name);

/* "events" of box.json; NULL: out of memory. */
json_t *tell_box_json(const struct boxlet *b, const struct state_box *record);

/* The folder of the journal, made if need be: a descriptor, or -errno. */
int tell_folder(const struct boxlet *b);

#endif
