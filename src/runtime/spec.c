/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spec resolution. What a box may do comes from its profile (profile.c); here the image's configuration and
 * the options are put together with it. Members are made in a fixed order, so the document's bytes depend on
 * nothing but the input.
 *
 * Hostile: the image's configuration. Every member is checked for its type; what is not understood is an
 * error that names it, never a guess.
 */
#include "runtime/spec.h"

#include "base/cleanup.h"
#include "runtime/profile.h"
#include "runtime/words.h"

#include <errno.h>
#include <string.h>

#define NANO          UINT64_C(1000000000)
#define CPU_PERIOD_US UINT64_C(100000)
#define DEFAULT_PATH  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "resolve the box's configuration: out of memory");
}

/* Appends a string that may come from anywhere. */
static int append_text(json_t *array, const char *text, const char *what, struct error *err)
{
        int r = words_check_utf8(text, what, err);
        if (r == 0 && json_array_append_new(array, json_string(text)) < 0)
                return out_of_memory(err);
        return r;
}

/* An array of strings of the image; missing and null are empty. */
static int image_strings(const json_t *config, const char *key, json_t *ret_array, struct error *err)
{
        const json_t *list = json_object_get(config, key);
        size_t i;
        json_t *item;
        if (list == NULL || json_is_null(list))
                return 0;
        if (!json_is_array(list))
                return error_set(err, -EINVAL, "image configuration: '%s' is no array", key);
        json_array_foreach ((json_t *)list, i, item) {
                if (!json_is_string(item))
                        return error_set(err, -EINVAL, "image configuration: '%s' holds other than strings",
                                         key);
                if (json_array_append(ret_array, item) < 0)
                        return out_of_memory(err);
        }
        return 0;
}

static int append_all(json_t *array, const char *const *list, const char *what, struct error *err)
{
        int r = 0;
        for (; r == 0 && list != NULL && *list != NULL; list++)
                r = append_text(array, *list, what, err);
        return r;
}

/* Whether the command is a process of its own, beside an entry point with arguments of its own. */
static bool has_foreground(const struct boxlet_box_options *o)
{
        return o->cmd != NULL && o->cmd[0] != NULL && o->command != NULL && o->command[0] != NULL;
}

/* ENTRYPOINT and CMD: an entry point that is given drops the image's CMD; a command that is given replaces
 * it, and so do arguments for the entry point. */
static int resolve_args(const json_t *config, const struct boxlet_box_options *o, json_t *args,
                        struct error *err)
{
        bool has_cmd = o->cmd != NULL && o->cmd[0] != NULL;
        bool has_command = !has_cmd && o->command != NULL && o->command[0] != NULL;
        int r = 0;
        if (o->entrypoint == NULL)
                r = image_strings(config, "Entrypoint", args, err);
        else if (o->entrypoint[0] != '\0')
                r = append_text(args, o->entrypoint, "entry point", err);
        if (r == 0 && has_cmd && json_array_size(args) == 0)
                return error_set(
                    err, -EINVAL,
                    "--cmd gives arguments to an entry point, and the image has none: name one with "
                    "--entrypoint, or give a COMMAND alone");
        if (r == 0 && has_cmd)
                r = append_all(args, o->cmd, "argument", err);
        else if (r == 0 && has_command)
                r = append_all(args, o->command, "argument", err);
        else if (r == 0 && o->entrypoint == NULL)
                r = image_strings(config, "Cmd", args, err);
        if (r == 0 && json_array_size(args) == 0)
                return error_set(err, -EINVAL,
                                 "no command specified: the image has none, so one must be given");
        return r;
}

/* Where NAME stands in env; its size when it does not. */
static size_t find_variable(const json_t *env, const char *name, size_t name_size)
{
        size_t i;
        json_t *item;
        json_array_foreach ((json_t *)env, i, item) {
                const char *text = json_string_value(item);
                if (strncmp(text, name, name_size) == 0 &&
                    (text[name_size] == '=' || text[name_size] == '\0'))
                        return i;
        }
        return json_array_size(env);
}

