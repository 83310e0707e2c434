/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet attach: the standard streams of a running box's process. */
#include "cli/cli.h"
#include "cli/session.h"

#include <string.h>

struct attach_plan {
        struct text_list operands;
        bool no_stdin, forward_signals;
        const char *detach_keys;
};

#define AT(member) offsetof(struct attach_plan, member)

static const struct cli_option options[] = {
    {0, "detach-keys", OPTION_TEXT, AT(detach_keys), "KEYS",
     "Keys that leave the box; ctrl-p,ctrl-q by default"},
    {0, "no-stdin", OPTION_FLAG, AT(no_stdin), NULL, "Do not attach standard input"},
    {0, "sig-proxy", OPTION_FLAG, AT(forward_signals), NULL, "Pass signals on to the process; on by default"},
    {0},
};

static void defaults(void *data)
{
        ((struct attach_plan *)data)->forward_signals = true;
}

static int check(void *data, struct error *err)
{
        return session_check_keys(((struct attach_plan *)data)->detach_keys, err);
}

static int attach(struct cli *cli, const struct attach_plan *plan, struct boxlet_box *box)
{
        struct boxlet_error error = {0};
        struct boxlet_process *process = NULL;
        struct error err = ERROR_INIT;
        bool terminal = false;
        if (session_box_terminal(box, &terminal, &error) < 0)
                return cli_fail(cli, &error);
        if (session_check_input(!plan->no_stdin, terminal, &err) < 0)
                return cli_complain(cli, "%s", err.text);
        unsigned flags = BOXLET_ATTACH_STDOUT | BOXLET_ATTACH_STDERR;
        if (!plan->no_stdin)
                flags |= BOXLET_ATTACH_STDIN;
        if (boxlet_box_attach(box, flags, &process, &error) < 0)
                return cli_fail(cli, &error);
        const struct session_options session = {
            .input = !plan->no_stdin,
            .terminal = terminal,
            .running = true,
            .forward_signals = plan->forward_signals,
            .detach_keys = plan->detach_keys,
        };
        return session_conduct(cli, process, &session);
}

static int carry_out(struct cli *cli, void *data)
{
        const struct attach_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        if (!cli_box_is_up(boxlet_box_state(box, NULL)))
                code = cli_complain(cli, "box '%s' is not running", plan->operands.items[0]);
        else
                code = attach(cli, plan, box);
        boxlet_box_free(box);
        return code;
}

const struct command command_attach = {
    .name = "attach",
    .operands = "BOX",
    .summary = "Attach to the process of a running box",
    .description = "Shows what it prints from now on, gives it what is typed, and ends with its exit code. "
                   "The detach keys, or "
                   "SIGINT or SIGTERM three times within three seconds, leave it running.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct attach_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
};
