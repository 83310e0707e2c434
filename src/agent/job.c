/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work connections and the processes they ask for.
 *
 *     ASKING -> LAUNCHING     [start_or_exec]   a good request; the child is forked
 *     ASKING -> WAITING       [start]           for init, and the machine is still being set up
 *     WAITING -> LAUNCHING    [job_start_waiting]
 *     ASKING, WAITING -> OVER [refuse]          a bad one: ERROR
 *     LAUNCHING -> RUNNING    [launched]        exec(2) succeeded: REPLY
 *     LAUNCHING -> OVER       [launched]        it did not, and the child is reaped: ERROR
 *     ASKING -> FORWARDING    [forward_begin]   a connection to a socket of the container (forward.c)
 *     FORWARDING -> OVER      [job_forward_over, job_transfer_over]
 *     ASKING -> FORWARDING    [transfer_begin]  files or a report (transfer.c)
 *     ASKING -> FREEZING      [freeze_begin]    the disk held still (freeze.c)
 *     FREEZING -> OVER        [job_freeze_over]
 *     RUNNING -> OVER         [job_progress]    reaped, and what it had written is sent: EXIT
 *
 * A job is freed when it is OVER and the host has left (or when it left before asking). A host that leaves
 * earlier ends an exec that is not detached: its whole cgroup is killed.
 *
 * Hostile: frames come from the host, output from the container. Neither can do more than end its own
 * connection.
 */
#include "agent/job.h"

#include "agent/cgroup.h"
#include "agent/child.h"
#include "agent/device_filter.h"
#include "agent/forward.h"
#include "agent/freeze.h"
#include "agent/leaf.h"
#include "agent/procstat.h"
#include "agent/transfer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#define JOBS_MAX       1024
#define TIMEOUT_MAX_MS (INT64_C(366) * 86400 * 1000)

static void job_free(struct job *job)
{
        struct agent *agent = job->agent;
        for (struct job **p = &agent->jobs; *p != NULL; p = &(*p)->next) {
                if (*p == job) {
                        *p = job->next;
                        agent->job_count--;
                        break;
                }
        }
        if (agent->init == job)
                return; /* execs look at it for ever: it goes with the agent */
        if (agent->waiting == job)
                agent->waiting = NULL;
        job_streams_done(job);
        forward_free(job->forward);
        if (job->freeze != NULL)
                freeze_host_left(job);
        transfer_free(job->transfer);
        channel_free(job->channel);
        json_decref(job->request);
        close_fd(&job->leaf_fd);
        source_free(job->status_source);
        source_free(job->timer);
        close_fd(&job->status_fd);
        close_fd(&job->pidfd);
        close_fd(&job->cgroup_fd);
        free(job);
}

/* To be the last thing a callback does with the job. */
static void free_if_done(struct job *job)
{
        if (job->state == JOB_OVER && job->channel == NULL)
                job_free(job);
}

static void release_cgroup(struct job *job)
{
        if (job->cgroup_fd >= 0)
                leaf_release(job->agent, job->cgroup_name, take_fd(&job->cgroup_fd));
}

void job_kill(struct job *job)
{
        int r = 0;
        if (job->is_init)
                r = cgroup_kill(job->agent->box_fd);
        else if (job->cgroup_fd >= 0)
                r = cgroup_kill(job->cgroup_fd);
        if (r < 0) {
                log_error("kill a cgroup: %s", strerror(-r));
                if (job->pidfd >= 0 && !job->reaped)
                        (void)process_signal(job->pidfd, SIGKILL); /* the least that can be done */
        }
}

/* ---- the end ---- */

static int64_t oom_kills(const struct job *job)
{
        int64_t count;
        return cgroup_read(job->agent->box_fd, "memory.events", "oom_kill", &count) < 0 ? 0 : count;
}

/* The end of a pid namespace's init kills the others, and it is not over before they are reaped: while it
 * waits for that it can be told by its flags only. */
