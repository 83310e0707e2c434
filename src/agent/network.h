/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_NETWORK_H
#define AGENT_NETWORK_H

#include "agent/boot_plan.h"

int network_raise_loopback(struct error *err);

/* Loopback's further address, and the interface with the plan's hardware address (or eth0) if the plan has a
 * network. */
int network_set_up(const struct boot_plan *plan, struct error *err);

#endif
