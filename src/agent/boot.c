/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot request. What needs randomness or the time comes after both are set; then the container's root is
 * mounted by a process of its own, while the other steps are done here: a disk may be slow, and filling a
 * volume takes as long as there is to copy.
 */
#include "agent/boot.h"

#include "agent/boot_plan.h"
#include "agent/control.h"
#include "agent/job.h"
#include "agent/names.h"
#include "agent/network.h"
#include "agent/rootfs.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define DNS_PORT 53

struct boot {
        struct agent *agent;
        struct boot_plan *plan;
        struct worker *root;
};

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
        /* all copies of a template would draw the same numbers until the kernel mixes that in by itself */
        if (r == 0 && ioctl(fd, RNDRESEEDCRNG) < 0)
                r = -errno;
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

static int mount_root(void *data, struct error *err)
{
        struct boot *boot = data;
        return rootfs_mount(boot->plan, boot->agent->setup->run_folder, err);
}

static void root_mounted(void *data, const struct error *err)
{
        struct boot *boot = data;
        struct agent *agent = boot->agent;
        agent->booted = err->code == 0;
        boot_end(agent);
        control_booted(agent, err, "root");
        if (agent->booted)
                job_start_waiting(agent);
}

static const struct worker_ops root_ops = {mount_root, root_mounted};

static int set_up_machine(const struct boot_plan *plan, struct error *err)
{
        int r = set_clock(plan, err);
        if (r == 0)
                r = add_entropy(plan, err);
        if (r == 0)
                r = set_hostname(plan, err);
        if (r == 0)
                r = set_sysctls(plan, err);
        return r;
}

static int carry_out(struct boot *boot, const char **ret_stage, struct error *err)
{
        struct agent *agent = boot->agent;
        int r = set_up_machine(boot->plan, err);
        if (r < 0)
                return r;
        agent->readonly_root = boot->plan->readonly;
        agent->has_disk = boot->plan->upper != NULL || boot->plan->disk_count > 0;
        r = worker_start(agent->loop, &root_ops, boot, &boot->root, err);
        if (r < 0)
                return r;
        agent->asked_to_boot = true;
        *ret_stage = "network";
        r = network_set_up(boot->plan, err);
        if (r == 0 && boot->plan->resolver.present) {
                agent->resolver = boot->plan->resolver;
                r = names_start(agent->loop, &agent->resolver, DNS_PORT, &agent->names, err);
        }
        *ret_stage = r < 0 ? "network" : "agent";
        return r == 0 ? write_files(boot->plan, agent->setup->run_folder, err) : r;
}

int boot_begin(struct agent *agent, const json_t *request, const char **ret_stage, struct error *err)
{
        *ret_stage = "agent";
        if (agent->boot != NULL || agent->asked_to_boot)
                return error_set(err, -EALREADY, "boot: this was done before");
        struct boot *boot = calloc(1, sizeof(*boot));
        if (boot == NULL)
                return error_errno(err, -ENOMEM, "boot");
        boot->agent = agent;
        agent->boot = boot;
        int r = boot_plan_parse(request, &boot->plan, err);
        if (r == 0)
                r = carry_out(boot, ret_stage, err);
        if (r < 0)
                boot_end(agent);
        else
                job_start_waiting(agent); /* as far as it can go without the root */
        return r;
}

void boot_end(struct agent *agent)
{
        struct boot *boot = agent->boot;
        agent->boot = NULL;
        if (boot == NULL)
                return;
        worker_free(boot->root);
        boot_plan_free(boot->plan);
        free(boot);
}
