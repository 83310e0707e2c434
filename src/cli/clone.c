/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet clone: a new box like another one, with a copy of its disk. */
#include "cli/cli.h"

struct clone_plan {
        struct text_list operands;
        const char *name, *snapshot;
        int64_t timeout_ms;
};

#define AT(member) offsetof(struct clone_plan, member)

static const struct cli_option options[] = {
    {0, "name", OPTION_TEXT, AT(name), "NAME", "Name of the new box; one is made up by default"},
    {0, "snapshot", OPTION_TEXT, AT(snapshot), "NAME",
     "Its disk is this snapshot of the box, not the disk as it is"},
    {0, "timeout", OPTION_DURATION, AT(timeout_ms), "TIME",
     "How long a running box may be held still; 60s by default"},
    {0},
};

static int carry_out(struct cli *cli, void *data)
{
        const struct clone_plan *plan = data;
        struct boxlet_clone_options clone = BOXLET_CLONE_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct boxlet_box *box, *made;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        clone.name = plan->name;
        clone.snapshot = plan->snapshot;
        clone.timeout_ms = plan->timeout_ms;
        if (boxlet_box_clone(box, &clone, &made, &error) < 0) {
                code = cli_fail(cli, &error);
        } else {
                printf("%s\n", boxlet_box_id(made));
                boxlet_box_free(made);
        }
        boxlet_box_free(box);
        return code;
}

const struct command command_clone = {
    .name = "clone",
    .operands = "BOX",
    .summary = "Make a box like another one, with a copy of its disk",
    .description = "Prints the id of the new box, which is not started. Image and configuration are the "
                   "same, the host name "
                   "too unless it was made of the id. BOX may run, as with 'boxlet snapshot create'. Volumes "
                   "with a name are "
                   "the same ones and host ports as well, so both may not be able to run at once.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct clone_plan),
    .carry_out = carry_out,
};
