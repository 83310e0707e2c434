/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of guests that go wrong in a whole box. The file /mode of the initramfs says how:
 *
 *     exit    ends at once, by which the kernel panics
 *     sleep   never says anything
 *     kill    becomes the agent (/agent), which after 5 s is killed by SIGSEGV
 *
 * The kernel lets nobody inside a machine send its PID 1 a deadly signal; so a tracer sends the agent to an
 * address where nothing is.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void kill_parent(void)
{
        sleep(5);
        if (ptrace(PTRACE_SEIZE, 1, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, 1, NULL, NULL) < 0 ||
            waitpid(1, NULL, __WALL) != 1 ||
            ptrace(PTRACE_POKEUSER, 1, offsetof(struct user, regs.orig_rax), -1) < 0 ||
            ptrace(PTRACE_POKEUSER, 1, offsetof(struct user, regs.rip), 0) < 0 ||
            ptrace(PTRACE_DETACH, 1, NULL, NULL) < 0)
                perror("spoiler: trace PID 1");
        _exit(0);
}

int main(void)
{
        char mode[16] = "";
        int fd = open("/mode", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, mode, sizeof(mode) - 1) < 0)
                return 1;
        if (strcmp(mode, "sleep\n") == 0)
                for (;;)
                        pause();
        if (strcmp(mode, "kill\n") == 0) {
                if (fork() == 0)
                        kill_parent();
                execl("/agent", "/agent", NULL);
                perror("spoiler: /agent");
        }
        return 3;
}
