/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet stop */
#include "cli/cli.h"

struct stop_plan {
        struct text_list operands;
        int64_t timeout_ms;
};

static const struct cli_option options[] = {
    {'t', "timeout", OPTION_DURATION, offsetof(struct stop_plan, timeout_ms), "TIME",
     "How long to wait before it is killed; the box's own (10s) by default"},
    {0, "time", OPTION_DURATION, offsetof(struct stop_plan, timeout_ms), "TIME", NULL},
    {0},
};

static const struct refused_option refused[] = {
    {'s', "signal", "see --stop-signal of 'boxlet run', or 'boxlet kill -s'"},
    {0},
};

static void defaults(void *data)
{
        ((struct stop_plan *)data)->timeout_ms = -1;
}

static int stop_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const struct stop_plan *plan = data;
        struct boxlet_box *box = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r >= 0)
                r = boxlet_box_stop(box, plan->timeout_ms, error);
        if (r >= 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        struct stop_plan *plan = data;
        return cli_each(cli, &plan->operands, stop_one, plan);
}

const struct command command_stop = {
    .name = "stop",
    .operands = "BOX...",
    .summary = "Stop running boxes",
    .description =
        "Sends the box's stop signal, and SIGKILL when the time is over; ends when the box is down.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct stop_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
