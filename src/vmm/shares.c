/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that serve files are the only ones that may open, make and remove files, beneath the shares;
 * each takes its own filter of system calls and keeps the capabilities that files need, in the user namespace
 * that the process is in. The rest of the process gets neither.
 */
#include "vmm/shares.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/jail.h"
#include "vmm/share_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* How many descriptors there may be for a machine with shares, if the hard limit allows; half of a small
 * limit, or all but what streams need of a large one, are for files. */
#define DESCRIPTORS (16U << 10)
#define FOR_STREAMS 2048U
#define SMALL       4096U

/* A guest's kernel has about 1 KiB for each file that it knows, so it cannot know more than this many bytes
 * of its memory are for each; and what we have for each, 200 to 500 bytes, stays below its own size. */
#define MEMORY_PER_FILE 1024

#define CAPABILITIES                                                                               \
        (1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER | \
         1U << CAP_FSETID)

static int jail_serving_thread(void *data, struct error *err)
{
        return jail_files_thread(CAPABILITIES, *(const int *)data, err);
}

/* Of the shares as mounts of their own. -1: without. */
static int make_ruleset(const struct config *config, int *ret_ruleset, struct error *err)
{
        struct jail_share list[CONFIG_SHARES_MAX];
        for (unsigned i = 0; i < config->share_count; i++)
                list[i] =
                    (struct jail_share){.fd = config->shares[i].fd, .readonly = config->shares[i].readonly};
        int r = jail_shares_new(list, config->share_count, ret_ruleset, err);
        return r == -EOPNOTSUPP ? 0 : r;
}

/* As a mount of its own, or by its path where there is no namespace to make mounts in. */
static int open_proc(struct error *err)
{
        int fd = share_mount_proc();
        if (fd < 0)
                fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? error_errno(err, -errno, "open '/proc/self/fd', which shared folders need") : fd;
}

static int want_descriptors(unsigned *ret_for_files, struct error *err)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_errno(err, -errno, "look at the limit of descriptors");
        rlim_t wanted = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        if (limit.rlim_cur < wanted) {
                limit.rlim_cur = wanted;
                if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        return error_errno(err, -errno, "raise the limit of descriptors");
        }
        unsigned count = limit.rlim_cur < DESCRIPTORS ? (unsigned)limit.rlim_cur : DESCRIPTORS;
        *ret_for_files = count < SMALL ? count / 2 : count - FOR_STREAMS;
        return 0;
}

static unsigned nodes_of(uint64_t memory_bytes)
{
        uint64_t count = memory_bytes / MEMORY_PER_FILE;
        return count < UINT_MAX ? (unsigned)count : UINT_MAX;
}

int shares_start(struct loop *loop, const struct config *config, bool own_ids, struct shares *ret_shares,
                 struct error *err)
{
        static const enum fs_cache caches[] = {[CONFIG_CACHE_AUTO] = FS_CACHE_AUTO,
                                               [CONFIG_CACHE_ALWAYS] = FS_CACHE_ALWAYS,
                                               [CONFIG_CACHE_NONE] = FS_CACHE_NONE};
        struct fs_share list[CONFIG_SHARES_MAX];
        cleanup_fd int ruleset = -1, proc_fd = open_proc(err);
        if (proc_fd < 0)
                return proc_fd;
        for (unsigned i = 0; i < config->share_count; i++) {
                const struct config_share *s = &config->shares[i];
                int r = share_mount(s->fd, s->readonly);
                if (r < 0)
                        log_debug("share %u is no mount of its own: %s", i, strerror(-r));
                list[i] = (struct fs_share){.fd = s->fd, .readonly = s->readonly, .cache = caches[s->cache]};
        }
        struct virtio_fs_options options = {.fs = {.shares = list,
                                                   .share_count = config->share_count,
                                                   .node_max = nodes_of(config->memory_bytes),
                                                   .owners = own_ids ? FS_OWNERS_REAL : FS_OWNERS_MAPPED,
                                                   .proc_fd = proc_fd},
                                            .jail_thread = jail_serving_thread,
                                            .jail_data = &ruleset};
        int r = make_ruleset(config, &ruleset, err);
        if (r == 0)
                r = want_descriptors(&options.fs.descriptor_max, err);
        if (r == 0)
                r = virtio_fs_new(loop, &options, &ret_shares->fs, err);
        if (r == 0)
                ret_shares->proc_fd = take_fd(&proc_fd);
        return r;
}

void shares_stop(struct shares *shares)
{
        virtio_fs_free(shares->fs);
        shares->fs = NULL;
        close_fd(&shares->proc_fd);
}
