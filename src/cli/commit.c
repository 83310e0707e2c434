/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet commit: a box becomes an image. */
#include "cli/cli.h"
#include "cli/progress.h"

#include "base/cleanup.h"

#include <errno.h>

struct commit_plan {
        struct text_list operands;
        struct text_list changes;
        const char *author, *message;
        bool pause, quiet;
};

#define AT(member) offsetof(struct commit_plan, member)

static const struct cli_option options[] = {
    {'a', "author", OPTION_TEXT, AT(author), "AUTHOR", "Who made it"},
    {'c', "change", OPTION_LIST, AT(changes), "INSTRUCTION",
     "Set a part of the image's configuration as a Dockerfile does, for instance 'CMD [\"/bin/sh\"]'"},
    {'m', "message", OPTION_TEXT, AT(message), "TEXT", "What it is, for its history"},
    {'p', "pause", OPTION_FLAG, AT(pause), NULL, "Have the box stand still meanwhile; on by default"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress"},
    {0},
};

static void defaults(void *data)
{
        ((struct commit_plan *)data)->pause = true;
}

static int commit(struct cli *cli, const struct commit_plan *plan, struct boxlet_box *box)
{
        struct boxlet_error error = {0};
        struct boxlet_commit_options commit_options = BOXLET_COMMIT_OPTIONS_INIT;
        struct progress progress;
        const char *reference = plan->operands.count > 1 ? plan->operands.items[1] : NULL;
        char *id = NULL;
        commit_options.changes = plan->changes.items;
        commit_options.message = plan->message;
        commit_options.author = plan->author;
        commit_options.pause = plan->pause;
        commit_options.progress = progress_event;
        commit_options.progress_data = &progress;
        progress_begin(&progress, cli, plan->quiet);
        int r = boxlet_box_commit(box, reference, &commit_options, &id, &error);
        progress_end(&progress);
        if (r < 0)
                return cli_fail(cli, &error);
        printf("%s\n", id);
        boxlet_free(id);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct commit_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0)
                return cli_fail(cli, &error);
        code = commit(cli, plan, box);
        boxlet_box_free(box);
        return code;
}

const struct command command_commit = {
    .name = "commit",
    .operands = "BOX [NAME]",
    .summary = "Make an image of a box",
    .description = "The image is the box's own with one more layer, which holds what the box changed; "
                   "volumes are not in "
                   "it. Its configuration is the image's with the instructions of -c laid over it (CMD, "
                   "ENTRYPOINT, ENV, "
                   "EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR); what the box was run with does not "
                   "go in. Prints "
                   "the id of the image. A box that does not run is started for it without its process.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 2,
    .first = OPERAND_BOX,
    .others = OPERAND_IMAGE,
    .plan_size = sizeof(struct commit_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
