/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pid file. One that is there is overwritten: a monitor that was killed leaves its own. A link is not
 * followed, for the folder may be one that others can write to.
 */
#include "monitor/pidfile.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int own_text(char text[24])
{
        return snprintf(text, 24, "%d\n", (int)getpid()); /* fits */
}

int pidfile_write(const char *path, struct error *err)
{
        char text[24];
        if (path == NULL)
                return 0;
        cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        int r = fd < 0 ? -errno : fd_write_full(fd, text, (size_t)own_text(text));
        return r < 0 ? error_errno(err, r, "write the pid file '%s'", path) : 0;
}

void pidfile_remove(const char *path)
{
        char own[24], text[24] = "";
        if (path == NULL)
                return;
        cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
                return;
        (void)own_text(own);
        if (strcmp(own, text) == 0)
                (void)unlink(path); /* a file that stays names no process */
}
