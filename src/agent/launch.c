/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks processes of the container: clone3(2) straight into the right cgroup, and for an exec with the
 * container's pid namespace as the one for children, so that no process in between is needed. The agent has
 * one thread, so a raw clone without CLONE_VM is a fork(2).
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

int setns(int fd, int kind); /* <sched.h> cannot be had beside <linux/sched.h> */

#define PIPE_BYTES (256 << 10) /* room for a few frames each way; the kernel gives pages as they are used */

/* What the child gets and what we keep. */
struct ends {
        int theirs[3];
        int ours[3];
        int status_theirs, status_ours;
};

static void close_all(struct ends *e)
{
        for (int i = 0; i < 3; i++) {
                close_fd(&e->theirs[i]);
                close_fd(&e->ours[i]);
        }
        close_fd(&e->status_theirs);
        close_fd(&e->status_ours);
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

static int make_ends(const struct launch_options *options, struct ends *ret_ends)
{
        struct ends e = {{-1, -1, -1}, {-1, -1, -1}, -1, -1};
        int status[2];
        int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0 ? -errno : 0;
        if (r == 0) {
                e.status_ours = status[0];
                e.status_theirs = status[1];
                r = fd_set_nonblocking(e.status_ours);
        }
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

static pid_t fork_into(struct agent *agent, const struct launch_options *options, int *ret_pidfd)
{
        uint64_t kinds = options->is_init ? agent->container->namespaces & ~(uint64_t)CLONE_NEWCGROUP : 0;
        int pidfd = -1;
        struct clone_args args = {
            .flags = CLONE_PIDFD | CLONE_INTO_CGROUP | kinds,
            .pidfd = (uint64_t)(uintptr_t)&pidfd,
            .exit_signal = SIGCHLD,
            .cgroup = (uint64_t)options->cgroup_fd,
        };
        bool joins = !options->is_init && agent->container->namespaces & CLONE_NEWPID;
        if (joins && setns(options->init_pidfd, CLONE_NEWPID) < 0)
                return -errno;
        long pid = syscall(SYS_clone3, &args, sizeof(args));
        int clone_errno = errno;
        if (pid == 0)
                return 0;
        if (joins)
                (void)setns(agent->own_pid_namespace_fd, CLONE_NEWPID); /* our own: cannot be refused */
        if (pid < 0)
                return -clone_errno;
        *ret_pidfd = pidfd;
        return (pid_t)pid;
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
        pid_t pid = fork_into(agent, options, &pidfd);
        if (pid == 0) {
                struct child_plan plan = {
                    .task = options->task,
                    .container = agent->container,
                    .is_init = options->is_init,
                    .root = root,
                    .files = files,
                    .status_fd = e.status_theirs,
                    .stdio = {e.theirs[0], e.theirs[1], e.theirs[2]},
                    .init_pidfd = options->init_pidfd,
                    .leaf_fd = options->leaf_fd,
                    .cgroup_fd = options->leaf_fd >= 0 ? options->cgroup_fd : -1,
                };
                child_main(&plan);
        }
        if (pid < 0) {
                close_all(&e);
                return error_errno(err, pid, "fork");
        }
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
