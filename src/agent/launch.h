/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_LAUNCH_H
#define AGENT_LAUNCH_H

#include "agent/agent.h"

#include <sys/types.h>

/* A child that is on its way to exec(2). All descriptors are the caller's and nonblocking. */
struct launched {
        pid_t pid;
        int pidfd;
        int status_fd;
        int stdio[3]; /* our ends of the pipes; -1 where there is none */
};

struct launch_options {
        const struct task_plan *task;
        bool is_init;
        bool with_stdin;  /* else /dev/null */
        bool with_output; /* else /dev/null */
        int cgroup_fd;    /* where the child is born */
        int leaf_fd;      /* cgroup.procs of a cgroup to move to once the namespace is made, or -1 */
        int init_pidfd;   /* the container to join, -1 for its init */
};

int launch(struct agent *agent, const struct launch_options *options, struct launched *ret_launched,
           struct error *err);

#endif