static bool init_is_over(const struct agent *agent)
{
        return agent->init == NULL || agent->init->reaped || procstat_is_exiting(agent->init->pid);
}

static void send_exit(struct job *job)
{
        struct frame_exit payload = {0};
        if (WIFSIGNALED(job->wait_status))
                payload.signal = (uint8_t)WTERMSIG(job->wait_status);
        else
                payload.code = (uint8_t)WEXITSTATUS(job->wait_status);
        if (job->timed_out)
                payload.flags |= FRAME_EXIT_TIMED_OUT;
        if (oom_kills(job) > job->oom_before)
                payload.flags |= FRAME_EXIT_OUT_OF_MEM;
        if (payload.signal == SIGKILL && !job->is_init && init_is_over(job->agent))
                payload.flags |= FRAME_EXIT_WITH_INIT;
        if (job->channel == NULL)
                return;
        (void)channel_send(job->channel, FRAME_EXIT, &payload, sizeof(payload));
        channel_finish(job->channel);
}

/* What went wrong before exec(2), so that only the command's own faults are told as 126 and 127. */
static void send_failure(struct job *job, const struct error *failure, bool of_command)
{
        struct error err = *failure;
        if (!of_command && (err.code == -ENOENT || err.code == -EACCES || err.code == -ENOEXEC))
                err.code = -EINVAL;
        if (job->channel == NULL)
                return;
        (void)channel_send_error(job->channel, &err);
        channel_finish(job->channel);
}

static void over(struct job *job)
{
        job->state = JOB_OVER;
        source_free(job->timer);
        job->timer = NULL;
        job_streams_done(job);
        release_cgroup(job);
        if (job->channel == NULL)
                free_if_done(job);
        else
                channel_pause(job->channel, false); /* its end is to be seen; this may free the job */
}

void job_forward_over(struct job *job)
{
        forward_free(job->forward);
        job->forward = NULL;
        over(job);
}

void job_freeze_over(struct job *job)
{
        over(job);
}

void job_transfer_over(struct job *job)
{
        transfer_free(job->transfer);
        job->transfer = NULL;
        over(job);
}

void job_end_transfers(struct agent *agent)
{
        struct job *next;
        for (struct job *job = agent->jobs; job != NULL; job = next) {
                next = job->next; /* ending one may free it, and no other */
                if (job->transfer != NULL)
                        transfer_stop(job->transfer);
        }
}

void job_progress(struct job *job)
{
        if (job->state != JOB_RUNNING || !job->reaped || !job_outputs_ended(job))
                return;
        send_exit(job);
        over(job);
}

void job_disconnected(struct job *job)
{
        if (job->channel == NULL)
                return;
        channel_free(job->channel);
        job->channel = NULL;
        if (job->forward != NULL) {
                forward_closed(job->forward);
                return;
        }
        if (job->freeze != NULL) {
                freeze_host_left(job);
                job->state = JOB_OVER;
        }
        if (job->transfer != NULL) {
                transfer_closed(job->transfer);
                return;
        }
        if ((job->state == JOB_LAUNCHING || job->state == JOB_RUNNING) && !job->is_init && !job->detached)
                job_kill(job);
        if (job->state == JOB_ASKING || job->state == JOB_WAITING) {
                job->state = JOB_OVER;
        } else if (job->state == JOB_RUNNING) {
                job_outputs_resume(job); /* to nowhere, so that what goes on does not block */
                job_progress(job);
                return;
        }
        free_if_done(job);
}

/* ---- the beginning ---- */

static void on_timeout(struct source *s, void *data)
{
        struct job *job = data;
        (void)s;
        if (job->reaped)
                return;
        job->timed_out = true;
        job_kill(job);
}

static int watch_time(struct job *job)
{
        if (job->timeout_ms == 0)
                return 0;
        int r = loop_add_timer(job->agent->loop, on_timeout, job, &job->timer);
        return r < 0 ? r : source_arm(job->timer, job->timeout_ms);
}

