/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet rm: boxes by name, those that fit a filter, or all. */
#include "cli/cli.h"
#include "cli/filter.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct rm_plan {
        struct text_list operands;
        bool force, volumes, all;
        struct text_list filter_texts;
        struct filter filter;
};

#define AT(member) offsetof(struct rm_plan, member)

static const struct cli_option options[] = {
    {'a', "all", OPTION_FLAG, AT(all), NULL, "All boxes"},
    {0, "filter", OPTION_LIST, AT(filter_texts), "KEY=VALUE", "Boxes that fit, as in 'boxlet ls'"},
    {'f', "force", OPTION_FLAG, AT(force), NULL,
     "Also boxes that run, which are killed; no error for one that does not exist"},
    {'v', "volumes", OPTION_FLAG, AT(volumes), NULL,
     "Volumes too; they lie on the box's disk and always go with it"},
    {0},
};

static const struct refused_option refused[] = {
    {'l', "link", NULL},
    {0},
};

static int check(void *data, struct error *err)
{
        struct rm_plan *plan = data;
        bool chosen = plan->all || plan->filter_texts.count > 0;
        if (chosen && plan->operands.count > 0)
                return error_set(err, -EINVAL, "name boxes, or use %s: not both",
                                 plan->all ? "--all" : "--filter");
        if (!chosen && plan->operands.count == 0)
                return error_set(err, -EINVAL, "needs at least 1 argument: BOX..., --filter or --all");
        int r = filter_parse(&plan->filter_texts, filter_box_keys, &plan->filter, err);
        return r < 0 ? r : filter_check_boxes(&plan->filter, err);
}

static void done(void *data)
{
        filter_done(&((struct rm_plan *)data)->filter);
}

static int remove_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const struct rm_plan *plan = data;
        struct boxlet_box *box = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r == -ENOENT && plan->force)
                return 0;
        if (r >= 0)
                r = boxlet_box_remove(box, plan->force, error);
        if (r >= 0)
                printf("%s\n", name);
        boxlet_box_free(box);
        return r;
}

/* Those of the list that fit, by their ids: a name might mean another box by then. */
static int remove_chosen(struct cli *cli, struct rm_plan *plan, const json_t *boxes)
{
        struct text_list ids = {0};
        struct error err = ERROR_INIT;
        const json_t *box;
        size_t i;
        int r = filter_resolve_boxes(&plan->filter, boxes, &err);
        json_array_foreach (boxes, i, box) {
                const char *id = json_string_value(json_object_get(box, "Id"));
                if (r == 0 && id != NULL && filter_fits_box(&plan->filter, box) &&
                    text_list_add(&ids, id) < 0)
                        r = error_set(&err, -ENOMEM, "out of memory");
        }
        int code = r < 0 ? cli_complain(cli, "%s", err.text) : cli_each(cli, &ids, remove_one, plan);
        text_list_done(&ids);
        return code;
}

static int carry_out(struct cli *cli, void *data)
{
        struct rm_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *boxes = NULL;
        char *text = NULL;
        if (plan->operands.count > 0)
                return cli_each(cli, &plan->operands, remove_one, plan);
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_list(cli->boxlet, 1, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the list of boxes", &boxes, &err);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text) : remove_chosen(cli, plan, boxes);
}

const struct command command_rm = {
    .name = "rm",
    .operands = "BOX...",
    .summary = "Remove boxes with their disks and logs",
    .description =
        "Those that are named, those that fit all of --filter, or with --all every one. A box that "
        "runs is an error without --force.",
    .options = options,
    .refused = refused,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct rm_plan),
    .check = check,
    .carry_out = carry_out,
    .done = done,
};
