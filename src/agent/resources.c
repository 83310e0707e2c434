/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources, written down by the OCI runtime-spec in terms of cgroup v1, as values for cgroup v2 files.
 * Pure. The conversions are those the other runtimes agree on: shares 2..262144 become weight 1..10000 on a
 * straight line; memory.swap counts memory and swap together in v1 and swap alone in v2.
 */
#include "agent/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int add(struct resources *r, struct error *err, const char *file, const char *value)
{
        if (r->setting_count == CGROUP_SETTINGS_MAX)
                return error_set(err, -EINVAL, "read resources: more than %d settings", CGROUP_SETTINGS_MAX);
        struct cgroup_setting *s = &r->settings[r->setting_count];
        if (strlen(file) >= sizeof(s->file) || strlen(value) >= sizeof(s->value))
                return error_set(err, -EINVAL, "read resources: '%.80s' or its value is too long", file);
        (void)snprintf(s->file, sizeof(s->file), "%s", file);    /* fits: checked just above */
        (void)snprintf(s->value, sizeof(s->value), "%s", value); /* the same */
        r->setting_count++;
        return 0;
}

/* Below 0 means without a limit. */
static int add_limit(struct resources *r, struct error *err, const char *file, int64_t value)
{
        char text[32] = "max";
        if (value >= 0)
                (void)snprintf(text, sizeof(text), "%" PRId64, value); /* 20 digits at most */
        return add(r, err, file, text);
}

struct allowed {
        const char *const *names;
        const char *what;
};

/* Every member that is not null must be known: what looks like a limit must not be dropped in silence. */
static int check_members(const json_t *object, const struct allowed *allowed, struct error *err)
{
        const char *key;
        json_t *value;
        if (!json_is_object(object))
                return error_set(err, -EINVAL, "'%s' is not an object", allowed->what);
        json_object_foreach ((json_t *)object, key, value) {
                const char *const *name = allowed->names;
                while (*name != NULL && strcmp(*name, key) != 0)
                        name++;
                if (*name == NULL && !json_is_null(value))
                        return error_set(err, -EOPNOTSUPP, "'%s.%.64s' is not supported", allowed->what, key);
        }
        return 0;
}

static int parse_memory(const json_t *memory, struct resources *r, struct error *err)
{
        static const char *const names[] = {"limit",  "reservation",      "swap",         "swappiness",
                                            "kernel", "disableOOMKiller", "useHierarchy", "checkBeforeUpdate",
                                            NULL};
        int64_t limit, swap, reservation, ignored;
        bool off, ignored_bool;
        int result = check_members(memory, &(struct allowed){names, "linux.resources.memory"}, err);
        if (result == 0)
                result = json_get_integer_or(memory, "limit", -1, INT64_MAX, 0, &limit, err);
        if (result == 0)
                result = json_get_integer_or(memory, "swap", -1, INT64_MAX, 0, &swap, err);
        if (result == 0)
                result = json_get_integer_or(memory, "reservation", -1, INT64_MAX, 0, &reservation, err);
        if (result == 0)
                result = json_get_integer_or(memory, "swappiness", 0, 200, 0, &ignored, err);
        if (result == 0)
                result = json_get_bool_or(memory, "disableOOMKiller", false, &off, err);
        if (result == 0)
                result = json_get_bool_or(memory, "useHierarchy", true, &ignored_bool, err);
        if (result < 0)
                return result;
        if (off)
                return error_set(err, -EOPNOTSUPP,
                                 "'linux.resources.memory.disableOOMKiller' is not supported");
        if (swap > 0 && (limit <= 0 || swap < limit))
                return error_set(err, -EINVAL,
                                 "'linux.resources.memory.swap' counts memory and swap together: it "
                                 "cannot be below the memory limit");
        if (limit != 0)
                result = add_limit(r, err, "memory.max", limit);
        if (result == 0 && swap != 0)
                result = add_limit(r, err, "memory.swap.max", swap < 0 ? -1 : swap - limit);
        if (result == 0 && reservation != 0)
                result = add_limit(r, err, "memory.low", reservation);
        return result;
}

static int parse_cpu_time(const json_t *cpu, struct resources *r, struct error *err)
{
        int64_t shares, quota, period, idle;
        char text[64];
        int result = json_get_integer_or(cpu, "shares", 0, INT64_MAX, 0, &shares, err);
        if (result == 0)
                result = json_get_integer_or(cpu, "quota", -1, INT64_MAX, 0, &quota, err);
        if (result == 0)
                result = json_get_integer_or(cpu, "period", 0, INT64_MAX, 0, &period, err);
        if (result == 0)
                result = json_get_integer_or(cpu, "idle", 0, 1, 0, &idle, err);
        if (result < 0)
                return result;
        if (shares != 0) {
                int64_t bounded = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
                result = add_limit(r, err, "cpu.weight", 1 + (bounded - 2) * 9999 / 262142);
        }
        if (result == 0 && idle != 0)
                result = add(r, err, "cpu.idle", "1");
        if (result == 0 && (quota != 0 || period != 0)) {
                if (quota > 0)
                        (void)snprintf(text, sizeof(text), "%" PRId64 " %" PRId64, quota,
                                       period != 0 ? period : 100000); /* two numbers always fit */
                else
                        (void)snprintf(text, sizeof(text), "max %" PRId64, period != 0 ? period : 100000);
                result = add(r, err, "cpu.max", text);
        }
        return result;
}

