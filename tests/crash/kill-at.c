/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill-at N COMMAND...: runs COMMAND and kills it with SIGKILL when its first thread is about to make its Nth
 * system call, counted from the execve(2) on. Exit code: KILLED (99) if it came so far, else the command's
 * own.
 *
 * The kill is that of a power-off for the process: the call is not made, nothing of its code runs any more.
 * Its other threads and its children are not followed; threads die with it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED 99

static int fail(const char *what)
{
        (void)fprintf(stderr, "kill-at: %s: %s\n", what, strerror(errno));
        return 2;
}

static int code_of(int status)
{
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The stop after execve(2) has been seen. */
static int follow(pid_t pid, long calls)
{
        long stops = 0;
        int status, signal = 0;
        for (;;) {
                if (ptrace(PTRACE_SYSCALL, pid, 0, signal) < 0 || waitpid(pid, &status, 0) < 0)
                        return fail("follow the command");
                if (!WIFSTOPPED(status))
                        return code_of(status);
                signal = WSTOPSIG(status);
                if (signal != (SIGTRAP | 0x80))
                        continue; /* a signal: it is the command's */
                signal = 0;
                if (++stops != 2 * calls - 1) /* two stops a call: before and after */
                        continue;
                if (kill(pid, SIGKILL) < 0 || waitpid(pid, &status, 0) < 0)
                        return fail("kill the command");
                return KILLED;
        }
}

int main(int argc, char **argv)
{
        long calls = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
        int status;
        if (calls < 1) {
                (void)fprintf(stderr, "usage: kill-at N COMMAND...\n");
                return 2;
        }
        pid_t pid = fork();
        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
                        (void)execvp(argv[2], argv + 2);
                _exit(fail(argv[2]));
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return fail("start the command");
        if (!WIFSTOPPED(status))
                return code_of(status);
        if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
                return fail("follow the command");
        return follow(pid, calls);
}
