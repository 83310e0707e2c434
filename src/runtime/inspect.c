/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about boxes, as JSON with docker's names: inspect (docker's container inspect) and list
 * (docker's /containers/json). Both read the database, the lock and state.json, and talk to nobody, so that a
 * box which hangs cannot make them hang.
 */
#include "runtime/runtime.h"

#include "base/buffer.h"
#include "runtime/collect.h"
#include "runtime/health.h"
#include "runtime/life.h"
#include "wire/restart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define NS 1000000000LL

/* A box with everything that is known about it. */
struct view {
        const struct state_box *record;
        json_t *config;
        struct life_report report;
        int64_t disk_bytes; /* of its own disk, on the host */
};

static void view_done(struct view *v)
{
        json_decref(v->config);
        life_report_done(&v->report);
}

/* -ENOENT when the folder is gone. */
static int view_init(struct boxlet *b, const struct state_box *record, struct view *ret_view,
                     struct error *err)
{
        struct view v = {.record = record};
        struct stat st;
        cleanup_fd int box_fd = -1;
        int r = box_open_folder(b, record->id, &box_fd, err);
        if (r == 0)
                r = json_parse(record->config, strlen(record->config), "the box's configuration", &v.config,
                               err);
        if (r < 0)
                return r;
        life_read(box_fd, record->started_ns != 0, &v.report);
        if (fstatat(box_fd, "disk.ext4", &st, AT_SYMLINK_NOFOLLOW) == 0)
                v.disk_bytes = (int64_t)st.st_blocks * 512;
        *ret_view = v;
        return 0;
}

static json_t *lent(const json_t *object, const char *key)
{
        json_t *value = json_object_get(object, key);
        return value == NULL ? json_null() : json_incref(value);
}

static int64_t integer(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

/* RFC 3339 with nanoseconds; docker's zero time when it never was. */
static json_t *time_json(int64_t ns)
{
        struct tm tm;
        char text[40];
        time_t seconds = (time_t)(ns / NS);
        if (ns <= 0 || gmtime_r(&seconds, &tm) == NULL)
                return json_string("0001-01-01T00:00:00Z");
        size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + size, sizeof(text) - size, ".%09lldZ", (long long)(ns % NS));
        return json_string(text);
}

static const json_t *spec_process(const struct view *v)
{
        return json_object_get(json_object_get(v->config, "spec"), "process");
}

/* Ports as they are while it runs, as asked for otherwise. */
static const json_t *ports_of(const struct view *v)
{
        const json_t *actual = json_object_get(v->report.state, "ports");
        return life_is_up(v->report.life) && json_is_array(actual) ? actual
                                                                   : json_object_get(v->config, "publish");
}

static const char *host_ip(const json_t *port)
{
        const char *address = json_string_value(json_object_get(port, "address"));
        return address == NULL ? "0.0.0.0" : address;
}

static const char *protocol(const json_t *port)
{
        const char *text = json_string_value(json_object_get(port, "protocol"));
        return text == NULL ? "tcp" : text;
}

/* {"80/tcp": [{"HostIp", "HostPort"}]} */
static json_t *port_map(const json_t *ports)
{
        json_t *map = json_object();
        size_t i;
        json_t *port;
        json_array_foreach ((json_t *)ports, i, port) {
                char key[32], number[16];
                (void)snprintf(key, sizeof(key), "%lld/%.5s", (long long)integer(port, "box_port"),
                               protocol(port));
                (void)snprintf(number, sizeof(number), "%lld", (long long)integer(port, "host_port"));
                json_t *list = json_object_get(map, key);
                if (list == NULL) {
                        list = json_array();
                        (void)json_object_set_new(map, key, list); /* a failure shows as a missing entry */
                }
                (void)json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", host_ip(port), "HostPort",
                                                            number));
        }
        return map;
}

