/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet tag */
#include "cli/cli.h"

struct tag_plan {
        struct text_list operands;
};

static int carry_out(struct cli *cli, void *data)
{
        const struct tag_plan *plan = data;
        struct boxlet_error error = {0};
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_image_tag(cli->boxlet, plan->operands.items[0], plan->operands.items[1], &error) < 0)
                return cli_fail(cli, &error);
        return 0;
}

const struct command command_tag = {
    .name = "tag",
    .operands = "IMAGE NEW-NAME",
    .summary = "Give an image another name",
    .minimum_operands = 2,
    .maximum_operands = 2,
    .first = OPERAND_IMAGE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct tag_plan),
    .carry_out = carry_out,
};
