/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet wait: sleep until boxes have ended, print their exit codes. */
#include "cli/cli.h"

struct wait_plan {
        struct text_list operands;
};

static int wait_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        struct boxlet_box *box = NULL;
        struct boxlet_process *process = NULL;
        int exit_code = 0;
        (void)data;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r < 0)
                return r;
        if (cli_box_is_up(boxlet_box_state(box, &exit_code))) {
                r = boxlet_box_attach(box, 0, &process, error);
                if (r >= 0)
                        r = boxlet_process_wait(process, &exit_code, error);
                else if (!cli_box_is_up(boxlet_box_state(box, &exit_code)))
                        r = 0; /* it ended meanwhile */
        }
        if (r >= 0) {
                printf("%d\n", exit_code < 0 ? 0 : exit_code); /* a box that never ran has no code */
                (void)fflush(stdout);                          /* cli_finish_output() looks at the result */
        }
        boxlet_process_free(process);
        boxlet_box_free(box);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        return cli_each(cli, &((struct wait_plan *)data)->operands, wait_one, NULL);
}

const struct command command_wait = {
    .name = "wait",
    .operands = "BOX...",
    .summary = "Wait until boxes have ended and print their exit codes",
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct wait_plan),
    .carry_out = carry_out,
};
