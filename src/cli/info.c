/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet info: what boxlet found on this machine. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <string.h>

#define INDENT_MAX 6

struct info_plan {
        struct text_list operands;
        const char *format;
};

static const struct cli_option options[] = {
    {'f', "format", OPTION_CHOICE, offsetof(struct info_plan, format), "FORMAT", "How to print", "text|json",
     OPERAND_CHOICE},
    {0},
};

static void print_members(const json_t *value, int indent);

static void print_scalar(const json_t *value)
{
        if (json_is_string(value)) {
                cli_print_safe(stdout, json_string_value(value));
                return;
        }
        cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
        fputs(text != NULL ? text : "", stdout);
}

/* "name: reason" of {"name", "usable", "reason"} and what else comes in lists. */
static void print_item(const json_t *item, int indent)
{
        const char *key;
        json_t *value;
        bool first = true;
        printf("%*s- ", indent, "");
        if (!json_is_object(item)) {
                print_scalar(item);
                putchar('\n');
                return;
        }
        json_object_foreach ((json_t *)item, key, value) {
                printf("%s", first ? "" : ", ");
                cli_print_safe(stdout, key);
                printf(": ");
                print_scalar(value);
                first = false;
        }
        putchar('\n');
}

static void print_member(const char *key, const json_t *value, int indent)
{
        const json_t *item;
        size_t i;
        printf("%*s", indent, "");
        cli_print_safe(stdout, key);
        if (json_is_object(value) && json_object_size(value) > 0 && indent < INDENT_MAX) {
                printf(":\n");
                print_members(value, indent + 2);
        } else if (json_is_array(value) && json_array_size(value) > 0) {
                printf(":\n");
                json_array_foreach (value, i, item) {
                        print_item(item, indent + 2);
                }
        } else {
                printf(": ");
                if (!json_is_null(value))
                        print_scalar(value);
                putchar('\n');
        }
}

/* Calls itself through print_member(); INDENT_MAX bounds that, deeper levels are printed as JSON. */
static void print_members(const json_t *object, int indent)
{
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)object, key, value) {
                print_member(key, value, indent);
        }
}

static int carry_out(struct cli *cli, void *data)
{
        const struct info_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *json = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_info(cli->boxlet, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the library's answer", &json, &err);
        if (r == 0 && plan->format != NULL && strcmp(plan->format, "json") == 0)
                r = cli_print_json(stdout, text);
        else if (r == 0)
                print_members(json, 0);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text) : 0;
}

const struct command command_info = {
    .name = "info",
    .summary = "Show what boxlet found on this machine",
    .description =
        "The home folder, the engines with the reason each can or cannot be used, kernels and programs.",
    .options = options,
    .plan_size = sizeof(struct info_plan),
    .carry_out = carry_out,
};
