/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet export: the root of a box as a tar. A file appears under its name only when it is complete. */
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <errno.h>
#include <unistd.h>

struct export_plan {
        struct text_list operands;
        const char *output;
        bool quiet;
};

#define AT(member) offsetof(struct export_plan, member)

static const struct cli_option options[] = {
    {'o', "output", OPTION_PATH, AT(output), "FILE", "Write to a file; to standard output by default", NULL,
     OPERAND_FILE},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress"},
    {0},
};

static int check(void *data, struct error *err)
{
        const struct export_plan *plan = data;
        if (plan->output == NULL && isatty(STDOUT_FILENO))
                return error_set(err, -EINVAL,
                                 "standard output is a terminal: name a file with -o, or use a pipe");
        return 0;
}

static int export_to(struct cli *cli, int fd, void *data)
{
        const struct export_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct boxlet_copy_options copy_options = BOXLET_COPY_OPTIONS_INIT;
        struct progress progress;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        copy_options.progress = progress_event;
        copy_options.progress_data = &progress;
        progress_begin(&progress, cli, plan->quiet);
        int r = boxlet_box_export(box, fd, &copy_options, &error);
        progress_end(&progress);
        boxlet_box_free(box);
        return r < 0 ? cli_fail(cli, &error) : 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct export_plan *plan = data;
        int code = cli_open(cli);
        return code != 0 ? code : output_write(cli, plan->output, export_to, data);
}

const struct command command_export = {
    .name = "export",
    .operands = "BOX",
    .summary = "Write the root file system of a box as a tar",
    .description =
        "What is mounted in the box (volumes, folders of the host, /proc) is not in it. A box that "
        "does not run is started for it without its process.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct export_plan),
    .check = check,
    .carry_out = carry_out,
};
