/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet save: images as one archive. A file appears under its name only when it is complete. */
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <errno.h>
#include <unistd.h>

struct save_plan {
        struct text_list operands;
        const char *output, *format;
};

#define AT(member) offsetof(struct save_plan, member)

static const struct cli_option options[] = {
    {0, "format", OPTION_CHOICE, AT(format), "FORMAT", "Form of the archive; docker-archive by default",
     "docker-archive|oci-archive", OPERAND_CHOICE},
    {'o', "output", OPTION_PATH, AT(output), "FILE", "Write to a file; to standard output by default", NULL,
     OPERAND_FILE},
    {0},
};

static const struct refused_option refused[] = {
    {0, "platform", NULL},
    {0},
};

static void defaults(void *data)
{
        ((struct save_plan *)data)->format = "docker-archive";
}

static int check(void *data, struct error *err)
{
        const struct save_plan *plan = data;
        if (plan->output == NULL && isatty(STDOUT_FILENO))
                return error_set(err, -EINVAL,
                                 "standard output is a terminal: name a file with -o, or use a pipe");
        return 0;
}

static int save(struct cli *cli, int fd, void *data)
{
        const struct save_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_image_options image_options = BOXLET_IMAGE_OPTIONS_INIT;
        struct progress progress;
        progress_begin(&progress, cli, false);
        image_options.progress = progress_event;
        image_options.progress_data = &progress;
        int r = boxlet_image_save(cli->boxlet, plan->operands.items, plan->operands.count, plan->format, fd,
                                  &image_options, &error);
        progress_end(&progress);
        return r < 0 ? cli_fail(cli, &error) : 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct save_plan *plan = data;
        int code = cli_open(cli);
        return code != 0 ? code : output_write(cli, plan->output, save, data);
}

const struct command command_save = {
    .name = "save",
    .operands = "IMAGE...",
    .summary = "Save images as an archive",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_IMAGE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct save_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
};
