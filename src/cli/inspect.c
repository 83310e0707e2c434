/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet inspect: all about boxes and images, as one JSON array. */
#include "cli/cli.h"
#include "cli/format.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct inspect_plan {
        struct text_list operands;
        const char *type, *format;
};

#define AT(member) offsetof(struct inspect_plan, member)

static const struct cli_option options[] = {
    {'f', "format", OPTION_TEXT, AT(format), "FORMAT",
     "json, or text with {{.Member.Member}} or {{json .Member}} in it, a line for each"},
    {0, "type", OPTION_CHOICE, AT(type), "TYPE", "Look among boxes or images only", "box|image",
     OPERAND_CHOICE},
    {0},
};

static const struct refused_option refused[] = {
    {'s', "size", "SizeRw is always shown"},
    {0},
};

/* The JSON of a box or image of that name; boxlet_free() it. */
static int describe(struct cli *cli, const char *name, const char *type, char **ret_text,
                    struct boxlet_error *error)
{
        struct boxlet_box *box = NULL;
        int r = -ENOENT;
        if (type == NULL || strcmp(type, "box") == 0) {
                r = boxlet_box_get(cli->boxlet, name, &box, error);
                if (r >= 0)
                        r = boxlet_box_inspect(box, ret_text, error);
                boxlet_box_free(box);
                if (r != -ENOENT || type != NULL)
                        return r;
        }
        r = boxlet_image_inspect(cli->boxlet, name, ret_text, error);
        if (r == -ENOENT && type == NULL)
                (void)snprintf(error->text, sizeof(error->text), "there is no box or image '%s'", name);
        return r;
}

static int collect(struct cli *cli, const char *name, const char *type, json_t *array,
                   struct boxlet_error *error)
{
        char *text = NULL;
        json_t *json = NULL;
        struct error err = ERROR_INIT;
        int r = describe(cli, name, type, &text, error);
        if (r < 0)
                return r;
        r = json_parse(text, strlen(text), "the description", &json, &err);
        if (r == 0 && json_array_append_new(array, json) < 0)
                r = -ENOMEM;
        if (err.code != 0) {
                error->code = r;
                memcpy(error->text, err.text, sizeof(err.text));
        }
        boxlet_free(text);
        return r;
}

static int print_whole(FILE *file, const json_t *json)
{
        cleanup_free char *text = json_dumps(json, JSON_INDENT(4) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
        if (text == NULL)
                return -ENOMEM;
        fprintf(file, "%s\n", text);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct inspect_plan *plan = data;
        cleanup_json json_t *array = json_array();
        int code = cli_open(cli);
        if (code != 0)
                return code;
        for (size_t i = 0; i < plan->operands.count; i++) {
                struct boxlet_error error = {0};
                if (collect(cli, plan->operands.items[i], plan->type, array, &error) < 0)
                        code = cli_fail(cli, &error);
        }
        if (plan->format == NULL || strcmp(plan->format, "json") == 0)
                return print_whole(stdout, array) < 0 ? cli_complain(cli, "out of memory") : code;
        const json_t *one;
        size_t i;
        json_array_foreach (array, i, one) {
                struct error err = ERROR_INIT;
                if (format_print(stdout, plan->format, one, &err) < 0)
                        return cli_complain(cli, "%s", err.text);
        }
        return code;
}

static int check(void *data, struct error *err)
{
        const struct inspect_plan *plan = data;
        return plan->format != NULL ? format_check(plan->format, err) : 0;
}

const struct command command_inspect = {
    .name = "inspect",
    .operands = "BOX|IMAGE...",
    .summary = "Show all about boxes and images, as JSON",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct inspect_plan),
    .check = check,
    .carry_out = carry_out,
};

static void image_defaults(void *data)
{
        ((struct inspect_plan *)data)->type = "image";
}

static const struct cli_option image_options[] = {
    {'f', "format", OPTION_TEXT, AT(format), "FORMAT",
     "json, or text with {{.Member.Member}} or {{json .Member}} in it, a line for each"},
    {0},
};

const struct command command_image_inspect = {
    .name = "inspect",
    .operands = "IMAGE...",
    .summary = "Show all about images, as JSON",
    .options = image_options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_IMAGE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct inspect_plan),
    .defaults = image_defaults,
    .check = check,
    .carry_out = carry_out,
};
