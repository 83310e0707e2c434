/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/boot_plan.h"
#include "agent/spec.h"
#include "base/loop.h"
#include "wire/channel.h"

#include <stdbool.h>
#include <stdint.h>

/* What the agent runs in: the guest, or a test. */
struct agent_setup {
        int control_fd; /* connected to the host; taken. Not looked at if there is the next */
        int (*reach_host)(struct error *err); /* gives control_fd, last of all that comes before the host */
        int listen_fd;                        /* where work connections arrive; borrowed */
        bool host_only;                       /* work connections are vsock, and only the host's are taken */
        bool owns_machine;                    /* clock, entropy, network and disks are ours to set up */
        const char *run_folder;               /* "/run/box": root/, files/, disk/, lower/ */
        const char *cgroup_folder;            /* where cgroup v2 is mounted */
        /* Freezes or thaws the file system of RUN/disk; NULL: the real one. */
        int (*freeze_disk)(int disk_fd, bool frozen);
};

struct boot;
struct freeze;
struct job;
struct leaf;
struct names;

/* All there is, owned by the one loop thread. */
struct agent {
        const struct agent_setup *setup;
        struct loop *loop;
        struct channel *control;
        struct source *listen_source, *child_source;
        struct boot *boot;             /* the boot request in work */
        struct names *names;           /* the box's name server, if it has one */
        struct boot_resolver resolver; /* what it works by */
        int cgroup_root_fd;
        bool asked_to_boot;
        bool booted;        /* the container's root is there */
        bool readonly_root; /* by the boot document */
        bool has_disk;      /* the upper layer lies on a disk, which must be left clean */

        struct job *jobs; /* every process asked for, and connection that has not asked yet */
        size_t job_count;
        struct leaf *leaves;   /* cgroups of execs that wait to be empty */
        struct job *init;      /* the container's; NULL before start */
        struct job *waiting;   /* asked for init before the machine was set up */
        struct freeze *freeze; /* the disk is held still, or about to be */
        struct container_plan *container;
        int box_fd; /* cgroup */
        uint64_t next_exec;
        int freezes; /* transfers that want the container to stand still */

        bool stopping;
        bool tell_halted; /* the host is to hear when all is down */
        bool told_halted; /* it has been told, and may close the connection */
        struct source *stop_source, *stop_timer;
        int stop_events_fd;
};

/* Runs until the machine is to be reset; 0 after an orderly end. */
int agent_run(const struct agent_setup *setup, struct error *err);

/* Begins the end: processes, then disks. */
void agent_stop(struct agent *agent, bool tell_halted);

/* Called when a process was reaped or a cgroup changed, while stopping. */
void agent_stop_continue(struct agent *agent);

#endif