static json_t *state_part(const struct view *v)
{
        const json_t *s = v->report.state;
        enum life life = v->report.life;
        const char *error = json_string_value(json_object_get(s, "error"));
        int64_t pid = integer(json_object_get(s, "monitor"), "pid");
        bool is_up = life_is_up(life);
        if (v->report.why != NULL)
                error = v->report.why;
        return json_pack(
            "{s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o*}", "Status",
            life_name(life), "Running", is_up, "Paused", life == LIFE_PAUSED, "Restarting",
            life == LIFE_RESTARTING, "OOMKilled", json_is_true(json_object_get(s, "oom_killed")), "Dead",
            life == LIFE_DEAD, "Pid", (json_int_t)(is_up ? pid : 0), "ExitCode",
            v->report.exit_code < 0 ? 0 : v->report.exit_code, "Error", error == NULL ? "" : error,
            "StartedAt", time_json(integer(s, "started_ns")), "FinishedAt",
            time_json(life == LIFE_RUNNING || life == LIFE_PAUSED ? 0 : integer(s, "finished_ns")), "Stage",
            lent(s, "stage"), "Warnings", lent(s, "warnings"), "JailLacks", lent(s, "jail_lacks"), "Health",
            health_state(s));
}

static const char *user_of(const json_t *process)
{
        const char *text = json_string_value(json_object_get(json_object_get(process, "user"), "username"));
        return text == NULL ? "" : text;
}

/* "SIGTERM", as docker has it. */
static json_t *signal_json(int number)
{
        const char *name = sigabbrev_np(number);
        if (name != NULL)
                return json_sprintf("SIG%s", name);
        return number >= 34 ? json_sprintf("SIGRTMIN+%d", number - 34) : json_integer(number);
}

static json_t *config_part(const struct view *v)
{
        const json_t *p = spec_process(v), *command = json_object_get(v->config, "command");
        return json_pack("{s:o, s:s, s:b, s:b, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:o, s:o*}",
                         "Hostname", lent(v->config, "hostname"), "User", user_of(p), "Tty",
                         json_is_true(json_object_get(command != NULL ? command : p, "terminal")),
                         "OpenStdin", json_is_true(json_object_get(v->config, "stdin")), "Env",
                         lent(p, "env"), "Cmd", lent(p, "args"), "Image", v->record->image_reference,
                         "WorkingDir", lent(p, "cwd"), "Volumes", lent(v->config, "volumes"), "Labels",
                         lent(v->config, "labels"), "StopSignal",
                         signal_json((int)integer(v->config, "stop_signal")), "StopTimeout",
                         (int)((integer(v->config, "stop_timeout_ms") + 999) / 1000), "Foreground",
                         lent(command, "args"), "Healthcheck",
                         health_config(json_object_get(v->config, "health")));
}

/* Boxes made by an older version do not say, and have the default. */
static json_t *log_json(const struct view *v)
{
        const json_t *log = json_object_get(v->config, "log");
        int64_t files = log != NULL ? integer(log, "files") : 2;
        int64_t bytes = log != NULL ? integer(log, "maximum_bytes") : 16 << 20;
        return json_pack("{s:s, s:{s:o, s:o}}", "Type", "json-file", "Config", "max-size",
                         json_sprintf("%lld", (long long)(files > 0 ? bytes / files : bytes)), "max-file",
                         json_sprintf("%lld", (long long)files));
}

static json_t *restart_part(const struct view *v)
{
        struct restart_policy policy = {.kind = RESTART_NO};
        (void)restart_read(json_object_get(v->config, "restart"), &policy,
                           NULL); /* a broken one counts as no */
        return json_pack("{s:s, s:I}", "Name", restart_name(policy.kind), "MaximumRetryCount",
                         (json_int_t)policy.maximum);
}

static json_t *host_part(const struct view *v)
{
        const json_t *c = v->config;
        const json_t *annotations = json_object_get(json_object_get(c, "spec"), "annotations");
        int64_t nano_cpus = integer(c, "nano_cpus");
        return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:b, s:b, s:b, s:o, s:o, s:I, s:o, s:b, "
                         "s:o, s:o, s:o, s:o}",
                         "Jail", lent(c, "jail"), "StopAfterMs", lent(c, "stop_after_ms"), "IdleStopMs",
                         lent(c, "idle_stop_ms"), "NetworkMode", lent(c, "network"), "NanoCpus",
                         (json_int_t)(nano_cpus != 0 ? nano_cpus : integer(c, "cpus") * NS), "PidsLimit",
                         (json_int_t)integer(c, "pids_limit"), "Memory",
                         (json_int_t)integer(c, "memory_bytes"), "PortBindings",
                         port_map(json_object_get(c, "publish")), "AutoRemove", v->record->auto_remove,
                         "ReadonlyRootfs", json_is_true(json_object_get(c, "readonly")), "Init",
                         json_is_true(json_object_get(c, "init")), "Engine", lent(c, "engine"), "Kernel",
                         lent(c, "kernel"), "DiskSize", (json_int_t)integer(c, "disk_bytes"), "StopTimeoutMs",
                         lent(c, "stop_timeout_ms"), "Privileged",
                         json_is_true(json_object_get(c, "support_docker")), "DockerSocket",
                         lent(json_array_get(json_object_get(c, "forwards"), 0), "path"), "RestartPolicy",
                         restart_part(v), "LogConfig", log_json(v), "Annotations",
                         annotations == NULL ? json_object() : json_incref((json_t *)annotations));
}

