/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet stats: what boxes use, as docker stats prints it, with what their processes use on the host beside
 * it. CPU shares are between two looks, a second apart. Without --no-stream the table is printed anew each
 * second, until a signal or until no box is left.
 */
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS INT64_C(1000000000)
#define BOXES_MAX 4096

struct stats_plan {
        struct text_list operands;
        bool no_stream, whole;
        const char *format;
};

#define AT(member) offsetof(struct stats_plan, member)

static const struct cli_option options[] = {
    {0, "format", OPTION_TEXT, AT(format), "FORMAT",
     "table, json (an object a line), or text with {{.Member}} in it, a line for each"},
    {0, "no-stream", OPTION_FLAG, AT(no_stream), NULL, "Print once and end"},
    {0, "no-trunc", OPTION_FLAG, AT(whole), NULL, "Do not shorten ids"},
    {0},
};

static const struct refused_option refused[] = {
    {'a', "all", "a box that does not run uses nothing but its disk: see 'boxlet ls -a'"},
    {0},
};

static bool is_table(const struct stats_plan *plan)
{
        return plan->format == NULL || strcmp(plan->format, "table") == 0;
}

static int check(void *data, struct error *err)
{
        const struct stats_plan *plan = data;
        if (is_table(plan) || strcmp(plan->format, "json") == 0)
                return 0;
        return format_check(plan->format, err);
}

/* ---- looking ---- */

/* The names of the boxes to look at: those given, or all that run. A new array of strings. */
static int find_boxes(struct cli *cli, const struct stats_plan *plan, json_t **ret_names,
                      struct boxlet_error *error)
{
        cleanup_json json_t *names = json_array();
        cleanup_json json_t *list = NULL;
        struct error err = ERROR_INIT;
        const json_t *box;
        char *text = NULL;
        size_t i;
        for (i = 0; i < plan->operands.count; i++)
                (void)json_array_append_new(names, json_string(plan->operands.items[i])); /* checked below */
        if (plan->operands.count == 0) {
                int r = boxlet_box_list(cli->boxlet, 0, &text, error);
                if (r == 0)
                        r = json_parse(text, strlen(text), "the list of boxes", &list, &err);
                boxlet_free(text);
                if (r < 0)
                        return r;
                json_array_foreach (list, i, box)
                        (void)json_array_append(names, json_object_get(box, "Id")); /* checked below */
        }
        if (names == NULL || json_array_size(names) > BOXES_MAX)
                return -ENOMEM;
        *ret_names = json_incref(names);
        return 0;
}

/* One look at a box: NULL when that is not possible, which is said unless quiet. */
static json_t *look(struct cli *cli, const char *name, bool quiet, int *code)
{
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct error err = ERROR_INIT;
        json_t *json = NULL;
        char *text = NULL;
        int r = boxlet_box_get(cli->boxlet, name, &box, &error);
        if (r >= 0)
                r = boxlet_box_stats(box, &text, &error);
        if (r >= 0 && json_parse(text, strlen(text), "the statistics", &json, &err) < 0)
                (void)snprintf(error.text, sizeof(error.text), "%s", err.text);
        if (json == NULL && !quiet)
                *code = cli_fail(cli, &error);
        boxlet_free(text);
        boxlet_box_free(box);
        return json;
}

/* All of them: an object by name. */
static json_t *look_at_all(struct cli *cli, const json_t *names, bool quiet, int *code)
{
        json_t *all = json_object();
        const json_t *name;
        size_t i;
        json_array_foreach (names, i, name) {
                json_t *one = look(cli, json_string_value(name), quiet, code);
                if (one != NULL)
                        (void)json_object_set_new(all, json_string_value(name),
                                                  one); /* else it is left out */
        }
        return all;
}

/* ---- telling ---- */

static bool known(const json_t *look, const char *key, double *ret_value)
{
        const json_t *value = json_object_get(look, key);
        *ret_value = json_is_number(value) ? json_number_value(value) : 0;
        return json_is_number(value);
}

static json_t *share(const json_t *before, const json_t *now, const char *key)
{
        double first, last, begin, end;
        if (!known(before, key, &first) || !known(now, key, &last) || !known(before, "Time", &begin) ||
            !known(now, "Time", &end) || end <= begin || last < first)
                return json_string("--");
        return json_sprintf("%.2f%%", (last - first) * 100 / (end - begin));
}

static json_t *percent(const json_t *look, const char *part, const char *whole)
{
        double a, b;
        if (!known(look, part, &a) || !known(look, whole, &b) || b <= 0)
                return json_string("--");
        return json_sprintf("%.2f%%", a * 100 / b);
}

/* Memory in powers of 1024, traffic in powers of 1000, as docker has it. */
static void amount(const json_t *look, const char *key, bool binary, char place[32])
{
        static const char *const units[2][6] = {{"B", "kB", "MB", "GB", "TB", "PB"},
                                                {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}};
        double value, base = binary ? 1024 : 1000;
        size_t unit = 0;
        if (!known(look, key, &value)) {
                (void)strcpy(place, "--");
                return;
        }
        for (; value >= base && unit < 5; unit++)
                value /= base;
        (void)snprintf(place, 32, "%.4g%s", value, units[binary][unit]);
}

static json_t *pair(const json_t *look, const char *first, const char *second, bool binary)
{
        char a[32], b[32];
        amount(look, first, binary, a);
        amount(look, second, binary, b);
        return json_sprintf("%s / %s", a, b);
}

