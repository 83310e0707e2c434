/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_BACKOFF_H
#define MONITOR_BACKOFF_H

#include "wire/restart.h"

#include <stdint.h>

/*
 * Whether and when a box that ended by itself is started again, as docker decides it: after 100 ms, twice as
 * long after each further end, at most a minute; from the beginning again after a run of 10 s. Pure: who
 * calls has the clock.
 */

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS  60000
#define BACKOFF_GOOD_MS  10000

/* Zeroes to begin with. */
struct backoff {
        int64_t restarts; /* so far */
        int64_t failures; /* ends with another code than 0, since the last one with 0 */
        int64_t delay_ms; /* the last one */
};

/* A run of ran_ms ended with exit_code: how long to wait before the next one (which is counted), or -1: that
 * was the last. */
int64_t backoff_next(struct backoff *backoff, const struct restart_policy *policy, int exit_code,
                     int64_t ran_ms);

#endif
