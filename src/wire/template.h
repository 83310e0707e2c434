/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_TEMPLATE_H
#define WIRE_TEMPLATE_H

/*
 * A template is a machine whose kernel has booted and whose agent is there, with empty slots where the
 * devices of a box will be: boxes start as copies of it. This is what the agent says on the console when it
 * has come so far; nothing of a box, and nothing that must differ from box to box, is in the machine then.
 */
#define TEMPLATE_READY "boxlet-agent: no devices yet: this machine can be copied"

/* Its files, in a folder of its own: the guest's memory, and the state of all else. One without a state is
 * none. */
#define TEMPLATE_MEMORY "memory"
#define TEMPLATE_STATE  "state"

#endif