/* What docker's --format json has, and HostCPUPerc and HostMemUsage. */
static json_t *describe(const json_t *before, const json_t *now, bool whole)
{
        char id[CLI_SHORT_ID + 1], host[32];
        double pids;
        const char *full = json_string_value(json_object_get(now, "Id"));
        full = full != NULL ? full : "";
        bool has_pids = known(now, "PIDs", &pids);
        amount(now, "HostMemory", true, host);
        const char *shown = whole ? full : cli_short_id(full, id);
        return json_pack("{s:s, s:s, s:O?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "ID", shown, "Container",
                         shown, "Name", json_object_get(now, "Name"), "CPUPerc",
                         share(before, now, "CPUTime"), "MemUsage",
                         pair(now, "MemoryUsage", "MemoryLimit", true), "MemPerc",
                         percent(now, "MemoryUsage", "MemoryLimit"), "NetIO",
                         pair(now, "NetworkReceived", "NetworkSent", false), "BlockIO",
                         pair(now, "DiskRead", "DiskWritten", false), "PIDs",
                         has_pids ? json_sprintf("%.0f", pids) : json_string("--"), "HostCPUPerc",
                         share(before, now, "HostCPUTime"), "HostMemUsage", host);
}

static const char *const members[] = {"ID",    "Name",    "CPUPerc", "MemUsage",    "MemPerc",
                                      "NetIO", "BlockIO", "PIDs",    "HostCPUPerc", "HostMemUsage"};
static const char *const headings[] = {"BOX ID",  "NAME",     "CPU %", "MEM USAGE / LIMIT", "MEM %",
                                       "NET I/O", "DISK I/O", "PIDS",  "HOST CPU %",        "HOST MEM"};
#define COLUMNS (sizeof(members) / sizeof(members[0]))
_Static_assert(COLUMNS <= TABLE_COLUMNS_MAX, "the table has room for all columns");

static int print_table(const json_t *rows)
{
        cleanup_table struct table table;
        const json_t *row;
        size_t i;
        table_init(&table, COLUMNS);
        int r = table_add(&table, headings);
        json_array_foreach (rows, i, row) {
                const char *cells[COLUMNS];
                for (size_t c = 0; c < COLUMNS; c++) {
                        const char *text = json_string_value(json_object_get(row, members[c]));
                        cells[c] = text != NULL ? text : "";
                }
                r = r < 0 ? r : table_add(&table, cells);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int print_lines(const json_t *rows, const char *format, struct error *err)
{
        const json_t *row;
        size_t i;
        int r = 0;
        json_array_foreach (rows, i, row) {
                if (strcmp(format, "json") != 0) {
                        r = r < 0 ? r : format_print(stdout, format, row, err);
                        continue;
                }
                cleanup_free char *text = json_dumps(row, JSON_COMPACT | JSON_ENSURE_ASCII);
                if (text == NULL)
                        return -ENOMEM;
                printf("%s\n", text);
        }
        return r;
}

/* before and now: looks by name. Those that are in both. */
static int print_all(struct cli *cli, const struct stats_plan *plan, const json_t *names,
                     const json_t *before, const json_t *now)
{
        cleanup_json json_t *rows = json_array();
        struct error err = ERROR_INIT;
        const json_t *name;
        size_t i;
        json_array_foreach (names, i, name) {
                const char *key = json_string_value(name);
                const json_t *first = json_object_get(before, key), *last = json_object_get(now, key);
                if (first != NULL && last != NULL &&
                    json_array_append_new(rows, describe(first, last, plan->whole)) < 0)
                        return cli_complain(cli, "out of memory");
        }
        if (is_table(plan) && !plan->no_stream && isatty(STDOUT_FILENO))
                printf("\033[H\033[J");
        int r = is_table(plan) ? print_table(rows) : print_lines(rows, plan->format, &err);
        if (r < 0)
                return cli_complain(cli, "%s", err.text[0] != '\0' ? err.text : strerror(-r));
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct stats_plan *plan = data;
        struct boxlet_error error = {0};
        cleanup_json json_t *names = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        if (find_boxes(cli, plan, &names, &error) < 0)
                return cli_fail(cli, &error);
        json_t *before = look_at_all(cli, names, false, &code);
        for (;;) {
                struct timespec period = {.tv_sec = PERIOD_NS / 1000000000};
                (void)nanosleep(&period, NULL); /* a measure needs two points in time; a signal ends us */
                json_t *now = look_at_all(cli, names, true, &code);
                int printed = print_all(cli, plan, names, before, now);
                size_t left = json_object_size(now);
                json_decref(before);
                before = now;
                if (printed != 0 || plan->no_stream || left == 0 || fflush(stdout) != 0) {
                        code = printed != 0 ? printed : code;
                        break;
                }
        }
        json_decref(before);
        return code;
}

const struct command command_stats = {
    .name = "stats",
    .operands = "[BOX...]",
    .summary = "Show what boxes use",
    .description =
        "CPU, memory and processes are those of the box's container, network and disk those of its machine; "
        "HOST CPU and HOST MEM are what all of the box's processes use on the host. Without BOX, all that "
        "run. "
        "The members for --format are ID, Name, CPUPerc, MemUsage, MemPerc, NetIO, BlockIO, PIDs, "
        "HostCPUPerc "
        "and HostMemUsage.",
    .options = options,
    .refused = refused,
    .minimum_operands = 0,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct stats_plan),
    .check = check,
    .carry_out = carry_out,
};
