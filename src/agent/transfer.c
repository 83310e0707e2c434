/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read and written in a container's file system may block, and for as long as the container likes (a
 * file system of its own that never answers). So each such request is carried out by a process of its own,
 * which the agent can end at any time; bytes go through a socket pair and a relay (wire/relay.c).
 *
 *     ACCEPTING -> STREAM [on_status]   the work said that the request is good: REPLY, then bytes
 *     ACCEPTING -> (over) [on_done]     it failed before: ERROR
 *     STREAM    -> (over) [settle]      all bytes have gone and the work is done: a second REPLY, or ERROR
 *     any       -> (over) [transfer_closed, transfer_stop]  the host has left, or the box stops: the process
 * is killed
 *
 * The host may trust what it got only after the second REPLY.
 */
#include "agent/transfer.h"

#include "agent/cgroup.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "wire/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define STATUS_MAX 8192
#define FREEZE_MS  5000

struct transfer {
        struct job *job;
        int (*work)(const struct transfer_call *call, struct error *err);
        json_t *request;
        struct worker *worker;
        int data_ours, data_theirs, status_ours, status_theirs;
        struct source *status_source;
        struct relay *relay;
        bool accepted, frozen, relay_over, done;
        struct error result; /* once done */
};

static const struct {
        const char *op;
        int (*work)(const struct transfer_call *call, struct error *err);
} works[] = {
    {"archive", copy_archive}, {"extract", copy_extract},       {"export", copy_export},
    {"changes", changes_tell}, {"processes", report_processes}, {"stats", report_stats},
};

bool transfer_knows(const char *op)
{
        for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
                if (strcmp(works[i].op, op) == 0)
                        return true;
        }
        return false;
}

/* ---- in the work's process ---- */

int transfer_accept(const struct transfer_call *call, json_t *reply, struct error *err)
{
        cleanup_json json_t *owned = reply != NULL ? reply : json_object();
        size_t size = 0;
        cleanup_free char *text = owned == NULL ? NULL : json_print(owned, &size);
        if (text == NULL || size > STATUS_MAX)
                return error_errno(err, -ENOMEM, "answer");
        ssize_t n = fd_send(call->status_fd, text, size, NULL, 0);
        return n < 0 ? error_errno(err, (int)n, "answer") : 0;
}

int transfer_write(void *data, const void *bytes, size_t size, struct error *err)
{
        const struct transfer_call *call = data;
        int r = fd_write_full(call->data_fd, bytes, size);
        return r < 0 ? error_errno(err, r, "send") : 0;
}

int transfer_read(void *data, void *bytes, size_t size, struct error *err)
{
        const struct transfer_call *call = data;
        ssize_t n = fd_read_full(call->data_fd, bytes, size);
        if (n < 0)
                return error_errno(err, (int)n, "receive");
        return (size_t)n < size ? error_set(err, -EPIPE, "the tar ends in the middle") : 0;
}

int transfer_enter(const struct transfer_call *call, int *ret_root_fd, struct error *err)
{
        const struct job *init = call->agent->init;
        char path[PATH_MAX] = "/";
        if (init != NULL && setns(init->pidfd, CLONE_NEWNS) < 0)
                return error_errno(err, -errno, "join the container");
        if (init == NULL)
                (void)snprintf(path, sizeof(path), "%s/root", call->agent->setup->run_folder); /* short */
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "open the box's root");
        *ret_root_fd = fd;
        return 0;
}

/* The freezer works after the write that asks for it; a process that sleeps in the kernel is not waited for.
 */