static void begin_running(struct job *job)
{
        job->state = JOB_RUNNING;
        if (watch_time(job) < 0)
                log_error("set a time limit: out of memory");
        if (job->channel != NULL) {
                cleanup_json json_t *reply = json_pack("{s:i}", "pid", (int)job->inner_pid);
                if (reply == NULL || channel_send_json(job->channel, FRAME_REPLY, reply) < 0)
                        log_error("reply to a request: out of memory");
        }
        (void)job_streams_watch(job);
        if (job->reaped) {
                job_outputs_bound(job);
                job_progress(job);
        } else if (job->channel != NULL) {
                channel_pause(job->channel, false); /* this may free the job */
        }
}

/* The status socket has ended: either exec(2) succeeded or the child is gone, or both. */
static void launched(struct job *job)
{
        source_free(job->status_source);
        job->status_source = NULL;
        close_fd(&job->status_fd);
        if (job->ready && !job->failed) {
                begin_running(job);
                return;
        }
        if (!job->reaped)
                return; /* it is exiting: job_reaped() comes back here */
        if (!job->failed)
                (void)error_set(&job->failure, -EIO,
                                "start '%s': it ended with status 0x%x while it was set up",
                                job->is_init ? "init" : "exec", (unsigned)job->wait_status);
        if (!job->is_init && init_is_over(job->agent))
                (void)error_set(&job->failure, -ESRCH, "exec: the container has just ended");
        send_failure(job, &job->failure, job->failed && job->ready);
        over(job);
}

static void take_status(struct job *job, const struct child_status *status, int fd)
{
        cleanup_fd int owned = fd;
        int r = 0;
        switch (status->kind) {
        case CHILD_PID:
                job->inner_pid = status->value;
                break;
        case CHILD_TERMINAL:
                r = owned >= 0 ? job_take_terminal(job, take_fd(&owned)) : -EBADMSG;
                break;
        case CHILD_READY:
                job->ready = true;
                break;
        case CHILD_FAILED:
        case CHILD_EXEC_FAILED:
                job->failed = true;
                job->ready = status->kind == CHILD_EXEC_FAILED;
                (void)error_set(&job->failure, status->value, "%s", status->text);
                break;
        default:
                break;
        }
        if (r < 0 && !job->failed) {
                job->failed = true;
                (void)error_errno(&job->failure, r, "take the terminal");
                job_kill(job);
        }
}

static void on_status(struct source *s, int socket, uint32_t events, void *data)
{
        struct job *job = data;
        (void)s;
        (void)events;
        for (;;) {
                struct child_status status = {0};
                int fd = -1;
                size_t count = 0;
                ssize_t n = fd_receive(socket, &status, sizeof(status), &fd, 1, &count);
                if (n == -EAGAIN)
                        return;
                if (n <= 0)
                        break;
                status.text[sizeof(status.text) - 1] = '\0';
                take_status(job, &status, count > 0 ? fd : -1);
        }
        launched(job);
}

static int launch_job(struct job *job, const struct task_plan *task, int leaf_fd, struct error *err)
{
        struct agent *agent = job->agent;
        struct launched child;
        struct launch_options options = {
            .task = task,
            .is_init = job->is_init,
            .with_stdin = job->with_stdin,
            .with_output = !job->detached,
            .cgroup_fd = job->is_init ? agent->box_fd : job->cgroup_fd,
            .leaf_fd = leaf_fd,
            .init_pidfd = job->is_init ? -1 : agent->init->pidfd,
        };
        job->terminal = task->terminal;
        job->oom_before = oom_kills(job);
        int r = launch(agent, &options, &child, err);
        if (r < 0)
                return r;
        job->pid = child.pid;
        job->pidfd = child.pidfd;
        job->status_fd = child.status_fd;
        job->state = JOB_LAUNCHING;
        (void)job_streams_begin(job, &child);
        channel_pause(job->channel, true); /* input is for what is executed: it waits until then */
        r = loop_add_io(agent->loop, job->status_fd, EPOLLIN, on_status, job, &job->status_source);
        if (r < 0) {
                job_kill(job);
                job->failed = true; /* told when it is reaped */
                (void)error_errno(&job->failure, r, "watch a new process");
        }
        return 0;
}

