/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the plan against the image's own files. They are opened under the image's root, must be regular
 * files and are read up to a maximum: an image may hold a fifo or a gigabyte there.
 */
#include "agent/user.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (4U << 20)

/* *ret_text is NULL when there is no such file. A NUL in it ends it early, as text does. */
static int read_file(int root_fd, const char *path, char **ret_text, struct error *err)
{
        struct stat st;
        *ret_text = NULL;
        cleanup_fd int fd = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, fd < 0 ? fd : -errno, "open the image's '%s'", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "read the image's '%s': not a regular file", path);
        int r = fd_read_all(fd, FILE_MAX, ret_text, NULL);
        return r < 0 ? error_errno(err, r, "read the image's '%s'", path) : 0;
}

int user_resolve(int root_fd, const struct task_plan *task, struct passwd_user *ret_user, struct error *err)
{
        cleanup_free char *passwd = NULL, *group = NULL;
        int r = read_file(root_fd, "/etc/passwd", &passwd, err);
        if (task->username != NULL) {
                if (r == 0)
                        r = read_file(root_fd, "/etc/group", &group, err);
                return r < 0 ? r : passwd_find(task->username, passwd, group, ret_user, err);
        }
        memset(ret_user, 0, sizeof(*ret_user));
        ret_user->uid = task->uid;
        ret_user->gid = task->gid;
        if (task->group_count > PASSWD_GROUPS_MAX)
                return error_set(err, -EINVAL, "take groups: more than %d", PASSWD_GROUPS_MAX);
        if (task->group_count > 0)
                memcpy(ret_user->groups, task->groups, task->group_count * sizeof(gid_t));
        ret_user->group_count = task->group_count;
        passwd_home(passwd, task->uid, ret_user->home, sizeof(ret_user->home)); /* numbers need no file */
        return 0;
}
