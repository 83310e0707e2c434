/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet cp: files between the host and a box, with docker cp's rules. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct cp_plan {
        struct text_list operands;
        bool archive, follow, quiet;
        char *box; /* made by check() */
        const char *inside, *local;
        bool out;
};

#define AT(member) offsetof(struct cp_plan, member)

static const struct cli_option options[] = {
    {'a', "archive", OPTION_FLAG, AT(archive), NULL,
     "Keep owners: those in the box on the host (as root), those on the host in the box"},
    {'L', "follow-link", OPTION_FLAG, AT(follow), NULL, "Copy what a link leads to, if SOURCE is one"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress"},
    {0},
};

/* The colon of BOX:PATH; NULL for a local path, which begins with '/' or '.', or has no colon. */
static const char *colon_of(const char *word)
{
        return word[0] == '/' || word[0] == '.' ? NULL : strchr(word, ':');
}

static int check(void *data, struct error *err)
{
        struct cp_plan *plan = data;
        const char *source = plan->operands.items[0], *target = plan->operands.items[1];
        const char *from = colon_of(source), *to = colon_of(target);
        if (from != NULL && to != NULL)
                return error_set(err, -EINVAL,
                                 "copying between two boxes is not there: copy to the host first");
        if (from == NULL && to == NULL)
                return error_set(err, -EINVAL, "one of the two must be BOX:PATH");
        plan->out = from != NULL;
        const char *word = plan->out ? source : target, *colon = plan->out ? from : to;
        plan->local = plan->out ? target : source;
        plan->inside = colon + 1;
        if (colon == word || plan->inside[0] == '\0')
                return error_set(err, -EINVAL, "'%s': give both the box and a path in it, as BOX:PATH", word);
        if (plan->local[0] == '\0')
                return error_set(err, -EINVAL, "the local path is empty");
        if (plan->out && strcmp(plan->local, "-") == 0 && isatty(STDOUT_FILENO))
                return error_set(err, -EINVAL, "standard output is a terminal: name a folder, or use a pipe");
        plan->box = strndup(word, (size_t)(colon - word));
        return plan->box == NULL ? error_errno(err, -ENOMEM, "read the command line") : 0;
}

static void done(void *data)
{
        free(((struct cp_plan *)data)->box);
}

static int copy(struct cli *cli, const struct cp_plan *plan, struct boxlet_box *box)
{
        struct boxlet_error error = {0};
        struct boxlet_copy_options copy_options = BOXLET_COPY_OPTIONS_INIT;
        struct progress progress;
        bool is_tar = strcmp(plan->local, "-") == 0;
        const char *local = is_tar ? NULL : plan->local;
        copy_options.archive = plan->archive;
        copy_options.follow_links = plan->follow;
        copy_options.progress = progress_event;
        copy_options.progress_data = &progress;
        progress_begin(&progress, cli, plan->quiet);
        int r = plan->out ? boxlet_box_copy_out(box, plan->inside, local, is_tar ? STDOUT_FILENO : -1,
                                                &copy_options, &error)
                          : boxlet_box_copy_in(box, local, is_tar ? STDIN_FILENO : -1, plan->inside,
                                               &copy_options, &error);
        progress_end(&progress);
        return r < 0 ? cli_fail(cli, &error) : 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct cp_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->box, &box, &error) < 0)
                return cli_fail(cli, &error);
        code = copy(cli, plan, box);
        boxlet_box_free(box);
        return code;
}

const struct command command_cp = {
    .name = "cp",
    .operands = "BOX:SOURCE|SOURCE|- TARGET|BOX:TARGET|-",
    .summary = "Copy files between the host and a box",
    .description =
        "One of the two is BOX:PATH; the other is a local path, or - for a tar on standard output or input "
        "(which is unpacked into the folder TARGET, with the tar's owners). A file goes into a TARGET that "
        "is a folder, replaces one that is a file, and is made as TARGET otherwise. A folder goes into a "
        "TARGET that is a folder and is made as TARGET otherwise; SOURCE/. stands for what is in it. Without "
        "-a, files belong to root in a box and to the caller on the host. What comes from a box never gets "
        "outside of TARGET, set-id bits are left out, and device nodes are not made. A local path with a "
        "colon in it begins with / or ./. A box that does not run is started for it without its process; "
        "folders "
        "of the host that it mounts are not seen then.",
    .options = options,
    .minimum_operands = 2,
    .maximum_operands = 2,
    .first = OPERAND_FILE,
    .others = OPERAND_FILE,
    .plan_size = sizeof(struct cp_plan),
    .check = check,
    .carry_out = carry_out,
    .done = done,
};
