/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "agent/resources.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * cgroup v2, addressed by folder descriptors:
 *
 *     /            every controller is enabled for what lies below; no process
 *     /agent       the agent, and nothing else ever
 *     /box         the container (its cgroup namespace's root); limits are here
 *     /box/init    its init, only if the container may make cgroups of its own (delegation)
 *     /box/exec-N  one exec each, so that all of it can be killed at once
 */

/* Opens the mounted hierarchy, moves this process to /agent and enables the controllers. */
int cgroup_begin(const char *folder, int *ret_root_fd, struct error *err);

/* Makes path (relative, several components are fine) with the controllers enabled on the way down. */
int cgroup_make(int parent_fd, const char *path, int *ret_fd, struct error *err);

/* Enables every controller there is for the children of fd. */
int cgroup_delegate(int fd, struct error *err);

int cgroup_apply(int fd, const struct resources *resources, struct error *err);

/* Ends every process in it and below, however fast they fork. */
int cgroup_kill(int fd);

/* Whether a process is in it or below; true if that cannot be known. */
bool cgroup_populated(int fd);

/* Reads a number from a file; key names the line ("oom_kill" in memory.events), NULL: the file is the number.
 * "max" is -1. Returns -ENOENT without that file or line. */
int cgroup_read(int fd, const char *file, const char *key, int64_t *ret_value);

#endif
