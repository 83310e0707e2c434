/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet ls: the boxes as a table, as ids or as JSON, with docker's columns. */
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/value.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <string.h>

struct ls_plan {
        struct text_list operands;
        bool all, quiet, whole;
        const char *format;
};

#define AT(member) offsetof(struct ls_plan, member)

static const struct cli_option options[] = {
    {'a', "all", OPTION_FLAG, AT(all), NULL, "Also boxes that do not run"},
    {0, "format", OPTION_CHOICE, AT(format), "FORMAT", "How to print", "table|json", OPERAND_CHOICE},
    {0, "no-trunc", OPTION_FLAG, AT(whole), NULL, "Do not shorten ids and commands"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Print ids only"},
    {0},
};

static const struct refused_option refused[] = {
    {'f', "filter", "use --format json with jq"},
    {'n', "last", "use -a"},
    {'l', "latest", "use -a"},
    {'s', "size", NULL},
    {0},
};

/* A string, the first of an array of strings, or "". */
static const char *text_of(const json_t *box, const char *key)
{
        const json_t *value = json_object_get(box, key);
        if (json_is_array(value))
                value = json_array_get(value, 0);
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        return strcmp(key, "Names") == 0 && text[0] == '/' ? text + 1 : text;
}

static void describe_age(const json_t *box, char place[TEXT_SPAN_MAX + 8])
{
        const json_t *created = json_object_get(box, "Created");
        char span[TEXT_SPAN_MAX];
        int64_t ns = 0;
        place[0] = '\0';
        if (json_is_integer(created))
                ns = json_integer_value(created) * 1000000000;
        else if (!json_is_string(created) || value_time(json_string_value(created), 0, &ns) < 0)
                return;
        int64_t seconds = (value_now_ns() - ns) / 1000000000;
        (void)snprintf(place, TEXT_SPAN_MAX + 8, "%s ago", text_span(seconds, span));
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

/* free() it; NULL when out of memory. */
static char *describe_ports(const json_t *box)
{
        const json_t *ports = json_object_get(box, "Ports"), *port;
        struct buffer text = BUFFER_INIT(4096);
        size_t i;
        if (json_is_string(ports))
                return strdup(json_string_value(ports));
        json_array_foreach (ports, i, port) {
                describe_port(port, &text);
        }
        return buffer_take(&text);
}

/* The command in quotes, at most 20 characters of it unless whole. free() it. */
static char *describe_command(const json_t *box, bool whole)
{
        cleanup_free char *safe = text_safe(text_of(box, "Command"), false);
        if (safe == NULL)
                return NULL;
        struct buffer text = BUFFER_INIT(1 << 20);
        size_t width = text_width(safe);
        if (!whole && width > 20) {
                size_t end = 0;
                for (size_t seen = 0; safe[end] != '\0'; end++) {
                        seen += ((unsigned char)safe[end] & 0xc0) != 0x80;
                        if (seen > 19)
                                break;
                }
                safe[end] = '\0';
        }
        (void)buffer_printf(&text, "\"%s%s\"", safe, !whole && width > 20 ? "…" : ""); /* cut is fine */
        return buffer_take(&text);
}

static int add_row(struct table *table, const json_t *box, bool whole)
{
        char id[CLI_SHORT_ID + 1], age[TEXT_SPAN_MAX + 8];
        cleanup_free char *ports = describe_ports(box), *command = describe_command(box, whole);
        const char *status = text_of(box, "Status");
        describe_age(box, age);
        const char *cells[] = {
            whole ? text_of(box, "Id") : cli_short_id(text_of(box, "Id"), id),
            text_of(box, "Image"),
            command != NULL ? command : "",
            age,
            status[0] != '\0' ? status : text_of(box, "State"),
            ports != NULL ? ports : "",
            text_of(box, "Names"),
        };
        return table_add(table, cells);
}

static int print_table(const json_t *boxes, bool whole)
{
        static const char *const heading[] = {"BOX ID", "IMAGE", "COMMAND", "CREATED",
                                              "STATUS", "PORTS", "NAMES"};
        cleanup_table struct table table;
        const json_t *box;
        size_t i;
        table_init(&table, 7);
        int r = table_add(&table, heading);
        json_array_foreach (boxes, i, box) {
                r = r < 0 ? r : add_row(&table, box, whole);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int print_ids(const json_t *boxes, bool whole)
{
        const json_t *box;
        size_t i;
        json_array_foreach (boxes, i, box) {
                char id[CLI_SHORT_ID + 1];
                cli_print_safe(stdout, whole ? text_of(box, "Id") : cli_short_id(text_of(box, "Id"), id));
                putchar('\n');
        }
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct ls_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *boxes = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_list(cli->boxlet, plan->all, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the list of boxes", &boxes, &err);
        if (r == 0 && plan->quiet)
                r = print_ids(boxes, plan->whole);
        else if (r == 0 && plan->format != NULL && strcmp(plan->format, "json") == 0)
                r = cli_print_json(stdout, text);
        else if (r == 0)
                r = print_table(boxes, plan->whole);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r)) : 0;
}

const struct command command_ls = {
    .name = "ls",
    .alias = "ps",
    .summary = "List boxes",
    .description = "Shows the boxes that run, with -a all of them. With --format json, prints one array.",
    .options = options,
    .refused = refused,
    .plan_size = sizeof(struct ls_plan),
    .carry_out = carry_out,
};
