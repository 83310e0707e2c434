/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_IDLE_H
#define MONITOR_IDLE_H

#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a box is idle, for --idle-stop: for the time given, nobody was attached, no connection into it was
 * open beside those that carry its own processes (an exec, a copy, a forwarded socket), nothing was printed
 * by its processes or given to them, no frame passed its network interface, and it was not paused. The
 * monitor's own health checks are nobody.
 *
 * One timer and no polling: it is armed for the moment at which the box may be idle at the earliest, and not
 * armed at all while somebody is there.
 */
struct idle;

/* fn: the box has been idle for limit_ms. */
int idle_new(struct loop *loop, int64_t limit_ms, void (*fn)(void *data), void *data, struct idle **ret_idle);
/* NULL is fine, here and below: then nobody asks. */
void idle_free(struct idle *idle);

/* Init runs; `own` vsock connections are the box's own. Or it does not any more. */
void idle_begin(struct idle *idle, int64_t own);
void idle_end(struct idle *idle);

/* Something passed. */
void idle_touch(struct idle *idle);

/* Who is there. */
void idle_attached(struct idle *idle, int64_t clients);
void idle_connections(struct idle *idle, int64_t count);
void idle_paused(struct idle *idle, bool paused);

/* A health check is about to connect, and is done with its connection: that one is not counted. */
void idle_check_begins(struct idle *idle);
void idle_check_ended(struct idle *idle);

/* The rule by itself. */
struct idle_facts {
        int64_t attached, connections, own;
        bool paused;
        int64_t touched_ms; /* when it was active last, by the clock of now_ms */
};
/* How long until the box may be idle: 0 when it is, -1 when somebody is there. */
int64_t idle_left(const struct idle_facts *facts, int64_t limit_ms, int64_t now_ms);

#endif
