/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet-agent: PID 1 of the guest. Takes the machine as the kernel leaves it, gets in touch with the host,
 * and at the end resets the machine, which is how a virtual machine without firmware ends (`reboot=t` makes
 * it a triple fault).
 *
 * The initramfs is rootfs, which pivot_root(2) cannot leave: a tmpfs is moved over it first, and the agent's
 * own file is removed, so that it has no name by which anybody could open it.
 */
#include "agent/agent.h"
#include "agent/slots.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CONTROL_PORT 1024
#define WORK_PORT    1025
#define NEW_ROOT     "/new"
#define OPEN_MAX     65536 /* descriptors; one exec takes up to eight */

static int vsock_socket(struct error *err)
{
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd < 0 ? error_errno(err, -errno, "open a vsock socket") : fd;
}

static int listen_for_work(struct error *err)
{
        struct sockaddr_vm address = {.svm_family = AF_VSOCK,
                                      .svm_cid = VMADDR_CID_ANY,
                                      .svm_port = WORK_PORT};
        cleanup_fd int fd = vsock_socket(err);
        if (fd < 0)
                return fd;
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
                return error_errno(err, -errno, "listen on vsock port %d", WORK_PORT);
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return error_errno(err, -errno, "listen on vsock port %d", WORK_PORT);
        return take_fd(&fd);
}

static int connect_to_host(struct error *err)
{
        struct sockaddr_vm address = {.svm_family = AF_VSOCK,
                                      .svm_cid = VMADDR_CID_HOST,
                                      .svm_port = CONTROL_PORT};
        cleanup_fd int fd = vsock_socket(err);
        if (fd < 0)
                return fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_errno(err, -errno, "connect to the host's vsock port %d", CONTROL_PORT);
        return take_fd(&fd);
}

static int reach_host(struct error *err)
{
        int r = slots_await_devices(err);
        return r < 0 ? r : connect_to_host(err);
}

static int mount_new(const char *source, const char *target, const char *type, unsigned long flags,
                     const char *data, struct error *err)
{
        if (mkdir(target, 0755) < 0 && errno != EEXIST)
                return error_errno(err, -errno, "make '%s'", target);
        if (mount(source, target, type, flags, data) < 0)
                return error_errno(err, -errno, "mount %s on '%s'", type, target);
        return 0;
}

static int leave_initramfs(struct error *err)
{
        int r = mount_new("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m", err);
        if (r == 0)
                r = mount_new("proc", NEW_ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
        if (r == 0)
                r = mount_new("sysfs", NEW_ROOT "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
        if (r == 0)
                r = mount_new("cgroup2", NEW_ROOT "/sys/fs/cgroup", "cgroup2",
                              MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot", err);
        if (r == 0)
                r = mount_new("devtmpfs", NEW_ROOT "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755",
                              err);
        if (r < 0)
                return r;
        if (mkdir(NEW_ROOT "/run", 0755) < 0)
                return error_errno(err, -errno, "make '/run'");
        (void)unlink("/init"); /* it has no other name; running on is all it needs */
        if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
            chdir("/") < 0)
                return error_errno(err, -errno, "leave the initramfs");
        return 0;
}

static int run(struct error *err)
{
        struct agent_setup setup = {.reach_host = reach_host,
                                    .host_only = true,
                                    .owns_machine = true,
                                    .run_folder = "/run/box",
                                    .cgroup_folder = "/sys/fs/cgroup"};
        struct rlimit limit = {OPEN_MAX, OPEN_MAX};
        /* freed memory goes back to the kernel at once: a burst of work must not stay resident */
        (void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
        (void)mallopt(M_TRIM_THRESHOLD, 64 << 10);
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer would do for a while */
        /* root of a box may add swap, and write to it: this program's own file lies in a tmpfs, and could be
         * swapped like anything else. Later memory is locked as it is touched; none is made resident for it.
         */
        if (mlockall(MCL_CURRENT) < 0 || mlockall(MCL_FUTURE | MCL_ONFAULT) < 0)
                log_warning("lock the agent in memory: %s", strerror(errno));
        int r = setup.listen_fd = listen_for_work(err);
        if (r >= 0)
                r = leave_initramfs(err);
        return r < 0 ? r : agent_run(&setup, err);
}

int main(void)
{
        struct error err = ERROR_INIT;
        if (getpid() != 1) {
                (void)fprintf(stderr,
                              "boxlet-agent: this program is the init of a box and does nothing else\n");
                return 125;
        }
        log_init("boxlet-agent", 2, LOG_LEVEL_WARNING);
        if (run(&err) < 0)
                log_error("%s", err.text);
        sync();
        (void)reboot(RB_AUTOBOOT); /* does not come back */
        return 1;
}
