/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding the box's file system still. Freezing writes out all that is dirty, which takes its time, and
 * thawing must happen whatever becomes of the host: so both are done by a process of its own, the keeper,
 * which freezes, says so, waits for a byte or for its time to be up, and thaws.
 *
 *     FREEZING -> HELD   [on_frozen]            REPLY: the host may copy
 *     HELD     -> (over) [kept]                 "thaw" came, the time was up, or the host left
 *     FREEZING -> (over) [kept]                 it could not be frozen: ERROR
 *
 * The answer to "thaw" tells whether the file system stood still up to then: REPLY if so, ERROR (ETIMEDOUT)
 * if the time was up before; that ERROR comes at once, and the "thaw" that crosses it has no answer.
 *
 * Invariants:
 * 1. One freeze at a time. It outlives its job when the host leaves: until the keeper has thawed.
 * 2. A keeper that was killed (by the OOM killer) thaws nothing: then the loop does (kept). FITHAW of what is
 * not frozen is an error that means nothing.
 * 3. What is frozen blocks whoever writes to it, SIGKILL or not: nothing of the agent's own loop writes
 * there, and the end of the machine thaws before it waits for processes.
 */
#include "agent/freeze.h"

#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define TIMEOUT_MAX_MS (10 * 60 * 1000)

struct freeze {
        struct agent *agent;
        struct job *job; /* NULL once the host has left */
        struct worker *keeper;
        int disk_fd;
        int frozen_fds[2]; /* the keeper says by it that all is still */
        int hold_fds[2];   /* a byte in it is the order to thaw */
        struct source *frozen_source;
        int timeout_ms;
        bool released;
};

static int switch_disk(const struct freeze *f, bool frozen)
{
        if (f->agent->setup->freeze_disk != NULL)
                return f->agent->setup->freeze_disk(f->disk_fd, frozen);
        return ioctl(f->disk_fd, frozen ? FIFREEZE : FITHAW, 0) < 0 ? -errno : 0;
}

static void release_fds(struct freeze *f)
{
        source_free(f->frozen_source);
        f->frozen_source = NULL;
        for (int i = 0; i < 2; i++) {
                close_fd(&f->frozen_fds[i]);
                close_fd(&f->hold_fds[i]);
        }
}

void freeze_release(struct freeze *f)
{
        static const char byte = 1;
        if (f == NULL || f->released)
                return;
        f->released = true;
        if (write(f->hold_fds[1], &byte, 1) != 1)
                log_warning("thaw the disk: %s", strerror(errno)); /* the keeper's time will be up */
}

void freeze_free(struct freeze *f)
{
        if (f == NULL)
                return;
        if (f->agent->freeze == f)
                f->agent->freeze = NULL;
        if (f->job != NULL)
                f->job->freeze = NULL;
        worker_free(f->keeper);
        (void)switch_disk(f, false); /* invariant 2 */
        release_fds(f);
        close_fd(&f->disk_fd);
        free(f);
}

/* In the keeper. */
static int keep(void *data, struct error *err)
{
        struct freeze *f = data;
        static const char byte = 1;
        struct pollfd order = {.fd = f->hold_fds[0], .events = POLLIN};
        int r = switch_disk(f, true);
        if (r < 0)
                return error_errno(err, r, "freeze the disk");
        (void)!write(f->frozen_fds[1], &byte, 1); /* an empty pipe takes a byte */
        int got = poll(&order, 1, f->timeout_ms);
        r = switch_disk(f, false);
        if (got == 0)
                return error_set(err, -ETIMEDOUT, "the disk was held still for %d ms, which is the limit",
                                 f->timeout_ms);
        return r < 0 ? error_errno(err, r, "thaw the disk") : 0;
}