static void await_frozen(const struct agent *agent)
{
        int64_t frozen = 0;
        cleanup_fd int fd = openat(agent->box_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        while (fd >= 0 && cgroup_read(agent->box_fd, "cgroup.events", "frozen", &frozen) == 0 &&
               frozen == 0) {
                char text[128];
                (void)!pread(fd, text, sizeof(text), 0); /* takes the notice */
                if (cgroup_read(agent->box_fd, "cgroup.events", "frozen", &frozen) == 0 && frozen != 0)
                        return;
                if (poll(&p, 1, FREEZE_MS) <= 0)
                        return;
        }
}

static int carry_out(void *data, struct error *err)
{
        const struct transfer *transfer = data;
        struct transfer_call call = {
            .agent = transfer->job->agent,
            .request = transfer->request,
            .data_fd = transfer->data_theirs,
            .status_fd = transfer->status_theirs,
        };
        (void)umask(0);
        if (transfer->frozen)
                await_frozen(call.agent);
        return transfer->work(&call, err);
}

/* ---- in the agent ---- */

static void set_frozen(struct transfer *transfer, bool frozen)
{
        struct agent *agent = transfer->job->agent;
        if (transfer->frozen == frozen || agent->box_fd < 0)
                return;
        transfer->frozen = frozen;
        agent->freezes += frozen ? 1 : -1;
        cleanup_fd int fd = openat(agent->box_fd, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && agent->freezes == (frozen ? 1 : 0))
                (void)!write(fd, frozen ? "1" : "0", 1); /* a plain switch; without it, things move on */
}

void transfer_free(struct transfer *transfer)
{
        if (transfer == NULL)
                return;
        source_free(transfer->status_source);
        relay_free(transfer->relay);
        worker_free(transfer->worker);
        set_frozen(transfer, false);
        close_fd(&transfer->data_ours);
        close_fd(&transfer->data_theirs);
        close_fd(&transfer->status_ours);
        close_fd(&transfer->status_theirs);
        json_decref(transfer->request);
        free(transfer);
}

/* To be the last thing a function does with the transfer. */
static void settle(struct transfer *transfer)
{
        struct job *job = transfer->job;
        struct error err = transfer->result;
        if (!transfer->done || (transfer->accepted && !transfer->relay_over))
                return;
        if (!transfer->accepted && err.code == 0)
                (void)error_set(&err, -EIO, "carry out a request: no answer was made");
        cleanup_json json_t *reply = json_object();
        if (err.code == 0 && (reply == NULL || channel_send_json(job->channel, FRAME_REPLY, reply) < 0))
                (void)error_errno(&err, -ENOMEM, "answer");
        if (err.code != 0)
                (void)channel_send_error(job->channel, &err); /* else its end says it */
        channel_finish(job->channel);
        job_transfer_over(job);
}

static void on_relay_over(struct relay *relay, void *data)
{
        struct transfer *transfer = data;
        (void)relay;
        transfer->relay_over = true;
        settle(transfer);
}

static const struct relay_ops relay_ops = {on_relay_over};

static int begin_stream(struct transfer *transfer, const char *reply, size_t size)
{
        struct job *job = transfer->job;
        transfer->accepted = true;
        int r = channel_send(job->channel, FRAME_REPLY, reply, size);
        return r < 0 ? r
                     : relay_new(job->agent->loop, take_fd(&transfer->data_ours), job->channel, FRAME_STDOUT,
                                 &relay_ops, transfer, &transfer->relay);
}

/* Takes the work's word, if there is one. Returns whether the stream has begun with it. */
static bool take_status(struct transfer *transfer)
{
        char text[STATUS_MAX];
        size_t count = 0;
        if (transfer->accepted || transfer->status_ours < 0)
                return false;
        ssize_t n = fd_receive(transfer->status_ours, text, sizeof(text), NULL, 0, &count);
        if (n == -EAGAIN)
                return false;
        source_free(transfer->status_source);
        transfer->status_source = NULL;
        close_fd(&transfer->status_ours);
        if (n <= 0)
                return false; /* its result tells why */
        int r = begin_stream(transfer, text, (size_t)n);
        if (r < 0) {
                transfer->done = transfer->relay_over = true;
                (void)error_errno(&transfer->result, r, "carry out a request");
        }
        return r == 0;
}

static void on_status(struct source *s, int fd, uint32_t events, void *data)
{
        struct transfer *transfer = data;
        (void)s;
        (void)fd;
        (void)events;
        if (take_status(transfer))
                channel_pause(transfer->job->channel, false); /* this may free the job */
        else
                settle(transfer);
}

static void on_done(void *data, const struct error *err)
{
        struct transfer *transfer = data;
        struct job *job = transfer->job;
        bool begun = take_status(transfer);
        if (!transfer->done) {
                transfer->result = *err;
                transfer->done = true;
        }
        set_frozen(transfer, false);
        if (begun)
                channel_pause(job->channel, false); /* this may free the job; the relay's end comes later */
        else
                settle(transfer);
}

static const struct worker_ops worker_ops = {carry_out, on_done};

static int start(struct transfer *transfer, struct error *err)
{
        struct loop *loop = transfer->job->agent->loop;
        int data[2], status[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, data) < 0)
                return error_errno(err, -errno, "make a socket pair");
        transfer->data_ours = data[0];
        transfer->data_theirs = data[1];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
                return error_errno(err, -errno, "make a socket pair");
        transfer->status_ours = status[0];
        transfer->status_theirs = status[1];
        int r = fd_set_nonblocking(transfer->status_ours);
        if (r == 0)
                r = loop_add_io(loop, transfer->status_ours, EPOLLIN, on_status, transfer,
                                &transfer->status_source);
        if (r < 0)
                return error_errno(err, r, "carry out a request");
        r = worker_start(loop, &worker_ops, transfer, &transfer->worker, err);
        close_fd(&transfer->data_theirs); /* so that the process's end is the end of its stream */
        close_fd(&transfer->status_theirs);
        return r;
}

