/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes as rows of text, with docker's field names. What an image or a user chose (names, labels, commands)
 * is made safe here, tabs and newlines too, so that it cannot shift a table's columns.
 */
#include "cli/rows.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/value.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMMAND_SHOWN 20
#define LIST_MAX      (1U << 20)

/* A string, the first of an array of strings, or "". */
static const char *text_of(const json_t *box, const char *key)
{
        const json_t *value = json_object_get(box, key);
        if (json_is_array(value))
                value = json_array_get(value, 0);
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        return strcmp(key, "Names") == 0 && text[0] == '/' ? text + 1 : text;
}

static json_t *safe_string(const char *text)
{
        cleanup_free char *safe = text_safe(text, false);
        return safe == NULL ? NULL : json_string(safe);
}

static json_t *buffer_string(struct buffer *text)
{
        cleanup_free char *taken = buffer_take(text);
        return taken == NULL ? NULL : safe_string(taken);
}

/* Seconds since 1970; false when the list does not say. */
static bool created(const json_t *box, int64_t *ret_seconds)
{
        const json_t *value = json_object_get(box, "Created");
        int64_t ns;
        if (json_is_integer(value)) {
                *ret_seconds = json_integer_value(value);
                return true;
        }
        if (!json_is_string(value) || value_time(json_string_value(value), 0, &ns) < 0)
                return false;
        *ret_seconds = ns / 1000000000;
        return true;
}

static json_t *created_at(const json_t *box)
{
        int64_t seconds;
        struct tm tm;
        char text[64];
        if (!created(box, &seconds) || localtime_r(&(time_t){seconds}, &tm) == NULL ||
            strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm) == 0)
                text[0] = '\0';
        return json_string(text);
}

static json_t *running_for(const json_t *box)
{
        char span[TEXT_SPAN_MAX], text[TEXT_SPAN_MAX + 8] = "";
        int64_t seconds;
        if (created(box, &seconds))
                (void)snprintf(text, sizeof(text), "%s ago",
                               text_span(clock_wall_ns() / 1000000000 - seconds, span)); /* fits */
        return json_string(text);
}

static void describe_port(const json_t *port, struct buffer *text)
{
        const json_t *ip = json_object_get(port, "IP"), *outer = json_object_get(port, "PublicPort"),
                     *inner = json_object_get(port, "PrivatePort"), *type = json_object_get(port, "Type");
        if (text->length > 0)
                (void)buffer_append_text(text, ", "); /* cut when there are very many */
        if (json_is_string(port)) {
                (void)buffer_append_text(text, json_string_value(port)); /* as above */
                return;
        }
        if (json_is_integer(outer) && json_integer_value(outer) > 0) {
                const char *address = json_is_string(ip) ? json_string_value(ip) : "";
                bool six = strchr(address, ':') != NULL;
                (void)buffer_printf(text, "%s%s%s%s%lld->", six ? "[" : "", address, six ? "]" : "",
                                    address[0] != '\0' ? ":" : "", (long long)json_integer_value(outer));
        }
        (void)buffer_printf(text, "%lld/%s", (long long)json_integer_value(inner),
                            json_is_string(type) ? json_string_value(type) : "tcp");
}

char *rows_ports(const json_t *ports)
{
        const json_t *port;
        struct buffer text = BUFFER_INIT(4096);
        size_t i;
        if (json_is_string(ports))
                return strdup(json_string_value(ports));
        json_array_foreach (ports, i, port) {
                describe_port(port, &text);
        }
        return buffer_take(&text);
}

static json_t *ports(const json_t *box)
{
        cleanup_free char *text = rows_ports(json_object_get(box, "Ports"));
        return text == NULL ? NULL : safe_string(text);
}

/* The command in quotes, shortened unless whole. */
static json_t *command(const json_t *box, bool whole)
{
        cleanup_free char *safe = text_safe(text_of(box, "Command"), false);
        if (safe == NULL)
                return NULL;
        bool cut = !whole && text_width(safe) > COMMAND_SHOWN;
        if (cut) {
                size_t end = 0;
                for (size_t seen = 0; safe[end] != '\0'; end++) {
                        seen += ((unsigned char)safe[end] & 0xc0) != 0x80;
                        if (seen > COMMAND_SHOWN - 1)
                                break;
                }
                safe[end] = '\0';
        }
        return json_sprintf("\"%s%s\"", safe, cut ? "…" : "");
}

