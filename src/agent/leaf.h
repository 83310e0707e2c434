/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_LEAF_H
#define AGENT_LEAF_H

#include "agent/agent.h"

/* Removes the cgroup `name` of the container (fd is taken), at once or, if an exec left processes in it that
 * are to live on, when the last of them has ended. */
void leaf_release(struct agent *agent, const char *name, int fd);

void leaf_free_all(struct agent *agent);

#endif
