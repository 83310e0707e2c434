/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_MACHINE_H
#define RUNTIME_MACHINE_H

#include "runtime/runtime.h"

/* A box's machine for the time of one piece of work in its files: the one that runs, or one for that only. */
struct machine {
        int box_fd;
        struct boxlet_process *process; /* of a machine of ours; NULL: it was running */
        int turn_fd;                    /* the lock of those who have a machine of their own, or -1 */
};

int machine_begin(struct boxlet_box *box, struct machine *ret_machine, struct error *err);

/* Ends a machine of ours. What was written into it is on its disk only if this succeeds. */
int machine_end(struct machine *machine, struct error *err);

/* For the journal of events; key NULL: nothing more than which box. */
void machine_tell(struct boxlet_box *box, const char *action, const char *key, const char *value);

/* The folder of a box that runs; -ESRCH of one that does not. */
int machine_open_running(struct boxlet_box *box, int *ret_box_fd, struct error *err);

#endif
