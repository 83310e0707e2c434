/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_tree(2) with OPEN_TREE_CLONE makes the mounts. It takes only what is mounted in the caller's own
 * namespace, which the descriptor we got is not: so its path is asked for and opened anew, and must lead to
 * the same inode. Mounts below come along, those made on the host later do not.
 */
#include "vmm/share_mounts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int clone_tree(const char *path, int flags)
{
        long fd =
            syscall(SYS_open_tree, AT_FDCWD, path,
                    (unsigned)(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_NO_AUTOMOUNT | flags));
        return fd < 0 ? -errno : (int)fd;
}

static int restrict_tree(int fd, bool readonly)
{
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
        if (readonly)
                attributes.attr_set |= MOUNT_ATTR_RDONLY;
        return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                       sizeof(attributes)) < 0
                   ? -errno
                   : 0;
}

int share_mount(int fd, bool readonly)
{
        char link[32], path[PATH_MAX];
        struct stat before, after;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* always fits */
        ssize_t length = readlink(link, path, sizeof(path));
        if (length < 0 || length == (ssize_t)sizeof(path))
                return length < 0 ? -errno : -ENAMETOOLONG;
        path[length] = '\0';
        cleanup_fd int tree = clone_tree(path, AT_SYMLINK_NOFOLLOW);
        if (tree < 0)
                return tree;
        if (fstat(fd, &before) < 0 || fstat(tree, &after) < 0)
                return -errno;
        if (before.st_dev != after.st_dev || before.st_ino != after.st_ino)
                return -ESTALE; /* moved since it was opened */
        int r = restrict_tree(tree, readonly);
        if (r < 0)
                return r;
        /* under the number that it has */
        return dup3(tree, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

int share_mount_proc(void)
{
        return clone_tree("/proc/self/fd", 0);
}
