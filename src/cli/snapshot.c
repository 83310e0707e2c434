/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet snapshot: copies of a box's disk. */
#include "cli/cli.h"
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

static int with_box(struct cli *cli, const char *name, struct boxlet_box **ret_box)
{
        struct boxlet_error error = {0};
        int code = cli_open(cli);
        if (code != 0)
                return code;
        return boxlet_box_get(cli->boxlet, name, ret_box, &error) < 0 ? cli_fail(cli, &error) : 0;
}

/* ---- create ---- */

struct create_plan {
        struct text_list operands;
        int64_t timeout_ms;
};

static const struct cli_option create_options[] = {
    {0, "timeout", OPTION_DURATION, offsetof(struct create_plan, timeout_ms), "TIME",
     "How long a running box may be held still; 60s by default"},
    {0},
};

static int create(struct cli *cli, void *data)
{
        const struct create_plan *plan = data;
        struct boxlet_snapshot_options options = BOXLET_SNAPSHOT_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct boxlet_box *box;
        char *name = NULL;
        int code = with_box(cli, plan->operands.items[0], &box);
        if (code != 0)
                return code;
        options.name = plan->operands.count > 1 ? plan->operands.items[1] : NULL;
        options.timeout_ms = plan->timeout_ms;
        if (boxlet_snapshot_create(box, &options, &name, &error) < 0)
                code = cli_fail(cli, &error);
        else
                printf("%s\n", name);
        boxlet_free(name);
        boxlet_box_free(box);
        return code;
}

static const struct command command_snapshot_create = {
    .name = "create",
    .operands = "BOX [NAME]",
    .summary = "Copy the disk of a box",
    .description =
        "Prints the snapshot's name; without NAME it is date and time. The box may run: its file system is "
        "frozen while the disk is copied, so who writes in the box waits. Volumes with a name are no part of "
        "it.",
    .options = create_options,
    .minimum_operands = 1,
    .maximum_operands = 2,
    .first = OPERAND_BOX,
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

static int print_table(const json_t *snapshots)
{
        static const char *const heading[] = {"BOX", "SNAPSHOT", "CREATED", "SIZE", "ON DISK"};
        cleanup_table struct table table;
        const json_t *one;
        size_t i;
        table_init(&table, 5);
        int r = table_add(&table, heading);
        json_array_foreach (snapshots, i, one) {
                char size[TEXT_SIZE_MAX], allocated[TEXT_SIZE_MAX];
                const char *cells[] = {
                    json_text(one, "Box"), json_text(one, "Name"), json_text(one, "CreatedAt"),
                    text_size((uint64_t)json_integer_value(json_object_get(one, "Size")), size),
                    text_size((uint64_t)json_integer_value(json_object_get(one, "Allocated")), allocated)};
                r = r < 0 ? r : table_add(&table, cells);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int ls(struct cli *cli, void *data)
{
        const struct ls_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *snapshots = NULL;
        const json_t *one;
        size_t i;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_snapshot_list(cli->boxlet, plan->operands.count > 0 ? plan->operands.items[0] : NULL,
                                 &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the list of snapshots", &snapshots, &err);
        if (r == 0 && plan->quiet) {
                json_array_foreach (snapshots, i, one) {
                        printf("%s\n", json_text(one, "Name"));
                }
        } else if (r == 0 && plan->format != NULL && strcmp(plan->format, "json") == 0) {
                r = cli_print_json(stdout, text);
        } else if (r == 0) {
                r = print_table(snapshots);
        }
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r)) : 0;
}

static const struct command command_snapshot_ls = {
    .name = "ls",
    .alias = "list",
    .operands = "[BOX]",
    .summary = "List snapshots of a box, or of all",
    .description =
        "With --format json, prints one array. ON DISK counts blocks that are shared with the disk too.",
    .options = ls_options,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct ls_plan),
    .carry_out = ls,
};

/* ---- restore, rm ---- */

static int restore(struct cli *cli, void *data)
{
        const struct plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box;
        int code = with_box(cli, plan->operands.items[0], &box);
        if (code != 0)
                return code;
        if (boxlet_snapshot_restore(box, plan->operands.items[1], &error) < 0)
                code = cli_fail(cli, &error);
        boxlet_box_free(box);
        return code;
}

static const struct command command_snapshot_restore = {
    .name = "restore",
    .operands = "BOX NAME",
    .summary = "Put the disk of a box back to a snapshot",
    .description = "What was written since is lost; the snapshot stays. The box must not run.",
    .minimum_operands = 2,
    .maximum_operands = 2,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct plan),
    .carry_out = restore,
};

static int rm(struct cli *cli, void *data)
{
        const struct plan *plan = data;
        struct boxlet_box *box;
        int code = with_box(cli, plan->operands.items[0], &box);
        if (code != 0)
                return code;
        for (size_t i = 1; i < plan->operands.count; i++) {
                struct boxlet_error error = {0};
                if (boxlet_snapshot_remove(box, plan->operands.items[i], &error) < 0)
                        code = cli_fail(cli, &error);
                else
                        printf("%s\n", plan->operands.items[i]);
        }
        boxlet_box_free(box);
        return code;
}

static const struct command command_snapshot_rm = {
    .name = "rm",
    .alias = "remove",
    .operands = "BOX NAME...",
    .summary = "Remove snapshots of a box",
    .minimum_operands = 2,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct plan),
    .carry_out = rm,
};

static const struct command *const subcommands[] = {
    &command_snapshot_create, &command_snapshot_ls, &command_snapshot_restore, &command_snapshot_rm, NULL,
};

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "Commands about snapshots, copies of a box's disk",
    .subcommands = subcommands,
    .first = OPERAND_COMMAND,
};
