/* SPDX-License-Identifier: Apache-2.0 */
/* locker wait|try FILE COMMAND...: takes a lock of fcntl(2) and one of flock(2) on FILE, then runs COMMAND
 * with them; try exits with 3 when somebody else has one. For share.bats. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int status;
        if (argc < 4)
                return 2;
        int waits = strcmp(argv[1], "wait") == 0;
        int fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
                return 2;
        if (fcntl(fd, waits ? F_SETLKW : F_SETLK, &all) < 0 || flock(fd, LOCK_EX | (waits ? 0 : LOCK_NB)) < 0)
                return 3;
        pid_t child = fork(); /* a lock of fcntl(2) is this process's */
        if (child == 0) {
                (void)execvp(argv[3], argv + 3);
                _exit(127);
        }
        return child < 0 || waitpid(child, &status, 0) < 0 ? 2 : WEXITSTATUS(status);
}