/* "NAME=value" replaces or is added; "NAME" alone takes the variable away. */
static int set_variable(json_t *env, const char *text, struct error *err)
{
        size_t name_size = strcspn(text, "=");
        if (name_size == 0)
                return error_set(err, -EINVAL, "environment '%s': the name is empty", text);
        int r = words_check_utf8(text, "environment", err);
        if (r < 0)
                return r;
        size_t at = find_variable(env, text, name_size);
        bool there = at < json_array_size(env);
        if (text[name_size] == '\0')
                return there && json_array_remove(env, at) < 0 ? out_of_memory(err) : 0;
        json_t *value = json_string(text);
        if ((there ? json_array_set_new(env, at, value) : json_array_append_new(env, value)) < 0)
                return out_of_memory(err);
        return 0;
}

static int resolve_env(const json_t *config, const struct boxlet_box_options *o, const char *hostname,
                       json_t *env, struct error *err)
{
        size_t i;
        json_t *item;
        cleanup_json json_t *from_image = json_array();
        if (from_image == NULL || json_array_append_new(env, json_string(DEFAULT_PATH)) < 0 ||
            json_array_append_new(env, json_sprintf("HOSTNAME=%s", hostname)) < 0 ||
            (o->terminal && !has_foreground(o) && json_array_append_new(env, json_string("TERM=xterm")) < 0))
                return out_of_memory(err);
        int r = image_strings(config, "Env", from_image, err);
        if (r < 0)
                return r;
        json_array_foreach (from_image, i, item) {
                r = set_variable(env, json_string_value(item), err);
                if (r < 0)
                        return error_wrap(err, "image configuration");
        }
        for (const char *const *e = o->env; r == 0 && e != NULL && *e != NULL; e++)
                r = set_variable(env, *e, err);
        return r;
}

/* The option, else the image's member, else the fallback; "" counts as none. Lent. */
static int choose_text(const json_t *config, const char *key, const char *option, const char *fallback,
                       const char *what, const char **ret_text, struct error *err)
{
        const char *text = option;
        int r = 0;
        if (text == NULL || text[0] == '\0')
                r = json_get_string_or(config, key, fallback, &text, err);
        else
                r = words_check_utf8(text, what, err);
        if (r < 0)
                return error_wrap(err, "image configuration");
        *ret_text = text[0] == '\0' ? fallback : text;
        return 0;
}

static bool has_limit(const json_t *rlimits, const json_t *limit)
{
        size_t i;
        json_t *other;
        json_array_foreach ((json_t *)rlimits, i, other) {
                if (json_equal(json_object_get(other, "type"), json_object_get(limit, "type")))
                        return true;
        }
        return false;
}

/* The profile's, but for those that the options set; then the options'. */
static int resolve_rlimits(const struct boxlet_box_options *o, json_t *rlimits, struct error *err)
{
        json_t *limit;
        size_t before = 0;
        int r = 0;
        for (const char *const *u = o->ulimits; r == 0 && u != NULL && *u != NULL; u++) {
                r = words_ulimit(*u, &limit, err);
                if (r == 0 && json_array_append_new(rlimits, limit) < 0)
                        r = out_of_memory(err);
        }
        for (const char *const *u = profile_get(o->support_docker != 0)->rlimits; r == 0 && *u != NULL; u++) {
                r = words_ulimit(*u, &limit, err);
                if (r == 0 && has_limit(rlimits, limit))
                        json_decref(limit);
                else if (r == 0 && json_array_insert_new(rlimits, before++, limit) < 0)
                        r = out_of_memory(err);
        }
        return r;
}

static int resolve_capabilities(const struct boxlet_box_options *o, json_t **ret_capabilities,
                                struct error *err)
{
        uint64_t set;
        uint64_t base = profile_get(o->support_docker != 0)->capabilities;
        int r = words_capabilities(base, o->cap_add, o->cap_drop, &set, err);
        if (r < 0)
                return r;
        cleanup_json json_t *names = words_capability_names(set);
        *ret_capabilities =
            json_pack("{s:O, s:O, s:O}", "bounding", names, "effective", names, "permitted", names);
        return *ret_capabilities == NULL ? out_of_memory(err) : 0;
}

