/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages of jail.h. Their parts are in jail_spaces.c (namespaces, root, capabilities), jail_landlock.c
 * and jail_filter.c (system calls). What a host does not allow is noted in struct jail, not an error: the
 * caller decides whether the rest is enough.
 *
 * Capabilities, Landlock and filters belong to threads, not to the process: each further thread takes stage 4
 * itself. The root belongs to all.
 *
 * Builds with sanitizers keep root and system calls: their reports need files, and calls of their own.
 */
#include "vmm/jail_parts.h"

#include "base/log.h"
#include "vmm/config.h"
#include "vmm/jail_filter.h"
#include "vmm/jail_ids.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 1024 streams, greetings, and what a machine holds; the limit is raised to this if it is lower */
#define DESCRIPTORS 2048

static int compare(const void *a, const void *b)
{
        return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

int jail_close_others(const int *keep, size_t count, struct error *err)
{
        int sorted[CONFIG_FDS_MAX];
        unsigned from = 3;
        if (count > CONFIG_FDS_MAX)
                return error_set(err, -EINVAL, "too many descriptors to keep");
        memcpy(sorted, keep, count * sizeof(int));
        qsort(sorted, count, sizeof(int), compare);
        for (size_t i = 0; i < count; i++) {
                unsigned fd = (unsigned)sorted[i];
                if (sorted[i] < 3 || fd < from)
                        continue;
                if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) < 0)
                        return error_errno(err, -errno, "close descriptors");
                from = fd + 1;
        }
        if (syscall(SYS_close_range, from, ~0U, 0) < 0)
                return error_errno(err, -errno, "close descriptors");
        return 0;
}

static int tie_to_parent(pid_t parent, struct error *err)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return error_errno(err, -errno, "tie the process to its parent");
        if (getppid() != parent)
                return error_set(err, -ESRCH, "the parent has ended");
        return 0;
}

/* The namespaces, and what users are in them. */
static int enter_spaces(struct jail *jail, bool map_ids, struct error *err)
{
        struct jail_ids ids;
        int r = map_ids ? jail_ids_begin(&ids, err) : 0;
        if (r < 0)
                return r;
        jail_enter_spaces(jail);
        if (map_ids)
                jail->own_ids = jail_ids_end(&ids);
        return 0;
}

int jail_before_engine(struct jail *jail, bool map_ids, struct error *err)
{
        const struct rlimit no_core = {0, 0};
        pid_t parent = getppid();
        *jail = (struct jail){.lacks = JAIL_WITH_SANITIZER ? JAIL_LACKS_FILTER : 0};
        if (!jail_has_landlock())
                jail->lacks |= JAIL_LACKS_LANDLOCK;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(err, -errno, "give up new privileges");
        if (setrlimit(RLIMIT_CORE, &no_core) < 0)
                return error_errno(err, -errno, "forbid core dumps");
        int r = enter_spaces(jail, map_ids, err);
        if (r == 0)
                r = jail_root_is_nobody(err);
        if (r ==
            0) /* after the namespaces: new credentials take it away again (commit_creds() in the kernel) */
                r = tie_to_parent(parent, err);
        if (r == 0 && jail->own_processes)
                r = jail_fork_inside(err);
        return r;
}

static int limit_descriptors(struct error *err)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_errno(err, -errno, "look at the limit of descriptors");
        if (limit.rlim_cur < DESCRIPTORS)
                limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        limit.rlim_max = limit.rlim_cur;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? error_errno(err, -errno, "limit descriptors") : 0;
}

int jail_put_up_walls(struct error *err)
{
        int r = jail_forbid_files(err);
        return r < 0 && r != -EOPNOTSUPP ? r : jail_drop_capabilities(err);
}

int jail_put_up_walls_around(unsigned capabilities, int ruleset, struct error *err)
{
        int r = jail_empty_thread_root(err);
        if (r == 0 && ruleset >= 0)
                r = jail_only_shares(ruleset, err);
        return r < 0 ? r : jail_keep_capabilities(capabilities, err);
}

static int enter_thread(enum jail_kind kind, struct error *err)
{
        if (JAIL_WITH_SANITIZER)
                return jail_drop_capabilities(err);
        int r = jail_put_up_walls(err);
        return r < 0 ? r : jail_filter_load(kind, err);
}

int jail_before_guest(const struct jail *jail, struct error *err)
{
        int r = limit_descriptors(err);
        if (r == 0 && jail->own_mounts && !JAIL_WITH_SANITIZER)
                r = jail_empty_root(err);
        return r < 0 ? r : enter_thread(JAIL_LOOP, err);
}

int jail_vcpu_thread(struct error *err)
{
        return enter_thread(JAIL_VCPU, err);
}

int jail_files_thread(unsigned capabilities, int ruleset, struct error *err)
{
        if (JAIL_WITH_SANITIZER)
                return jail_keep_capabilities(capabilities, err);
        int r = jail_put_up_walls_around(capabilities, ruleset, err);
        return r < 0 ? r : jail_filter_load(JAIL_FILES, err);
}

int jail_disk_thread(void *unused)
{
        struct error err = ERROR_INIT;
        (void)unused;
        int r = enter_thread(JAIL_DISK, &err);
        if (r < 0)
                log_error("%s", err.text);
        return r;
}

void jail_describe(unsigned lacks, char *text, size_t size)
{
        static const struct {
                unsigned lack;
                const char *words;
        } all[] = {{JAIL_LACKS_USER, "no user namespace"},
                   {JAIL_LACKS_SPACES, "no network, IPC or process namespace of its own"},
                   {JAIL_LACKS_ROOT, "no empty root"},
                   {JAIL_LACKS_LANDLOCK, "no Landlock in this kernel"},
                   {JAIL_LACKS_FILTER, "no system call filter in a build with sanitizers"}};
        size_t length = 0;
        text[0] = '\0';
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                if ((lacks & all[i].lack) == 0)
                        continue;
                int n = snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", all[i].words);
                if (n < 0 || (size_t)n >= size - length)
                        return; /* cut */
                length += (size_t)n;
        }
}

bool jail_too_weak(unsigned lacks)
{
        return (lacks & ~(unsigned)JAIL_LACKS_LANDLOCK) != 0;
}
