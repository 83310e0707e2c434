/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet diff: what a box changed of its image, a line each: A added, C changed, D deleted. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct diff_plan {
        struct text_list operands;
};

static const struct cli_option options[] = {{0}};

static int print_changes(struct cli *cli, const char *text)
{
        static const char letters[] = "CAD";
        cleanup_json json_t *list = NULL;
        struct error err = ERROR_INIT;
        const json_t *change;
        size_t i;
        if (json_parse(text, strlen(text), "the list of changes", &list, &err) < 0)
                return cli_complain(cli, "%s", err.text);
        json_array_foreach (list, i, change) {
                json_int_t kind = json_integer_value(json_object_get(change, "Kind"));
                const char *path = json_string_value(json_object_get(change, "Path"));
                if (kind < 0 || kind > 2 || path == NULL)
                        return cli_complain(cli, "the list of changes makes no sense");
                printf("%c ", letters[kind]);
                cli_print_safe(stdout, path);
                putchar('\n');
        }
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct diff_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error) < 0 ||
            boxlet_box_diff(box, &text, &error) < 0)
                code = cli_fail(cli, &error);
        else
                code = print_changes(cli, text);
        boxlet_free(text);
        boxlet_box_free(box);
        return code;
}

const struct command command_diff = {
    .name = "diff",
    .operands = "BOX",
    .summary = "Show what a box changed of its image",
    .description =
        "A line for each path: A added, C changed, D deleted. Files and folders that were made only "
        "to mount something on are not shown. A box that does not run is started for it without its "
        "process.",
    .options = options,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct diff_plan),
    .carry_out = carry_out,
};
