/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet system: what is about all of a home at once. One more subcommand is one more row of the table at the
 * end. */
#include "cli/cli.h"
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static json_int_t number_of(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

/* ---- df ---- */

struct df_plan {
        struct text_list operands;
        const char *format;
};

static const struct cli_option df_options[] = {
    {0, "format", OPTION_CHOICE, offsetof(struct df_plan, format), "FORMAT", "How to print", "table|json",
     OPERAND_CHOICE},
    {0},
};

static const struct refused_option df_refused[] = {
    {'v', "verbose", "see 'boxlet ls -as', 'boxlet images', 'boxlet snapshot ls' and 'boxlet volume ls'"},
    {0},
};

static int print_usage(const json_t *rows)
{
        static const char *const heading[] = {"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"};
        cleanup_table struct table table;
        const json_t *row;
        size_t i;
        table_init(&table, 5);
        int r = table_add(&table, heading);
        json_array_foreach (rows, i, row) {
                char total[24], active[24], size[TEXT_SIZE_MAX], free_size[TEXT_SIZE_MAX], reclaimable[48];
                json_int_t all = number_of(row, "Size"), part = number_of(row, "Reclaimable");
                (void)snprintf(total, sizeof(total), "%lld", (long long)number_of(row, "Total"));
                (void)snprintf(active, sizeof(active), "%lld", (long long)number_of(row, "Active"));
                (void)snprintf(reclaimable, sizeof(reclaimable), "%s (%lld%%)",
                               text_size((uint64_t)part, free_size),
                               all == 0 ? 0LL : (long long)(part * 100 / all));
                const char *cells[] = {json_text(row, "Type"), total, active, text_size((uint64_t)all, size),
                                       reclaimable};
                r = r < 0 ? r : table_add(&table, cells);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int df(struct cli *cli, void *data)
{
        const struct df_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *rows = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_system_usage(cli->boxlet, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the library's answer", &rows, &err);
        if (r == 0 && plan->format != NULL && strcmp(plan->format, "json") == 0)
                r = cli_print_json(stdout, text);
        else if (r == 0)
                r = print_usage(rows);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r)) : 0;
}

static const struct command command_system_df = {
    .name = "df",
    .summary = "Show what takes how much on the disk",
    .description =
        "RECLAIMABLE is what 'boxlet system prune -a --volumes' and 'boxlet volume prune -a' would free. "
        "With --format json, prints one array, sizes in bytes.",
    .options = df_options,
    .refused = df_refused,
    .plan_size = sizeof(struct df_plan),
    .carry_out = df,
};

/* ---- prune ---- */

struct prune_plan {
        struct text_list operands;
        bool all, force, volumes;
};

static const struct cli_option prune_options[] = {
    {'a', "all", OPTION_FLAG, offsetof(struct prune_plan, all), NULL,
     "All images that no box uses, not only those without a name"},
    {'f', "force", OPTION_FLAG, offsetof(struct prune_plan, force), NULL, "Do not ask"},
    {0, "volumes", OPTION_FLAG, offsetof(struct prune_plan, volumes), NULL,
     "Volumes without a chosen name too that no box refers to"},
    {0},
};

static const struct refused_option prune_refused[] = {
    {0, "filter", NULL},
    {0},
};

static int prune_check(void *data, struct error *err)
{
        const struct prune_plan *plan = data;
        return cli_check_askable(plan->force, err);
}

/* One that was started meanwhile stays. */
static int prune_box(struct cli *cli, const char *id, struct boxlet_error *error)
{
        struct boxlet_box *box;
        int r = boxlet_box_get(cli->boxlet, id, &box, error);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (strcmp(boxlet_box_state(box, NULL), "running") != 0) {
                r = boxlet_box_remove(box, 0, error);
                if (r >= 0)
                        printf("%s\n", id);
        }
        boxlet_box_free(box);
        return r == -EBUSY || r == -ENOENT ? 0 : r;
}

static int prune_boxes(struct cli *cli, uint64_t *freed)
{
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *before = NULL, *after = NULL, *boxes = NULL;
        const json_t *box;
        size_t i;
        char *text = NULL, *was = NULL, *is = NULL;
        int code = 0;
        if (boxlet_box_list(cli->boxlet, 1, &text, &error) < 0 ||
            boxlet_system_usage(cli->boxlet, &was, &error) < 0)
                code = cli_fail(cli, &error);
        else if (json_parse(text, strlen(text), "the list of boxes", &boxes, &err) < 0)
                code = cli_complain(cli, "%s", err.text);
        if (code == 0 && json_array_size(boxes) > 0)
                printf("Deleted Boxes:\n");
        json_array_foreach (boxes, i, box) {
                if (prune_box(cli, json_text(box, "Id"), &error) < 0)
                        code = cli_fail(cli, &error);
        }
        if (code == 0 && boxlet_system_usage(cli->boxlet, &is, &error) >= 0 &&
            json_parse(was, strlen(was), "usage", &before, &err) == 0 &&
            json_parse(is, strlen(is), "usage", &after, &err) == 0) {
                for (i = 1; i <= 2; i++) { /* boxes and snapshots */
                        json_int_t gone = number_of(json_array_get(before, i), "Size") -
                                          number_of(json_array_get(after, i), "Size");
                        *freed += gone > 0 ? (uint64_t)gone : 0;
                }
        }
        boxlet_free(text);
        boxlet_free(was);
        boxlet_free(is);
        return code;
}

static int prune_volumes(struct cli *cli, uint64_t *freed)
{
        struct boxlet_error error = {0};
        char *report = NULL;
        uint64_t part = 0;
        if (boxlet_volume_prune(cli->boxlet, 0, &part, &report, &error) < 0)
                return cli_fail(cli, &error);
        if (report != NULL) {
                printf("Deleted Volumes:\n");
                cli_print_safe(stdout, report);
        }
        *freed += part;
        boxlet_free(report);
        return 0;
}

static int prune_images(struct cli *cli, bool all, uint64_t *freed)
{
        struct boxlet_error error = {0};
        char *report = NULL;
        uint64_t part = 0;
        if (boxlet_image_prune(cli->boxlet, all, &part, &report, &error) < 0)
                return cli_fail(cli, &error);
        if (report != NULL && report[0] != '\0') {
                printf("Deleted Images:\n");
                cli_print_safe(stdout, report);
        }
        *freed += part;
        boxlet_free(report);
        return 0;
}

static int prune(struct cli *cli, void *data)
{
        const struct prune_plan *plan = data;
        char size[TEXT_SIZE_MAX];
        uint64_t freed = 0;
        if (!cli_is_confirmed(
                plan->force,
                "This removes all boxes that do not run, with their disks and snapshots, and all images "
                "without %s%s.",
                plan->all ? "a box that uses them" : "a name",
                plan->volumes ? ", and volumes without a chosen name that no box refers to" : ""))
                return CLI_FAILURE;
        int code = cli_open(cli);
        if (code == 0)
                code = prune_boxes(cli, &freed);
        if (code == 0 && plan->volumes)
                code = prune_volumes(cli, &freed);
        if (code == 0)
                code = prune_images(cli, plan->all, &freed);
        if (code == 0)
                printf("Total reclaimed space: %s\n", text_size(freed, size));
        return code;
}

static const struct command command_system_prune = {
    .name = "prune",
    .summary = "Remove boxes that do not run, and what nothing needs",
    .description =
        "Boxes that were never started or have ended, with their disks and snapshots; images without a name, "
        "with -a all that no box uses; with --volumes, volumes without a chosen name.",
    .options = prune_options,
    .refused = prune_refused,
    .plan_size = sizeof(struct prune_plan),
    .check = prune_check,
    .carry_out = prune,
};

/* ---- check ---- */

struct check_plan {
        struct text_list operands;
        bool repair;
        const char *format;
};

static const struct cli_option check_options[] = {
    {0, "format", OPTION_CHOICE, offsetof(struct check_plan, format), "FORMAT", "How to print", "text|json",
     OPERAND_CHOICE},
    {0, "repair", OPTION_FLAG, offsetof(struct check_plan, repair), NULL,
     "Put right what can be without losing anything"},
    {0},
};

/* How many are left. */
static size_t print_problems(const json_t *problems, bool quiet)
{
        const json_t *problem;
        size_t i, left = 0;
        json_array_foreach (problems, i, problem) {
                bool repaired = json_is_true(json_object_get(problem, "Repaired"));
                left += !repaired;
                if (quiet)
                        continue;
                printf("%s ", json_text(problem, "Kind"));
                cli_print_safe(stdout, json_text(problem, "Item"));
                printf(": ");
                cli_print_safe(stdout, json_text(problem, "Problem"));
                printf("%s\n", repaired ? ": repaired" : "");
        }
        return left;
}

static int check(struct cli *cli, void *data)
{
        const struct check_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *problems = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (boxlet_system_check(cli->boxlet, plan->repair, &text, &error) < 0)
                return cli_fail(cli, &error);
        bool json = plan->format != NULL && strcmp(plan->format, "json") == 0;
        int r = json_parse(text, strlen(text), "the library's answer", &problems, &err);
        size_t left = r == 0 ? print_problems(problems, json) : 0;
        if (r == 0 && json)
                r = cli_print_json(stdout, text);
        boxlet_free(text);
        if (r < 0)
                return cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r));
        if (!json && json_array_size(problems) == 0)
                printf("all is well\n");
        return left > 0 ? CLI_FAILURE : 0;
}

static const struct command command_system_check = {
    .name = "check",
    .summary = "Look whether everything in the home fits together",
    .description = "Digests of the image store, root file systems, boxes and their snapshots, volumes, "
                   "leftovers of killed "
                   "processes: a line for each problem. With --repair, removes what nobody refers to and "
                   "damaged copies of what "
                   "can be fetched or made again, and says so. The exit code is 1 when a problem is left.",
    .options = check_options,
    .plan_size = sizeof(struct check_plan),
    .carry_out = check,
};

/* clang-format off */
static const struct command *const subcommands[] = {
    &command_system_df,
    &command_system_prune,
    &command_system_check,
    &command_info,
    &command_system_start_all,
    &command_system_stop_all,
    NULL,
};
/* clang-format on */

const struct command command_system = {
    .name = "system",
    .summary = "Commands about all that boxlet keeps",
    .subcommands = subcommands,
    .first = OPERAND_COMMAND,
};
