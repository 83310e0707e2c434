/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the maps of user_namespaces(7). A process in the namespace may map its own id only; all of them may
 * be mapped only by one who has CAP_SETUID outside, which nobody inside has: root makes a child first, which
 * stays outside, waits until the namespace is there, writes, and ends.
 */
#include "vmm/jail_ids.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAP_MAX 4096 /* what the kernel takes in one write */

static int write_file(const char *path, const char *text)
{
        cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, text, strlen(text)); /* a map is taken whole or not at all */
        return n < 0 ? -errno : 0;
}

/* Every id that this namespace has, as itself. */
static int map_all(pid_t pid, const char *name)
{
        char path[64], map[MAP_MAX] = "";
        size_t used = 0;
        (void)snprintf(path, sizeof(path), "/proc/self/%s", name); /* always fits */
        cleanup_file FILE *f = fopen(path, "re");
        unsigned inside, outside, count;
        if (f == NULL)
                return -errno;
        while (fscanf(f, "%u %u %u", &inside, &outside, &count) == 3) {
                int n = snprintf(map + used, sizeof(map) - used, "%u %u %u\n", inside, inside, count);
                if (n < 0 || (size_t)n >= sizeof(map) - used)
                        return -E2BIG;
                used += (size_t)n;
        }
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        return write_file(path, map);
}

/* The child: its parent's end of the pipe closing without a byte means that the parent is gone. */
static int write_from_outside(int go_fd, pid_t parent)
{
        char go;
        if (read(go_fd, &go, 1) != 1)
                return 1;
        return map_all(parent, "uid_map") < 0 || map_all(parent, "gid_map") < 0;
}

int jail_ids_begin(struct jail_ids *ids, struct error *err)
{
        int pair[2];
        pid_t parent = getpid();
        *ids = (struct jail_ids){.uid = geteuid(), .gid = getegid(), .writer = -1, .go_fd = -1};
        if (ids->uid != 0)
                return 0;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "make a pipe");
        ids->go_fd = pair[1];
        ids->writer = fork();
        if (ids->writer == 0) {
                (void)close(pair[1]); /* or the end would not be seen */
                _exit(write_from_outside(pair[0], parent));
        }
        int r = ids->writer < 0 ? -errno : 0;
        (void)close(pair[0]); /* the child's */
        if (r < 0)
                close_fd(&ids->go_fd);
        return r < 0 ? error_errno(err, r, "make a process") : 0;
}

static bool map_own(const struct jail_ids *ids)
{
        char map[40];
        (void)write_file("/proc/self/setgroups",
                         "deny"); /* must be, before the next but one; fails with it */
        (void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)ids->uid); /* always fits */
        if (write_file("/proc/self/uid_map", map) < 0)
                return false;
        (void)snprintf(map, sizeof(map), "0 %u 1", (unsigned)ids->gid);
        return write_file("/proc/self/gid_map", map) == 0;
}

bool jail_ids_end(struct jail_ids *ids)
{
        int status = 0;
        if (ids->writer < 0) {
                if (!map_own(ids))
                        log_info("ids in shared folders are not mapped: %s", strerror(errno));
                return false;
        }
        (void)!write(ids->go_fd, "", 1); /* a child that is gone is seen below */
        close_fd(&ids->go_fd);
        while (waitpid(ids->writer, &status, 0) < 0 && errno == EINTR)
                ;
        ids->writer = -1;
        return geteuid() == 0; /* mapped, or there is no namespace of our own */
}

int jail_keep_capabilities(unsigned keep, struct error *err)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];
        if (syscall(SYS_capget, &header, data) < 0)
                return error_errno(err, -errno, "look at capabilities");
        header.pid = 0;
        data[0].effective = data[0].permitted &= keep;
        data[1].effective = data[1].permitted = 0;
        data[0].inheritable = data[1].inheritable = 0;
        return syscall(SYS_capset, &header, data) < 0 ? error_errno(err, -errno, "give up capabilities") : 0;
}