static int parse_cpu(const json_t *cpu, struct resources *r, struct error *err)
{
        static const char *const names[] = {"shares", "quota", "period", "cpus",
                                            "mems",   "idle",  "burst",  NULL};
        const char *cpus = "", *mems = "";
        int64_t burst;
        char text[32];
        int result = check_members(cpu, &(struct allowed){names, "linux.resources.cpu"}, err);
        if (result == 0)
                result = parse_cpu_time(cpu, r, err);
        if (result == 0)
                result = json_get_integer_or(cpu, "burst", 0, INT64_MAX, 0, &burst, err);
        if (result == 0 && burst != 0) {
                (void)snprintf(text, sizeof(text), "%" PRId64, burst); /* 20 digits at most */
                result = add(r, err, "cpu.max.burst", text);
        }
        if (result == 0)
                result = json_get_string_or(cpu, "cpus", "", &cpus, err);
        if (result == 0)
                result = json_get_string_or(cpu, "mems", "", &mems, err);
        if (result == 0 && *cpus != '\0')
                result = add(r, err, "cpuset.cpus", cpus);
        if (result == 0 && *mems != '\0')
                result = add(r, err, "cpuset.mems", mems);
        return result;
}

static int parse_pids(const json_t *pids, struct resources *r, struct error *err)
{
        static const char *const names[] = {"limit", NULL};
        int64_t limit;
        int result = check_members(pids, &(struct allowed){names, "linux.resources.pids"}, err);
        if (result == 0)
                result = json_get_integer_or(pids, "limit", -1, INT64_MAX, 0, &limit, err);
        if (result < 0)
                return result;
        return add_limit(r, err, "pids.max", limit == 0 ? -1 : limit);
}

/* {"memory.high": "1G"}: file names, not paths. */
static int parse_unified(const json_t *unified, struct resources *r, struct error *err)
{
        const char *key;
        json_t *value;
        if (!json_is_object(unified))
                return error_set(err, -EINVAL, "'linux.resources.unified' is not an object");
        json_object_foreach ((json_t *)unified, key, value) {
                if (!json_is_string(value) || strchr(key, '/') != NULL || strchr(key, '.') == NULL ||
                    key[0] == '.' || strncmp(key, "cgroup.", 7) == 0)
                        return error_set(err, -EINVAL, "'linux.resources.unified.%.64s' is not a setting",
                                         key);
                int result = add(r, err, key, json_string_value(value));
                if (result < 0)
                        return result;
        }
        return 0;
}

int resources_add_rule(struct resources *resources, const struct device_rule *rule)
{
        if (resources->rule_count == DEVICE_RULES_MAX)
                return -ENOSPC;
        resources->rules[resources->rule_count++] = *rule;
        return 0;
}

static int parse_rule(const json_t *json, struct device_rule *ret_rule, struct error *err)
{
        struct device_rule rule = {0};
        const char *type, *access;
        if (!json_is_object(json))
                return error_set(err, -EINVAL, "'linux.resources.devices' does not hold only objects");
        int r = json_get_bool_or(json, "allow", false, &rule.allow, err);
        if (r == 0)
                r = json_get_string_or(json, "type", "a", &type, err);
        if (r == 0)
                r = json_get_string_or(json, "access", "rwm", &access, err);
        if (r == 0)
                r = json_get_integer_or(json, "major", -1, UINT32_MAX, -1, &rule.major, err);
        if (r == 0)
                r = json_get_integer_or(json, "minor", -1, UINT32_MAX, -1, &rule.minor, err);
        if (r < 0)
                return r;
        if (strcmp(type, "a") != 0 && strcmp(type, "b") != 0 && strcmp(type, "c") != 0)
                return error_set(err, -EINVAL, "'linux.resources.devices': type '%.16s' is none of a, b, c",
                                 type);
        rule.type = type[0];
        rule.read = strchr(access, 'r') != NULL;
        rule.write = strchr(access, 'w') != NULL;
        rule.mknod = strchr(access, 'm') != NULL;
        *ret_rule = rule;
        return 0;
}

static int parse_devices(const json_t *devices, struct resources *r, struct error *err)
{
        if (!json_is_array(devices))
                return error_set(err, -EINVAL, "'linux.resources.devices' is not an array");
        for (size_t i = 0; i < json_array_size(devices); i++) {
                struct device_rule rule;
                int result = parse_rule(json_array_get(devices, i), &rule, err);
                if (result == 0 && resources_add_rule(r, &rule) < 0)
                        result = error_set(err, -EINVAL, "'linux.resources.devices' has more than %d rules",
                                           DEVICE_RULES_MAX);
                if (result < 0)
                        return result;
        }
        return 0;
}

int resources_parse(const json_t *json, struct resources *ret_resources, struct error *err)
{
        static const char *const names[] = {"memory", "cpu", "pids", "unified", "devices", NULL};
        static const struct {
                const char *name;
                int (*parse)(const json_t *json, struct resources *r, struct error *err);
        } parts[] = {
            {"memory", parse_memory},   {"cpu", parse_cpu},         {"pids", parse_pids},
            {"unified", parse_unified}, {"devices", parse_devices},
        };
        memset(ret_resources, 0, sizeof(*ret_resources));
        if (json == NULL || json_is_null(json))
                return 0;
        int r = check_members(json, &(struct allowed){names, "linux.resources"}, err);
        for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
                const json_t *part = json_object_get(json, parts[i].name);
                if (part != NULL && !json_is_null(part))
                        r = parts[i].parse(part, ret_resources, err);
        }
        return r;
}
