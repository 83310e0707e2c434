/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet restart: one box after the other; each is told when it runs again. */
#include "cli/cli.h"
#include "cli/session.h"

struct restart_plan {
        struct text_list operands;
        int64_t timeout_ms;
};

static const struct cli_option options[] = {
    {'t', "timeout", OPTION_DURATION, offsetof(struct restart_plan, timeout_ms), "TIME",
     "How long to wait before it is killed; the box's own (10s) by default"},
    {0, "time", OPTION_DURATION, offsetof(struct restart_plan, timeout_ms), "TIME", NULL},
    {0},
};

static const struct refused_option refused[] = {
    {'s', "signal", "see --stop-signal of 'boxlet run'"},
    {0},
};

static void defaults(void *data)
{
        ((struct restart_plan *)data)->timeout_ms = -1;
}

static int restart_one(struct cli *cli, const char *name, int64_t timeout_ms)
{
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct boxlet_process *process = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, &error);
        if (r >= 0)
                r = boxlet_box_restart(box, timeout_ms, &process, &error);
        int code = r < 0 ? cli_fail(cli, &error) : session_await_start(cli, process, box);
        if (code == 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return code;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct restart_plan *plan = data;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        for (size_t i = 0; i < plan->operands.count; i++) {
                int one = restart_one(cli, plan->operands.items[i], plan->timeout_ms);
                code = one != 0 ? one : code;
        }
        return code;
}

const struct command command_restart = {
    .name = "restart",
    .operands = "BOX...",
    .summary = "Stop boxes if they run, and start them",
    .description = "Stops as 'boxlet stop' does and starts as 'boxlet start' does, in the background. Prints "
                   "the names of the boxes that run again.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct restart_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
