/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet load: images from an archive or an OCI layout folder. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct load_plan {
        struct text_list operands;
        const char *input, *platform;
        bool quiet;
};

#define AT(member) offsetof(struct load_plan, member)

static const struct cli_option options[] = {
    {'i', "input", OPTION_PATH, AT(input), "FILE",
     "Read this file or OCI layout folder; standard input by default", NULL, OPERAND_FILE},
    {0, "platform", OPTION_TEXT, AT(platform), "PLATFORM",
     "Platform of the image: OS/ARCHITECTURE[/VARIANT]; linux/amd64 by default"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress"},
    {0},
};

static int check(void *data, struct error *err)
{
        const struct load_plan *plan = data;
        if (plan->input == NULL && isatty(STDIN_FILENO))
                return error_set(err, -EINVAL,
                                 "standard input is a terminal: name a file with -i, or use a pipe");
        return 0;
}

/* Names from the library, one a line. */
static void print_names(const char *names)
{
        while (*names != '\0') {
                size_t length = strcspn(names, "\n");
                char line[1024];
                (void)snprintf(line, sizeof(line), "%.*s", (int)length,
                               names); /* no reference is that long */
                printf("Loaded image%s: ", strncmp(line, "sha256:", 7) == 0 ? " ID" : "");
                cli_print_safe(stdout, line);
                putchar('\n');
                names += length + (names[length] == '\n');
        }
}

static int carry_out(struct cli *cli, void *data)
{
        const struct load_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_image_options image_options = BOXLET_IMAGE_OPTIONS_INIT;
        struct progress progress;
        struct stat st = {0};
        cleanup_fd int file = -1;
        char *names = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (plan->input != NULL && strcmp(plan->input, "-") != 0) {
                file = open(plan->input, O_RDONLY | O_CLOEXEC);
                if (file < 0 || fstat(file, &st) < 0)
                        return cli_complain(cli, "open '%s': %s", plan->input, strerror(errno));
        }
        bool folder = file >= 0 && S_ISDIR(st.st_mode);
        progress_begin(&progress, cli, plan->quiet);
        image_options.platform = plan->platform;
        image_options.progress = progress_event;
        image_options.progress_data = &progress;
        int r = boxlet_image_load(cli->boxlet,
                                  folder      ? -1
                                  : file >= 0 ? file
                                              : STDIN_FILENO,
                                  folder ? plan->input : NULL, &image_options, &names, &error);
        progress_end(&progress);
        if (r < 0)
                return cli_fail(cli, &error);
        print_names(names);
        boxlet_free(names);
        return 0;
}

const struct command command_load = {
    .name = "load",
    .summary = "Load images from an archive or an OCI layout folder",
    .description = "Reads what 'docker save' and 'skopeo copy' write: docker-archive, oci-archive, or an OCI "
                   "layout as a folder.",
    .options = options,
    .plan_size = sizeof(struct load_plan),
    .check = check,
    .carry_out = carry_out,
};
