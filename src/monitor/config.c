/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.json as a struct. The file is written by libboxlet for this user and is trusted as far as a file that
 * anybody with this user's rights can edit is: every member has a type and a range, so that a broken file is
 * an error with a name. Strings are lent by the parsed document, which lives as long as the struct.
 */
#include "monitor/config.h"

#include "base/cleanup.h"
#include "monitor/shares.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_LENGTH 64

static int get_object(const json_t *parent, const char *key, bool required, const json_t **ret_object,
                      struct error *err)
{
        const json_t *value = json_object_get(parent, key);
        if (value == NULL || json_is_null(value)) {
                *ret_object = NULL;
                return required ? error_set(err, -ENOENT, "'%s' is missing", key) : 0;
        }
        if (!json_is_object(value))
                return error_set(err, -EINVAL, "'%s' is not a JSON object", key);
        *ret_object = value;
        return 0;
}

static int get_array(const json_t *parent, const char *key, const json_t **ret_array, struct error *err)
{
        const json_t *value = json_object_get(parent, key);
        if (value != NULL && json_is_null(value))
                value = NULL;
        if (value != NULL && !json_is_array(value))
                return error_set(err, -EINVAL, "'%s' is not a JSON array", key);
        *ret_array = value;
        return 0;
}

static int get_path(const json_t *parent, const char *key, bool required, const char **ret_path,
                    struct error *err)
{
        int r = required ? json_get_string(parent, key, ret_path, err)
                         : json_get_string_or(parent, key, NULL, ret_path, err);
        if (r == 0 && *ret_path != NULL && (*ret_path)[0] != '/')
                r = error_set(err, -EINVAL, "'%s' is '%s', not an absolute path", key, *ret_path);
        return r;
}

static int read_identity(struct config *c, struct error *err)
{
        int64_t version;
        int r = json_get_integer(c->document, "version", 1, 1, &version, err);
        if (r == 0)
                r = json_get_string(c->document, "id", &c->id, err);
        if (r == 0 && (strlen(c->id) != ID_LENGTH || strspn(c->id, "0123456789abcdef") != ID_LENGTH))
                r = error_set(err, -EINVAL, "'id' is not 64 hexadecimal digits");
        if (r == 0)
                r = json_get_string_or(c->document, "name", c->id, &c->name, err);
        if (r == 0)
                r = json_get_string_or(c->document, "hostname", "", &c->hostname, err);
        if (r == 0)
                r = json_get_bool_or(c->document, "auto_remove", false, &c->auto_remove, err);
        if (r == 0)
                r = get_array(c->document, "hosts", &c->hosts, err);
        if (r == 0)
                r = get_object(c->document, "sysctl", false, &c->sysctl, err);
        return r;
}

static int read_programs(struct config *c, struct error *err)
{
        const json_t *o = NULL;
        int r = get_object(c->document, "programs", true, &o, err);
        if (r == 0)
                r = get_path(o, "vmm", true, &c->vmm, err);
        if (r == 0)
                r = get_path(o, "qemu", false, &c->qemu, err);
        if (r == 0)
                r = get_path(o, "passt", false, &c->passt, err);
        return r;
}

static int read_machine(struct config *c, struct error *err)
{
        const json_t *o = NULL;
        int r = get_object(c->document, "machine", true, &o, err);
        if (r == 0)
                r = json_get_string_or(o, "engine", "qemu", &c->engine, err);
        if (r == 0)
                r = json_get_string_or(o, "accel", "tcg", &c->accel, err);
        if (r == 0)
                r = json_get_integer_or(o, "cpus", 1, 1024, 2, &c->cpus, err);
        if (r == 0)
                r = json_get_integer_or(o, "memory_bytes", 16LL << 20, 1LL << 50, 512LL << 20,
                                        &c->memory_bytes, err);
        if (r == 0)
                r = get_path(o, "kernel", true, &c->kernel, err);
        if (r == 0)
                r = get_path(o, "initrd", true, &c->initrd, err);
        if (r == 0)
                r = get_path(o, "template", false, &c->template, err);
        if (r == 0)
                r = json_get_string_or(o, "kernel_arguments", "", &c->kernel_arguments, err);
        if (r == 0)
                r = json_get_bool_or(o, "debug_console", false, &c->debug_console, err);
        if (r == 0)
                r = json_get_string_or(o, "jail", "auto", &c->jail, err);
        if (r == 0)
                r = json_get_integer_or(o, "boot_timeout_ms", 1, 86400000, 120000, &c->boot_timeout_ms, err);
        return r;
}

