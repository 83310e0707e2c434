/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot request, step by step: what needs randomness or the time comes after both are set.
 */
#include "agent/boot.h"

#include "agent/boot_plan.h"
#include "agent/cgroup.h"
#include "agent/network.h"
#include "agent/rootfs.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

static int set_clock(const struct boot_plan *plan, struct error *err)
{
        struct timespec now = {.tv_sec = plan->time_ns / 1000000000, .tv_nsec = plan->time_ns % 1000000000};
        if (plan->time_ns != 0 && clock_settime(CLOCK_REALTIME, &now) < 0)
                return error_errno(err, -errno, "set the clock");
        return 0;
}

static int add_entropy(const struct boot_plan *plan, struct error *err)
{
        union {
                struct rand_pool_info info; /* two words, then the bytes */
                uint8_t room[sizeof(struct rand_pool_info) + sizeof(plan->entropy)];
        } pool;
        if (plan->entropy_size == 0)
                return 0;
        cleanup_fd int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
        pool.info.entropy_count = (int)plan->entropy_size * 8;
        pool.info.buf_size = (int)plan->entropy_size;
        memcpy(pool.room + sizeof(pool.info), plan->entropy, plan->entropy_size);
        int r = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
        explicit_bzero(&pool, sizeof(pool));
        return r < 0 ? error_errno(err, r, "add entropy") : 0;
}

static int set_hostname(const struct boot_plan *plan, struct error *err)
{
        if (plan->hostname[0] != '\0' && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
                return error_errno(err, -errno, "set the host name");
        return 0;
}

static int set_sysctls(const struct boot_plan *plan, struct error *err)
{
        for (size_t i = 0; i < plan->sysctl_count; i++) {
                char path[PATH_MAX];
                (void)snprintf(path, sizeof(path), "/proc/sys/%s", plan->sysctls[i].path); /* 255 at most */
                cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
                int r = fd < 0 ? -errno
                               : fd_write_full(fd, plan->sysctls[i].value, strlen(plan->sysctls[i].value));
                if (r < 0)
                        return error_errno(err, r, "set sysctl '%s'", plan->sysctls[i].path);
        }
        return 0;
}

/* The files the container will see in /etc, on a small file system of their own: the container may write to
 * them. */
static int write_files(const struct boot_plan *plan, const char *run_folder, struct error *err)
{
        char folder[PATH_MAX], name_line[sizeof(plan->hostname) + 1];
        (void)snprintf(folder, sizeof(folder), "%s/files", run_folder); /* our own short names */
        (void)snprintf(name_line, sizeof(name_line), "%s\n", plan->hostname);
        int r = path_mkdir_all(folder, 0755);
        if (r == 0 &&
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4m,mode=0755") < 0)
                r = -errno;
        cleanup_fd int dir = r == 0 ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : r;
        const char *const files[][2] = {{"hosts", plan->hosts},
                                        {"hostname", name_line},
                                        {"resolv.conf", plan->resolv_conf}};
        for (size_t i = 0; r == 0 && i < sizeof(files) / sizeof(files[0]); i++) {
                if (files[i][1] == NULL)
                        continue;
                cleanup_fd int fd = openat(dir, files[i][0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                r = fd < 0 ? -errno : fd_write_full(fd, files[i][1], strlen(files[i][1]));
        }
        return r < 0 ? error_errno(err, r, "write the files for /etc") : 0;
}

int boot_carry_out(struct agent *agent, const json_t *request, struct error *err)
{
        struct boot_plan *plan;
        const char *run_folder = agent->setup->run_folder;
        if (agent->booted)
                return error_set(err, -EALREADY, "boot: this was done before");
        int r = boot_plan_parse(request, &plan, err);
        if (r < 0)
                return r;
        r = set_clock(plan, err);
        if (r == 0)
                r = add_entropy(plan, err);
        if (r == 0)
                r = set_hostname(plan, err);
        if (r == 0)
                r = set_sysctls(plan, err);
        if (r == 0)
                r = network_set_up(plan, err);
        if (r == 0)
                r = write_files(plan, run_folder, err);
        if (r == 0)
                r = rootfs_mount(plan, run_folder, err);
        if (r == 0) {
                agent->readonly_root = plan->readonly;
                agent->has_disk = plan->upper != NULL;
                agent->booted = true;
        }
        boot_plan_free(plan);
        return r;
}
