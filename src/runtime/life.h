/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_LIFE_H
#define RUNTIME_LIFE_H

/*
 * Whether a box lives, and how it last ended: the flock on boxes/<id>/lock, and state.json beside it. Nothing
 * here talks to a monitor, so nothing here can hang.
 */
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>

/* Makes the lock file of a new box. */
int life_create(int box_fd, struct error *err);

/*
 * Takes the lock: 0 with the descriptor (close-on-exec), -EBUSY when the box lives or is being started,
 * -ENOENT when the box is being removed or gone.
 */
int life_take(int box_fd, int *ret_lock_fd, struct error *err);

/* Whether the lock is held: 1, 0, or -errno when that cannot be told. */
int life_look(int box_fd, struct error *err);
/* The same where a box that may be held is treated as one that is. */
bool life_is_held(int box_fd);

/*
 * Work on a stopped box's files runs its machine for a while, whose state.json is not the box's. Meanwhile
 * the box's own lies beside it under this name, and counts whenever the lock is free. Both are called with
 * the lock held.
 */
#define LIFE_KEPT_NAME "state.kept.json"
int life_keep(int box_fd, struct error *err);
int life_restore(int box_fd, struct error *err);

enum life { LIFE_CREATED, LIFE_RUNNING, LIFE_PAUSED, LIFE_RESTARTING, LIFE_EXITED, LIFE_DEAD };
const char *life_name(enum life life);
/* Whether its monitor is at work: running, paused, or about to be restarted. */
bool life_is_up(enum life life);

/* What is known: the state, and state.json (NULL if there is none, or it cannot be read). error: 0, or -errno
 * when not all could be looked at; then the rest is what is likely. */
struct life_report {
        enum life life;
        int error;
        int exit_code; /* of the last run when LIFE_EXITED or LIFE_RESTARTING, 137 when LIFE_DEAD, else -1 */
        const char *why; /* for a person, when it ended in a way that nobody could write down; else NULL */
        json_t *state;
};
void life_read(int box_fd, bool was_started, struct life_report *ret_report);
/* Whether something in the box can be asked of it now: -EBUSY with what to do when it is paused or about to
 * be restarted. The lock is to be held. */
int life_check_answers(int box_fd, struct error *err);
void life_report_done(struct life_report *report);
#define cleanup_life_report __attribute__((cleanup(life_report_done)))

#endif
