/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting programs: fork, arrange exactly the listed descriptors, exec, and tell the parent through a
 * close-on-exec pipe if any of that failed. Between fork and exec only async-signal-safe calls are made,
 * because the caller may have threads.
 *
 * system calls (loop): pidfd_send_signal waitid close
 */
#include "base/process.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FDS_MAX 320 /* a machine with 256 shared folders */

extern char **environ;

struct child_failure {
        int code;
        char step[24];
};

static _Noreturn void child_fail(int report_fd, const char *step)
{
        struct child_failure failure = {.code = -errno};
        (void)strncpy(failure.step, step, sizeof(failure.step) - 1);
        ssize_t n = write(report_fd, &failure, sizeof(failure));
        _exit(n == (ssize_t)sizeof(failure) ? 127 : 126);
}

static int highest_target(const struct process_plan *plan)
{
        int highest = 2;
        for (size_t i = 0; i < plan->fd_count; i++) {
                if (plan->fds[i].to > highest)
                        highest = plan->fds[i].to;
        }
        return highest;
}

/* Puts the listed descriptors on their numbers. Returns the report pipe's new number, above all of them. */
static int child_arrange_fds(const struct process_plan *plan, int report_fd)
{
        int moved[CHILD_FDS_MAX];
        int above = highest_target(plan) + 1;
        int report = fcntl(report_fd, F_DUPFD_CLOEXEC, above);
        if (report < 0)
                child_fail(report_fd, "move descriptors");
        for (size_t i = 0; i < plan->fd_count; i++) {
                moved[i] = fcntl(plan->fds[i].from, F_DUPFD_CLOEXEC, above);
                if (moved[i] < 0)
                        child_fail(report, "move descriptors");
        }
        for (int fd = 0; fd < above; fd++)
                (void)close(fd); /* many of them are not open */
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd != 0 || dup2(0, 1) < 0 || dup2(0, 2) < 0)
                child_fail(report, "open /dev/null");
        (void)fcntl(0, F_SETFD, 0); /* valid: opened just now */
        for (size_t i = 0; i < plan->fd_count; i++) {
                if (dup2(moved[i], plan->fds[i].to) < 0)
                        child_fail(report, "place descriptors");
        }
        if (syscall(SYS_close_range, above, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0 && errno != ENOSYS &&
            errno != EINVAL)
                child_fail(report, "close descriptors");
        return report;
}

static void child_reset_signals(void)
{
        /* the kernel's own struct and call: glibc's sigaction() refuses 32 and 33, which an ancestor may
         * ignore */
        static const struct {
                void *handler;
                unsigned long flags;
                void *restorer;
                uint64_t mask;
        } action; /* all zero: SIG_DFL */
        for (int signal = 1; signal < NSIG; signal++)
                (void)syscall(SYS_rt_sigaction, signal, &action, NULL,
                              sizeof(action.mask)); /* 9 and 19 refuse */
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Between us and the program, because exec(2) gives every child SIGCHLD as its exit signal. A hidden one's
 * waits for it. */
static _Noreturn void intermediate_main(const struct process_plan *plan, int report_fd, pid_t pid)
{
        int status;
        if (plan->detached)
                _exit(0);
        (void)close(report_fd);                    /* its end tells that the program runs */
        (void)syscall(SYS_close_range, 0, ~0U, 0); /* what else is open is nobody's loss before Linux 5.9 */
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        _exit(126);
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static _Noreturn void child_main(const struct process_plan *plan, int report_fd, pid_t parent)
{
        child_reset_signals();
        if (plan->parent_death_signal != 0) {
                if (prctl(PR_SET_PDEATHSIG, plan->parent_death_signal) < 0)
                        child_fail(report_fd, "set parent death signal");
                if (getppid() != parent)
                        _exit(127); /* it is dead already */
        }
        if (plan->detached || plan->hidden) {
                pid_t pid = _Fork(); /* glibc's async-signal-safe fork */
                if (pid < 0)
                        child_fail(report_fd, "fork for");
                if (pid > 0)
                        intermediate_main(plan, report_fd, pid);
                if (plan->hidden && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                        child_fail(report_fd, "set parent death signal");
        }
        if (plan->new_session && setsid() < 0)
                child_fail(report_fd, "make session");
        if (plan->working_dir_fd >= 0 && fchdir(plan->working_dir_fd) < 0)
                child_fail(report_fd, "change folder");
        int report = child_arrange_fds(plan, report_fd);
        /* the casts: execvpe() changes neither, its prototype is older than const */
        (void)execvpe(plan->path, (char *const *)plan->argv,
                      plan->environ != NULL ? (char *const *)plan->environ : environ);
        child_fail(report, "execute");
}

/* __WALL: the intermediate of a detached program has no exit signal. */
static void reap(pid_t pid)
{
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
                ;
}

int process_spawn(const struct process_plan *plan, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
        if (plan->fd_count > CHILD_FDS_MAX)
                return error_set(err, -EINVAL, "start '%s': too many descriptors", plan->path);
        int pipe_fds[2];
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "start '%s'", plan->path);
        cleanup_fd int report_read = pipe_fds[0];
        cleanup_fd int report_write = pipe_fds[1];
        pid_t parent = getpid();
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before); /* no handler of ours may run in the child */
        /* without an exit signal a child is invisible to the caller's SIGCHLD handler and waitpid(-1) */
        bool silent = plan->detached || plan->hidden;
        pid_t pid = silent ? (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL) : fork();
        if (pid == 0)
                child_main(plan, report_write, parent);
        int fork_errno = errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return error_errno(err, -fork_errno, "start '%s'", plan->path);
        close_fd(&report_write);
        cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        int pidfd_errno = errno;
        struct child_failure failure;
        ssize_t n = fd_read_full(report_read, &failure, sizeof(failure));
        if (n == 0 && plan->detached) {
                reap(pid);
                *ret_pid = 0;
                *ret_pidfd = -1;
                return 0;
        }
        if (n == 0 && pidfd >= 0) {
                *ret_pid = pid;
                *ret_pidfd = take_fd(&pidfd);
                return 0;
        }
        if (n == 0)
                (void)kill(pid, SIGKILL); /* not reaped yet: the pid is still its */
        reap(pid);
        if (n == 0)
                return error_errno(err, -pidfd_errno, "watch '%s'", plan->path);
        if (n != (ssize_t)sizeof(failure))
                return error_set(err, -EIO, "start '%s': it died before it could be executed", plan->path);
        failure.step[sizeof(failure.step) - 1] = '\0';
        return error_errno(err, failure.code, "%s '%s'", failure.step, plan->path);
}

int process_signal(int pidfd, int signal)
{
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_wait(int pidfd, int *ret_code)
{
        siginfo_t info = {0};
        int r;
        do {
                r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL); /* hidden ones too */
        } while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        *ret_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks)
{
        char name[32];
        cleanup_free char *text = NULL;
        (void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
        int r = path_read_at(AT_FDCWD, name, 4096, &text, NULL);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        /* the command, in parentheses, may hold anything: fields are counted from the last ")" (proc(5)) */
        const char *p = strrchr(text, ')');
        unsigned long long ticks;
        if (p == NULL ||
            sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                   &ticks) != 1)
                return -EIO;
        *ret_ticks = ticks;
        return 0;
}

int process_boot_id(char ret_id[37])
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = path_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &size);
        if (r < 0)
                return r;
        if (size < 36)
                return -EIO;
        memcpy(ret_id, text, 36);
        ret_id[36] = '\0';
        return 0;
}
