/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a monitor, with a deadline: a monitor that was stopped or hangs costs the caller that long
 * and no longer. The monitor is trusted; the guest never speaks here.
 */
#include "runtime/control.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/process.h"
#include "runtime/life.h"
#include "wire/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KILLED_MS    10000
#define APPEAR_TRIES 500 /* of 10 ms: from the lock being taken to the monitor listening */

struct question {
        bool done;
        int result;
        json_t *reply;
        struct error *err;
};

static int frame_in(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct question *q = data;
        (void)channel;
        if (q->done)
                return 0;
        if (frame->type == FRAME_REPLY) {
                q->result = json_parse((const char *)frame->payload, frame->size, "reply", &q->reply, q->err);
                q->done = true;
        } else if (frame->type == FRAME_ERROR) {
                q->result = channel_read_error(frame, q->err);
                q->done = true;
        }
        (void)err;
        return 0;
}

static void closed(struct channel *channel, const struct error *err, void *data)
{
        struct question *q = data;
        (void)channel;
        if (q->done)
                return;
        q->done = true;
        q->result = error_set(q->err, -ECONNRESET, "the monitor ended the connection%s%s",
                              err->text[0] == '\0' ? "" : ": ", err->text);
}

static const struct channel_ops ops = {.frame = frame_in, .closed = closed};

static int converse(struct loop *loop, struct question *q, int64_t timeout_ms)
{
        int64_t deadline = clock_monotonic_ms() + timeout_ms;
        while (!q->done) {
                int64_t left = deadline - clock_monotonic_ms();
                if (left <= 0)
                        return error_set(q->err, -ETIMEDOUT, "the monitor does not answer (%lld ms)",
                                         (long long)timeout_ms);
                int r = loop_step(loop, left > 3600000 ? 3600000 : (int)left);
                if (r < 0)
                        return error_errno(q->err, r, "wait for the monitor");
        }
        return q->result;
}

int control_connect(int box_fd, int *ret_fd, struct error *err)
{
        int fd = -EAGAIN;
        for (int i = 0; i < APPEAR_TRIES; i++) {
                fd = unix_connect_at(box_fd, "control.sock", SOCK_STREAM | SOCK_NONBLOCK);
                if (fd != -EAGAIN && fd != -ENOENT && fd != -ECONNREFUSED)
                        break;
                if (!life_is_held(box_fd))
                        break;
                struct timespec nap = {.tv_nsec = 10000000};
                (void)nanosleep(&nap, NULL); /* being started, or its queue is full: neither gives an event */
        }
        if (fd < 0)
                return error_errno(err, fd, "connect to the monitor");
        *ret_fd = fd;
        return 0;
}

int control_ask(int box_fd, const json_t *request, int64_t timeout_ms, json_t **ret_reply, struct error *err)
{
        struct loop *loop;
        struct channel *channel = NULL;
        struct error local = ERROR_INIT;
        struct question q = {.err = err != NULL ? err : &local};
        int fd;
        int r = control_connect(box_fd, &fd, q.err);
        if (r < 0)
                return r;
        r = loop_new(&loop);
        if (r < 0) {
                (void)close(fd);
                return error_errno(q.err, r, "talk to the monitor");
        }
        r = channel_new(loop, fd, NULL, &ops, &q, &channel);
        if (r == 0)
                r = channel_send_json(channel, FRAME_REQUEST, request);
        r = r < 0 ? error_errno(q.err, r, "talk to the monitor") : converse(loop, &q, timeout_ms);
        channel_free(channel);
        loop_free(loop);
        if (r == 0 && ret_reply != NULL)
                *ret_reply = json_incref(q.reply);
        json_decref(q.reply);
        return r;
}

static int read_monitor(const json_t *state, pid_t *ret_pid, uint64_t *ret_start)
{
        struct error ignored = ERROR_INIT;
        const json_t *monitor = json_object_get(state, "monitor");
        int64_t pid, start;
        const char *boot;
        char here[37];
        if (json_get_integer(monitor, "pid", 1, INT32_MAX, &pid, &ignored) < 0 ||
            json_get_integer(monitor, "start_time", 0, INT64_MAX, &start, &ignored) < 0 ||
            json_get_string(monitor, "boot_id", &boot, &ignored) < 0)
                return -ENOENT;
        if (process_boot_id(here) < 0 || strcmp(here, boot) != 0)
                return -ESRCH;
        *ret_pid = (pid_t)pid;
        *ret_start = (uint64_t)start;
        return 0;
}

int control_monitor_pidfd(int box_fd, int *ret_pidfd)
{
        cleanup_life_report struct life_report report;
        pid_t pid = 0;
        uint64_t expected = 0, actual;
        life_read(box_fd, true, &report);
        int r = report.error < 0 ? report.error : read_monitor(report.state, &pid, &expected);
        if (r < 0)
                return r;
        cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0)
                return -errno;
        /* looked up after the pidfd was opened: if the start time is right, the pidfd is that process */
        r = process_start_time(pid, &actual);
        if (r < 0)
                return r;
        if (actual != expected)
                return -ESRCH;
        *ret_pidfd = take_fd(&pidfd);
        return 0;
}

int control_monitor_pid(int box_fd, pid_t *ret_pid)
{
        cleanup_fd int pidfd = -1;
        cleanup_life_report struct life_report report;
        uint64_t start;
        int r = control_monitor_pidfd(box_fd, &pidfd);
        if (r < 0)
                return r;
        life_read(box_fd, true, &report);
        return read_monitor(report.state, ret_pid, &start);
}

int control_wait_gone(int box_fd, int64_t timeout_ms)
{
        cleanup_fd int pidfd = -1;
        int r = control_monitor_pidfd(box_fd, &pidfd);
        if (r < 0)
                return r == -ENOENT || r == -ESRCH ? 0 : r;
        struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
        do {
                r = poll(&poll_fd, 1, (int)timeout_ms);
        } while (r < 0 && errno == EINTR);
        return r == 0 ? -ETIMEDOUT : r < 0 ? -errno : 0;
}

int control_kill_monitor(int box_fd, struct error *err)
{
        cleanup_fd int pidfd = -1;
        int r = control_monitor_pidfd(box_fd, &pidfd);
        if (r == -ESRCH)
                return 0;
        if (r == 0)
                r = process_signal(pidfd, SIGKILL);
        if (r < 0 && r != -ESRCH)
                return error_errno(err, r, "kill the monitor");
        r = control_wait_gone(box_fd, KILLED_MS);
        if (r == -ETIMEDOUT)
                return error_set(err, r, "the killed monitor does not end");
        return r < 0 ? error_errno(err, r, "wait for the killed monitor") : 0;
}