int transfer_begin(struct job *job, const char *op, json_t *request, struct error *err)
{
        struct agent *agent = job->agent;
        bool pause;
        int r = json_get_bool_or(request, "pause", false, &pause, err);
        if (r < 0)
                return r;
        if (!agent->booted)
                return error_set(err, -EAGAIN, "%s: the box is not set up yet", op);
        if (agent->init != NULL && (agent->init->state != JOB_RUNNING || agent->init->reaped))
                return error_set(err, -ESRCH, "%s: the container is not running", op);
        struct transfer *transfer = calloc(1, sizeof(*transfer));
        if (transfer == NULL)
                return error_errno(err, -ENOMEM, "%s", op);
        *transfer = (struct transfer){.job = job,
                                      .request = json_incref(request),
                                      .data_ours = -1,
                                      .data_theirs = -1,
                                      .status_ours = -1,
                                      .status_theirs = -1};
        for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
                if (strcmp(works[i].op, op) == 0)
                        transfer->work = works[i].work;
        }
        set_frozen(transfer, pause && agent->init != NULL);
        r = start(transfer, err);
        if (r < 0) {
                transfer_free(transfer);
                return r;
        }
        job->transfer = transfer;
        job->state = JOB_FORWARDING;
        channel_pause(job->channel, true); /* until there is where bytes can go */
        return 0;
}

int transfer_frame(struct transfer *transfer, const struct frame *frame, struct error *err)
{
        if (transfer->relay == NULL || frame->type != FRAME_STDIN)
                return error_set(err, -EPROTO, "a frame of type %d is out of place", (int)frame->type);
        relay_take(transfer->relay, frame->payload, frame->size);
        return 0;
}

void transfer_drained(struct transfer *transfer)
{
        if (transfer->relay != NULL)
                relay_drained(transfer->relay);
}

void transfer_closed(struct transfer *transfer)
{
        job_transfer_over(transfer->job);
}

void transfer_stop(struct transfer *transfer)
{
        struct job *job = transfer->job;
        struct error err = ERROR_INIT;
        (void)error_set(&err, -ESHUTDOWN, "the box is being stopped");
        (void)channel_send_error(job->channel, &err); /* else its end says it */
        channel_finish(job->channel);
        job_transfer_over(job);
}
