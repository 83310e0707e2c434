/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC: for deadlines and how long something took. */
int64_t clock_monotonic_ms(void);

/* Nanoseconds since 1970, by the host's clock, which may be set at any time. */
int64_t clock_wall_ns(void);

/* How long poll() may wait for a moment of the wall clock (0: there is none, -1), in milliseconds; an hour at
 * most, then it is to be asked again, because the clock may be set. */
int clock_poll_ms(int64_t wall_ns);

#endif