/* The cgroup of the container, and below it that of its init when the container has the rest for itself. */
static int make_box(struct agent *agent, int *ret_leaf_fd, struct error *err)
{
        int r = cgroup_make(agent->cgroup_root_fd, agent->container->cgroup, &agent->box_fd, err);
        if (r == 0)
                r = cgroup_apply(agent->box_fd, &agent->container->resources, err);
        if (r == 0)
                r = device_filter_attach(agent->box_fd, agent->container, err);
        if (r < 0 || !agent->container->delegate_cgroup)
                return r;
        cleanup_fd int leaf = -1;
        r = cgroup_make(agent->box_fd, "init", &leaf, err);
        if (r < 0)
                return r;
        *ret_leaf_fd = openat(leaf, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        return *ret_leaf_fd < 0 ? error_errno(err, -errno, "open the cgroup for init") : 0;
}

/* A request that came to nothing. To be the last thing a callback does with the job. */
static void refuse(struct job *job, const struct error *refusal)
{
        send_failure(job, refusal, false);
        over(job);
}

static void forget_container(struct agent *agent)
{
        container_plan_free(agent->container);
        agent->container = NULL;
        close_fd(&agent->box_fd);
}

/* What needs cgroups only. */
static int prepare_start(struct job *job, struct error *err)
{
        struct agent *agent = job->agent;
        cleanup_json json_t *request = job->request;
        job->request = NULL;
        int r = spec_parse(json_object_get(request, "spec"), &agent->container, err);
        if (r < 0)
                return r;
        agent->container->readonly_root = agent->container->readonly_root || agent->readonly_root;
        r = make_box(agent, &job->leaf_fd, err);
        if (r < 0)
                forget_container(agent);
        return r;
}

/* What needs the root. */
static int launch_init(struct job *job, struct error *err)
{
        struct agent *agent = job->agent;
        cleanup_fd int leaf_fd = take_fd(&job->leaf_fd);
        job->is_init = true;
        int r = launch_job(job, &agent->container->task, leaf_fd, err);
        if (r == 0) {
                agent->init = job;
        } else {
                job->is_init = false;
                forget_container(agent);
        }
        return r;
}

static int start_as_far_as_possible(struct job *job, struct error *err)
{
        struct agent *agent = job->agent;
        int r = job->request != NULL && agent->asked_to_boot ? prepare_start(job, err) : 0;
        if (r == 0 && agent->booted)
                r = launch_init(job, err);
        return r;
}

static int start(struct job *job, json_t *request, struct error *err)
{
        struct agent *agent = job->agent;
        if (agent->container != NULL || agent->waiting != NULL)
                return error_set(err, -EALREADY, "start: the container was started before");
        job->request = json_incref(request);
        int r = start_as_far_as_possible(job, err);
        if (r == 0 && !agent->booted) {
                job->state = JOB_WAITING;
                agent->waiting = job;
                channel_pause(job->channel, true); /* what follows is for what will run */
        }
        return r;
}

void job_start_waiting(struct agent *agent)
{
        struct job *job = agent->waiting;
        struct error refusal = ERROR_INIT;
        if (job == NULL || agent->stopping)
                return;
        if (agent->booted)
                agent->waiting = NULL;
        if (start_as_far_as_possible(job, &refusal) < 0) {
                agent->waiting = NULL;
                refuse(job, &refusal);
        }
}

static int exec(struct job *job, const json_t *request, struct error *err)
{
        struct agent *agent = job->agent;
        struct task_plan task;
        if (agent->init == NULL || agent->init->state != JOB_RUNNING || agent->init->reaped)
                return error_set(err, -ESRCH, "exec: the container is not running");
        int r = json_get_bool_or(request, "detached", false, &job->detached, err);
        if (r == 0)
                r = json_get_integer_or(request, "timeout_ms", 0, TIMEOUT_MAX_MS, 0, &job->timeout_ms, err);
        if (r == 0)
                r = spec_parse_exec(json_object_get(request, "process"), &agent->container->task, &task, err);
        if (r < 0)
                return r;
        (void)snprintf(job->cgroup_name, sizeof(job->cgroup_name), "exec-%llu",
                       (unsigned long long)++agent->next_exec); /* 25 characters at most */
        r = cgroup_make(agent->box_fd, job->cgroup_name, &job->cgroup_fd, err);
        if (r == 0)
                r = launch_job(job, &task, -1, err);
        task_plan_done(&task);
        if (r < 0)
                release_cgroup(job);
        return r < 0 && init_is_over(agent) ? error_set(err, -ESRCH, "exec: the container has just ended")
                                            : r;
}

static int start_or_exec(struct job *job, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *request = NULL;
        const char *op;
        int r = json_parse((const char *)frame->payload, frame->size, "request", &request, err);
        if (r == 0)
                r = json_get_string(request, "op", &op, err);
        if (r == 0)
                r = json_get_bool_or(request, "stdin", false, &job->with_stdin, err);
        if (r < 0)
                return r;
        if (job->agent->stopping)
                return error_set(err, -ESHUTDOWN, "%s: the machine is being stopped", op);
        if (strcmp(op, "start") == 0)
                return start(job, request, err);
        if (strcmp(op, "exec") == 0)
                return exec(job, request, err);
        if (strcmp(op, "connect") == 0)
                return forward_begin(job, request, err);
        if (strcmp(op, "freeze") == 0)
                return freeze_begin(job, request, err);
        if (transfer_knows(op))
                return transfer_begin(job, op, request, err);
        return error_set(err, -EOPNOTSUPP, "unknown request '%.64s'", op);
}

/* ---- frames ---- */

static int on_control_frame(struct job *job, const struct frame *frame, struct error *err)
{
        uint16_t rows, columns;
        int number, r;
        if (frame->type == FRAME_RESIZE) {
                r = frame_resize_read(frame, &rows, &columns);
                if (r < 0)
                        return error_set(err, r, "read a window size");
                (void)job_resize(job, rows, columns); /* a terminal that is gone has no size */
                return 0;
        }
        r = frame_signal_read(frame, &number);
        if (r < 0)
                return error_set(err, r, "read a signal");
        if (job->pidfd >= 0 && !job->reaped)
                (void)process_signal(job->pidfd, number); /* it may have just ended */
        return 0;
}

/* The polite way to end init. A pid namespace's init is not reached by signals it does not listen to: then
 * there is nothing to wait for. */
static int end_politely(struct job *job, const json_t *request, struct error *err)
{
        int64_t number;
        int r = json_get_integer_or(request, "signal", 1, 64, SIGTERM, &number, err);
        if (r < 0 || job->pidfd < 0 || job->reaped)
                return r;
        bool deaf = job->is_init && job->agent->container->namespaces & CLONE_NEWPID &&
                    !procstat_listens(job->pid, (int)number);
        if (deaf)
                job_kill(job);
        else
                (void)process_signal(job->pidfd, (int)number); /* it may have just ended */
        return 0;
}

/* "detach": the host lets go of an exec: it goes on, its output to nowhere, when the connection ends.
 * "end": see above. */
static int on_later_request(struct job *job, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *request = NULL;
        cleanup_json json_t *reply = json_object();
        const char *op;
        int r = json_parse((const char *)frame->payload, frame->size, "request", &request, err);
        if (r == 0)
                r = json_get_string(request, "op", &op, err);
        if (r < 0)
                return r;
        if (strcmp(op, "detach") == 0)
                job->detached = true;
        else if (strcmp(op, "end") == 0)
                r = end_politely(job, request, err);
        else
                r = error_set(err, -EOPNOTSUPP, "unknown request '%.64s'", op);
        if (r < 0)
                return r;
        if (reply == NULL || channel_send_json(job->channel, FRAME_REPLY, reply) < 0)
                return error_set(err, -ENOMEM, "answer: out of memory");
        return 0;
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct job *job = data;
        (void)channel;
        if (job->state == JOB_ASKING && frame->type == FRAME_REQUEST) {
                struct error refusal = ERROR_INIT;
                if (start_or_exec(job, frame, &refusal) < 0) {
                        send_failure(job, &refusal, false);
                        job->state = JOB_OVER;
                }
                return 0;
        }
        if (job->forward != NULL)
                return forward_frame(job->forward, frame, err);
        if (job->freeze != NULL)
                return freeze_frame(job, frame, err);
        if (job->transfer != NULL)
                return transfer_frame(job->transfer, frame, err);
        if (job->state == JOB_OVER)
                return 0; /* it crossed with EXIT on the way */
        if (job->state != JOB_ASKING && frame->type == FRAME_REQUEST)
                return on_later_request(job, frame, err);
        if (job->state != JOB_ASKING && frame->type == FRAME_STDIN)
                return job_stdin(job, frame);
        if (job->state != JOB_ASKING && (frame->type == FRAME_RESIZE || frame->type == FRAME_SIGNAL))
                return on_control_frame(job, frame, err);
        return error_set(err, -EPROTO, "a frame of type %d is out of place", (int)frame->type);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        (void)channel;
        if (err->code != 0)
                log_debug("work connection: %s", err->text);
        job_disconnected(data);
}

static void on_drained(struct channel *channel, void *data)
{
        struct job *job = data;
        (void)channel;
        if (job->forward != NULL) {
                forward_drained(job->forward); /* this may free the job */
                return;
        }
        if (job->transfer != NULL) {
                transfer_drained(job->transfer); /* the same */
                return;
        }
        if (job->state != JOB_RUNNING)
                return;
        if (job->reaped)
                job_outputs_bound(job);
        job_outputs_resume(job);
        job_progress(job);
}

static const struct channel_ops ops = {.frame = on_frame, .closed = on_closed, .drained = on_drained};

int job_new(struct agent *agent, int fd)
{
        cleanup_fd int owned = fd;
        if (agent->job_count >= JOBS_MAX)
                return -EMFILE;
        struct job *job = calloc(1, sizeof(*job));
        if (job == NULL)
                return -ENOMEM;
        *job = (struct job){.agent = agent,
                            .connection_fd = fd,
                            .leaf_fd = -1,
                            .pidfd = -1,
                            .status_fd = -1,
                            .cgroup_fd = -1,
                            .stdin_fd = -1,
                            .hangup_fd = -1};
        for (size_t i = 0; i < 2; i++)
                job->outputs[i] = (struct output){.job = job, .fd = -1, .ended = true, .left = -1};
        int r = channel_new(agent->loop, take_fd(&owned), NULL, &ops, job, &job->channel);
        if (r < 0) {
                free(job);
                return r;
        }
        job->next = agent->jobs;
        agent->jobs = job;
        agent->job_count++;
        return 0;
}

void job_reaped(struct agent *agent, pid_t pid, int status)
{
        struct job *job = agent->jobs;
        while (job != NULL && (job->pid != pid || job->reaped))
                job = job->next;
        if (job == NULL)
                return;
        job->reaped = true;
        job->wait_status = status;
        if (job->is_init)
                (void)cgroup_kill(agent->box_fd); /* what has no pid namespace of its own ends as well */
        if (job->state == JOB_LAUNCHING) {
                if (job->status_source != NULL)
                        on_status(NULL, job->status_fd, 0, job);
                else
                        launched(job);
        } else if (job->state == JOB_RUNNING) {
                job_outputs_bound(job);
                job_progress(job);
        }
}

void job_free_all(struct agent *agent)
{
        struct job *init = agent->init;
        agent->init = NULL;
        bool listed = false;
        while (agent->jobs != NULL) {
                listed = listed || agent->jobs == init;
                job_free(agent->jobs);
        }
        if (init != NULL && !listed)
                job_free(init);
}
