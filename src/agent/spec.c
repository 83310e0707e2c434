/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI runtime-spec document as a plan. Pure. The document comes from the host and is trusted to mean well,
 * but not to be right: each member is checked, what cannot be carried out is refused by name rather than
 * passed over, and what has no meaning here (other systems' parts) is not looked at.
 */
#include "agent/spec.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define LIST_MAX 4096 /* of mounts, devices and settings each */

static int copy_text(const json_t *object, const char *key, const char *fallback, char **ret_text,
                     struct error *err)
{
        const char *text;
        int r = json_get_string_or(object, key, fallback, &text, err);
        if (r < 0)
                return r;
        char *copy = strdup(text);
        if (copy == NULL)
                return error_errno(err, -ENOMEM, "read '%s'", key);
        *ret_text = copy;
        return 0;
}

/* Copies an absolute path. */
static int copy_path(const json_t *object, const char *key, char **ret_path, struct error *err)
{
        const char *text;
        int r = json_get_string(object, key, &text, err);
        if (r < 0)
                return r;
        if (text[0] != '/')
                return error_set(err, -EINVAL, "'%s' is '%.200s', not an absolute path", key, text);
        return copy_text(object, key, "", ret_path, err);
}

/* The array behind key with at most LIST_MAX objects, NULL if it is missing. */
static int get_list(const json_t *object, const char *key, const json_t **ret_list, size_t *ret_count,
                    struct error *err)
{
        const json_t *list = json_object_get(object, key);
        *ret_list = NULL;
        *ret_count = 0;
        if (list == NULL || json_is_null(list))
                return 0;
        if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
                return error_set(err, -EINVAL, "'%s' is not an array of at most %d", key, LIST_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
                if (!json_is_object(json_array_get(list, i)))
                        return error_set(err, -EINVAL, "'%s' does not hold only objects", key);
        }
        *ret_list = list;
        *ret_count = json_array_size(list);
        return 0;
}

static int parse_mount(const json_t *json, struct mount_plan *mount, struct error *err)
{
        char **options;
        int r = copy_path(json, "destination", &mount->destination, err);
        if (r == 0)
                r = copy_text(json, "type", "", &mount->type, err);
        if (r == 0)
                r = copy_text(json, "source", "", &mount->source, err);
        if (r == 0 &&
            (json_object_get(json, "uidMappings") != NULL || json_object_get(json, "gidMappings") != NULL))
                r = error_set(err, -EOPNOTSUPP, "'mounts.uidMappings' is not supported");
        if (r == 0)
                r = json_get_strings(json, "options", &options, NULL, err);
        if (r < 0)
                return r;
        r = mount_options_parse(options, &mount->options, err);
        json_free_strings(options);
        if (r < 0)
                return r;
        bool is_bind = (mount->options.flags & MS_BIND) != 0 || strcmp(mount->type, "bind") == 0;
        if (is_bind) {
                mount->options.flags |= MS_BIND;
                if (mount->source[0] != '/' || mount->options.data[0] != '\0')
                        return error_set(err, -EINVAL, "a bind mount needs an absolute source and no data");
        } else if (mount->type[0] == '\0') {
                return error_set(err, -EINVAL, "'type' is missing");
        }
        return 0;
}

static int parse_mounts(const json_t *spec, struct container_plan *plan, struct error *err)
{
        const json_t *list;
        size_t count;
        int r = get_list(spec, "mounts", &list, &count, err);
        if (r < 0 || count == 0)
                return r;
        plan->mounts = calloc(count, sizeof(*plan->mounts));
        if (plan->mounts == NULL)
                return error_errno(err, -ENOMEM, "read mounts");
        for (size_t i = 0; i < count; i++) {
                struct mount_plan *mount = &plan->mounts[i];
                plan->mount_count = i + 1;
                r = parse_mount(json_array_get(list, i), mount, err);
                if (r < 0)
                        return error_wrap(err, "'mounts', number %zu", i + 1);
                if (strncmp(mount->type, "cgroup", 6) == 0 && !(mount->options.flags & MS_RDONLY))
                        plan->delegate_cgroup = true;
        }
        return 0;
}

static int parse_device(const json_t *json, struct device_plan *device, struct error *err)
{
        const char *type;
        int64_t device_major, device_minor, mode, uid, gid;
        int r = copy_path(json, "path", &device->path, err);
        if (r == 0)
                r = json_get_string(json, "type", &type, err);
        if (r == 0)
                r = json_get_integer_or(json, "major", 0, 0xfff, 0, &device_major, err);
        if (r == 0)
                r = json_get_integer_or(json, "minor", 0, 0xfffff, 0, &device_minor, err);
        if (r == 0)
                r = json_get_integer_or(json, "fileMode", 0, 07777 | S_IFMT, 0666, &mode, err);
        if (r == 0)
                r = json_get_integer_or(json, "uid", 0, UINT32_MAX - 1, 0, &uid, err);
        if (r == 0)
                r = json_get_integer_or(json, "gid", 0, UINT32_MAX - 1, 0, &gid, err);
        if (r < 0)
                return r;
        mode_t kind = strcmp(type, "c") == 0 || strcmp(type, "u") == 0 ? S_IFCHR
                      : strcmp(type, "b") == 0                         ? S_IFBLK
                      : strcmp(type, "p") == 0                         ? S_IFIFO
                                                                       : 0;
        if (kind == 0)
                return error_set(err, -EINVAL, "type '%.16s' is none of c, u, b, p", type);
        device->mode = kind | ((mode_t)mode & 07777);
        device->device_major = (unsigned)device_major;
        device->device_minor = (unsigned)device_minor;
        device->uid = (uid_t)uid;
        device->gid = (gid_t)gid;
        return 0;
}

static int parse_devices(const json_t *linux_part, struct container_plan *plan, struct error *err)
{
        const json_t *list;
        size_t count;
        int r = get_list(linux_part, "devices", &list, &count, err);
        if (r < 0 || count == 0)
                return r;
        plan->devices = calloc(count, sizeof(*plan->devices));
        if (plan->devices == NULL)
                return error_errno(err, -ENOMEM, "read devices");
        for (size_t i = 0; i < count; i++) {
                plan->device_count = i + 1;
                r = parse_device(json_array_get(list, i), &plan->devices[i], err);
                if (r < 0)
                        return error_wrap(err, "'linux.devices', number %zu", i + 1);
        }
        return 0;
}

char *sysctl_path(const char *key)
{
        /* sysctl(8): "a.b" is a/b; in a name that has a slash first, dots and slashes change places */
        bool slashes = strcspn(key, "/") < strcspn(key, ".");
        if (key[0] == '\0' || strlen(key) > 255 || strstr(key, "..") != NULL || key[0] == '.' ||
            key[0] == '/')
                return NULL;
        char *path = strdup(key);
        if (path == NULL)
                return NULL;
        for (char *p = path; *p != '\0'; p++) {
                if (!isalnum((unsigned char)*p) && strchr("._/-", *p) == NULL) {
                        free(path);
                        return NULL;
                }
                if (!slashes && *p == '.')
                        *p = '/';
                else if (!slashes && *p == '/')
                        *p = '.';
        }
        if (strstr(path, "..") == NULL && path[0] != '.')
                return path;
        free(path);
        return NULL;
}

static int parse_sysctls(const json_t *linux_part, struct container_plan *plan, struct error *err)
{
        json_t *object = json_object_get(linux_part, "sysctl");
        const char *key;
        json_t *value;
        if (object == NULL || json_is_null(object))
                return 0;
        if (!json_is_object(object) || json_object_size(object) > LIST_MAX)
                return error_set(err, -EINVAL, "'linux.sysctl' is not an object");
        plan->sysctls = calloc(json_object_size(object) + 1, sizeof(*plan->sysctls));
        if (plan->sysctls == NULL)
                return error_errno(err, -ENOMEM, "read sysctls");
        json_object_foreach (object, key, value) {
                struct sysctl_plan *sysctl = &plan->sysctls[plan->sysctl_count++];
                sysctl->path = sysctl_path(key);
                if (sysctl->path == NULL || !json_is_string(value))
                        return error_set(err, -EINVAL, "'linux.sysctl': '%.64s' is no setting with a text",
                                         key);
                sysctl->value = strdup(json_string_value(value));
                if (sysctl->value == NULL)
                        return error_errno(err, -ENOMEM, "read sysctls");
        }
        return 0;
}

static int parse_namespaces(const json_t *linux_part, struct container_plan *plan, struct error *err)
{
        static const struct {
                const char *name;
                uint64_t flag;
        } kinds[] = {
            {"pid", CLONE_NEWPID}, {"mount", CLONE_NEWNS},      {"ipc", CLONE_NEWIPC},
            {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"network", CLONE_NEWNET},
        };
        const json_t *list;
        size_t count;
        int r = get_list(linux_part, "namespaces", &list, &count, err);
        for (size_t i = 0; r == 0 && i < count; i++) {
                const char *type;
                const json_t *path = json_object_get(json_array_get(list, i), "path");
                uint64_t flag = 0;
                r = json_get_string(json_array_get(list, i), "type", &type, err);
                if (r < 0)
                        return error_wrap(err, "'linux.namespaces'");
                for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
                        flag |= strcmp(kinds[k].name, type) == 0 ? kinds[k].flag : 0;
                if (flag == 0)
                        return error_set(err, -EOPNOTSUPP, "'linux.namespaces': '%.32s' is not supported",
                                         type);
                if (path != NULL && !json_is_null(path))
                        return error_set(err, -EOPNOTSUPP,
                                         "'linux.namespaces': joining one by path is not supported");
                plan->namespaces |= flag;
        }
        if (r == 0 && !(plan->namespaces & CLONE_NEWNS))
                return error_set(err, -EINVAL, "'linux.namespaces': a mount namespace is needed");
        return r;
}

static int check_absolute(char *const *paths, const char *what, struct error *err)
{
        for (; *paths != NULL; paths++) {
                if (**paths != '/')
                        return error_set(err, -EINVAL, "'%s': '%.200s' is not an absolute path", what,
                                         *paths);
        }
        return 0;
}

/* "/box", "box/inner": below the root of the hierarchy, no way up. */
static int parse_cgroup(const json_t *linux_part, struct container_plan *plan, struct error *err)
{
        char *path;
        int r = copy_text(linux_part, "cgroupsPath", "/box", &path, err);
        if (r < 0)
                return r;
        const char *p = path + strspn(path, "/");
        plan->cgroup = strdup(p);
        free(path);
        if (plan->cgroup == NULL)
                return error_errno(err, -ENOMEM, "read 'linux.cgroupsPath'");
        for (p = plan->cgroup; *p != '\0'; p += strspn(p, "/")) {
                size_t length = strcspn(p, "/");
                if (p[0] == '.' || length > 255)
                        break;
                p += length;
        }
        if (plan->cgroup[0] == '\0' || *p != '\0' || strchr(plan->cgroup, ':') != NULL)
                return error_set(err, -EINVAL, "'linux.cgroupsPath' is '%.200s', not a path below the root",
                                 plan->cgroup);
        if (strncmp(plan->cgroup, "agent", 5) == 0 && (plan->cgroup[5] == '/' || plan->cgroup[5] == '\0'))
                return error_set(err, -EINVAL, "'linux.cgroupsPath': 'agent' is not a container's");
        return 0;
}

static bool is_empty(const json_t *value)
{
        return value == NULL || json_is_null(value) ||
               (json_is_string(value) && *json_string_value(value) == '\0') ||
               (json_is_array(value) && json_array_size(value) == 0) ||
               (json_is_object(value) && json_object_size(value) == 0);
}

static int refuse(const json_t *object, const char *prefix, const char *const *names, struct error *err)
{
        for (; *names != NULL; names++) {
                if (!is_empty(json_object_get(object, *names)))
                        return error_set(err, -EOPNOTSUPP, "'%s%s' is not supported", prefix, *names);
        }
        return 0;
}

static int parse_linux(const json_t *linux_part, struct container_plan *plan, struct error *err)
{
        static const char *const unsupported[] = {"seccomp",      "uidMappings", "gidMappings", "intelRdt",
                                                  "mountLabel",   "personality", "timeOffsets", "netDevices",
                                                  "memoryPolicy", NULL};
        const char *propagation;
        if (!json_is_object(linux_part))
                return error_set(err, -EINVAL, "'linux' is missing or not an object");
        int r = refuse(linux_part, "linux.", unsupported, err);
        if (r == 0)
                r = parse_namespaces(linux_part, plan, err);
        if (r == 0)
                r = parse_devices(linux_part, plan, err);
        if (r == 0)
                r = parse_sysctls(linux_part, plan, err);
        if (r == 0)
                r = parse_cgroup(linux_part, plan, err);
        if (r == 0)
                r = resources_parse(json_object_get(linux_part, "resources"), &plan->resources, err);
        if (r == 0)
                r = json_get_strings(linux_part, "maskedPaths", &plan->masked_paths, NULL, err);
        if (r == 0)
                r = check_absolute(plan->masked_paths, "linux.maskedPaths", err);
        if (r == 0)
                r = json_get_strings(linux_part, "readonlyPaths", &plan->readonly_paths, NULL, err);
        if (r == 0)
                r = check_absolute(plan->readonly_paths, "linux.readonlyPaths", err);
        if (r == 0)
                r = json_get_string_or(linux_part, "rootfsPropagation", "private", &propagation, err);
        if (r < 0)
                return r;
        plan->propagation = *propagation == '\0' ? MS_PRIVATE : mount_options_propagation(propagation);
        if (plan->propagation == 0)
                return error_set(err, -EINVAL, "'linux.rootfsPropagation' is '%.32s'", propagation);
        return 0;
}

static int parse_hooks(const json_t *spec, struct error *err)
{
        static const char *const names[] = {
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop", NULL};
        const json_t *hooks = json_object_get(spec, "hooks");
        return is_empty(hooks) ? 0 : refuse(hooks, "hooks.", names, err);
}

static int parse_annotations(const json_t *spec, struct container_plan *plan, struct error *err)
{
        const json_t *annotations = json_object_get(spec, "annotations");
        const char *text = "false";
        if (is_empty(annotations))
                return 0;
        if (!json_is_object(annotations))
                return error_set(err, -EINVAL, "'annotations' is not an object");
        int r = json_get_string_or(annotations, "boxlet.init", "false", &text, err);
        if (r < 0)
                return r;
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
                return error_set(err, -EINVAL, "'annotations', boxlet.init: '%.16s' is not true or false",
                                 text);
        plan->tiny_init = strcmp(text, "true") == 0;
        return 0;
}

static int parse_root(const json_t *spec, struct container_plan *plan, struct error *err)
{
        const json_t *root = json_object_get(spec, "root");
        if (root == NULL || json_is_null(root))
                return 0;
        if (!json_is_object(root))
                return error_set(err, -EINVAL, "'root' is not an object");
        return json_get_bool_or(root, "readonly", false, &plan->readonly_root, err);
}

static int parse_all(const json_t *spec, struct container_plan *plan, struct error *err)
{
        int r = json_is_object(spec) ? 0 : error_set(err, -EINVAL, "it is not an object");
        if (r == 0)
                r = parse_hooks(spec, err);
        if (r == 0)
                r = spec_parse_exec(json_object_get(spec, "process"), NULL, &plan->task, err);
        if (r == 0)
                r = parse_root(spec, plan, err);
        if (r == 0)
                r = copy_text(spec, "hostname", "", &plan->hostname, err);
        if (r == 0)
                r = copy_text(spec, "domainname", "", &plan->domainname, err);
        if (r == 0)
                r = parse_mounts(spec, plan, err);
        if (r == 0)
                r = parse_linux(json_object_get(spec, "linux"), plan, err);
        if (r == 0)
                r = parse_annotations(spec, plan, err);
        if (r == 0 && (plan->hostname[0] != '\0' || plan->domainname[0] != '\0') &&
            !(plan->namespaces & CLONE_NEWUTS))
                r = error_set(err, -EINVAL, "'hostname' needs a uts namespace");
        if (r == 0 && (strlen(plan->hostname) > 64 || strlen(plan->domainname) > 64))
                r = error_set(err, -EINVAL, "'hostname' is longer than 64 bytes");
        return r;
}

int spec_parse(const json_t *spec, struct container_plan **ret_plan, struct error *err)
{
        struct container_plan *plan = calloc(1, sizeof(*plan));
        if (plan == NULL)
                return error_errno(err, -ENOMEM, "read spec");
        int r = parse_all(spec, plan, err);
        if (r < 0) {
                container_plan_free(plan);
                (void)error_wrap(err, "read spec");
                return r;
        }
        *ret_plan = plan;
        return 0;
}

void container_plan_free(struct container_plan *plan)
{
        if (plan == NULL)
                return;
        task_plan_done(&plan->task);
        for (size_t i = 0; i < plan->mount_count; i++) {
                free(plan->mounts[i].destination);
                free(plan->mounts[i].type);
                free(plan->mounts[i].source);
                mount_options_done(&plan->mounts[i].options);
        }
        free(plan->mounts);
        for (size_t i = 0; i < plan->device_count; i++)
                free(plan->devices[i].path);
        free(plan->devices);
        for (size_t i = 0; i < plan->sysctl_count; i++) {
                free(plan->sysctls[i].path);
                free(plan->sysctls[i].value);
        }
        free(plan->sysctls);
        json_free_strings(plan->masked_paths);
        json_free_strings(plan->readonly_paths);
        free(plan->hostname);
        free(plan->domainname);
        free(plan->cgroup);
        free(plan);
}
