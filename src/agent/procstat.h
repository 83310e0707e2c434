/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_PROCSTAT_H
#define AGENT_PROCSTAT_H

#include <stdbool.h>
#include <sys/types.h>

/* What proc(5) says about a child of the agent that is not reaped. */

/* Whether it has begun to end. False if that cannot be known. */
bool procstat_is_exiting(pid_t pid);

/* Whether a signal would have an effect on a namespace's init: it catches it, or blocks it (and takes it
 * otherwise). True if that cannot be known. */
bool procstat_listens(pid_t pid, int signal);

#endif
