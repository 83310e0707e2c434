/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet top: the processes in a box, as docker top prints them. */
#include "cli/cli.h"
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct top_plan {
        struct text_list operands;
};

static const struct cli_option options[] = {{0}};

static int add_row(struct table *table, const json_t *texts)
{
        const char *cells[TABLE_COLUMNS_MAX] = {0};
        for (size_t i = 0; i < table->columns; i++) {
                const char *text = json_string_value(json_array_get(texts, i));
                cells[i] = text != NULL ? text : "";
        }
        return table_add(table, cells);
}

static int print_processes(struct cli *cli, const char *text)
{
        cleanup_json json_t *whole = NULL;
        cleanup_table struct table table = {0};
        struct error err = ERROR_INIT;
        const json_t *row;
        size_t i;
        if (json_parse(text, strlen(text), "the list of processes", &whole, &err) < 0)
                return cli_complain(cli, "%s", err.text);
        const json_t *titles = json_object_get(whole, "Titles");
        if (json_array_size(titles) == 0 || json_array_size(titles) > TABLE_COLUMNS_MAX)
                return cli_complain(cli, "the list of processes makes no sense");
        table_init(&table, json_array_size(titles));
        int r = add_row(&table, titles);
        json_array_foreach (json_object_get(whole, "Processes"), i, row) {
                r = r < 0 ? r : add_row(&table, row);
        }
        if (r < 0)
                return cli_complain(cli, "%s", strerror(-r));
        table_print(&table, stdout);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct top_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0 ||
            boxlet_box_top(box, &text, &error) < 0)
                code = cli_fail(cli, &error);
        else
                code = print_processes(cli, text);
        boxlet_free(text);
        boxlet_box_free(box);
        return code;
}

static int check(void *data, struct error *err)
{
        const struct top_plan *plan = data;
        if (plan->operands.count > 1)
                return error_set(err, -EINVAL, "options of ps are not taken: use 'boxlet exec BOX ps ...'");
        return 0;
}

const struct command command_top = {
    .name = "top",
    .operands = "BOX",
    .summary = "Show the processes that run in a box",
    .description = "The columns are those of ps -ef; user and process ids are those in the box.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .leading = true,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct top_plan),
    .check = check,
    .carry_out = carry_out,
};