static json_t *inspect_json(struct boxlet *b, const struct view *v)
{
        const json_t *args = json_object_get(spec_process(v), "args");
        json_t *rest = json_copy((json_t *)args);
        (void)json_array_remove(rest, 0); /* never empty: spec.c refuses that */
        return json_pack(
            "{s:s, s:o, s:o, s:o, s:o, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:{s:o}, s:o, s:I, s:o, "
            "s:s, s:s+++}",
            "Id", v->record->id, "Created", time_json(v->record->created_ns), "Path",
            json_incref(json_array_get(args, 0)), "Args", rest, "State", state_part(v), "RestartCount",
            (json_int_t)integer(v->report.state, "restarts"), "Image", v->record->image_id, "ImageDigest",
            v->record->image_digest, "Name", v->record->name, "Config", config_part(v), "HostConfig",
            host_part(v), "Mounts", lent(v->config, "mounts"), "NetworkSettings", "Ports",
            port_map(ports_of(v)), "Spec", lent(v->config, "spec"), "SizeRw", (json_int_t)v->disk_bytes,
            "PidFile", lent(v->config, "pid_file"), "Platform", "linux", "LogPath", b->home, "/boxes/",
            v->record->id, "/log");
}

static int inspect(struct boxlet_box *box, char **ret_json, struct error *err)
{
        struct boxlet *b = box->boxlet;
        cleanup_state_box struct state_box record = {0};
        struct view v;
        int r = state_find(b->state, box->id, &record, err);
        if (r == 0)
                r = view_init(b, &record, &v, err);
        if (r < 0)
                return r;
        cleanup_json json_t *json = inspect_json(b, &v);
        view_done(&v);
        *ret_json = json == NULL ? NULL : json_dumps(json, JSON_INDENT(4));
        return *ret_json == NULL ? error_set(err, -ENOMEM, "inspect box '%s': out of memory", box->name) : 0;
}

int boxlet_box_inspect(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* a plain mutex, taken once: cannot fail */
        int r = inspect(box, ret_json, &err);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        return api_result(error, &err, r);
}

/* "3 minutes", "2 hours", as docker ps says it. */
static void span(int64_t seconds, char *text, size_t size)
{
        static const struct {
                int64_t from, unit;
                const char *name;
        } steps[] = {
            {86400 * 14, 86400 * 7, "week"},
            {86400 * 2, 86400, "day"},
            {7200, 3600, "hour"},
            {120, 60, "minute"},
            {0, 1, "second"},
        };
        if (seconds < 0)
                seconds = 0;
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                if (seconds >= steps[i].from) {
                        int64_t n = seconds / steps[i].unit;
                        (void)snprintf(text, size, "%lld %s%s", (long long)n, steps[i].name,
                                       n == 1 ? "" : "s");
                        return;
                }
        }
}

static const char *health_suffix(const struct view *v)
{
        const char *health = health_status(v->report.state);
        if (strcmp(health, "healthy") == 0)
                return " (healthy)";
        if (strcmp(health, "unhealthy") == 0)
                return " (unhealthy)";
        return strcmp(health, "starting") == 0 ? " (health: starting)" : "";
}