static json_t *labels(const json_t *box)
{
        struct buffer text = BUFFER_INIT(LIST_MAX);
        const char *key;
        json_t *value;
        json_object_foreach (json_object_get(box, "Labels"), key, value) {
                (void)buffer_printf(&text, "%s%s=%s", text.length > 0 ? "," : "", key,
                                    json_is_string(value) ? json_string_value(value)
                                                          : ""); /* cut when there are very many */
        }
        return buffer_string(&text);
}

/* Names of volumes, paths of folders. */
static json_t *mounts(const json_t *box, unsigned *ret_volumes)
{
        struct buffer text = BUFFER_INIT(LIST_MAX);
        const json_t *list = json_object_get(box, "Mounts"), *mount;
        size_t i;
        *ret_volumes = 0;
        json_array_foreach (list, i, mount) {
                const char *name = text_of(mount, "Name"), *source = text_of(mount, "Source");
                const char *shown = name[0] != '\0' ? name : source;
                *ret_volumes += strcmp(text_of(mount, "Type"), "volume") == 0;
                if (shown[0] != '\0')
                        (void)buffer_printf(&text, "%s%s", text.length > 0 ? "," : "", shown); /* as above */
        }
        return buffer_string(&text);
}

static json_t *size(const json_t *box)
{
        char text[TEXT_SIZE_MAX];
        int64_t bytes = json_integer_value(json_object_get(box, "SizeRw"));
        return json_string(text_size(bytes > 0 ? (uint64_t)bytes : 0, text));
}

json_t *rows_box(const json_t *box, bool whole)
{
        char id[CLI_SHORT_ID + 1], image_id[CLI_SHORT_ID + 1], volumes[16], exit_code[16];
        const char *state = text_of(box, "State"), *status = text_of(box, "Status"),
                   *health = text_of(box, "Health");
        const json_t *label = json_object_get(box, "Labels");
        unsigned volume_count;
        json_t *mount_list = mounts(box, &volume_count);
        (void)snprintf(volumes, sizeof(volumes), "%u", volume_count); /* fits */
        (void)snprintf(exit_code, sizeof(exit_code), "%d",
                       (int)json_integer_value(json_object_get(box, "ExitCode"))); /* fits */
        return json_pack(
            "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:s}",
            "ID", safe_string(whole ? text_of(box, "Id") : cli_short_id(text_of(box, "Id"), id)), "Names",
            safe_string(text_of(box, "Names")), "Image", safe_string(text_of(box, "Image")), "Command",
            command(box, whole), "CreatedAt", created_at(box), "RunningFor", running_for(box), "Ports",
            ports(box), "State", state, "Status", safe_string(status[0] != '\0' ? status : state), "Size",
            size(box), "Labels", labels(box), "Label",
            label == NULL ? json_object() : json_incref((json_t *)label), "ImageID",
            safe_string(whole ? text_of(box, "ImageID") : cli_short_id(text_of(box, "ImageID"), image_id)),
            "Mounts", mount_list, "LocalVolumes", volumes, "Networks", safe_string(text_of(box, "Networks")),
            "Health", health[0] != '\0' ? health : "none", "ExitCode", exit_code);
}

json_t *rows_box_headings(void)
{
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{}, s:s, s:s, s:s, s:s, "
                         "s:s, s:s}",
                         "ID", "BOX ID", "Names", "NAMES", "Image", "IMAGE", "Command", "COMMAND",
                         "CreatedAt", "CREATED AT", "RunningFor", "CREATED", "Ports", "PORTS", "State",
                         "STATE", "Status", "STATUS", "Size", "SIZE", "Labels", "LABELS", "Label", "ImageID",
                         "IMAGE ID", "Mounts", "MOUNTS", "LocalVolumes", "LOCAL VOLUMES", "Networks",
                         "NETWORKS", "Health", "HEALTH", "ExitCode", "EXIT CODE");
}
