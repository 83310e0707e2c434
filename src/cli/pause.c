/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet pause and unpause */
#include "cli/cli.h"

struct pause_plan {
        struct text_list operands;
};

static int do_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const bool *pause = data;
        struct boxlet_box *box = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r >= 0)
                r = *pause ? boxlet_box_pause(box, error) : boxlet_box_unpause(box, error);
        if (r >= 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return r;
}

static int pause_boxes(struct cli *cli, void *data)
{
        bool pause = true;
        return cli_each(cli, &((struct pause_plan *)data)->operands, do_one, &pause);
}

static int unpause_boxes(struct cli *cli, void *data)
{
        bool pause = false;
        return cli_each(cli, &((struct pause_plan *)data)->operands, do_one, &pause);
}

const struct command command_pause = {
    .name = "pause",
    .operands = "BOX...",
    .summary = "Stop the processors of running boxes",
    .description = "Nothing runs in a paused box, and its memory stays as it is. exec and attach refuse it; "
                   "stop, kill and rm -f end it.",
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct pause_plan),
    .carry_out = pause_boxes,
};

const struct command command_unpause = {
    .name = "unpause",
    .operands = "BOX...",
    .summary = "Let paused boxes go on",
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct pause_plan),
    .carry_out = unpause_boxes,
};
