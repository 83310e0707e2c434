/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include "agent/spec.h"

#include <stdint.h>

/* What a fresh child of the agent needs to become a process of the container. */
struct child_plan {
        const struct task_plan *task;
        const struct container_plan *container;
        bool is_init;      /* makes the container; else joins it */
        const char *root;  /* folder that becomes "/" */
        const char *files; /* folder with hosts, hostname, resolv.conf, or NULL */
        int status_fd;     /* seqpacket socket, see struct child_status */
        int stdio[3];      /* -1: /dev/null; with a terminal not used */
        int init_pidfd;    /* of the container to join, or -1 */
        int leaf_fd;       /* cgroup.procs of a cgroup below the container's to move to, or -1 */
        /* Init with leaf_fd: the container's cgroup, whose controllers are enabled then. Exec: its own. */
        int cgroup_fd;
        /* Exec: a seqpacket socket for the pid (int32_t, with a pidfd) of the child that it makes. */
        int birth_fd;
};

/* Status messages, one packet each. The end of the socket after CHILD_READY means that exec(2) succeeded. */
enum child_status_kind {
        CHILD_PID = 1,     /* value: pid in the container */
        CHILD_TERMINAL,    /* with the master as a descriptor */
        CHILD_READY,       /* exec(2) is next */
        CHILD_FAILED,      /* value: negative errno, text: what failed; it was our work */
        CHILD_EXEC_FAILED, /* the same, and it was the command's fault: -ENOENT, -EACCES, -ENOEXEC or others
                            */
};

struct child_status {
        int32_t kind;
        int32_t value;
        char text[ERROR_TEXT_MAX];
};

_Noreturn void child_main(const struct child_plan *plan);

#endif
