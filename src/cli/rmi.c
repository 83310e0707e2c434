/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet rmi: names of images, and images whose last name goes. */
#include "cli/cli.h"

struct rmi_plan {
        struct text_list operands;
        bool force;
};

static const struct cli_option options[] = {
    {'f', "force", OPTION_FLAG, offsetof(struct rmi_plan, force), NULL, "Also an image that a box uses"},
    {0},
};

static const struct refused_option refused[] = {
    {0, "no-prune", NULL},
    {0},
};

static int remove_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        char *report = NULL;
        int r = boxlet_image_remove(cli->boxlet, name, ((struct rmi_plan *)data)->force, &report, error);
        if (r >= 0 && report != NULL)
                cli_print_safe(stdout, report);
        boxlet_free(report);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        struct rmi_plan *plan = data;
        return cli_each(cli, &plan->operands, remove_one, plan);
}

const struct command command_rmi = {
    .name = "rmi",
    .operands = "IMAGE...",
    .summary = "Remove images",
    .description = "Removes a name; when it was the last one, the image.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_IMAGE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct rmi_plan),
    .carry_out = carry_out,
};

const struct command command_image_rm = {
    .name = "rm",
    .alias = "remove",
    .operands = "IMAGE...",
    .summary = "Remove images",
    .description = "Removes a name; when it was the last one, the image.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_IMAGE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct rmi_plan),
    .carry_out = carry_out,
};
