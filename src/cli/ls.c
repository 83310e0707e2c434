/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet ls: the boxes as a table, as ids, as JSON or as lines of a template, with docker's columns. The
 * library gives the list, newest first; what is wanted of it is chosen here.
 */
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/format.h"
#include "cli/rows.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

#define TABLE_FORMAT                                                                             \
        "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}" \
        "\\t{{.Names}}"

struct ls_plan {
        struct text_list operands;
        bool all, quiet, whole, latest, size;
        int64_t last; /* below 0: all */
        const char *format;
        struct text_list filter_texts;
        struct filter filter;
};

#define AT(member) offsetof(struct ls_plan, member)

static const struct cli_option options[] = {
    {'a', "all", OPTION_FLAG, AT(all), NULL, "Also boxes that do not run"},
    {'f', "filter", OPTION_LIST, AT(filter_texts), "KEY=VALUE",
     "Only boxes that fit: id, name (regular expressions), label, status, exited, ancestor, before, since, "
     "volume, network, health"},
    {0, "format", OPTION_TEXT, AT(format), "FORMAT",
     "How to print; or a template such as {{.Names}}, or 'table TEMPLATE'", "table|json", OPERAND_CHOICE},
    {'n', "last", OPTION_COUNT, AT(last), "NUMBER", "Only so many of the newest, also if they do not run"},
    {'l', "latest", OPTION_FLAG, AT(latest), NULL, "Only the newest"},
    {0, "no-trunc", OPTION_FLAG, AT(whole), NULL, "Do not shorten ids and commands"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Print ids only"},
    {'s', "size", OPTION_FLAG, AT(size), NULL, "Show what the box's own disk takes on the host"},
    {0},
};

static void defaults(void *data)
{
        struct ls_plan *plan = data;
        plan->last = -1;
}

static int check(void *data, struct error *err)
{
        struct ls_plan *plan = data;
        int r = plan->format != NULL ? format_check_row(plan->format, err) : 0;
        if (r == 0)
                r = filter_parse(&plan->filter_texts, filter_box_keys, &plan->filter, err);
        if (r == 0)
                r = filter_check_boxes(&plan->filter, err);
        if (plan->latest)
                plan->last = 1;
        if (plan->last > 0 || filter_has(&plan->filter, "status") || filter_has(&plan->filter, "exited"))
                plan->all = true;
        return r;
}

static void done(void *data)
{
        filter_done(&((struct ls_plan *)data)->filter);
}

static bool is_up(const json_t *box)
{
        static const char *const down[] = {"created", "exited", "dead"};
        const char *state = json_string_value(json_object_get(box, "State"));
        for (size_t i = 0; i < sizeof(down) / sizeof(down[0]); i++) {
                if (state != NULL && strcmp(state, down[i]) == 0)
                        return false;
        }
        return true;
}

/* The boxes of the list that are wanted, in its order. */
static int choose(struct ls_plan *plan, const json_t *boxes, json_t *ret_chosen, struct error *err)
{
        const json_t *box;
        size_t i;
        int r = filter_resolve_boxes(&plan->filter, boxes, err);
        json_array_foreach (boxes, i, box) {
                if (r < 0 || (plan->last > 0 && json_array_size(ret_chosen) == (size_t)plan->last))
                        break;
                if ((plan->all || is_up(box)) && filter_fits_box(&plan->filter, box) &&
                    json_array_append(ret_chosen, (json_t *)box) < 0)
                        r = error_set(err, -ENOMEM, "out of memory");
        }
        return r;
}

static int print_rows(const struct ls_plan *plan, const json_t *boxes, struct error *err)
{
        cleanup_json json_t *rows = json_array();
        cleanup_json json_t *headings = rows_box_headings();
        const char *format = plan->size ? TABLE_FORMAT "\\t{{.Size}}" : TABLE_FORMAT;
        const json_t *box;
        size_t i;
        if (rows == NULL || headings == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        json_array_foreach (boxes, i, box) {
                if (json_array_append_new(rows, rows_box(box, plan->whole)) < 0)
                        return error_set(err, -ENOMEM, "out of memory");
        }
        if (plan->quiet)
                format = "{{.ID}}";
        else if (plan->format != NULL && strcmp(plan->format, "table") != 0)
                format = plan->format;
        return format_print_rows(stdout, format, headings, rows, err);
}

static int print(const struct ls_plan *plan, const json_t *boxes, struct error *err)
{
        if (plan->quiet || plan->format == NULL || strcmp(plan->format, "json") != 0)
                return print_rows(plan, boxes, err);
        cleanup_free char *text = json_dumps(boxes, JSON_INDENT(4) | JSON_ENSURE_ASCII);
        if (text == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        printf("%s\n", text);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        struct ls_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *boxes = NULL;
        cleanup_json json_t *chosen = json_array();
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        bool all = plan->all || filter_has(&plan->filter, "before") || filter_has(&plan->filter, "since");
        if (boxlet_box_list(cli->boxlet, all, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the list of boxes", &boxes, &err);
        boxlet_free(text);
        if (r == 0)
                r = choose(plan, boxes, chosen, &err);
        if (r == 0)
                r = print(plan, chosen, &err);
        return r < 0 ? cli_complain(cli, "%s", err.text) : 0;
}

const struct command command_ls = {
    .name = "ls",
    .alias = "ps",
    .summary = "List boxes",
    .description =
        "Shows the boxes that run, with -a all of them. With --format json, prints one array. Of several "
        "filters with one key any may fit (labels: all), and every key must.",
    .options = options,
    .plan_size = sizeof(struct ls_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
    .done = done,
};
