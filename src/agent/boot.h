/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "agent/agent.h"

/*
 * Begins to carry out the boot request; the end is told by control_booted(). Below 0: err says which step
 * failed, *ret_stage in which part of a start.
 */
int boot_begin(struct agent *agent, const json_t *request, const char **ret_stage, struct error *err);

/* Ends what is still at work. */
void boot_end(struct agent *agent);

#endif
