/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The minimal init of `--init`: a process of the container that never executes anything. All signals are
 * blocked by whoever calls, and taken one by one. It has the container's user and capabilities, like what it
 * looks after.
 */
#include "agent/tiny_init.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaps all that ended; exits when child was among them. */
static void reap(pid_t child)
{
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid == child)
                        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
        if (pid < 0 && errno == ECHILD)
                _exit(255); /* cannot happen: the child is reaped above */
}

void tiny_init_run(pid_t child)
{
        sigset_t all;
        siginfo_t info;
        (void)sigfillset(&all);
        for (;;) {
                reap(child);
                int signal = sigwaitinfo(&all, &info);
                if (signal > 0 && signal != SIGCHLD)
                        (void)kill(child, signal); /* it is not reaped yet, so the pid is its */
        }
}
