/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet rm */
#include "cli/cli.h"

#include <errno.h>

struct rm_plan {
        struct text_list operands;
        bool force, volumes;
};

static const struct cli_option options[] = {
    {'f', "force", OPTION_FLAG, offsetof(struct rm_plan, force), NULL,
     "Also boxes that run, which are killed; no error for one that does not exist"},
    {'v', "volumes", OPTION_FLAG, offsetof(struct rm_plan, volumes), NULL,
     "Volumes too; they lie on the box's disk and always go with it"},
    {0},
};

static const struct refused_option refused[] = {
    {'l', "link", NULL},
    {0},
};

static int remove_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const struct rm_plan *plan = data;
        struct boxlet_box *box = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r == -ENOENT && plan->force)
                return 0;
        if (r >= 0)
                r = boxlet_box_remove(box, plan->force, error);
        if (r >= 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        struct rm_plan *plan = data;
        return cli_each(cli, &plan->operands, remove_one, plan);
}

const struct command command_rm = {
    .name = "rm",
    .operands = "BOX...",
    .summary = "Remove boxes with their disks and logs",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct rm_plan),
    .carry_out = carry_out,
};