static int resolve_process(const json_t *config, const struct boxlet_box_options *o, const char *hostname,
                           json_t **ret_process, struct error *err)
{
        cleanup_json json_t *args = json_array();
        cleanup_json json_t *env = json_array();
        cleanup_json json_t *rlimits = json_array();
        cleanup_json json_t *capabilities = NULL;
        const char *user, *cwd;
        if (args == NULL || env == NULL || rlimits == NULL)
                return out_of_memory(err);
        int r = resolve_args(config, o, args, err);
        if (r == 0)
                r = resolve_env(config, o, hostname, env, err);
        if (r == 0)
                r = choose_text(config, "User", o->user, "0", "user", &user, err);
        if (r == 0)
                r = choose_text(config, "WorkingDir", o->working_dir, "/", "working directory", &cwd, err);
        if (r == 0 && cwd[0] != '/')
                return error_set(err, -EINVAL, "working directory '%s': it must be an absolute path", cwd);
        if (r == 0)
                r = resolve_rlimits(o, rlimits, err);
        if (r == 0)
                r = resolve_capabilities(o, &capabilities, err);
        if (r < 0)
                return r;
        *ret_process = json_pack("{s:b, s:{s:s}, s:O, s:O, s:s, s:O, s:O, s:b}", "terminal",
                                 o->terminal != 0 && !has_foreground(o), "user", "username", user, "args",
                                 args, "env", env, "cwd", cwd, "capabilities", capabilities, "rlimits",
                                 rlimits, "noNewPrivileges", 0);
        return *ret_process == NULL ? out_of_memory(err) : 0;
}

static int add_mount(json_t *mounts, json_t *mount)
{
        const char *destination = json_string_value(json_object_get(mount, "destination"));
        size_t i;
        json_t *other;
        if (mount == NULL)
                return -ENOMEM;
        json_array_foreach (mounts, i, other) { /* a --tmpfs /dev/shm takes the default's place */
                if (strcmp(json_string_value(json_object_get(other, "destination")), destination) == 0)
                        return json_array_set_new(mounts, i, mount);
        }
        return json_array_append_new(mounts, mount);
}

static int resolve_mounts(const struct boxlet_box_options *o, json_t *mounts, struct error *err)
{
        for (const char *const *t = o->tmpfs; t != NULL && *t != NULL; t++) {
                json_t *mount;
                int r = words_tmpfs(*t, &mount, err);
                if (r < 0)
                        return r;
                if (add_mount(mounts, mount) < 0)
                        return out_of_memory(err);
        }
        return 0;
}

static bool is_mounted(const json_t *mounts, const char *path)
{
        size_t i;
        json_t *mount;
        json_array_foreach ((json_t *)mounts, i, mount) {
                if (strcmp(json_string_value(json_object_get(mount, "destination")), path) == 0)
                        return true;
        }
        return false;
}

/* Paths are sorted by the image's writer or not at all; here always, and each once. */
static int insert_sorted(json_t *array, const char *text)
{
        size_t i = 0;
        for (; i < json_array_size(array); i++) {
                int order = strcmp(text, json_string_value(json_array_get(array, i)));
                if (order == 0)
                        return 0;
                if (order < 0)
                        break;
        }
        return json_array_insert_new(array, i, json_string(text));
}

/* VOLUME: an object whose keys are the paths. A tmpfs on the same path wins. */
static int resolve_volumes(const json_t *config, const struct boxlet_box_options *o, json_t *mounts,
                           json_t *volumes, struct error *err)
{
        const json_t *object = json_object_get(config, "Volumes");
        const char *path;
        json_t *ignored;
        for (const char *const *p = profile_get(o->support_docker != 0)->disk_paths; *p != NULL; p++) {
                if (!is_mounted(mounts, *p) && insert_sorted(volumes, *p) < 0)
                        return out_of_memory(err);
        }
        if (object == NULL || json_is_null(object))
                return 0;
        if (!json_is_object(object))
                return error_set(err, -EINVAL, "image configuration: 'Volumes' is no object");
        json_object_foreach ((json_t *)object, path, ignored) {
                if (path[0] != '/' || path[1] == '\0' || strstr(path, "..") != NULL)
                        return error_set(err, -EINVAL, "image configuration: volume '%s' is no absolute path",
                                         path);
                if (o->support_docker && profile_uncover(mounts, path) < 0)
                        return out_of_memory(err);
                if (!is_mounted(mounts, path) && insert_sorted(volumes, path) < 0)
                        return out_of_memory(err);
        }
        return 0;
}

