/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks processes of the container: init by clone3(2) straight into its cgroup and namespaces; an exec by a
 * process in between, that joins the container and makes the one that is wanted as our child (child.c). The
 * agent has one thread, so a raw clone without CLONE_VM is a fork(2).
 */
#include "agent/launch.h"

#include "agent/child.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_BYTES (256 << 10) /* room for a few frames each way; the kernel gives pages as they are used */

/* What the child gets and what we keep. */
struct ends {
        int theirs[3];
        int ours[3];
        int status_theirs, status_ours;
        int birth_theirs, birth_ours; /* of an exec */
};

static void close_all(struct ends *e)
{
        for (int i = 0; i < 3; i++) {
                close_fd(&e->theirs[i]);
                close_fd(&e->ours[i]);
        }
        close_fd(&e->status_theirs);
        close_fd(&e->status_ours);
        close_fd(&e->birth_theirs);
        close_fd(&e->birth_ours);
}

static int make_pipe(struct ends *e, int which)
{
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        int ours = which == 0 ? 1 : 0;
        e->ours[which] = fds[ours];
        e->theirs[which] = fds[1 - ours];
        (void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES); /* faster with, right without */
        return fd_set_nonblocking(e->ours[which]);
}

static int make_sockets(int *ret_ours, int *ret_theirs)
{
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        *ret_ours = fds[0];
        *ret_theirs = fds[1];
        return 0;
}

static int make_ends(const struct launch_options *options, struct ends *ret_ends)
{
        struct ends e = {{-1, -1, -1}, {-1, -1, -1}, -1, -1, -1, -1};
        int r = make_sockets(&e.status_ours, &e.status_theirs);
        if (r == 0)
                r = fd_set_nonblocking(e.status_ours);
        if (r == 0 && !options->is_init)
                r = make_sockets(&e.birth_ours, &e.birth_theirs);
        for (int i = 0; r == 0 && i < 3 && !options->task->terminal; i++) {
                if (i == 0 ? options->with_stdin : options->with_output)
                        r = make_pipe(&e, i);
        }
        if (r < 0)
                close_all(&e);
        else
                *ret_ends = e;
        return r;
}

/* As fork(2). */
static pid_t fork_init(struct agent *agent, const struct launch_options *options, int *ret_pidfd)
{
        struct clone_args args = {
            .flags =
                CLONE_PIDFD | CLONE_INTO_CGROUP | (agent->container->namespaces & ~(uint64_t)CLONE_NEWCGROUP),
            .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
            .exit_signal = SIGCHLD,
            .cgroup = (uint64_t)options->cgroup_fd,
        };
        return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* The process in between makes the exec's, tells it, and ends. It waits for nobody, so we wait for it. */
static pid_t adopt(pid_t between, const struct ends *e, int *ret_pidfd, struct error *err)
{
        int32_t pid = 0;
        size_t count = 0;
        struct child_status status;
        ssize_t n = fd_receive(e->birth_ours, &pid, sizeof(pid), ret_pidfd, 1, &count);
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
                ;
        if (n == sizeof(pid) && count == 1)
                return pid;
        if (fd_receive(e->status_ours, &status, sizeof(status), NULL, 0, &count) == sizeof(status))
                return error_set(err, status.value, "%.*s", (int)sizeof(status.text), status.text);
        return error_set(err, -ECHILD, "the process that was to join the container ended early");
}

int launch(struct agent *agent, const struct launch_options *options, struct launched *ret_launched,
           struct error *err)
{
        char root[PATH_MAX], files[PATH_MAX];
        struct ends e;
        int pidfd = -1;
        (void)snprintf(root, sizeof(root), "%s/root", agent->setup->run_folder); /* our own short names */
        (void)snprintf(files, sizeof(files), "%s/files", agent->setup->run_folder);
        int r = make_ends(options, &e);
        if (r < 0)
                return error_errno(err, r, "make pipes");
        pid_t pid = options->is_init ? fork_init(agent, options, &pidfd) : fork();
        if (pid == 0) {
                struct child_plan plan = {
                    .task = options->task,
                    .container = agent->container,
                    .is_init = options->is_init,
                    .root = root,
                    .files = files,
                    .status_fd = e.status_theirs,
                    .stdio = {e.theirs[0], e.theirs[1], e.theirs[2]},
                    .birth_fd = e.birth_theirs,
                    .init_pidfd = options->init_pidfd,
                    .leaf_fd = options->leaf_fd,
                    .cgroup_fd = !options->is_init || options->leaf_fd >= 0 ? options->cgroup_fd : -1,
                };
                child_main(&plan);
        }
        if (pid < 0)
                pid = error_errno(err, -errno, "fork");
        close_fd(&e.birth_theirs);
        if (pid > 0 && !options->is_init)
                pid = adopt(pid, &e, &pidfd, err);
        if (pid < 0) {
                close_all(&e);
                return pid;
        }
        close_fd(&e.birth_ours);
        for (int i = 0; i < 3; i++) {
                close_fd(&e.theirs[i]);
                ret_launched->stdio[i] = e.ours[i];
        }
        close_fd(&e.status_theirs);
        ret_launched->status_fd = e.status_ours;
        ret_launched->pid = pid;
        ret_launched->pidfd = pidfd;
        return 0;
}
