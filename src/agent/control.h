/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "agent/agent.h"

/* Takes the connection to the monitor. */
int control_begin(struct agent *agent, int fd, struct error *err);

/* Says that all is written and unmounted; the loop is quit when the host has heard it. */
void control_halted(struct agent *agent);

/* Answers the boot request: err->code is 0, or says what failed and stage where. */
void control_booted(struct agent *agent, const struct error *err, const char *stage);

#endif