static int read_root(struct config *c, struct error *err)
{
        const json_t *o = NULL;
        int r = get_object(c->document, "root", true, &o, err);
        if (r == 0)
                r = get_path(o, "image", true, &c->image, err);
        if (r == 0)
                r = json_get_string_or(o, "disk", NULL, &c->disk, err);
        if (r == 0 && c->disk != NULL &&
            (c->disk[0] == '\0' || c->disk[0] == '.' || strchr(c->disk, '/') != NULL))
                r = error_set(err, -EINVAL, "'disk' is '%s', not a name in the box's folder", c->disk);
        if (r == 0)
                r = json_get_bool_or(o, "readonly", false, &c->readonly, err);
        if (r == 0)
                r = get_array(o, "volumes", &c->volumes, err);
        return r;
}

static int read_shares(struct config *c, struct error *err)
{
        int r = get_array(c->document, "shares", &c->shares, err);
        return r < 0 ? r : shares_check(c->shares, err);
}

static int read_disk(const json_t *o, struct config_disk *disk, struct error *err)
{
        int64_t fd = -1;
        int r = json_get_string(o, "name", &disk->name, err);
        if (r == 0)
                r = json_get_integer(o, "fd", 3, 1023, &fd, err);
        if (r == 0)
                r = get_path(o, "path", false, &disk->path, err);
        if (r == 0)
                r = json_get_bool_or(o, "readonly", false, &disk->readonly, err);
        disk->fd = (int)fd;
        return r;
}

static int read_disks(struct config *c, struct error *err)
{
        const json_t *disks = NULL;
        int r = get_array(c->document, "disks", &disks, err);
        if (r == 0 && json_array_size(disks) > CONFIG_DISKS_MAX)
                r = error_set(err, -EINVAL, "'disks' holds more than %d", CONFIG_DISKS_MAX);
        for (size_t i = 0; r == 0 && i < json_array_size(disks); i++) {
                r = read_disk(json_array_get(disks, i), &c->disks[i], err);
                for (size_t j = 0; r == 0 && j < i; j++) {
                        if (c->disks[j].fd == c->disks[i].fd)
                                r = error_set(err, -EINVAL, "'disks' names descriptor %d twice",
                                              c->disks[i].fd);
                }
        }
        c->disk_count = r == 0 ? json_array_size(disks) : 0;
        return r;
}

static int read_forward(const json_t *o, struct config_forward *forward, struct error *err)
{
        int64_t fd = -1;
        int r = json_get_integer(o, "fd", 3, 1023, &fd, err);
        if (r == 0)
                r = get_path(o, "path", true, &forward->path, err);
        if (r == 0)
                r = get_path(o, "unix", true, &forward->guest_path, err);
        if (r == 0)
                r = json_get_integer(o, "device", INT64_MIN, INT64_MAX, &forward->mark.device, err);
        if (r == 0)
                r = json_get_integer(o, "inode", INT64_MIN, INT64_MAX, &forward->mark.inode, err);
        if (r == 0)
                r = json_get_integer(o, "modified_ns", INT64_MIN, INT64_MAX, &forward->mark.modified_ns, err);
        forward->fd = (int)fd;
        return r;
}

static int read_forwards(struct config *c, struct error *err)
{
        const json_t *forwards = NULL;
        int r = get_array(c->document, "forwards", &forwards, err);
        if (r == 0 && json_array_size(forwards) > CONFIG_FORWARDS_MAX)
                r = error_set(err, -EINVAL, "'forwards' holds more than %d", CONFIG_FORWARDS_MAX);
        for (size_t i = 0; r == 0 && i < json_array_size(forwards); i++)
                r = read_forward(json_array_get(forwards, i), &c->forwards[i], err);
        c->forward_count = r == 0 ? json_array_size(forwards) : 0;
        return r;
}

