/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intruder: tries what would lead from a container to the agent, the box's disks and the host's end of vsock.
 * Prints a line for each attempt that succeeded, and how many were made; exits with the number of those that
 * succeeded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define X32 0x40000000

static int attempts, successes;

static void tried(bool success, const char *what, const char *detail)
{
        attempts++;
        if (!success)
                return;
        successes++;
        printf("%s %s: possible\n", what, detail);
}

static bool opens(const char *path, int flags)
{
        int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return false;
        close(fd);
        return true;
}

static void try_vsock(void)
{
        static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
        for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                tried(socket(AF_VSOCK, types[i] | SOCK_CLOEXEC, 0) >= 0, "socket", "AF_VSOCK");
                /* only the lower half of the number counts for the kernel */
                tried(syscall(SYS_socket, (1UL << 32) | AF_VSOCK, types[i], 0) >= 0, "socket",
                      "AF_VSOCK, wide");
                tried(syscall(X32 | SYS_socket, AF_VSOCK, types[i], 0) >= 0, "socket", "AF_VSOCK, x32");
        }
}

/* A node of the device, and what is on it. /proc/partitions tells the disks' numbers. */
static void try_node(mode_t kind, unsigned major_number, unsigned minor_number)
{
        char detail[64];
        snprintf(detail, sizeof(detail), "%c %u:%u", kind == S_IFBLK ? 'b' : 'c', major_number, minor_number);
        (void)mknod("/tmp/node", kind | 0666,
                    makedev(major_number, minor_number)); /* opened or not is what counts */
        tried(opens("/tmp/node", O_RDONLY), "read", detail);
        tried(opens("/tmp/node", O_WRONLY), "write", detail);
        unlink("/tmp/node");
}

static void try_devices(void)
{
        char line[256];
        unsigned major_number, minor_number, disks = 0;
        FILE *file = fopen("/proc/partitions", "r");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
                if (sscanf(line, "%u %u", &major_number, &minor_number) != 2)
                        continue;
                try_node(S_IFBLK, major_number, minor_number);
                disks++;
        }
        if (disks < 2) /* root and upper: else nothing was tried */
                tried(true, "find", "fewer than two disks");
        /* memory, kernel messages, virtio console, FUSE, tun, misc, serial port. Not 5:1, the console:
         * Docker's rules allow it, and what is written there is in the box's console.log, bounded. */
        static const struct {
                unsigned major, minor;
        } characters[] = {{1, 1},    {1, 2},    {1, 4},    {1, 11}, {229, 0},
                          {10, 229}, {10, 200}, {10, 121}, {4, 64}};
        for (unsigned i = 0; i < sizeof(characters) / sizeof(characters[0]); i++)
                try_node(S_IFCHR, characters[i].major, characters[i].minor);
        tried(opens("/dev/vda", O_RDONLY) || opens("/dev/vdb", O_RDONLY), "open", "/dev/vda, /dev/vdb");
        tried(iopl(3) == 0 || ioperm(0x64, 1, 1) == 0, "use", "I/O ports");
}

static void try_cgroups(void)
{
        static const char *const files[] = {"cgroup.procs", "cgroup.kill", "memory.max", "cgroup.freeze",
                                            "../cgroup.procs"};
        char path[256];
        for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", files[i]);
                tried(opens(path, O_WRONLY), "write", path);
        }
        tried(mkdir("/sys/fs/cgroup/x", 0755) == 0, "make", "a cgroup");
        tried(mount("none", "/mnt", "cgroup2", 0, NULL) == 0, "mount", "cgroup2");
        tried(mount(NULL, "/sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND, NULL) == 0, "remount",
              "cgroup2 writable");
        tried(setns(open("/proc/1/ns/cgroup", O_RDONLY | O_CLOEXEC), 0) == 0, "enter", "a cgroup namespace");
        FILE *file = fopen("/proc/self/cgroup", "r");
        if (file == NULL || fgets(path, sizeof(path), file) == NULL || strstr(path, "..") != NULL)
                tried(true, "see", "cgroups above its own");
}

/* Every process there is to see: none is the agent. */
static void try_processes(void)
{
        DIR *dir = opendir("/proc");
        const struct dirent *entry;
        char path[300], target[256];
        int seen = 0;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
                if (atoi(entry->d_name) <= 0)
                        continue;
                seen++;
                snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                tried(strstr(target, "agent") != NULL || strcmp(target, "/init") == 0, "reach the agent by",
                      path);
                tried(opens(path, O_WRONLY), "write", path);
        }
        if (seen < 2) /* init and this one */
                tried(true, "find", "fewer than two processes");
        tried(opens("/proc/1/root/../init", O_RDONLY) || opens("/init", O_RDONLY), "open",
              "the agent's file");
}

int main(void)
{
        setvbuf(stdout, NULL, _IOLBF, 0); /* a success may be the end */
        try_vsock();
        try_devices();
        try_cgroups();
        try_processes();
        tried(reboot(RB_AUTOBOOT) == 0, "reboot", "the machine");
        tried(opens("/proc/sysrq-trigger", O_WRONLY), "write", "/proc/sysrq-trigger");
        tried(opens("/proc/kcore", O_RDONLY) && getuid() != 0, "read", "/proc/kcore");
        printf("%d attempts\n", attempts);
        return successes;
}
