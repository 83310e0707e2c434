/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet exec: a further process in a running box. */
#include "cli/cli.h"
#include "cli/env.h"
#include "cli/session.h"

struct exec_plan {
        struct text_list operands;
        bool detach, interactive, terminal;
        struct text_list env, env_files;
        const char *working_dir, *user, *detach_keys;
        int64_t timeout_ms;
        struct env environment; /* made by check() */
};

#define AT(member) offsetof(struct exec_plan, member)

static const struct cli_option options[] = {
    {'d', "detach", OPTION_FLAG, AT(detach), NULL, "Run in the background, its output goes nowhere"},
    {0, "detach-keys", OPTION_TEXT, AT(detach_keys), "KEYS",
     "Keys that leave the command running in the background; ctrl-p,ctrl-q by default"},
    {'e', "env", OPTION_LIST, AT(env), "NAME[=VALUE]",
     "Set an environment variable; NAME alone passes on yours"},
    {0, "env-file", OPTION_LIST, AT(env_files), "FILE", "Read environment variables from a file", NULL,
     OPERAND_FILE},
    {'i', "interactive", OPTION_FLAG, AT(interactive), NULL, "Keep standard input open"},
    {0, "timeout", OPTION_DURATION, AT(timeout_ms), "TIME", "Kill all the command started after this time"},
    {'t', "tty", OPTION_FLAG, AT(terminal), NULL, "Run on a terminal of its own"},
    {'u', "user", OPTION_TEXT, AT(user), "USER[:GROUP]", "Run as this user (and group), by name or number"},
    {'w', "workdir", OPTION_TEXT, AT(working_dir), "PATH", "Working folder"},
    {0},
};

static const struct refused_option refused[] = {
    {0, "privileged", "a command has the capabilities of its box; see --cap-add of 'boxlet run'"},
    {0},
};

static int check(void *data, struct error *err)
{
        struct exec_plan *plan = data;
        int r = plan->detach ? 0 : session_check_input(plan->interactive, plan->terminal, err);
        if (r == 0)
                r = session_check_keys(plan->detach_keys, err);
        return r < 0 ? r : env_fill(&plan->environment, &plan->env_files, &plan->env, err);
}

static void done(void *data)
{
        struct exec_plan *plan = data;
        env_done(&plan->environment);
}

static int execute(struct cli *cli, const struct exec_plan *plan, struct boxlet_box *box)
{
        struct boxlet_error error = {0};
        struct boxlet_process *process = NULL;
        struct boxlet_exec_options exec = BOXLET_EXEC_OPTIONS_INIT;
        exec.command = plan->operands.items + 1;
        exec.env = (const char *const *)plan->environment.strings;
        exec.user = plan->user;
        exec.working_dir = plan->working_dir;
        exec.terminal = plan->terminal;
        exec.stdin_open = plan->interactive && !plan->detach;
        exec.detached = plan->detach;
        exec.timeout_ms = plan->timeout_ms;
        if (boxlet_box_exec(box, &exec, &process, &error) < 0)
                return cli_fail(cli, &error);
        if (plan->detach)
                return session_await_start(cli, process, NULL);
        const struct session_options session = {
            .input = plan->interactive,
            .terminal = plan->terminal,
            .forward_signals = true,
            .owner = true,
            .detach_keys = plan->detach_keys,
        };
        return session_conduct(cli, process, &session);
}

static int carry_out(struct cli *cli, void *data)
{
        const struct exec_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        code = execute(cli, plan, box);
        boxlet_box_free(box);
        return code;
}

const struct command command_exec = {
    .name = "exec",
    .operands = "BOX COMMAND [ARG...]",
    .summary = "Run a command in a running box",
    .description =
        "Ends with the command's exit code: 128+N when signal N ended it, 125 when boxlet failed, 126 when "
        "the command "
        "could not be invoked, 127 when it was not found. Without -d, everything the command started ends "
        "with this "
        "program; signals are passed on, and SIGINT or SIGTERM three times within three seconds kill it.",
    .options = options,
    .refused = refused,
    .minimum_operands = 2,
    .maximum_operands = -1,
    .leading = true,
    .first = OPERAND_BOX,
    .failure = CLI_BOXLET_FAILED,
    .plan_size = sizeof(struct exec_plan),
    .check = check,
    .carry_out = carry_out,
    .done = done,
};
