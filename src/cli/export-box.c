/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet export-box: a box as one file, which appears under its name only when it is complete. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct export_plan {
        struct text_list operands;
        const char *output;
        bool with_image;
        int64_t timeout_ms;
};

#define AT(member) offsetof(struct export_plan, member)

static const struct cli_option options[] = {
    {'o', "output", OPTION_PATH, AT(output), "FILE", "Write to a file; to standard output by default", NULL,
     OPERAND_FILE},
    {0, "timeout", OPTION_DURATION, AT(timeout_ms), "TIME",
     "How long a running box may be held still; 60s by default"},
    {0, "with-image", OPTION_FLAG, AT(with_image), NULL, "Put the image into the file too"},
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

static int export_to(struct cli *cli, const struct export_plan *plan, struct boxlet_box *box, int fd)
{
        struct boxlet_box_save_options o = BOXLET_BOX_SAVE_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct progress progress;
        progress_begin(&progress, cli, false);
        o.with_image = plan->with_image;
        o.timeout_ms = plan->timeout_ms;
        o.progress = progress_event;
        o.progress_data = &progress;
        int r = boxlet_box_save(box, fd, &o, &error);
        progress_end(&progress);
        return r < 0 ? cli_fail(cli, &error) : 0;
}

/* Devices and pipes are written to as they are, files beside their name first. */
static int export_to_file(struct cli *cli, const struct export_plan *plan, struct boxlet_box *box)
{
        char partial[4096];
        struct stat st;
        bool special = stat(plan->output, &st) == 0 && !S_ISREG(st.st_mode);
        int n = snprintf(partial, sizeof(partial), "%s%s", plan->output, special ? "" : ".partial");
        if (n < 0 || (size_t)n >= sizeof(partial))
                return cli_complain(cli, "open '%s': %s", plan->output, strerror(ENAMETOOLONG));
        /* what is on the disk of a box is its owner's business */
        cleanup_fd int fd = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC | (special ? 0 : O_TRUNC), 0600);
        if (fd < 0)
                return cli_complain(cli, "open '%s': %s", partial, strerror(errno));
        int code = export_to(cli, plan, box, fd);
        if (special)
                return code;
        if (code == 0 && (fsync(fd) < 0 || rename(partial, plan->output) < 0))
                code = cli_complain(cli, "write '%s': %s", plan->output, strerror(errno));
        if (code != 0)
                (void)unlink(partial); /* the failure has been told */
        return code;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct export_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        code =
            plan->output != NULL ? export_to_file(cli, plan, box) : export_to(cli, plan, box, STDOUT_FILENO);
        boxlet_box_free(box);
        return code;
}

const struct command command_export_box = {
    .name = "export-box",
    .operands = "BOX",
    .summary = "Write a box to a file, with its disk",
    .description = "The file is a tar with a checksum: the box's configuration, the name of its image or "
                   "(--with-image) the "
                   "image itself, and the disk with its holes. 'boxlet import-box' makes a box of it, here "
                   "or elsewhere. What "
                   "the box only refers to (volumes with a name, folders of the host) is not in it. BOX may "
                   "run, as with "
                   "'boxlet snapshot create'.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct export_plan),
    .check = check,
    .carry_out = carry_out,
};
