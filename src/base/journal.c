/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each line is one write(2) with O_APPEND, which the kernel carries out as a whole among others. There is no
 * lock for writing: a process that is stopped in the middle must not stop the others.
 *
 * Invariants:
 * 1. A line that was written in part (the disk was full, the machine died) has no newline; whoever writes
 * next begins with one, so that only the torn line is lost.
 * 2. Renaming has a lock, which is only tried: one process renames, the others go on.
 * 3. A process that had the file open while it was renamed writes to "NAME.1": a reader that follows reads
 * that one on as well.
 */
#include "base/journal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

static bool is_named(int dir_fd, const char *name, int fd, int64_t *ret_size)
{
        struct stat ours, named;
        if (fstat(fd, &ours) < 0 || fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        *ret_size = ours.st_size;
        return ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static void rotate(int dir_fd, const char *name, int fd, int64_t maximum_bytes)
{
        char lock_name[NAME_MAX], old_name[NAME_MAX];
        int64_t size;
        (void)snprintf(lock_name, sizeof(lock_name), "%s.lock", name); /* names are ours, and short */
        (void)snprintf(old_name, sizeof(old_name), "%s.1", name);
        cleanup_fd int lock = openat(dir_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
                return; /* somebody else is at it, or the next line tries again */
        if (is_named(dir_fd, name, fd, &size) && size > maximum_bytes)
                (void)renameat(dir_fd, name, dir_fd, old_name); /* as above */
}

/* Whether the file ends in the middle of a line. */
static bool is_torn(int fd, int64_t size)
{
        char last;
        return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int journal_append(int dir_fd, const char *name, const char *line, size_t size, int64_t maximum_bytes)
{
        struct stat st;
        ssize_t n;
        cleanup_fd int fd = openat(dir_fd, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        bool torn = is_torn(fd, st.st_size);
        struct iovec parts[2] = {{(char *)"\n", torn ? 1 : 0}, {(char *)line, size}};
        do {
                n = writev(fd, parts, 2);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (st.st_size + n > maximum_bytes)
                rotate(dir_fd, name, fd, maximum_bytes);
        return (size_t)n == size + (torn ? 1 : 0) ? 0 : -ENOSPC;
}
