/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet start: a box that was created or has ended. */
#include "cli/cli.h"
#include "cli/session.h"

#include <errno.h>

struct start_plan {
        struct text_list operands;
        bool attach, interactive, forward_signals;
        const char *detach_keys;
};

#define AT(member) offsetof(struct start_plan, member)

static const struct cli_option options[] = {
    {'a', "attach", OPTION_FLAG, AT(attach), NULL,
     "Stay at it: show its output, pass on signals, end with its code"},
    {0, "detach-keys", OPTION_TEXT, AT(detach_keys), "KEYS",
     "Keys that leave the box; ctrl-p,ctrl-q by default"},
    {'i', "interactive", OPTION_FLAG, AT(interactive), NULL, "Stay at it, with standard input"},
    {0, "sig-proxy", OPTION_FLAG, AT(forward_signals), NULL, "Pass signals on to the process; on by default"},
    {0},
};

static void defaults(void *data)
{
        ((struct start_plan *)data)->forward_signals = true;
}

static int check(void *data, struct error *err)
{
        const struct start_plan *plan = data;
        if ((plan->attach || plan->interactive) && plan->operands.count > 1)
                return error_set(err, -EINVAL, "-a and -i take one box only");
        return session_check_keys(plan->detach_keys, err);
}

static int start_attached(struct cli *cli, const struct start_plan *plan)
{
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct boxlet_process *process = NULL;
        bool terminal = false;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        unsigned flags = BOXLET_START_DETACHED | BOXLET_ATTACH_STDOUT | BOXLET_ATTACH_STDERR;
        if (plan->interactive)
                flags |= BOXLET_ATTACH_STDIN;
        int r = boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error);
        if (r >= 0)
                r = session_box_terminal(box, &terminal, &error);
        if (r >= 0)
                r = boxlet_box_start(box, flags, &process, &error);
        const struct session_options session = {
            .input = plan->interactive,
            .terminal = terminal,
            .forward_signals = plan->forward_signals,
            .detach_keys = plan->detach_keys,
            .starting = box,
        };
        code = r < 0 ? cli_fail(cli, &error) : session_conduct(cli, process, &session);
        boxlet_box_free(box);
        return code;
}

static int start_one(struct cli *cli, const char *name)
{
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct boxlet_process *process = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, &error);
        if (r >= 0)
                r = boxlet_box_start(box, BOXLET_START_DETACHED, &process, &error);
        int code = r < 0 ? cli_fail(cli, &error) : session_await_start(cli, process, box);
        if (code == 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return code;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct start_plan *plan = data;
        if (plan->attach || plan->interactive)
                return start_attached(cli, plan);
        int code = cli_open(cli);
        if (code != 0)
                return code;
        for (size_t i = 0; i < plan->operands.count; i++) {
                int one = start_one(cli, plan->operands.items[i]);
                code = one != 0 ? one : code;
        }
        return code;
}

const struct command command_start = {
    .name = "start",
    .operands = "BOX...",
    .summary = "Start boxes that were created or have ended",
    .description = "Prints the names of the boxes that run. Files of an earlier run are still there.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct start_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
};
