/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet run: create, start, and stay at it until it ends (or not, with -d). */
#include "cli/box-plan.h"
#include "cli/session.h"

struct run_plan {
        struct box_plan box;
        bool detach, forward_signals;
        const char *detach_keys;
};

#define AT(member) offsetof(struct run_plan, member)

static const struct cli_option options[] = {
    {'d', "detach", OPTION_FLAG, AT(detach), NULL, "Run in the background and print the id"},
    {0, "detach-keys", OPTION_TEXT, AT(detach_keys), "KEYS",
     "Keys that leave the box running in the background; ctrl-p,ctrl-q by default"},
    {0, "sig-proxy", OPTION_FLAG, AT(forward_signals), NULL, "Pass signals on to the process; on by default"},
    {0},
};

static void defaults(void *data)
{
        struct run_plan *plan = data;
        box_plan_defaults(&plan->box);
        plan->forward_signals = true;
}

static int check(void *data, struct error *err)
{
        struct run_plan *plan = data;
        int r = plan->detach ? 0 : session_check_input(plan->box.interactive, plan->box.terminal, err);
        if (r == 0)
                r = session_check_keys(plan->detach_keys, err);
        return r < 0 ? r : box_plan_check(&plan->box, err);
}

/* It did not start at all: with --rm it goes now. */
static int start_failed(struct cli *cli, const struct run_plan *plan, struct boxlet_box *box,
                        const struct boxlet_error *error)
{
        if (plan->box.auto_remove)
                (void)boxlet_box_remove(box, 0, NULL); /* what stays is shown by `ls -a` */
        return cli_fail(cli, error);
}

static int run_detached(struct cli *cli, const struct run_plan *plan, struct boxlet_box *box)
{
        struct boxlet_process *process = NULL;
        struct boxlet_error error = {0};
        if (boxlet_box_start(box, BOXLET_START_DETACHED, &process, &error) < 0)
                return start_failed(cli, plan, box, &error);
        int code = session_await_start(cli, process, box);
        if (code == 0)
                printf("%s\n", boxlet_box_id(box));
        return code;
}

static int run_attached(struct cli *cli, const struct run_plan *plan, struct boxlet_box *box)
{
        struct boxlet_process *process = NULL;
        struct boxlet_error error = {0};
        const struct session_options session = {
            .input = plan->box.interactive,
            .terminal = plan->box.terminal,
            .forward_signals = plan->forward_signals,
            .owner = true,
            .starting = box,
            .service = plan->box.cmd.count > 0 && plan->box.operands.count == 1,
            .detach_keys = plan->detach_keys,
        };
        unsigned flags = BOXLET_ATTACH_STDOUT | BOXLET_ATTACH_STDERR;
        if (plan->box.interactive)
                flags |= BOXLET_ATTACH_STDIN;
        if (boxlet_box_start(box, flags, &process, &error) < 0)
                return start_failed(cli, plan, box, &error);
        return session_conduct(cli, process, &session);
}

static int carry_out(struct cli *cli, void *data)
{
        const struct run_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (box_plan_create(cli, &plan->box, &box, &error) < 0)
                return cli_fail(cli, &error);
        code = plan->detach ? run_detached(cli, plan, box) : run_attached(cli, plan, box);
        boxlet_box_free(box);
        return code;
}

const struct command command_run = {
    .name = "run",
    .operands = "IMAGE [COMMAND [ARG...]]",
    .summary = "Run a command in a new box",
    .description = "Makes a box from the image, starts it and stays at it until its process ends, with whose "
                   "exit code it ends: "
                   "128+N when signal N ended it, 125 when boxlet failed, 126 when the command could not be "
                   "invoked, 127 when it "
                   "was not found. Without -d, the box ends with this program; signals are passed on to its "
                   "process, and SIGINT "
                   "or SIGTERM three times within three seconds kill it.",
    .options = box_plan_options,
    .more_options = options,
    .refused = box_plan_refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .leading = true,
    .first = OPERAND_IMAGE,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct run_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
    .done = box_plan_done,
};
