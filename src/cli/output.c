/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are there whole or not at all, for commands with -o. */
#include "cli/output.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_file(struct cli *cli, const char *path, int (*fn)(struct cli *, int, void *), void *data)
{
        char partial[PATH_MAX];
        struct stat st;
        bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
        int n = snprintf(partial, sizeof(partial), "%s%s", path, special ? "" : ".partial");
        if (n < 0 || (size_t)n >= sizeof(partial))
                return cli_complain(cli, "open '%s': %s", path, strerror(ENAMETOOLONG));
        cleanup_fd int fd = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC | (special ? 0 : O_TRUNC), 0666);
        if (fd < 0)
                return cli_complain(cli, "open '%s': %s", partial, strerror(errno));
        int code = fn(cli, fd, data);
        if (special)
                return code;
        if (code == 0 && (fsync(fd) < 0 || rename(partial, path) < 0))
                code = cli_complain(cli, "write '%s': %s", path, strerror(errno));
        if (code != 0)
                (void)unlink(partial); /* the failure has been told */
        return code;
}

int output_write(struct cli *cli, const char *path, int (*fn)(struct cli *cli, int fd, void *data),
                 void *data)
{
        return path != NULL ? write_file(cli, path, fn, data) : fn(cli, STDOUT_FILENO, data);
}
