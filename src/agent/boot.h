/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "agent/agent.h"

/* Carries out the boot request; err names the step that failed. */
int boot_carry_out(struct agent *agent, const json_t *request, struct error *err);

#endif
