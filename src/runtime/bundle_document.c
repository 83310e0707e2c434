/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document of a box's file: {"format": "boxlet-box", "version": 1, "id", "name", "image": {"reference",
 * "id", "digest"}, "auto_remove", "disk_bytes", "config"}.
 *
 * `config` is what create.c made, and what a start believes: it names folders of the host that the box may
 * write to, volumes, sockets, a kernel. In a file from somewhere else it is an attacker's. So every member is
 * looked at by the table below, which knows all that create.c makes; one that it does not know is refused,
 * because nobody here can say what it would do to this host. Whoever adds a member to the configuration adds
 * it here. `spec` and `command` are for the guest alone, whose agent checks them.
 */
#include "runtime/bundle.h"
#include "runtime/health.h"

#include "base/cleanup.h"
#include "runtime/disk.h"
#include "runtime/mounts.h"
#include "runtime/words.h"
#include "wire/restart.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT     "boxlet-box"
#define VERSION    1
#define MEMORY_MIN (64LL << 20)
#define TEXT_MAX   1024

void bundle_document_done(struct bundle_document *document)
{
        state_box_done(&document->box);
}

char *bundle_document_make(const struct state_box *box, uint64_t disk_bytes, size_t *ret_size,
                           struct error *err)
{
        cleanup_json json_t *config = NULL;
        if (json_parse(box->config, strlen(box->config), "the box's configuration", &config, err) < 0)
                return NULL;
        cleanup_json json_t *json =
            json_pack("{s:s, s:i, s:s, s:s, s:{s:s, s:s, s:s}, s:b, s:I, s:O}", "format", FORMAT, "version",
                      VERSION, "id", box->id, "name", box->name, "image", "reference", box->image_reference,
                      "id", box->image_id, "digest", box->image_digest, "auto_remove", (int)box->auto_remove,
                      "disk_bytes", (json_int_t)disk_bytes, "config", config);
        char *text = json == NULL ? NULL : json_print(json, ret_size);
        if (text == NULL)
                (void)error_set(err, -ENOMEM, "describe the box: out of memory");
        return text;
}

/* ---- the members of the configuration ---- */

static bool is_integer(const json_t *value, json_int_t minimum, json_int_t maximum)
{
        return json_is_integer(value) && json_integer_value(value) >= minimum &&
               json_integer_value(value) <= maximum;
}

static bool is_one_of(const json_t *value, const char *const *words)
{
        const char *text = json_string_value(value);
        while (text != NULL && *words != NULL && strcmp(text, *words) != 0)
                words++;
        return text != NULL && *words != NULL;
}

static bool good_flag(const json_t *value)
{
        return json_is_boolean(value);
}

static bool good_object(const json_t *value)
{
        return json_is_object(value);
}

static bool good_signal(const json_t *value)
{
        return is_integer(value, 1, 64);
}

static bool good_time(const json_t *value)
{
        return is_integer(value, 0, INT64_MAX);
}

static bool good_cpus(const json_t *value)
{
        return is_integer(value, 1, 64);
}

static bool good_memory(const json_t *value)
{
        return is_integer(value, MEMORY_MIN, INT64_MAX);
}

static bool good_disk(const json_t *value)
{
        return is_integer(value, DISK_SIZE_MIN, DISK_SIZE_MAX);
}

static bool good_hostname(const json_t *value)
{
        struct error ignored = ERROR_INIT;
        return json_is_string(value) && words_check_hostname(json_string_value(value), &ignored) == 0;
}

static bool good_network(const json_t *value)
{
        static const char *const words[] = {"default", "none", NULL};
        return is_one_of(value, words);
}

static bool good_engine(const json_t *value)
{
        static const char *const words[] = {"auto", "kvm", "qemu", "qemu-kvm", NULL};
        return is_one_of(value, words);
}

static bool good_jail(const json_t *value)
{
        static const char *const words[] = {"auto", "require", NULL};
        return is_one_of(value, words);
}

static bool good_labels(const json_t *value)
{
        const char *key;
        json_t *one;
        json_object_foreach ((json_t *)value, key, one) {
                if (!json_is_string(one))
                        return false;
        }
        return json_is_object(value);
}

static bool is_path(const json_t *value)
{
        const char *text = json_string_value(value);
        return text != NULL && text[0] == '/';
}

static bool good_paths(const json_t *value)
{
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                if (!is_path(one))
                        return false;
        }
        return json_is_array(value);
}

static bool is_address(const json_t *value)
{
        struct in6_addr place;
        const char *text = json_string_value(value);
        return json_is_null(value) || (text != NULL && (inet_pton(AF_INET, text, &place) == 1 ||
                                                        inet_pton(AF_INET6, text, &place) == 1));
}

