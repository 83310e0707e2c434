/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_DEVICE_FILTER_H
#define AGENT_DEVICE_FILTER_H

#include "agent/spec.h"

#include <linux/bpf.h>

#define DEVICE_FILTER_MAX 4096 /* instructions */

/*
 * A program for cgroup v2 that lets the container open the devices every container has, those its plan makes,
 * and what the plan's rules say, the last rule first; nothing else. Making device files is allowed, opening
 * them is what counts. Pure. Returns the number of instructions, or -ENOSPC.
 */
int device_filter_compile(const struct container_plan *plan, struct bpf_insn *ret_code, size_t maximum);

/* Compiles it and attaches it to the cgroup. */
int device_filter_attach(int cgroup_fd, const struct container_plan *plan, struct error *err);

#endif
