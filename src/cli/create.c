/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet create: what run does before it starts. */
#include "cli/box-plan.h"

static int carry_out(struct cli *cli, void *data)
{
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (box_plan_create(cli, data, &box, &error) < 0)
                return cli_fail(cli, &error);
        printf("%s\n", boxlet_box_id(box));
        boxlet_box_free(box);
        return 0;
}

const struct command command_create = {
    .name = "create",
    .operands = "IMAGE [COMMAND [ARG...]]",
    .summary = "Make a box without starting it",
    .description = "Prints the id of the box; 'boxlet start' starts it.",
    .options = box_plan_options,
    .refused = box_plan_refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .leading = true,
    .first = OPERAND_IMAGE,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct box_plan),
    .defaults = box_plan_defaults,
    .check = box_plan_check,
    .carry_out = carry_out,
    .done = box_plan_done,
};
