/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_SPEC_H
#define AGENT_SPEC_H

#include "agent/capability.h"
#include "agent/mount_options.h"
#include "agent/resources.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * OCI runtime-spec documents as plans: everything is copied, checked and in the kernel's own terms, so that
 * carrying a plan out needs no JSON. Texts are never NULL unless said.
 */

struct rlimit_plan {
        int resource;
        struct rlimit limit;
};

/* A process to be executed. */
struct task_plan {
        char **args; /* at least one */
        char **env;
        char *cwd; /* absolute */
        bool terminal;
        uint16_t rows, columns; /* 0: not said */
        char *username;         /* NULL: uid, gid and groups are the numbers to take */
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t group_count;
        bool has_umask;
        mode_t umask;
        struct capability_sets capabilities;
        struct rlimit_plan rlimits[RLIM_NLIMITS];
        size_t rlimit_count;
        bool no_new_privileges;
        bool has_oom_score_adj;
        int oom_score_adj;
};

struct mount_plan {
        char *destination; /* absolute, inside the container */
        char *type;
        char *source;
        struct mount_options options;
};

struct device_plan {
        char *path;  /* absolute, inside the container */
        mode_t mode; /* with S_IFCHR, S_IFBLK or S_IFIFO */
        unsigned device_major, device_minor;
        uid_t uid;
        gid_t gid;
};

struct sysctl_plan {
        char *path; /* below /proc/sys */
        char *value;
};

struct container_plan {
        struct task_plan task;
        bool readonly_root;
        bool tiny_init;       /* annotation boxlet.init */
        bool delegate_cgroup; /* a cgroup mount that may be written to */
        struct mount_plan *mounts;
        size_t mount_count;
        struct device_plan *devices;
        size_t device_count;
        struct sysctl_plan *sysctls;
        size_t sysctl_count;
        char **masked_paths;
        char **readonly_paths;
        char *hostname;            /* "": unchanged */
        char *domainname;          /* the same */
        char *cgroup;              /* relative to the cgroup root, "box" unless said */
        uint64_t namespaces;       /* CLONE_NEW* */
        unsigned long propagation; /* of the root; 0: private */
        struct resources resources;
};

/* -EINVAL for what is wrong, -EOPNOTSUPP for what cannot be carried out; err names the member. */
int spec_parse(const json_t *spec, struct container_plan **ret_plan, struct error *err);
void container_plan_free(struct container_plan *plan);

/* The process object of an exec; what it leaves out comes from base. */
int spec_parse_exec(const json_t *process, const struct task_plan *base, struct task_plan *ret_task,
                    struct error *err);
void task_plan_done(struct task_plan *task);

/* "net.core.somaxconn" to "net/core/somaxconn"; NULL when it is no such name or out of memory. */
char *sysctl_path(const char *key);

#endif
