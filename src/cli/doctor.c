/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet doctor: can this machine run boxes, and what is to be done if not. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <string.h>

struct doctor_plan {
        struct text_list operands;
        const char *format;
};

static const struct cli_option options[] = {
    {'f', "format", OPTION_CHOICE, offsetof(struct doctor_plan, format), "FORMAT", "How to print",
     "text|json", OPERAND_CHOICE},
    {0},
};

static void print_line(const json_t *line)
{
        const char *status = json_text(line, "Status"), *remedy = json_text(line, "Remedy");
        printf("%-8s ", strcmp(status, "missing") == 0 ? "MISSING" : status);
        cli_print_safe(stdout, json_text(line, "Check"));
        printf(": ");
        cli_print_safe(stdout, json_text(line, "Text"));
        printf("\n");
        if (remedy[0] != '\0' && strcmp(remedy, "see there") != 0) {
                printf("%8s to do: ", "");
                cli_print_safe(stdout, remedy);
                printf("\n");
        }
}

static int carry_out(struct cli *cli, void *data)
{
        const struct doctor_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        cleanup_json json_t *lines = NULL;
        const json_t *line;
        size_t i;
        char *text = NULL;
        int code = 0;
        if (boxlet_doctor(NULL, &text, &error) < 0)
                return cli_fail(cli, &error);
        int r = json_parse(text, strlen(text), "the library's answer", &lines, &err);
        bool json = plan->format != NULL && strcmp(plan->format, "json") == 0;
        json_array_foreach (lines, i, line) {
                if (strcmp(json_text(line, "Status"), "missing") == 0)
                        code = CLI_FAILURE;
                if (!json)
                        print_line(line);
        }
        if (r == 0 && json)
                r = cli_print_json(stdout, text);
        boxlet_free(text);
        return r < 0 ? cli_complain(cli, "%s", err.text) : code;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "Look whether this machine can run boxes",
    .description = "A line for each thing that is looked at: ok, a note, or MISSING, with what to do. The "
                   "exit code is 1 "
                   "when something is missing without which boxes do not run.",
    .options = options,
    .plan_size = sizeof(struct doctor_plan),
    .carry_out = carry_out,
};
