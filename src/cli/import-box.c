/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet import-box: a box of what export-box wrote. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct import_plan {
        struct text_list operands;
        const char *name;
        bool trust;
};

#define AT(member) offsetof(struct import_plan, member)

static const struct cli_option options[] = {
    {0, "name", OPTION_TEXT, AT(name), "NAME", "Name of the box; the one in the file by default"},
    {0, "trust", OPTION_FLAG, AT(trust), NULL,
     "Take it though it refers to folders, volumes, sockets or a kernel of this host"},
    {0},
};

static int import_from(struct cli *cli, const struct import_plan *plan, int fd)
{
        struct boxlet_box_load_options o = BOXLET_BOX_LOAD_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct boxlet_box *box;
        struct progress progress;
        progress_begin(&progress, cli, false);
        o.name = plan->name;
        o.trusted = plan->trust;
        o.progress = progress_event;
        o.progress_data = &progress;
        int r = boxlet_box_load(cli->boxlet, fd, &o, &box, &error);
        progress_end(&progress);
        if (r < 0)
                return cli_fail(cli, &error);
        printf("%s\n", boxlet_box_id(box));
        boxlet_box_free(box);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct import_plan *plan = data;
        const char *file = plan->operands.items[0];
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (strcmp(file, "-") == 0)
                return import_from(cli, plan, STDIN_FILENO);
        cleanup_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return cli_complain(cli, "open '%s': %s", file, strerror(errno));
        return import_from(cli, plan, fd);
}

const struct command command_import_box = {
    .name = "import-box",
    .operands = "FILE|-",
    .summary = "Make a box of a file that 'boxlet export-box' wrote",
    .description = "Prints the id of the new box, which is not started. The file may come from anybody: what "
                   "is damaged or "
                   "is no such file is refused and leaves nothing, and a box that refers to things of this "
                   "host is refused "
                   "unless you trust it (--trust). The image must be in the file or in the store.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_FILE,
    .plan_size = sizeof(struct import_plan),
    .carry_out = carry_out,
};