static bool good_publish(const json_t *value)
{
        static const char *const protocols[] = {"tcp", "udp", NULL};
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                if (!is_address(json_object_get(one, "address")) ||
                    !is_integer(json_object_get(one, "host_port"), 0, 65535) ||
                    !is_integer(json_object_get(one, "box_port"), 1, 65535) ||
                    !is_one_of(json_object_get(one, "protocol"), protocols))
                        return false;
        }
        return json_is_array(value);
}

static bool good_objects(const json_t *value)
{
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                if (!json_is_object(one))
                        return false;
        }
        return json_is_array(value);
}

static bool good_disks(const json_t *value)
{
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                struct error ignored = ERROR_INIT;
                const char *name = json_string_value(json_object_get(one, "volume"));
                const json_t *path = json_object_get(one, "path");
                if (name == NULL || mounts_check_name(name, &ignored) < 0 ||
                    (path != NULL && !json_is_null(path) && !is_path(path)) ||
                    !json_is_boolean(json_object_get(one, "readonly")))
                        return false;
        }
        return json_is_array(value);
}

static bool good_shares(const json_t *value)
{
        static const char *const caches[] = {"auto", "always", "none", NULL};
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                if (!is_path(json_object_get(one, "source")) ||
                    !json_is_boolean(json_object_get(one, "readonly")) ||
                    !is_one_of(json_object_get(one, "cache"), caches))
                        return false;
        }
        return json_is_array(value);
}

static bool good_forwards(const json_t *value)
{
        const json_t *one;
        size_t i;
        json_array_foreach (value, i, one) {
                if (!is_path(json_object_get(one, "path")) || !is_path(json_object_get(one, "unix")))
                        return false;
        }
        return json_is_array(value);
}

static bool good_kernel(const json_t *value)
{
        return json_is_null(value) || is_path(value);
}

static bool good_log(const json_t *value)
{
        return is_integer(json_object_get(value, "maximum_bytes"), 1, 1LL << 50) &&
               is_integer(json_object_get(value, "files"), 1, 100);
}

static bool good_restart(const json_t *value)
{
        struct restart_policy policy;
        struct error ignored = ERROR_INIT;
        return restart_read(value, &policy, &ignored) == 0;
}

static bool good_nano_cpus(const json_t *value)
{
        return is_integer(value, 0, INT64_C(64000000000));
}

static bool good_pids(const json_t *value)
{
        return is_integer(value, 0, INT64_MAX);
}

static bool good_limit(const json_t *value)
{
        return is_integer(value, 1, INT64_MAX);
}

/* of_host: what it is called when it has something in it, which then is of the host it is read on. */
static const struct member {
        const char *name;
        bool (*is_good)(const json_t *value);
        const char *of_host;
        bool optional;
} members[] = {
    {"spec", good_object, NULL, false},
    {"command", good_object, NULL, true},
    {"volumes", good_paths, NULL, false},
    {"labels", good_labels, NULL, false},
    {"stop_signal", good_signal, NULL, false},
    {"stop_timeout_ms", good_time, NULL, false},
    {"hostname", good_hostname, NULL, false},
    {"publish", good_publish, NULL, false},
    {"network", good_network, NULL, false},
    {"cpus", good_cpus, NULL, false},
    {"memory_bytes", good_memory, NULL, false},
    {"disk_bytes", good_disk, NULL, false},
    {"engine", good_engine, NULL, false},
    {"kernel", good_kernel, "a kernel", true},
    {"stdin", good_flag, NULL, false},
    {"readonly", good_flag, NULL, false},
    {"init", good_flag, NULL, false},
    {"auto_remove", good_flag, NULL, false},
    {"support_docker", good_flag, NULL, true},
    {"debug_console", good_flag, NULL, true},
    {"shares", good_shares, "folders", true},
    {"mounts", good_objects, NULL, true},
    {"disks", good_disks, "volumes", true},
    {"forwards", good_forwards, "sockets", true},
    {"pid_file", is_path, "a pid file", true},
    {"log", good_log, NULL, true},
    {"restart", good_restart, NULL, true},
    {"nano_cpus", good_nano_cpus, NULL, true},
    {"pids_limit", good_pids, NULL, true},
    {"stop_after_ms", good_limit, NULL, true},
    {"idle_stop_ms", good_limit, NULL, true},
    {"health", health_is_good, NULL, true},
    {"jail", good_jail, NULL, true},
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static bool is_empty(const json_t *value)
{
        return json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

static int check_known(const json_t *config, struct error *err)
{
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)config, key, value) {
                size_t i = 0;
                while (i < MEMBERS && strcmp(members[i].name, key) != 0)
                        i++;
                if (i == MEMBERS)
                        return error_set(err, -EOPNOTSUPP,
                                         "its configuration has '%.64s', which this boxlet does not know",
                                         key);
        }
        return 0;
}

