/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet import: a tar or a folder becomes an image of one layer. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct import_plan {
        struct text_list operands;
        struct text_list changes;
        const char *platform;
        bool quiet;
};

#define AT(member) offsetof(struct import_plan, member)

static const struct cli_option options[] = {
    {'c', "change", OPTION_LIST, AT(changes), "INSTRUCTION",
     "Set a part of the image's configuration as a Dockerfile does, for instance 'CMD [\"/bin/sh\"]'"},
    {0, "platform", OPTION_TEXT, AT(platform), "PLATFORM",
     "Platform of the image: OS/ARCHITECTURE[/VARIANT]; linux/amd64 by default"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress"},
    {0},
};

static const struct refused_option refused[] = {
    {'m', "message", NULL},
    {0},
};

static int check(void *data, struct error *err)
{
        const struct import_plan *plan = data;
        const char *source = plan->operands.items[0];
        if (strcmp(source, "-") == 0 && isatty(STDIN_FILENO))
                return error_set(err, -EINVAL, "standard input is a terminal: name a file, or use a pipe");
        if (strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0)
                return error_set(
                    err, -ENOTSUP,
                    "import from an address is not supported: use 'curl ADDRESS | boxlet import -'");
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct import_plan *plan = data;
        const char *source = plan->operands.items[0], *name = plan->operands.items[1];
        struct boxlet_error error = {0};
        struct boxlet_image_options image_options = BOXLET_IMAGE_OPTIONS_INIT;
        struct progress progress;
        struct stat st = {0};
        cleanup_fd int file = -1;
        char *id = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (strcmp(source, "-") != 0) {
                file = open(source, O_RDONLY | O_CLOEXEC);
                if (file < 0 || fstat(file, &st) < 0)
                        return cli_complain(cli, "open '%s': %s", source, strerror(errno));
        }
        bool folder = file >= 0 && S_ISDIR(st.st_mode);
        progress_begin(&progress, cli, plan->quiet);
        image_options.platform = plan->platform;
        image_options.progress = progress_event;
        image_options.progress_data = &progress;
        int r = boxlet_image_import(cli->boxlet,
                                    folder      ? -1
                                    : file >= 0 ? file
                                                : STDIN_FILENO,
                                    folder ? source : NULL, name, plan->changes.items, &image_options, &id,
                                    &error);
        progress_end(&progress);
        if (r < 0)
                return cli_fail(cli, &error);
        printf("%s\n", id);
        boxlet_free(id);
        return 0;
}

const struct command command_import = {
    .name = "import",
    .operands = "FILE|FOLDER|- [NAME]",
    .summary = "Make an image of a tar or a folder",
    .description = "Prints the id of the image. The instructions of -c are CMD, ENTRYPOINT, ENV, EXPOSE, "
                   "LABEL, STOPSIGNAL, USER, "
                   "VOLUME and WORKDIR.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = 2,
    .first = OPERAND_FILE,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct import_plan),
    .check = check,
    .carry_out = carry_out,
};
