/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet rename */
#include "cli/cli.h"

struct rename_plan {
        struct text_list operands;
};

static int carry_out(struct cli *cli, void *data)
{
        const struct rename_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        int r = boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error);
        if (r >= 0)
                r = boxlet_box_rename(box, plan->operands.items[1], &error);
        boxlet_box_free(box);
        return r < 0 ? cli_fail(cli, &error) : 0;
}

const struct command command_rename = {
    .name = "rename",
    .operands = "BOX NEW-NAME",
    .summary = "Give a box another name",
    .description = "Also while it runs; its host name stays.",
    .minimum_operands = 2,
    .maximum_operands = 2,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct rename_plan),
    .carry_out = carry_out,
};
