/* SPDX-License-Identifier: Apache-2.0 */
/* Orphaned processes, and the folder of a box that is not to be kept. */
#include "monitor/remains.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

void remains_reap(void)
{
        cleanup_free char *text = NULL;
        if (path_read_at(AT_FDCWD, "/proc/thread-self/children", 4096, &text, NULL) == 0) {
                char *rest = text;
                for (long pid = strtol(rest, &rest, 10); pid > 1; pid = strtol(rest, &rest, 10))
                        (void)kill((pid_t)pid, SIGKILL); /* a child of ours: its pid cannot be reused yet */
        }
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
}

int remains_remove_folder(int box_fd, const char *name)
{
        struct stat ours, named;
        cleanup_fd int parent = openat(box_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0 || fstat(box_fd, &ours) < 0 || fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
                return -ESTALE;
        return path_remove_all_at(parent, name);
}
