/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include "agent/agent.h"
#include "agent/launch.h"

/* One output of a process on its way to the host. */
struct output {
        struct job *job;
        int fd;
        struct source *source; /* NULL while the host is behind */
        enum frame_type type;
        bool ended;
        int64_t left; /* bytes still to be passed on once the process has ended; -1: no bound yet */
};

enum job_state {
        JOB_ASKING,
        JOB_WAITING,
        JOB_LAUNCHING,
        JOB_RUNNING,
        JOB_FORWARDING,
        JOB_FREEZING,
        JOB_OVER
};

/*
 * One work connection and its process; see job.c for the states. Lives until both are gone.
 */
struct job {
        struct agent *agent;
        struct job *next;
        enum job_state state;
        struct channel *channel; /* NULL once the host has left */
        int connection_fd; /* the channel's; a number to watch for its end while the channel is paused */

        json_t *request; /* a start that waits for the machine; NULL when it waits for the root only */
        int leaf_fd;     /* for launch(), while waiting */

        bool is_init, detached, terminal, with_stdin;
        pid_t pid, inner_pid; /* inner: in the container */
        int pidfd, status_fd;
        struct source *status_source;
        bool ready, failed, reaped, timed_out;
        struct error failure;
        int wait_status;
        int64_t oom_before;
        int64_t timeout_ms;
        struct source *timer;

        struct forward *forward;   /* a connection to a socket instead of a process */
        struct freeze *freeze;     /* the disk held still instead of a process */
        struct transfer *transfer; /* files or a report instead of a process */

        int cgroup_fd; /* an exec's own; init: -1, its is agent->box_fd */
        char cgroup_name[32];

        struct output outputs[2];
        int stdin_fd;
        struct source *stdin_source;
        struct buffer stdin_pending;
        bool stdin_ended;
        int hangup_fd;
        struct source *hangup_source;
};

/* Takes a connection (fd is taken, also on failure). */
int job_new(struct agent *agent, int fd);

/* A child of the agent was reaped. Unknown ones are orphans: nothing is left to do. */
void job_reaped(struct agent *agent, pid_t pid, int status);

/* The machine, or its root, is set up: takes a start that waits for it as far as it goes now. */
void job_start_waiting(struct agent *agent);

/* The forward of a job has come to its end: frees it, and the job if the host has left. */
void job_forward_over(struct job *job);

/* The same for a freeze, which is freed already. */
void job_freeze_over(struct job *job);

/* The same of a transfer. */
void job_transfer_over(struct job *job);

/* The box is being stopped: what works in its files ends, so that its disk can be left clean. */
void job_end_transfers(struct agent *agent);

/* Ends every process of the job. */
void job_kill(struct job *job);

/* The streams: job_streams.c. */
int job_streams_begin(struct job *job, const struct launched *launched);
int job_take_terminal(struct job *job, int master);
int job_streams_watch(struct job *job);
int job_stdin(struct job *job, const struct frame *frame);
void job_stdin_hang_up(struct job *job);
void job_outputs_resume(struct job *job);
/* The process has ended: pass on what is there, then no more. */
void job_outputs_bound(struct job *job);
bool job_outputs_ended(const struct job *job);
void job_streams_done(struct job *job);
int job_resize(struct job *job, uint16_t rows, uint16_t columns);

/* Called by the streams when the last output has ended, and when the host has left a paused connection. */
void job_progress(struct job *job);
void job_disconnected(struct job *job);

/* Ends every job, at the end of the agent (tests; the machine is reset otherwise). */
void job_free_all(struct agent *agent);

#endif
