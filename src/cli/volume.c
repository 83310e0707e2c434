/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet volume: disks with a name, with docker's words. */
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- create ---- */

struct create_plan {
        struct text_list operands, labels;
        const char *driver;
        uint64_t size;
};

static const struct cli_option create_options[] = {
    {'d', "driver", OPTION_CHOICE, offsetof(struct create_plan, driver), "DRIVER", "There is one", "local",
     OPERAND_CHOICE},
    {0, "label", OPTION_LIST, offsetof(struct create_plan, labels), "KEY[=VALUE]", "Put a label on it"},
    {0, "size", OPTION_SIZE, offsetof(struct create_plan, size), "SIZE",
     "Room on the disk; 10g by default. It takes on the host what is written to it"},
    {0},
};

static const struct refused_option create_refused[] = {
    {'o', "opt", "see --size"},
    {0},
};

static int create(struct cli *cli, void *data)
{
        const struct create_plan *plan = data;
        struct boxlet_volume_options options = BOXLET_VOLUME_OPTIONS_INIT;
        struct boxlet_error error = {0};
        char *name = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        options.size_bytes = plan->size;
        options.labels = plan->labels.items;
        if (boxlet_volume_create(cli->boxlet, plan->operands.count > 0 ? plan->operands.items[0] : NULL,
                                 &options, &name, &error) < 0)
                return cli_fail(cli, &error);
        printf("%s\n", name);
        boxlet_free(name);
        return 0;
}

static const struct command command_volume_create = {
    .name = "create",
    .operands = "[NAME]",
    .summary = "Make a volume",
    .description =
        "Prints its name; without NAME one is made up. A volume of that name that is there already is "
        "fine. 'boxlet run -v NAME:/PATH' makes what is missing too.",
    .options = create_options,
    .refused = create_refused,
    .maximum_operands = 1,
    .plan_size = sizeof(struct create_plan),
    .carry_out = create,
};

/* ---- ls ---- */

struct ls_plan {
        struct text_list operands;
        bool quiet;
        const char *format;
};

static const struct cli_option ls_options[] = {
    {0, "format", OPTION_CHOICE, offsetof(struct ls_plan, format), "FORMAT", "How to print", "table|json",
     OPERAND_CHOICE},
    {'q', "quiet", OPTION_FLAG, offsetof(struct ls_plan, quiet), NULL, "Print names only"},
    {0},
};

static const struct refused_option ls_refused[] = {
    {0, "cluster", NULL},
    {'f', "filter", "use --format json with jq"},
    {0},
};

/* "web, db +2": the boxes that refer to it. */
static void describe_boxes(const json_t *volume, char *text, size_t size)
{
        const json_t *boxes = json_object_get(volume, "Boxes"), *box;
        size_t i, used = 0;
        text[0] = '\0';
        json_array_foreach (boxes, i, box) {
                int n = i < 3 ? snprintf(text + used, size - used, "%s%.64s", i == 0 ? "" : ", ",
                                         json_string_value(box))
                              : snprintf(text + used, size - used, " +%zu", json_array_size(boxes) - 3);
                used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
                if (i == 3)
                        break;
        }
}

static int add_row(struct table *table, const json_t *volume)
{
        char size[TEXT_SIZE_MAX], allocated[TEXT_SIZE_MAX], boxes[256];
        describe_boxes(volume, boxes, sizeof(boxes));
        const char *cells[] = {json_text(volume, "Driver"), json_text(volume, "Name"),
                               text_size((uint64_t)json_integer_value(json_object_get(volume, "Size")), size),
                               text_size((uint64_t)json_integer_value(json_object_get(volume, "Allocated")),
                                         allocated),
                               boxes};
        return table_add(table, cells);
}