static int read_container(struct config *c, struct error *err)
{
        const json_t *o = NULL, *process = NULL;
        int r = get_object(c->document, "container", true, &o, err);
        if (r == 0)
                r = get_object(o, "spec", true, &c->spec, err);
        if (r == 0)
                r = get_object(c->spec, "process", true, &process, err);
        if (r == 0)
                r = get_object(o, "command", false, &c->command, err);
        if (r < 0)
                return r;
        c->has_command = c->command != NULL;
        if (c->has_command && json_is_true(json_object_get(process, "terminal")))
                return error_set(err, -EINVAL, "'terminal' is the command's, not init's");
        r = json_get_bool_or(c->has_command ? c->command : process, "terminal", false, &c->terminal, err);
        if (r == 0)
                r = json_get_bool_or(o, "stdin", false, &c->stdin_open, err);
        if (r == 0)
                r = json_get_integer_or(o, "stop_signal", 1, 64, 15, &c->stop_signal, err);
        if (r == 0)
                r = json_get_integer_or(o, "stop_timeout_ms", 0, INT32_MAX, 10000, &c->stop_timeout_ms, err);
        return r;
}

static int read_publish(const json_t *o, struct publish *ret_publish, struct error *err)
{
        struct publish p = {0};
        const char *address, *protocol;
        int64_t host_port, box_port;
        struct in6_addr binary;
        if (!json_is_object(o))
                return error_set(err, -EINVAL, "'publish' holds something that is not an object");
        int r = json_get_string_or(o, "address", "", &address, err);
        if (r == 0)
                r = json_get_integer_or(o, "host_port", 0, 65535, 0, &host_port, err);
        if (r == 0)
                r = json_get_integer(o, "box_port", 1, 65535, &box_port, err);
        if (r == 0)
                r = json_get_string_or(o, "protocol", "tcp", &protocol, err);
        if (r < 0)
                return r;
        if (address[0] != '\0' && inet_pton(AF_INET, address, &binary) != 1 &&
            inet_pton(AF_INET6, address, &binary) != 1)
                return error_set(err, -EINVAL, "'address' is '%s', not an IP address", address);
        if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
                return error_set(err, -EINVAL, "'protocol' is '%s', not tcp or udp", protocol);
        (void)strncpy(p.address, address, sizeof(p.address) - 1); /* an address is at most 45 bytes */
        p.host_port = (uint16_t)host_port;
        p.box_port = (uint16_t)box_port;
        p.udp = protocol[0] == 'u';
        *ret_publish = p;
        return 0;
}

