/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet image: the commands about images under one name, and prune. */
#include "cli/cli.h"

#include <errno.h>
#include <unistd.h>

struct prune_plan {
        struct text_list operands;
        bool all, force;
};

static const struct cli_option prune_options[] = {
    {'a', "all", OPTION_FLAG, offsetof(struct prune_plan, all), NULL, "All images that no box uses"},
    {'f', "force", OPTION_FLAG, offsetof(struct prune_plan, force), NULL, "Do not ask"},
    {0},
};

static const struct refused_option prune_refused[] = {
    {0, "filter", NULL},
    {0},
};

static int prune_check(void *data, struct error *err)
{
        const struct prune_plan *plan = data;
        return cli_check_askable(plan->force, err);
}

static int prune(struct cli *cli, void *data)
{
        const struct prune_plan *plan = data;
        struct boxlet_error error = {0};
        char *report = NULL, size[TEXT_SIZE_MAX];
        uint64_t freed = 0;
        if (!cli_is_confirmed(plan->force, "This removes all images without %s.",
                              plan->all ? "a box that uses them" : "a name"))
                return CLI_FAILURE;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_image_prune(cli->boxlet, plan->all, &freed, &report, &error) < 0)
                return cli_fail(cli, &error);
        if (report != NULL)
                cli_print_safe(stdout, report);
        printf("Total reclaimed space: %s\n", text_size(freed, size));
        boxlet_free(report);
        return 0;
}

static const struct command command_image_prune = {
    .name = "prune",
    .summary = "Remove images that nothing needs",
    .description = "Images without a name; with -a, all that no box uses.",
    .options = prune_options,
    .refused = prune_refused,
    .plan_size = sizeof(struct prune_plan),
    .check = prune_check,
    .carry_out = prune,
};

static const struct command *const subcommands[] = {
    &command_image_ls, &command_pull, &command_image_rm, &command_image_prune, &command_image_inspect,
    &command_load,     &command_save, &command_import,   &command_tag,         NULL,
};

const struct command command_image = {
    .name = "image",
    .summary = "Commands about images",
    .subcommands = subcommands,
    .first = OPERAND_COMMAND,
};
