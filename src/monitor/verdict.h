/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_VERDICT_H
#define MONITOR_VERDICT_H

#include "base/error.h"
#include "monitor/machine.h"
#include "wire/frame.h"

#include <stdbool.h>

/* Why a machine ended that nobody had asked to end, told apart and put into words. Pure. */

struct verdict_facts {
        const struct machine_end *end;
        const char *engine;
        const char *moment;    /* "before its agent had spoken", ... */
        const char *panic;     /* what the guest's kernel said when it panicked, NULL: it did not */
        const char *suspicion; /* what was odd before, "" for nothing */
        const char *given_up;  /* the stage to blame when we ended it because of that; NULL: we did not */
        bool agent_spoke;
};

/* Fills err; the stage to blame. */
const char *verdict(const struct verdict_facts *facts, struct error *err);

/* That a box ended with its init though a command was its foreground. init NULL: how it ended is not known.
 * ran: the command had begun. */
void verdict_init_ended(const struct frame_exit *init, bool ran, struct error *err);

#endif