static int resolve_labels(const json_t *config, const struct boxlet_box_options *o, json_t *labels,
                          struct error *err)
{
        const json_t *object = json_object_get(config, "Labels");
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)object, key, value) {
                if (json_is_string(value) && json_object_set(labels, key, value) < 0)
                        return out_of_memory(err);
        }
        for (const char *const *l = o->labels; l != NULL && *l != NULL; l++) {
                int r = words_check_utf8(*l, "label", err);
                if (r < 0)
                        return r;
                size_t size = strcspn(*l, "=");
                cleanup_free char *name = strndup(*l, size);
                if (size == 0)
                        return error_set(err, -EINVAL, "label '%s': the name is empty", *l);
                if (name == NULL ||
                    json_object_set_new(labels, name, json_string((*l)[size] == '=' ? *l + size + 1 : "")) <
                        0)
                        return out_of_memory(err);
        }
        return 0;
}

static int resolve_stop_signal(const json_t *config, const struct boxlet_box_options *o, int *ret_number,
                               struct error *err)
{
        const char *text;
        int r = choose_text(config, "StopSignal", o->stop_signal, "SIGTERM", "stop signal", &text, err);
        return r < 0 ? r : words_signal(text, ret_number, err);
}

static int set_text(json_t *object, const char *key, const char *text, const char *what, struct error *err)
{
        if (text == NULL || text[0] == '\0')
                return 0;
        int r = words_check_utf8(text, what, err);
        if (r == 0 && json_object_set_new(object, key, json_string(text)) < 0)
                return out_of_memory(err);
        return r;
}

int spec_exec_process(const struct boxlet_exec_options *o, json_t **ret_process, struct error *err)
{
        cleanup_json json_t *args = json_array();
        cleanup_json json_t *env = json_array();
        cleanup_json json_t *process = json_pack("{s:b}", "terminal", o->terminal != 0);
        if (args == NULL || env == NULL || process == NULL)
                return out_of_memory(err);
        int r = append_all(args, o->command, "argument", err);
        if (r == 0 && json_array_size(args) == 0)
                return error_set(err, -EINVAL, "exec: no command specified");
        if (r == 0 && o->terminal)
                r = set_variable(env, "TERM=xterm", err);
        for (const char *const *e = o->env; r == 0 && e != NULL && *e != NULL; e++) {
                r = set_variable(env, *e, err);
                /* the box's own is with the agent: it gets the name alone, too */
                if (r == 0 && strchr(*e, '=') == NULL && json_array_append_new(env, json_string(*e)) < 0)
                        r = out_of_memory(err);
        }
        if (r == 0 && o->working_dir != NULL && o->working_dir[0] != '\0' && o->working_dir[0] != '/')
                r = error_set(err, -EINVAL, "working directory '%s': it must be an absolute path",
                              o->working_dir);
        if (r == 0)
                r = set_text(process, "cwd", o->working_dir, "working directory", err);
        if (r < 0)
                return r;
        if (o->user != NULL && o->user[0] != '\0') {
                r = words_check_utf8(o->user, "user", err);
                if (r == 0 &&
                    json_object_set_new(process, "user", json_pack("{s:s}", "username", o->user)) < 0)
                        r = out_of_memory(err);
                if (r < 0)
                        return r;
        }
        if (json_object_set(process, "args", args) < 0 ||
            (json_array_size(env) > 0 && json_object_set(process, "env", env) < 0))
                return out_of_memory(err);
        *ret_process = take_ptr(&process);
        return 0;
}

/* All but this is as in init. */
static int resolve_foreground(const struct boxlet_box_options *o, json_t **ret_process, struct error *err)
{
        struct boxlet_exec_options exec = BOXLET_EXEC_OPTIONS_INIT;
        exec.command = o->command;
        exec.terminal = o->terminal;
        return spec_exec_process(&exec, ret_process, err);
}

void spec_done(struct spec *spec)
{
        json_decref(spec->document);
        json_decref(spec->command);
        json_decref(spec->volumes);
        json_decref(spec->labels);
        *spec = (struct spec){0};
}

