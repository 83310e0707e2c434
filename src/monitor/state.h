/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_STATE_H
#define MONITOR_STATE_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* state.json: what the monitor knows of its box (docs/protocol.md, section 5). */

#define STATE_WARNINGS_MAX 16

enum state_phase {
        STATE_STARTING,
        STATE_RUNNING,
        STATE_PAUSED,
        STATE_STOPPING,
        STATE_RESTARTING, /* it ended, and is started again in a moment */
        STATE_EXITED,
        STATE_FAILED
};

struct state {
        int dir_fd;
        enum state_phase phase;
        int64_t pid; /* init's, in the guest; 0: not yet */
        int64_t started_ns, finished_ns;
        int exit_code; /* -1: not yet */
        bool oom_killed;
        bool stopped; /* the end was somebody's wish: `stop` or `kill` */
        int64_t restarts;
        const char *stage; /* NULL: nothing failed */
        char error[ERROR_TEXT_MAX];
        char jail_lacks[256]; /* what the machine's jail is without, in words; "" for nothing */
        json_t *warnings;     /* array */
        json_t *ports;        /* array, or NULL */
        json_t *health;       /* health.h's, or NULL */
        json_t *monitor;      /* {"pid", "start_time", "boot_id"} */
};

/* dir_fd is borrowed. */
int state_init(struct state *state, int dir_fd, struct error *err);
void state_done(struct state *state);

/* The same box is started again. How the last run ended is told until the next one runs. */
void state_restart(struct state *state);
/* Init runs, from now on. */
void state_run(struct state *state, int64_t pid);

/* Adds a warning; the same one twice, and more than STATE_WARNINGS_MAX, are dropped. Writes nothing. */
void state_warn(struct state *state, const char *text);

/* Replaces the file. final: it is on the disk when this returns. */
int state_write(const struct state *state, bool final, struct error *err);

const char *state_phase_name(enum state_phase phase);

#endif