static void status_text(const struct view *v, char *text, size_t size)
{
        char since[48];
        int64_t now = time(NULL);
        int64_t started = integer(v->report.state, "started_ns"),
                finished = integer(v->report.state, "finished_ns");
        if (started == 0)
                started = v->record->started_ns;
        switch (v->report.life) {
        case LIFE_CREATED:
                (void)snprintf(text, size, "Created");
                break;
        case LIFE_RUNNING:
                span(now - started / NS, since, sizeof(since));
                (void)snprintf(text, size, "Up %s%s", since, health_suffix(v));
                break;
        case LIFE_PAUSED:
                span(now - started / NS, since, sizeof(since));
                (void)snprintf(text, size, "Up %s (Paused)", since);
                break;
        case LIFE_RESTARTING:
                span(now - finished / NS, since, sizeof(since));
                (void)snprintf(text, size, "Restarting (%d) %s ago", v->report.exit_code, since);
                break;
        case LIFE_EXITED:
                span(now - finished / NS, since, sizeof(since));
                if (finished == 0) /* nobody was there to see it */
                        (void)snprintf(text, size, "Exited (%d), the host went down", v->report.exit_code);
                else
                        (void)snprintf(text, size, "Exited (%d) %s ago", v->report.exit_code, since);
                break;
        case LIFE_DEAD:
                (void)snprintf(text, size, "Dead (its monitor was killed)");
                break;
        }
}

static json_t *list_ports(const struct view *v)
{
        json_t *list = json_array();
        size_t i;
        json_t *port;
        if (!life_is_up(v->report.life))
                return list;
        json_array_foreach ((json_t *)ports_of(v), i, port) {
                (void)json_array_append_new(
                    list, json_pack("{s:s, s:I, s:I, s:s}", "IP", host_ip(port), "PrivatePort",
                                    (json_int_t)integer(port, "box_port"), "PublicPort",
                                    (json_int_t)integer(port, "host_port"), "Type",
                                    protocol(port))); /* a failure shows as a missing entry */
        }
        return list;
}

static json_t *command_text(const struct view *v)
{
        const json_t *args = json_object_get(spec_process(v), "args");
        struct buffer text = BUFFER_INIT(1U << 20);
        size_t i;
        json_t *arg;
        json_array_foreach ((json_t *)args, i, arg) {
                if (buffer_printf(&text, "%s%s", i == 0 ? "" : " ", json_string_value(arg)) < 0)
                        break; /* a command of a MiB is shown by its beginning */
        }
        json_t *json = json_stringn(text.length > 0 ? buffer_content(&text) : "", text.length);
        buffer_done(&text);
        return json;
}

static json_t *list_json(const struct view *v)
{
        char status[96];
        status_text(v, status, sizeof(status));
        return json_pack("{s:s, s:[s], s:s, s:s, s:o, s:I, s:I, s:s, s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:I}",
                         "Id", v->record->id, "Names", v->record->name, "Image", v->record->image_reference,
                         "ImageID", v->record->image_id, "Command", command_text(v), "Created",
                         (json_int_t)(v->record->created_ns / NS), "CreatedNs",
                         (json_int_t)v->record->created_ns, "State", life_name(v->report.life), "Status",
                         status, "ExitCode", v->report.exit_code < 0 ? 0 : v->report.exit_code, "Health",
                         health_status(v->report.state), "Ports", list_ports(v), "Labels",
                         lent(v->config, "labels"), "Mounts", lent(v->config, "mounts"), "Networks",
                         lent(v->config, "network"), "SizeRw", (json_int_t)v->disk_bytes);
}

static int append(struct boxlet *b, const struct state_box *record, bool all, json_t *array,
                  struct error *err)
{
        struct view v;
        struct error why = ERROR_INIT;
        int r = view_init(b, record, &v, &why);
        if (r == -ENOENT)
                return 0; /* removed a moment ago */
        if (r < 0)
                return error_set(err, r, "%s", why.text);
        if (all || life_is_up(v.report.life))
                r = json_array_append_new(array, list_json(&v));
        view_done(&v);
        return r < 0 ? error_set(err, -ENOMEM, "list boxes: out of memory") : 0;
}

static int list(struct boxlet *b, bool all, char **ret_json, struct error *err)
{
        struct state_box *boxes;
        size_t count;
        cleanup_json json_t *array = json_array();
        if (array == NULL)
                return error_set(err, -ENOMEM, "list boxes: out of memory");
        collect(b);
        int r = state_list(b->state, &boxes, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++)
                r = append(b, &boxes[i], all, array, err);
        state_list_free(boxes, count);
        if (r < 0)
                return r;
        *ret_json = json_dumps(array, JSON_INDENT(4));
        return *ret_json == NULL ? error_set(err, -ENOMEM, "list boxes: out of memory") : 0;
}

int boxlet_box_list(struct boxlet *b, int all, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = list(b, all != 0, ret_json, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}
