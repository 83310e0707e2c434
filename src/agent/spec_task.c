/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process object of an OCI document as a plan. Pure. One parser serves a container's own process and an
 * exec's: the latter starts from the container's plan, and every member that is there replaces what was.
 */
#include "agent/spec.h"

#include "base/capability.h"
#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 256
#define ARGS_MAX   65536

static const struct {
        const char *name;
        int resource;
} rlimit_names[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

static bool present(const json_t *object, const char *key)
{
        const json_t *value = json_object_get(object, key);
        return value != NULL && !json_is_null(value);
}

static int no_memory(struct error *err)
{
        return error_errno(err, -ENOMEM, "read process");
}

static int replace(char **place, const char *text, struct error *err)
{
        char *copy = strdup(text);
        if (copy == NULL)
                return no_memory(err);
        free(*place);
        *place = copy;
        return 0;
}

/* Takes the new strings, freeing the old ones. */
static void replace_strings(char ***place, char **strings)
{
        json_free_strings(*place);
        *place = strings;
}

static int parse_args(const json_t *json, struct task_plan *task, struct error *err)
{
        char **args;
        size_t count;
        int r = json_get_strings(json, "args", &args, &count, err);
        if (r < 0)
                return r;
        replace_strings(&task->args, args);
        if (count == 0 || count > ARGS_MAX || args[0][0] == '\0')
                return error_set(err, -EINVAL, "'process.args' does not begin with a command");
        return 0;
}

static size_t name_length(const char *variable)
{
        return strcspn(variable, "=");
}

/* The variables of over laid on those of *env; a name alone takes its variable away. */
static int lay_over(char ***env, char **over, struct error *err)
{
        size_t count = 0, added = 0;
        while ((*env)[count] != NULL)
                count++;
        while (over[added] != NULL)
                added++;
        char **all = calloc(count + added + 1, sizeof(*all));
        if (all == NULL)
                return no_memory(err);
        for (size_t i = 0; i < count; i++)
                all[i] = (*env)[i];
        for (size_t i = 0; i < added; i++) {
                size_t length = name_length(over[i]), at = 0;
                while (at < count && (strncmp(all[at], over[i], length) != 0 || all[at][length] != '='))
                        at++;
                if (at < count)
                        free(all[at]);
                if (over[i][length] == '\0') {
                        if (at < count)
                                all[at] = all[--count];
                        all[count] = NULL;
                        continue;
                }
                count += at == count;
                all[at] = over[i];
                over[i] = NULL;
        }
        free(*env);
        *env = all;
        return 0;
}

static int parse_env(const json_t *json, struct task_plan *task, struct error *err)
{
        char **env;
        size_t count;
        int r = json_get_strings(json, "env", &env, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++) {
                /* an exec takes away of its box's */
                bool removes = task->env[0] != NULL && env[i][0] != '\0';
                if (env[i][0] == '=' || (strchr(env[i], '=') == NULL && !removes))
                        r = error_set(err, -EINVAL, "'process.env': '%.64s' is not NAME=value", env[i]);
        }
        if (r == 0)
                r = lay_over(&task->env, env, err);
        for (size_t i = 0; i < count; i++)
                free(env[i]);
        free(env);
        return r;
}

static int parse_groups(const json_t *user, struct task_plan *task, struct error *err)
{
        const json_t *list = json_object_get(user, "additionalGids");
        size_t count = json_array_size(list);
        if (list != NULL && !json_is_null(list) && !json_is_array(list))
                return error_set(err, -EINVAL, "'process.user.additionalGids' is not an array");
        if (count > GROUPS_MAX)
                return error_set(err, -EINVAL, "'process.user.additionalGids' has more than %d", GROUPS_MAX);
        cleanup_free gid_t *groups = calloc(count + 1, sizeof(*groups));
        if (groups == NULL)
                return no_memory(err);
        for (size_t i = 0; i < count; i++) {
                json_int_t gid = json_integer_value(json_array_get(list, i));
                if (!json_is_integer(json_array_get(list, i)) || gid < 0 || gid >= UINT32_MAX)
                        return error_set(err, -EINVAL, "'process.user.additionalGids' holds no group number");
                groups[i] = (gid_t)gid;
        }
        free(task->groups);
        task->groups = take_ptr(&groups);
        task->group_count = count;
        return 0;
}

static int parse_user(const json_t *json, struct task_plan *task, struct error *err)
{
        const json_t *user = json_object_get(json, "user");
        const char *username;
        int64_t uid, gid, mask;
        if (user == NULL || json_is_null(user))
                return 0;
        if (!json_is_object(user))
                return error_set(err, -EINVAL, "'process.user' is not an object");
        int r = json_get_string_or(user, "username", NULL, &username, err);
        if (r == 0)
                r = json_get_integer_or(user, "uid", 0, UINT32_MAX - 1, 0, &uid, err);
        if (r == 0)
                r = json_get_integer_or(user, "gid", 0, UINT32_MAX - 1, 0, &gid, err);
        if (r == 0)
                r = json_get_integer_or(user, "umask", 0, 0777, -1, &mask, err);
        if (r == 0)
                r = parse_groups(user, task, err);
        if (r < 0)
                return r;
        free(task->username);
        task->username = username != NULL ? strdup(username) : NULL;
        if (username != NULL && task->username == NULL)
                return no_memory(err);
        task->uid = (uid_t)uid;
        task->gid = (gid_t)gid;
        if (mask >= 0) {
                task->has_umask = true;
                task->umask = (mode_t)mask;
        }
        return 0;
}

static int parse_set(const json_t *json, const char *key, uint64_t *ret_set, struct error *err)
{
        char **list;
        uint64_t set = 0;
        int r = json_get_strings(json, key, &list, NULL, err);
        if (r < 0)
                return r;
        for (char **name = list; r == 0 && *name != NULL; name++) {
                int bit = capability_number(*name);
                if (bit < 0)
                        r = error_set(err, -EINVAL, "'process.capabilities.%s': no capability '%.64s'", key,
                                      *name);
                else
                        set |= UINT64_C(1) << bit;
        }
        json_free_strings(list);
        if (r == 0)
                *ret_set = set;
        return r;
}

static int parse_capabilities(const json_t *json, struct task_plan *task, struct error *err)
{
        const json_t *capabilities = json_object_get(json, "capabilities");
        struct capability_sets sets;
        if (capabilities == NULL || json_is_null(capabilities))
                return 0;
        if (!json_is_object(capabilities))
                return error_set(err, -EINVAL, "'process.capabilities' is not an object");
        int r = parse_set(capabilities, "bounding", &sets.bounding, err);
        if (r == 0)
                r = parse_set(capabilities, "effective", &sets.effective, err);
        if (r == 0)
                r = parse_set(capabilities, "permitted", &sets.permitted, err);
        if (r == 0)
                r = parse_set(capabilities, "inheritable", &sets.inheritable, err);
        if (r == 0)
                r = parse_set(capabilities, "ambient", &sets.ambient, err);
        if (r == 0)
                task->capabilities = sets;
        return r;
}

/* OCI has 64 bits without a sign here; jansson has a sign, so RLIM_INFINITY arrives as -1 or as a real
 * number. */
static int parse_limit(const json_t *json, const char *key, rlim_t *ret_limit, struct error *err)
{
        const json_t *value = json_object_get(json, key);
        if (json_is_real(value) && json_real_value(value) >= 18446744073709549568.0) {
                *ret_limit = RLIM_INFINITY;
                return 0;
        }
        int64_t number;
        int r = json_get_integer(json, key, -1, INT64_MAX, &number, err);
        if (r < 0)
                return r;
        *ret_limit = number < 0 ? RLIM_INFINITY : (rlim_t)number;
        return 0;
}

static int parse_rlimit(const json_t *json, struct rlimit_plan *ret_plan, struct error *err)
{
        const char *type;
        struct rlimit_plan plan = {.resource = -1};
        if (!json_is_object(json))
                return error_set(err, -EINVAL, "'process.rlimits' does not hold only objects");
        int r = json_get_string(json, "type", &type, err);
        if (r < 0)
                return error_wrap(err, "'process.rlimits'");
        for (size_t i = 0; i < sizeof(rlimit_names) / sizeof(rlimit_names[0]); i++) {
                if (strcmp(rlimit_names[i].name, type) == 0)
                        plan.resource = rlimit_names[i].resource;
        }
        if (plan.resource < 0)
                return error_set(err, -EINVAL, "'process.rlimits': no limit '%.64s'", type);
        r = parse_limit(json, "soft", &plan.limit.rlim_cur, err);
        if (r == 0)
                r = parse_limit(json, "hard", &plan.limit.rlim_max, err);
        if (r < 0)
                return error_wrap(err, "'process.rlimits', %s", type);
        if (plan.limit.rlim_cur > plan.limit.rlim_max)
                return error_set(err, -EINVAL, "'process.rlimits', %s: soft is above hard", type);
        *ret_plan = plan;
        return 0;
}

static int parse_rlimits(const json_t *json, struct task_plan *task, struct error *err)
{
        const json_t *list = json_object_get(json, "rlimits");
        if (!json_is_array(list))
                return error_set(err, -EINVAL, "'process.rlimits' is not an array");
        task->rlimit_count = 0;
        for (size_t i = 0; i < json_array_size(list); i++) {
                struct rlimit_plan plan;
                int r = parse_rlimit(json_array_get(list, i), &plan, err);
                if (r < 0)
                        return r;
                size_t at = 0;
                while (at < task->rlimit_count && task->rlimits[at].resource != plan.resource)
                        at++;
                if (at < task->rlimit_count)
                        return error_set(err, -EINVAL, "'process.rlimits' has the same limit twice");
                task->rlimits[task->rlimit_count++] = plan; /* at most RLIM_NLIMITS differ */
        }
        return 0;
}

static int parse_console(const json_t *json, struct task_plan *task, struct error *err)
{
        const json_t *size = json_object_get(json, "consoleSize");
        int64_t rows, columns;
        if (!json_is_object(size))
                return error_set(err, -EINVAL, "'process.consoleSize' is not an object");
        int r = json_get_integer_or(size, "height", 0, UINT16_MAX, 0, &rows, err);
        if (r == 0)
                r = json_get_integer_or(size, "width", 0, UINT16_MAX, 0, &columns, err);
        if (r < 0)
                return r;
        task->rows = (uint16_t)rows;
        task->columns = (uint16_t)columns;
        return 0;
}

/* What would change the meaning of the process if it were passed over. */
static int refuse_unsupported(const json_t *json, struct error *err)
{
        static const char *const names[] = {"apparmorProfile", "selinuxLabel", "scheduler", "ioPriority",
                                            "execCPUAffinity"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                const json_t *value = json_object_get(json, names[i]);
                if (value != NULL && !json_is_null(value) &&
                    !(json_is_string(value) && *json_string_value(value) == '\0'))
                        return error_set(err, -EOPNOTSUPP, "'process.%s' is not supported", names[i]);
        }
        return 0;
}

static int parse_rest(const json_t *json, struct task_plan *task, struct error *err)
{
        int64_t adjustment;
        const char *cwd;
        int r = json_get_string_or(json, "cwd", task->cwd, &cwd, err);
        if (r == 0 && *cwd != '/')
                r = error_set(err, -EINVAL, "'process.cwd' is '%.200s', not an absolute path", cwd);
        if (r == 0 && cwd != task->cwd)
                r = replace(&task->cwd, cwd, err);
        if (r == 0)
                r = json_get_bool_or(json, "noNewPrivileges", task->no_new_privileges,
                                     &task->no_new_privileges, err);
        if (r == 0 && present(json, "oomScoreAdj")) {
                r = json_get_integer(json, "oomScoreAdj", -1000, 1000, &adjustment, err);
                if (r == 0) {
                        task->has_oom_score_adj = true;
                        task->oom_score_adj = (int)adjustment;
                }
        }
        return r;
}

static int parse_task(const json_t *json, struct task_plan *task, struct error *err)
{
        if (!json_is_object(json))
                return error_set(err, -EINVAL, "'process' is missing or not an object");
        int r = refuse_unsupported(json, err);
        if (r == 0)
                r = parse_args(json, task, err);
        if (r == 0)
                r = parse_env(json, task, err);
        if (r == 0)
                r = parse_user(json, task, err);
        if (r == 0)
                r = parse_capabilities(json, task, err);
        if (r == 0 && present(json, "rlimits"))
                r = parse_rlimits(json, task, err);
        if (r == 0 && present(json, "consoleSize"))
                r = parse_console(json, task, err);
        if (r == 0)
                r = json_get_bool_or(json, "terminal", false, &task->terminal, err);
        if (r == 0)
                r = parse_rest(json, task, err);
        return r;
}

static char **copy_strings(char *const *strings)
{
        size_t count = 0;
        while (strings[count] != NULL)
                count++;
        char **copy = calloc(count + 1, sizeof(*copy));
        for (size_t i = 0; copy != NULL && i < count; i++) {
                copy[i] = strdup(strings[i]);
                if (copy[i] == NULL) {
                        json_free_strings(copy);
                        return NULL;
                }
        }
        return copy;
}

/* A copy of base without its command, terminal and console size. */
static int copy_task(const struct task_plan *base, struct task_plan *ret_task)
{
        struct task_plan task = *base;
        task.args = NULL;
        task.terminal = false;
        task.rows = task.columns = 0;
        task.env = copy_strings(base->env);
        task.cwd = strdup(base->cwd);
        task.username = base->username != NULL ? strdup(base->username) : NULL;
        task.groups = calloc(base->group_count + 1, sizeof(*task.groups));
        if (task.groups != NULL && base->group_count > 0)
                memcpy(task.groups, base->groups, base->group_count * sizeof(*task.groups));
        if (task.env == NULL || task.cwd == NULL || task.groups == NULL ||
            (base->username != NULL && task.username == NULL)) {
                task_plan_done(&task);
                return -ENOMEM;
        }
        *ret_task = task;
        return 0;
}

int spec_parse_exec(const json_t *process, const struct task_plan *base, struct task_plan *ret_task,
                    struct error *err)
{
        static char *no_env[] = {NULL};
        static char root[] = "/";
        static const struct task_plan empty = {.env = no_env, .cwd = root};
        struct task_plan task;
        if (copy_task(base != NULL ? base : &empty, &task) < 0)
                return no_memory(err);
        int r = parse_task(process, &task, err);
        if (r < 0) {
                task_plan_done(&task);
                return r;
        }
        *ret_task = task;
        return 0;
}

void task_plan_done(struct task_plan *task)
{
        json_free_strings(task->args);
        json_free_strings(task->env);
        free(task->cwd);
        free(task->username);
        free(task->groups);
        memset(task, 0, sizeof(*task));
}
