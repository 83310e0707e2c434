/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet version */
#include "cli/cli.h"

#include <string.h>

struct version_plan {
        struct text_list operands;
        const char *format;
};

static const struct cli_option options[] = {
    {'f', "format", OPTION_CHOICE, offsetof(struct version_plan, format), "FORMAT", "How to print",
     "text|json", OPERAND_CHOICE},
    {0},
};

static int carry_out(struct cli *cli, void *data)
{
        const struct version_plan *plan = data;
        (void)cli;
        if (plan->format != NULL && strcmp(plan->format, "json") == 0)
                printf("{\n    \"Version\": \"%s\"\n}\n", boxlet_version());
        else
                printf("boxlet %s\n", boxlet_version());
        return 0;
}

const struct command command_version = {
    .name = "version",
    .summary = "Show the version",
    .options = options,
    .plan_size = sizeof(struct version_plan),
    .carry_out = carry_out,
};