static int check_config(const json_t *config, struct bundle_document *document, struct error *err)
{
        int r = check_known(config, err);
        for (size_t i = 0; r == 0 && i < MEMBERS; i++) {
                const json_t *value = json_object_get(config, members[i].name);
                if (value == NULL && members[i].optional)
                        continue;
                if (value == NULL || !members[i].is_good(value))
                        return error_set(err, -EBADMSG, "its configuration has no '%s' that could be one",
                                         members[i].name);
                if (members[i].of_host == NULL || is_empty(value))
                        continue;
                size_t used = strlen(document->what);
                document->refers_to_host = true;
                (void)snprintf(document->what + used, sizeof(document->what) - used, "%s%s",
                               used == 0 ? "" : ", ", members[i].of_host); /* all of them fit */
        }
        return r;
}

/* ---- the document ---- */

static bool is_hex(const char *text)
{
        return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

/* A digest, or with `plain` any text that a person can read. */
static int get_text(const json_t *object, const char *key, bool plain, char **ret_text, struct error *err)
{
        const char *text;
        int r = json_get_string(object, key, &text, err);
        if (r == 0)
                r = words_check_utf8(text, key, err);
        if (r < 0)
                return r;
        if (plain ? text[0] == '\0' || strlen(text) > TEXT_MAX
                  : strncmp(text, "sha256:", 7) != 0 || !is_hex(text + 7))
                return error_set(err, -EBADMSG, "'%s' is none", key);
        *ret_text = strdup(text);
        return *ret_text == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static int parse_box(const json_t *json, struct bundle_document *d, struct error *err)
{
        const json_t *image = json_object_get(json, "image"), *config = json_object_get(json, "config");
        const char *name = NULL, *id = NULL;
        int64_t size;
        int r = json_get_string(json, "name", &name, err);
        if (r == 0)
                r = words_check_name(name, err);
        if (r == 0)
                r = json_get_string(json, "id", &id, err);
        if (r == 0 && !is_hex(id))
                r = error_set(err, -EBADMSG, "'id' is none");
        if (r == 0)
                r = get_text(image, "reference", true, &d->box.image_reference, err);
        if (r == 0)
                r = get_text(image, "id", false, &d->box.image_id, err);
        if (r == 0)
                r = get_text(image, "digest", false, &d->box.image_digest, err);
        if (r == 0)
                r = json_get_bool_or(json, "auto_remove", false, &d->box.auto_remove, err);
        if (r == 0)
                r = json_get_integer(json, "disk_bytes", DISK_SIZE_MIN, DISK_SIZE_MAX, &size, err);
        if (r == 0 && !json_is_object(config))
                r = error_set(err, -EBADMSG, "'config' is none");
        if (r == 0)
                r = check_config(config, d, err);
        if (r < 0)
                return r;
        d->disk_bytes = (uint64_t)size;
        d->box.name = strdup(name);
        memcpy(d->box.id, id, sizeof(d->box.id));
        d->box.config = json_print(config, NULL);
        return d->box.name == NULL || d->box.config == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int bundle_document_parse(const char *text, size_t size, struct bundle_document *ret_document,
                          struct error *err)
{
        cleanup_json json_t *json = NULL;
        struct bundle_document d = {.disk_bytes = 0};
        const char *format;
        int64_t version;
        int r = json_parse(text, size, BUNDLE_DOCUMENT, &json, err);
        if (r == 0)
                r = json_get_string(json, "format", &format, err);
        if (r == 0 && strcmp(format, FORMAT) != 0)
                r = error_set(err, -EBADMSG, "'format' is not '" FORMAT "'");
        if (r == 0)
                r = json_get_integer(json, "version", 1, INT32_MAX, &version, err);
        if (r == 0 && version != VERSION)
                r = error_set(err, -EPROTONOSUPPORT,
                              "it was written by a newer boxlet (version %lld, this one knows %d)",
                              (long long)version, VERSION);
        if (r == 0)
                r = parse_box(json, &d, err);
        if (r < 0) {
                bundle_document_done(&d);
                return error_wrap(err, "the file's " BUNDLE_DOCUMENT);
        }
        *ret_document = d;
        return 0;
}
