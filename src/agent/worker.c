/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forked process that does one piece of blocking work (mounting disks, filling volumes) while the agent's
 * loop goes on, on another CPU if there is one. It has no exit signal, so the loop's waitpid(-1) does not
 * meet it; its result comes through a pipe, whose end without a result means that it died.
 */
#include "agent/worker.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

struct worker {
        const struct worker_ops *ops;
        void *data;
        int pidfd, result_fd;
        struct source *source;
};

static int own_result_fd = -1; /* set in a worker's own process only */

static _Noreturn void work(const struct worker_ops *ops, void *data, int result_fd)
{
        struct error err = ERROR_INIT;
        own_result_fd = result_fd;
        int r = ops->work(data, &err);
        if (r < 0 && err.code == 0)
                (void)error_errno(&err, r, "work");
        /* nobody to tell a failure to: the pipe's early end says it */
        _exit(fd_write_full(result_fd, &err, sizeof(err)) < 0);
}

static void on_result(struct source *s, int fd, uint32_t events, void *data)
{
        struct worker *worker = data;
        struct error err = ERROR_INIT;
        (void)events;
        /* a few hundred bytes written by one write(2): all there, or none */
        if (fd_read_full(fd, &err, sizeof(err)) != (ssize_t)sizeof(err))
                (void)error_set(&err, -EIO, "a process of the agent died at its work");
        err.text[sizeof(err.text) - 1] = '\0';
        source_free(s);
        worker->source = NULL;
        worker->ops->done(worker->data, &err);
}

static int fork_worker(struct worker *worker, struct error *err)
{
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "make a pipe");
        worker->result_fd = fds[0];
        cleanup_fd int theirs = fds[1];
        pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL); /* one thread: as fork(2) */
        if (pid == 0)
                work(worker->ops, worker->data, theirs);
        if (pid < 0)
                return error_errno(err, -errno, "fork");
        worker->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* not waited for yet: the pid is its own */
        if (worker->pidfd < 0) {
                int r = -errno;
                (void)kill(pid, SIGKILL); /* the same */
                return error_errno(err, r, "watch a new process");
        }
        return 0;
}

int worker_start(struct loop *loop, const struct worker_ops *ops, void *data, struct worker **ret_worker,
                 struct error *err)
{
        struct worker *worker = calloc(1, sizeof(*worker));
        if (worker == NULL)
                return error_errno(err, -ENOMEM, "start a process of the agent");
        *worker = (struct worker){.ops = ops, .data = data, .pidfd = -1, .result_fd = -1};
        int r = fork_worker(worker, err);
        if (r == 0) {
                r = loop_add_io(loop, worker->result_fd, EPOLLIN, on_result, worker, &worker->source);
                if (r < 0)
                        (void)error_errno(err, r, "watch a new process");
        }
        if (r < 0) {
                worker_free(worker);
                return r;
        }
        *ret_worker = worker;
        return 0;
}

int worker_result_fd(void)
{
        return own_result_fd;
}

void worker_free(struct worker *worker)
{
        int code;
        if (worker == NULL)
                return;
        source_free(worker->source);
        if (worker->pidfd >= 0) {
                (void)process_signal(worker->pidfd, SIGKILL); /* it may have ended by itself */
                (void)process_wait(worker->pidfd, &code);     /* its result is known, or not wanted */
        }
        close_fd(&worker->pidfd);
        close_fd(&worker->result_fd);
        free(worker);
}