/* The keeper has ended: whatever happened, the disk is not frozen any more. */
static void kept(void *data, const struct error *failure)
{
        struct freeze *f = data;
        struct job *job = f->job;
        struct error why = *failure;
        bool was_frozen = f->frozen_source == NULL;
        freeze_free(f);
        if (why.code != 0)
                log_warning("%s", why.text);
        if (job == NULL)
                return;
        if (why.code == 0 && !was_frozen) /* released by the machine's end before it was said */
                (void)error_set(&why, -ESHUTDOWN, "freeze the disk: the machine is being stopped");
        if (job->channel != NULL) {
                cleanup_json json_t *reply = json_object();
                if (why.code != 0)
                        (void)channel_send_error(job->channel, &why); /* its end says it as well */
                else if (reply != NULL)
                        (void)channel_send_json(job->channel, FRAME_REPLY, reply); /* the same */
                channel_finish(job->channel);
        }
        job_freeze_over(job);
}

static const struct worker_ops keeper_ops = {keep, kept};

static void on_frozen(struct source *s, int fd, uint32_t events, void *data)
{
        struct freeze *f = data;
        char byte;
        cleanup_json json_t *reply = json_object();
        (void)events;
        if (read(fd, &byte, 1) != 1)
                return; /* kept() tells why */
        source_free(s);
        f->frozen_source = NULL;
        if (f->job == NULL || f->job->channel == NULL)
                return;
        if (reply == NULL || channel_send_json(f->job->channel, FRAME_REPLY, reply) < 0)
                freeze_release(f);
}

static int start(struct freeze *f, struct error *err)
{
        char path[PATH_MAX];
        struct loop *loop = f->agent->loop;
        (void)snprintf(path, sizeof(path), "%s/disk", f->agent->setup->run_folder); /* our own short name */
        f->disk_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->disk_fd < 0 || pipe2(f->frozen_fds, O_CLOEXEC) < 0 || pipe2(f->hold_fds, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "freeze the disk");
        int r = loop_add_io(loop, f->frozen_fds[0], EPOLLIN, on_frozen, f, &f->frozen_source);
        if (r < 0)
                return error_errno(err, r, "freeze the disk");
        return worker_start(loop, &keeper_ops, f, &f->keeper, err);
}

int freeze_begin(struct job *job, const json_t *request, struct error *err)
{
        struct agent *agent = job->agent;
        int64_t timeout_ms;
        int r = json_get_integer(request, "timeout_ms", 1, TIMEOUT_MAX_MS, &timeout_ms, err);
        if (r < 0)
                return r;
        if (!agent->booted)
                return error_set(err, -EAGAIN, "freeze the disk: the box is still being started");
        if (!agent->has_disk && agent->setup->freeze_disk == NULL)
                return error_set(err, -ENODEV, "freeze the disk: the box has none");
        if (agent->freeze != NULL)
                return error_set(err, -EBUSY, "freeze the disk: it is being copied already");
        struct freeze *f = calloc(1, sizeof(*f));
        if (f == NULL)
                return error_errno(err, -ENOMEM, "freeze the disk");
        *f = (struct freeze){.agent = agent,
                             .disk_fd = -1,
                             .frozen_fds = {-1, -1},
                             .hold_fds = {-1, -1},
                             .timeout_ms = (int)timeout_ms};
        r = start(f, err);
        if (r < 0) {
                release_fds(f);
                close_fd(&f->disk_fd);
                free(f);
                return r;
        }
        f->job = job;
        job->freeze = f;
        job->state = JOB_FREEZING;
        agent->freeze = f;
        return 0;
}

int freeze_frame(struct job *job, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *request = NULL;
        const char *op;
        if (frame->type != FRAME_REQUEST)
                return error_set(err, -EPROTO, "a frame of type %d is out of place", (int)frame->type);
        int r = json_parse((const char *)frame->payload, frame->size, "request", &request, err);
        if (r == 0)
                r = json_get_string(request, "op", &op, err);
        if (r < 0)
                return r;
        if (strcmp(op, "thaw") != 0)
                return error_set(err, -EOPNOTSUPP, "unknown request '%.64s'", op);
        freeze_release(job->freeze);
        return 0;
}

void freeze_host_left(struct job *job)
{
        struct freeze *f = job->freeze;
        f->job = NULL;
        job->freeze = NULL;
        freeze_release(f);
}
