/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a unix socket as the container sees it. The path is the container's: every part of it may be
 * a link, a file system of the container's own that never answers, or another socket. So it is resolved by a
 * process of its own, in the container's mount namespace, from where nothing of the agent's can be named; it
 * has a time limit, and hands back nothing but the connected descriptor.
 *
 *     CONNECTING -> STREAM [connected]   REPLY, then bytes both ways (wire/relay.c)
 *     CONNECTING -> (over) [connected, on_timeout]   ERROR
 *     STREAM     -> (over) [on_over]
 */
#include "agent/forward.h"

#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "wire/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECT_MS 10000

struct forward {
        struct job *job;
        struct worker *worker;
        struct source *timer;
        int ours, theirs; /* socket pair, over which the descriptor comes */
        struct sockaddr_un address;
        struct relay *relay;
};

void forward_free(struct forward *forward)
{
        if (forward == NULL)
                return;
        worker_free(forward->worker);
        source_free(forward->timer);
        close_fd(&forward->ours);
        close_fd(&forward->theirs);
        relay_free(forward->relay);
        free(forward);
}

static void fail(struct forward *forward, const struct error *err)
{
        struct job *job = forward->job;
        if (job->channel != NULL) {
                (void)channel_send_error(job->channel, err); /* else its end says it */
                channel_finish(job->channel);
        }
        job_forward_over(job);
}

static void on_over(struct relay *relay, void *data)
{
        struct forward *forward = data;
        struct job *job = forward->job;
        (void)relay;
        if (job->channel != NULL)
                channel_finish(job->channel);
        job_forward_over(job);
}

static const struct relay_ops relay_ops = {on_over};

/* In the worker. Only the mount namespace matters: a socket with a path is found by its inode. */
static int connect_inside(void *data, struct error *err)
{
        const struct forward *forward = data;
        static const char byte = 1;
        if (setns(forward->job->agent->init->pidfd, CLONE_NEWNS) < 0)
                return error_errno(err, -errno, "join the container");
        cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&forward->address, sizeof(forward->address)) < 0)
                return error_errno(err, -errno, "connect to '%s' in the container",
                                   forward->address.sun_path);
        ssize_t n = fd_send(forward->theirs, &byte, 1, &fd, 1);
        return n < 0 ? error_errno(err, (int)n, "hand over a connection") : 0;
}

static int take_socket(struct forward *forward, int *ret_fd)
{
        char byte;
        int fd = -1;
        size_t count = 0;
        ssize_t n = fd_receive(forward->ours, &byte, 1, &fd, 1, &count);
        if (n != 1 || count != 1)
                return n < 0 ? (int)n : -EIO;
        *ret_fd = fd;
        return 0;
}

static int begin_stream(struct forward *forward)
{
        struct job *job = forward->job;
        int fd = -1;
        cleanup_json json_t *reply = json_object();
        int r = reply == NULL ? -ENOMEM : take_socket(forward, &fd);
        if (r == 0)
                r = relay_new(job->agent->loop, fd, job->channel, FRAME_STDOUT, &relay_ops, forward,
                              &forward->relay);
        return r == 0 ? channel_send_json(job->channel, FRAME_REPLY, reply) : r;
}

static void connected(void *data, const struct error *failure)
{
        struct forward *forward = data;
        struct error err = *failure;
        worker_free(forward->worker);
        forward->worker = NULL;
        source_free(forward->timer);
        forward->timer = NULL;
        int r = err.code != 0 ? 0 : begin_stream(forward);
        if (r < 0)
                (void)error_errno(&err, r, "carry a connection");
        if (err.code != 0)
                fail(forward, &err);
        else
                channel_pause(forward->job->channel, false); /* this may free the job */
}

static const struct worker_ops worker_ops = {connect_inside, connected};

static void on_timeout(struct source *s, void *data)
{
        struct forward *forward = data;
        struct error err = ERROR_INIT;
        (void)s;
        (void)error_set(&err, -ETIMEDOUT, "connect to '%s' in the container: no answer within %d ms",
                        forward->address.sun_path, CONNECT_MS);
        fail(forward, &err);
}

static int start(struct forward *forward, const char *path, struct error *err)
{
        struct loop *loop = forward->job->agent->loop;
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, -errno, "make a socket pair");
        forward->ours = pair[0];
        forward->theirs = pair[1];
        forward->address.sun_family = AF_UNIX;
        memcpy(forward->address.sun_path, path, strlen(path) + 1); /* its length was checked */
        int r = fd_set_nonblocking(forward->ours);
        if (r == 0)
                r = loop_add_timer(loop, on_timeout, forward, &forward->timer);
        if (r == 0)
                r = source_arm(forward->timer, CONNECT_MS);
        if (r < 0)
                return error_errno(err, r, "connect to a socket");
        return worker_start(loop, &worker_ops, forward, &forward->worker, err);
}

int forward_begin(struct job *job, const json_t *request, struct error *err)
{
        const char *path;
        struct job *init = job->agent->init;
        int r = json_get_string(request, "unix", &path, err);
        if (r < 0)
                return r;
        if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
                return error_set(err, -EINVAL, "connect: '%.120s' is no absolute path of a socket", path);
        if (init == NULL || init->state != JOB_RUNNING || init->reaped)
                return error_set(err, -ESRCH, "connect: the container is not running");
        struct forward *forward = calloc(1, sizeof(*forward));
        if (forward == NULL)
                return error_errno(err, -ENOMEM, "connect to a socket");
        *forward = (struct forward){.job = job, .ours = -1, .theirs = -1};
        r = start(forward, path, err);
        if (r < 0) {
                forward_free(forward);
                return r;
        }
        job->forward = forward;
        job->state = JOB_FORWARDING;
        channel_pause(job->channel, true); /* until there is where bytes can go */
        return 0;
}

int forward_frame(struct forward *forward, const struct frame *frame, struct error *err)
{
        if (forward->relay == NULL || frame->type != FRAME_STDIN)
                return error_set(err, -EPROTO, "a frame of type %d is out of place", (int)frame->type);
        relay_take(forward->relay, frame->payload, frame->size);
        return 0;
}

void forward_drained(struct forward *forward)
{
        if (forward->relay != NULL)
                relay_drained(forward->relay);
}

void forward_closed(struct forward *forward)
{
        if (forward->relay != NULL)
                relay_closed(forward->relay);
        else
                job_forward_over(forward->job);
}