static int print_table(const json_t *volumes)
{
        static const char *const heading[] = {"DRIVER", "VOLUME NAME", "SIZE", "ON DISK", "BOXES"};
        cleanup_table struct table table;
        const json_t *volume;
        size_t i;
        table_init(&table, 5);
        int r = table_add(&table, heading);
        json_array_foreach (volumes, i, volume) {
                r = r < 0 ? r : add_row(&table, volume);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int print_names(const json_t *volumes)
{
        const json_t *volume;
        size_t i;
        json_array_foreach (volumes, i, volume) {
                printf("%s\n", json_text(volume, "Name"));
        }
        return 0;
}

static int ls(struct cli *cli, void *data)
{
        const struct ls_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *volumes = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_volume_list(cli->boxlet, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the list of volumes", &volumes, &err);
        if (r == 0 && plan->quiet)
                r = print_names(volumes);
        else if (r == 0 && plan->format != NULL && strcmp(plan->format, "json") == 0)
                r = cli_print_json(stdout, text);
        else if (r == 0)
                r = print_table(volumes);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r)) : 0;
}

static const struct command command_volume_ls = {
    .name = "ls",
    .alias = "list",
    .summary = "List volumes",
    .description = "With --format json, prints one array.",
    .options = ls_options,
    .refused = ls_refused,
    .plan_size = sizeof(struct ls_plan),
    .carry_out = ls,
};

/* ---- inspect ---- */

struct inspect_plan {
        struct text_list operands;
        const char *format;
};

static const struct cli_option inspect_options[] = {
    {'f', "format", OPTION_TEXT, offsetof(struct inspect_plan, format), "FORMAT",
     "json, or text with {{.Member.Member}} or {{json .Member}} in it, a line for each"},
    {0},
};

static int collect(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        json_t *array = data, *json = NULL;
        struct error err = ERROR_INIT;
        char *text = NULL;
        int r = boxlet_volume_inspect(cli->boxlet, name, &text, error);
        if (r < 0)
                return r;
        r = json_parse(text, strlen(text), "the description", &json, &err);
        if (r == 0 && json_array_append_new(array, json) < 0)
                r = -ENOMEM;
        if (r < 0) {
                error->code = r;
                (void)snprintf(error->text, sizeof(error->text), "%s",
                               err.code != 0 ? err.text : strerror(-r));
        }
        boxlet_free(text);
        return r;
}

static int print_all(struct cli *cli, const struct inspect_plan *plan, const json_t *array)
{
        const json_t *one;
        size_t i;
        if (plan->format == NULL || strcmp(plan->format, "json") == 0) {
                cleanup_free char *text = json_dumps(array, JSON_INDENT(4) | JSON_ENSURE_ASCII);
                if (text == NULL)
                        return cli_complain(cli, "out of memory");
                printf("%s\n", text);
                return 0;
        }
        json_array_foreach (array, i, one) {
                struct error err = ERROR_INIT;
                if (format_print(stdout, plan->format, one, &err) < 0)
                        return cli_complain(cli, "%s", err.text);
        }
        return 0;
}

static int inspect(struct cli *cli, void *data)
{
        const struct inspect_plan *plan = data;
        cleanup_json json_t *array = json_array();
        int code = cli_each(cli, &plan->operands, collect, array);
        int printed = print_all(cli, plan, array);
        return code != 0 ? code : printed;
}

static int inspect_check(void *data, struct error *err)
{
        const struct inspect_plan *plan = data;
        return plan->format != NULL ? format_check(plan->format, err) : 0;
}

static const struct command command_volume_inspect = {
    .name = "inspect",
    .operands = "VOLUME...",
    .summary = "Show all about volumes, as JSON",
    .options = inspect_options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .plan_size = sizeof(struct inspect_plan),
    .check = inspect_check,
    .carry_out = inspect,
};

/* ---- rm ---- */

struct rm_plan {
        struct text_list operands;
        bool force;
};

static const struct cli_option rm_options[] = {
    {'f', "force", OPTION_FLAG, offsetof(struct rm_plan, force), NULL,
     "No error for one that does not exist"},
    {0},
};

static int remove_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        int r = boxlet_volume_remove(cli->boxlet, name, ((struct rm_plan *)data)->force, error);
        if (r >= 0)
                printf("%s\n", name);
        return r;
}

static int rm(struct cli *cli, void *data)
{
        struct rm_plan *plan = data;
        return cli_each(cli, &plan->operands, remove_one, plan);
}

static const struct command command_volume_rm = {
    .name = "rm",
    .alias = "remove",
    .operands = "VOLUME...",
    .summary = "Remove volumes with what is on them",
    .description = "One that a box refers to stays, even if the box does not run: remove the box first.",
    .options = rm_options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .plan_size = sizeof(struct rm_plan),
    .carry_out = rm,
};

/* ---- prune ---- */

struct prune_plan {
        struct text_list operands;
        bool all, force;
};

static const struct cli_option prune_options[] = {
    {'a', "all", OPTION_FLAG, offsetof(struct prune_plan, all), NULL, "Also volumes whose name was chosen"},
    {'f', "force", OPTION_FLAG, offsetof(struct prune_plan, force), NULL, "Do not ask"},
    {0},
};

static const struct refused_option prune_refused[] = {
    {0, "filter", NULL},
    {0},
};

static int prune_check(void *data, struct error *err)
{
        const struct prune_plan *plan = data;
        return cli_check_askable(plan->force, err);
}

static int prune(struct cli *cli, void *data)
{
        const struct prune_plan *plan = data;
        struct boxlet_error error = {0};
        char *report = NULL, size[TEXT_SIZE_MAX];
        uint64_t freed = 0;
        if (!cli_is_confirmed(plan->force, "This removes all volumes%s that no box refers to.",
                              plan->all ? "" : " without a chosen name"))
                return CLI_FAILURE;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_volume_prune(cli->boxlet, plan->all, &freed, &report, &error) < 0)
                return cli_fail(cli, &error);
        if (report != NULL) {
                printf("Deleted Volumes:\n");
                cli_print_safe(stdout, report);
                printf("\n");
        }
        printf("Total reclaimed space: %s\n", text_size(freed, size));
        boxlet_free(report);
        return 0;
}

static const struct command command_volume_prune = {
    .name = "prune",
    .summary = "Remove volumes that no box refers to",
    .description = "Those without a chosen name; with -a, all.",
    .options = prune_options,
    .refused = prune_refused,
    .plan_size = sizeof(struct prune_plan),
    .check = prune_check,
    .carry_out = prune,
};

static const struct command *const subcommands[] = {
    &command_volume_create, &command_volume_ls,    &command_volume_inspect,
    &command_volume_rm,     &command_volume_prune, NULL,
};

const struct command command_volume = {
    .name = "volume",
    .summary = "Commands about volumes, disks with a name that outlive boxes",
    .subcommands = subcommands,
    .first = OPERAND_COMMAND,
};
