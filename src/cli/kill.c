/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet kill */
#include "cli/cli.h"

#include <signal.h>

struct kill_plan {
        struct text_list operands;
        int signal;
};

static const struct cli_option options[] = {
    {'s', "signal", OPTION_SIGNAL, offsetof(struct kill_plan, signal), "SIGNAL",
     "Signal to send; KILL by default"},
    {0},
};

static void defaults(void *data)
{
        ((struct kill_plan *)data)->signal = SIGKILL;
}

static int kill_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const struct kill_plan *plan = data;
        struct boxlet_box *box = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r >= 0)
                r = boxlet_box_kill(box, plan->signal, error);
        if (r >= 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        struct kill_plan *plan = data;
        return cli_each(cli, &plan->operands, kill_one, plan);
}

const struct command command_kill = {
    .name = "kill",
    .operands = "BOX...",
    .summary = "Send a signal to the process of running boxes",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct kill_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