/* Names that begin with "boxlet." tell the agent what to do. */
static int resolve_annotations(const struct boxlet_box_options *o, json_t *document, struct error *err)
{
        cleanup_json json_t *annotations = json_object();
        if (annotations == NULL ||
            (o->init && json_object_set_new(annotations, "boxlet.init", json_string("true")) < 0))
                return out_of_memory(err);
        for (const char *const *a = o->annotations; a != NULL && *a != NULL; a++) {
                int r = words_check_utf8(*a, "annotation", err);
                const char *equals = strchr(*a, '=');
                if (r < 0)
                        return r;
                if (equals == NULL || equals == *a)
                        return error_set(err, -EINVAL, "annotation '%s': not KEY=VALUE", *a);
                if (strncmp(*a, "boxlet.", 7) == 0)
                        return error_set(err, -EINVAL,
                                         "annotation '%s': names that begin with 'boxlet.' are boxlet's own",
                                         *a);
                cleanup_free char *name = strndup(*a, (size_t)(equals - *a));
                if (name == NULL || json_object_set_new(annotations, name, json_string(equals + 1)) < 0)
                        return out_of_memory(err);
        }
        if (json_object_size(annotations) > 0 && json_object_set(document, "annotations", annotations) < 0)
                return out_of_memory(err);
        return 0;
}

/* Limits of the whole container, added to what the profile says. nano_cpus: runtime-spec, config-linux.md,
 * "CPU". */
static int resolve_resources(const struct boxlet_box_options *o, json_t *linux_part, struct error *err)
{
        json_t *resources = json_object_get(linux_part, "resources");
        if (o->nano_cpus == 0 && o->pids_limit == 0)
                return 0;
        if (resources == NULL) {
                resources = json_object();
                if (json_object_set_new(linux_part, "resources", resources) < 0)
                        return out_of_memory(err);
        }
        if (o->nano_cpus != 0 &&
            json_object_set_new(resources, "cpu",
                                json_pack("{s:I, s:I}", "quota",
                                          (json_int_t)(o->nano_cpus / (NANO / CPU_PERIOD_US)), "period",
                                          (json_int_t)CPU_PERIOD_US)) < 0)
                return out_of_memory(err);
        if (o->pids_limit != 0 &&
            json_object_set_new(resources, "pids", json_pack("{s:I}", "limit", (json_int_t)o->pids_limit)) <
                0)
                return out_of_memory(err);
        return 0;
}

static int make_document(const json_t *config, const struct boxlet_box_options *o, const char *hostname,
                         struct spec *spec, struct error *err)
{
        cleanup_json json_t *process = NULL;
        cleanup_json json_t *mounts = profile_mounts(o->support_docker != 0);
        cleanup_json json_t *linux_part = profile_linux(o->support_docker != 0);
        if (mounts == NULL || linux_part == NULL)
                return out_of_memory(err);
        int r = resolve_process(config, o, hostname, &process, err);
        if (r == 0)
                r = resolve_mounts(o, mounts, err);
        if (r == 0)
                r = resolve_volumes(config, o, mounts, spec->volumes, err);
        if (r == 0)
                r = resolve_resources(o, linux_part, err);
        if (r < 0)
                return r;
        spec->document =
            json_pack("{s:s, s:O, s:{s:s, s:b}, s:s, s:O, s:O}", "ociVersion", "1.0.2", "process", process,
                      "root", "path", "rootfs", "readonly", o->read_only != 0, "hostname", hostname, "mounts",
                      mounts, "linux", linux_part);
        return spec->document == NULL ? out_of_memory(err) : resolve_annotations(o, spec->document, err);
}

int spec_resolve(const json_t *image_config, const struct boxlet_box_options *o, const char *hostname,
                 struct spec *ret_spec, struct error *err)
{
        const json_t *config = json_object_get(image_config, "config");
        struct spec spec = {.volumes = json_array(), .labels = json_object()};
        int r = 0;
        if (config != NULL && !json_is_null(config) && !json_is_object(config))
                r = error_set(err, -EINVAL, "image configuration: 'config' is no object");
        else if (spec.volumes == NULL || spec.labels == NULL)
                r = out_of_memory(err);
        if (r == 0)
                r = words_check_hostname(hostname, err);
        if (r == 0)
                r = make_document(config, o, hostname, &spec, err);
        if (r == 0 && has_foreground(o))
                r = resolve_foreground(o, &spec.command, err);
        if (r == 0)
                r = resolve_labels(config, o, spec.labels, err);
        if (r == 0)
                r = resolve_stop_signal(config, o, &spec.stop_signal, err);
        if (r < 0) {
                spec_done(&spec);
                return r;
        }
        *ret_spec = spec;
        return 0;
}
