/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet pull: an image from its registry, made bootable. */
#include "cli/cli.h"
#include "cli/progress.h"

struct pull_plan {
        struct text_list operands;
        bool quiet;
        const char *platform;
};

#define AT(member) offsetof(struct pull_plan, member)

static const struct cli_option options[] = {
    {0, "platform", OPTION_TEXT, AT(platform), "PLATFORM",
     "Platform of the image: OS/ARCHITECTURE[/VARIANT]; linux/amd64 by default"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress and print the name only"},
    {0},
};

static const struct refused_option refused[] = {
    {'a', "all-tags", "name each tag"},
    {0, "disable-content-trust", NULL},
    {0},
};

static int carry_out(struct cli *cli, void *data)
{
        const struct pull_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_image *image = NULL;
        struct boxlet_image_options image_options = BOXLET_IMAGE_OPTIONS_INIT;
        struct progress progress;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        progress_begin(&progress, cli, plan->quiet);
        image_options.platform = plan->platform;
        image_options.progress = progress_event;
        image_options.progress_data = &progress;
        int r = boxlet_image_pull(cli->boxlet, plan->operands.items[0], &image_options, &image, &error);
        progress_end(&progress);
        if (r < 0)
                return cli_fail(cli, &error);
        if (!plan->quiet)
                printf("Digest: %s\n", image->digest);
        cli_print_safe(stdout, image->reference);
        putchar('\n');
        boxlet_image_free(image);
        return 0;
}

const struct command command_pull = {
    .name = "pull",
    .operands = "IMAGE",
    .summary = "Fetch an image from its registry",
    .description = "Prints the digest and the full name of the image; progress goes to standard error.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_IMAGE,
    .plan_size = sizeof(struct pull_plan),
    .carry_out = carry_out,
};
