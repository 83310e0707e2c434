/* SPDX-License-Identifier: Apache-2.0 */
/* --help, written from the tables; `boxlet help`. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define COLUMN 30
#define WIDTH  100

const char *help_option_forms(const struct command *command, const struct cli_option *o,
                              char place[HELP_FORMS_MAX])
{
        char letter[8] = "    ";
        if (o->letter != 0)
                (void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        (void)snprintf(place, HELP_FORMS_MAX, "  %s--%s%s%s", letter, o->name, o->argument != NULL ? " " : "",
                       o->argument != NULL ? o->argument : "");
        return place;
}

/* Words of text from column on, broken before WIDTH; the caller has printed up to at. */
static void wrap(FILE *file, const char *text, size_t at, size_t column)
{
        while (*text != '\0') {
                size_t word = strcspn(text, " \n");
                if (at > column && at + 1 + word > WIDTH) {
                        fprintf(file, "\n");
                        at = 0;
                }
                if (at < column)
                        at += (size_t)fprintf(file, "%*s", (int)(column - at), "");
                else if (at > column)
                        at += (size_t)fprintf(file, " ");
                at += (size_t)fprintf(file, "%.*s", (int)word, text);
                text += word;
                if (*text == '\n') {
                        fprintf(file, "\n");
                        at = 0;
                }
                text += *text != '\0';
        }
        fprintf(file, "\n");
}

static void print_option(FILE *file, const char *forms, const char *help, const char *choices)
{
        char text[512];
        size_t at = (size_t)fprintf(file, "%s", forms);
        if (at + 2 > COLUMN) {
                fprintf(file, "\n");
                at = 0;
        }
        (void)snprintf(text, sizeof(text), "%s%s%s%s", help, choices != NULL ? " (" : "",
                       choices != NULL ? choices : "", choices != NULL ? ")" : "");
        wrap(file, text, at, COLUMN);
}

static void print_options(FILE *file, const struct command *command)
{
        const struct cli_option *o;
        char forms[HELP_FORMS_MAX];
        fprintf(file, "\nOptions:\n");
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->help != NULL)
                        print_option(file, help_option_forms(command, o, forms), o->help, o->choices);
        }
        print_option(file, option_by_letter(command, 'h') != NULL ? "      --help" : "  -h, --help",
                     "Show this", NULL);
}

static void print_commands(FILE *file, const struct command *const *commands)
{
        fprintf(file, "\nCommands:\n");
        for (; *commands != NULL; commands++) {
                char name[40];
                (void)snprintf(name, sizeof(name), "  %s%s%s", (*commands)->name,
                               (*commands)->alias != NULL ? ", " : "",
                               (*commands)->alias != NULL ? (*commands)->alias : "");
                fprintf(file, "%-16s%s\n", name, (*commands)->summary);
        }
}

void help_command(FILE *file, const struct command *command, const char *label)
{
        bool group = command->subcommands != NULL;
        const char *operands = group ? "COMMAND" : command->operands != NULL ? command->operands : "";
        fprintf(file, "Usage: boxlet %s%s%s%s\n\n", label, group ? "" : " [OPTION...]",
                operands[0] != '\0' ? " " : "", operands);
        wrap(file, command->summary, 0, 0);
        if (command->description != NULL) {
                fprintf(file, "\n");
                wrap(file, command->description, 0, 0);
        }
        if (group)
                print_commands(file, command->subcommands);
        else
                print_options(file, command);
}

void help_program(FILE *file)
{
        fprintf(file, "Usage: boxlet COMMAND [OPTION...] [ARG...]\n\n"
                      "Runs any OCI image inside its own small virtual machine: boxlet run alpine echo hi\n");
        print_commands(file, cli_commands);
        fprintf(file, "\n'boxlet COMMAND --help' tells more about one command; the manual is boxlet(1).\n");
}

struct help_plan {
        struct text_list operands;
};

static int carry_out(struct cli *cli, void *data)
{
        struct help_plan *plan = data;
        const struct command *const *commands = cli_commands;
        const struct command *command = NULL;
        char label[48] = "";
        if (plan->operands.count == 0) {
                help_program(stdout);
                return 0;
        }
        for (size_t i = 0; i < plan->operands.count; i++) {
                const char *name = plan->operands.items[i];
                command = commands != NULL ? cli_find_command(commands, name) : NULL;
                if (command == NULL)
                        return cli_complain(cli, "there is no command '%s'", name);
                size_t used = strlen(label);
                (void)snprintf(label + used, sizeof(label) - used, "%s%s", used > 0 ? " " : "",
                               command->name);
                commands = command->subcommands;
        }
        help_command(stdout, command, label);
        return 0;
}

const struct command command_help = {
    .name = "help",
    .operands = "[COMMAND...]",
    .summary = "Show how a command is used",
    .maximum_operands = 2,
    .first = OPERAND_COMMAND,
    .plan_size = sizeof(struct help_plan),
    .carry_out = carry_out,
};