static int read_network(struct config *c, struct error *err)
{
        const json_t *o = NULL, *publish = NULL;
        int r = get_object(c->document, "network", false, &o, err);
        if (r < 0 || o == NULL)
                return r;
        c->has_network = true;
        r = get_array(o, "publish", &publish, err);
        if (r == 0)
                r = get_array(o, "dns", &c->dns, err);
        if (r == 0)
                r = get_array(o, "search", &c->search, err);
        if (r == 0)
                r = json_get_bool_or(o, "nested_names", false, &c->nested_names, err);
        if (r == 0 && c->passt == NULL)
                r = error_set(err, -ENOENT, "'passt' is missing among the programs, a network needs it");
        size_t count = json_array_size(publish);
        if (r == 0 && count > CONFIG_PUBLISH_MAX)
                r = error_set(err, -EINVAL, "'publish' holds %zu ports, more than %d", count,
                              CONFIG_PUBLISH_MAX);
        if (r < 0 || count == 0)
                return r;
        c->publish = calloc(count, sizeof(*c->publish));
        if (c->publish == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        for (size_t i = 0; i < count && r == 0; i++)
                r = read_publish(json_array_get(publish, i), &c->publish[i], err);
        c->publish_count = count;
        return r;
}

static int read_restart(struct config *c, struct error *err)
{
        int r = restart_read(json_object_get(c->document, "restart"), &c->restart, err);
        if (r == 0)
                r = json_get_integer_or(c->document, "stop_after_ms", 0, INT64_MAX, 0, &c->stop_after_ms,
                                        err);
        if (r == 0)
                r = json_get_integer_or(c->document, "idle_stop_ms", 0, INT64_MAX, 0, &c->idle_stop_ms, err);
        if (r == 0 && c->auto_remove && c->restart.kind != RESTART_NO)
                r = error_set(err, -EINVAL, "'restart' and 'auto_remove' exclude each other");
        return r;
}

static int read_log(struct config *c, struct error *err)
{
        const json_t *o = NULL;
        int r = get_object(c->document, "log", false, &o, err);
        if (r == 0)
                r = json_get_integer_or(o, "maximum_bytes", 4096, 1LL << 50, 16 << 20, &c->log_maximum_bytes,
                                        err);
        if (r == 0)
                r = json_get_integer_or(o, "files", 1, 100, 2, &c->log_files, err);
        return r;
}

static int read_health(struct config *c, struct error *err)
{
        const json_t *o = NULL, *word;
        const int64_t longest = 366LL * 86400 * 1000;
        size_t i;
        int r = get_object(c->document, "health", false, &o, err);
        if (r < 0 || o == NULL)
                return r;
        r = get_array(o, "args", &c->health.args, err);
        if (r == 0 && json_array_size(c->health.args) == 0)
                r = error_set(err, -ENOENT, "'health' has no 'args'");
        json_array_foreach ((json_t *)c->health.args, i, word) {
                if (r == 0 && !json_is_string(word))
                        r = error_set(err, -EINVAL, "'args' holds something that is not a string");
        }
        if (r == 0)
                r = json_get_integer_or(o, "interval_ms", 1, longest, 30000, &c->health.interval_ms, err);
        if (r == 0)
                r = json_get_integer_or(o, "timeout_ms", 1, longest, 30000, &c->health.timeout_ms, err);
        if (r == 0)
                r = json_get_integer_or(o, "retries", 1, INT32_MAX, 3, &c->health.retries, err);
        if (r == 0)
                r = json_get_integer_or(o, "start_period_ms", 0, longest, 0, &c->health.start_period_ms, err);
        if (r == 0)
                r = json_get_integer_or(o, "start_interval_ms", 1, longest, 5000,
                                        &c->health.start_interval_ms, err);
        return r;
}

static int read_extras(struct config *c, struct error *err)
{
        const json_t *events = NULL;
        int r = get_path(c->document, "pid_file", false, &c->pid_file, err);
        if (r == 0)
                r = get_object(c->document, "events", false, &events, err);
        if (r == 0 && events != NULL)
                r = get_path(events, "folder", true, &c->events_folder, err);
        if (r == 0 && events != NULL)
                r = get_object(events, "attributes", false, &c->events_attributes, err);
        return r;
}

int config_parse(const char *text, size_t size, struct config *ret_config, struct error *err)
{
        static int (*const parts[])(struct config *, struct error *) = {
            read_identity,  read_programs, read_machine, read_root,   read_shares,  read_disks, read_forwards,
            read_container, read_network,  read_log,     read_extras, read_restart, read_health};
        struct config c = {0};
        int r = json_parse(text, size, "box.json", &c.document, err);
        if (r < 0)
                return r;
        if (!json_is_object(c.document))
                r = error_set(err, -EINVAL, "it is not an object");
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++)
                r = parts[i](&c, err);
        if (r < 0) {
                config_done(&c);
                return error_wrap(err, "read box.json");
        }
        *ret_config = c;
        return 0;
}

int config_take_spec(struct config *c, const char *text, size_t size, struct error *err)
{
        cleanup_json json_t *json = NULL;
        const json_t *container = NULL, *spec = NULL, *command = NULL;
        int r = json_parse(text, size, "box.json", &json, err);
        if (r == 0)
                r = get_object(json, "container", true, &container, err);
        if (r == 0)
                r = get_object(container, "spec", true, &spec, err);
        if (r == 0)
                r = get_object(container, "command", c->has_command, &command, err);
        if (r < 0)
                return error_wrap(err, "read box.json");
        if (json_object_set(c->document, "container", (json_t *)container) < 0)
                return error_set(err, -ENOMEM, "read box.json: out of memory");
        c->spec = spec;
        c->command = c->has_command ? command : NULL;
        return 0;
}

void config_done(struct config *c)
{
        json_decref(c->document);
        free(c->publish);
        *c = (struct config){0};
}

void config_drop_spec(struct config *c)
{
        json_t *container = json_object_get(c->document, "container");
        c->spec = c->command = NULL;
        (void)json_object_del(container, "spec"); /* gone already is fine */
        (void)json_object_del(container, "command");
}
