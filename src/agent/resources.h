/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_RESOURCES_H
#define AGENT_RESOURCES_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One file of a cgroup v2 and what is to be written to it. */
struct cgroup_setting {
        char file[64];
        char value[64];
};

#define CGROUP_SETTINGS_MAX 32

/* One rule for device files, as in linux.resources.devices; the last one that matches decides. */
struct device_rule {
        bool allow;
        char type;            /* 'a' (all), 'c' or 'b' */
        int64_t major, minor; /* -1: any */
        bool read, write, mknod;
};

#define DEVICE_RULES_MAX 128

struct resources {
        struct cgroup_setting settings[CGROUP_SETTINGS_MAX];
        size_t setting_count;
        struct device_rule rules[DEVICE_RULES_MAX];
        size_t rule_count;
};

/* linux.resources of an OCI document (NULL: nothing asked for) as cgroup v2 has it. Members that would be
 * limits and cannot be kept are refused with their name (-EOPNOTSUPP). */
int resources_parse(const json_t *json, struct resources *ret_resources, struct error *err);

/* -ENOSPC when there is no room for another rule. */
int resources_add_rule(struct resources *resources, const struct device_rule *rule);

#endif
