/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet completion: scripts for three shells, written from the tables. Names of boxes and images are asked
 * of boxlet itself when they are wanted. Help texts go into single quotes; the tables hold no single quote
 * but what quote() takes care of.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct completion_plan {
        struct text_list operands;
};

static int check(void *data, struct error *err)
{
        struct completion_plan *plan = data;
        static const char *const shells[] = {"bash", "zsh", "fish"};
        for (size_t i = 0; i < 3; i++) {
                if (strcmp(plan->operands.items[0], shells[i]) == 0)
                        return 0;
        }
        return error_set(err, -EINVAL, "unknown shell '%s': bash, zsh and fish are known",
                         plan->operands.items[0]);
}

/* Text inside single quotes of a shell; special: characters that want a backslash besides. */
static void quote(const char *text, const char *special)
{
        for (; *text != '\0'; text++) {
                if (*text == '\'')
                        fputs("'\\''", stdout);
                else if (strchr(special, *text) != NULL)
                        printf("\\%c", *text);
                else
                        putchar(*text);
        }
}

static void print_choices(const char *choices)
{
        for (; *choices != '\0'; choices++)
                putchar(*choices == '|' ? ' ' : *choices);
}

/* ---- every command with its label, subcommands too ---- */

static void each_command(const struct command *const *commands, const char *prefix,
                         void (*fn)(const struct command *command, const char *label))
{
        for (; *commands != NULL; commands++) {
                char label[64];
                const char *const names[] = {(*commands)->alias, (*commands)->name};
                for (size_t i = names[0] == NULL; i < 2; i++) {
                        (void)snprintf(label, sizeof(label), "%s%s%s", prefix, prefix[0] != '\0' ? " " : "",
                                       names[i]);
                        fn(*commands, label);
                }
                if ((*commands)->subcommands != NULL)
                        each_command((*commands)->subcommands, label, fn);
        }
}

static void print_names(const struct command *const *commands)
{
        for (; *commands != NULL; commands++)
                printf("%s%s%s ", (*commands)->name, (*commands)->alias != NULL ? " " : "",
                       (*commands)->alias != NULL ? (*commands)->alias : "");
}

/* "image|volume|...": those with commands of their own. */
static void print_groups(void)
{
        const char *between = "";
        for (const struct command *const *c = cli_commands; *c != NULL; c++) {
                if ((*c)->subcommands == NULL)
                        continue;
                printf("%s%s", between, (*c)->name);
                between = "|";
        }
}

static const char *const operand_words[] = {"none", "box", "image", "file", "command", "choice"};

/* ---- bash ---- */

static void bash_values(const struct command *command)
{
        const struct cli_option *o;
        printf("                case \"$previous\" in\n");
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->kind == OPTION_FLAG)
                        continue;
                printf("                ");
                if (o->letter != 0)
                        printf("-%c|", o->letter);
                printf("--%s) ", o->name);
                if (o->choices != NULL) {
                        printf("words='");
                        print_choices(o->choices);
                        printf("'; kind=words ;;\n");
                } else {
                        printf("kind=%s ;;\n", operand_words[o->complete]);
                }
        }
        printf("                esac\n");
}

static void bash_command(const struct command *command, const char *label)
{
        const struct cli_option *o;
        if (command->subcommands != NULL) {
                printf("        %s) kind=words words='", label);
                print_names(command->subcommands);
                printf("' ;;\n");
                return;
        }
        printf("        '%s')\n                options='", label);
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->letter != 0)
                        printf("-%c ", o->letter);
                printf("--%s ", o->name);
        }
        printf("--help'\n                kind=%s\n",
               operand_words[command->others != 0 ? command->others : command->first]);
        if (option_at(command, 0) != NULL)
                bash_values(command);
        printf("                ;;\n");
}

static void print_bash(void)
{
        printf("# bash completion for boxlet; load it with: source <(boxlet completion bash)\n"
               "_boxlet()\n{\n"
               "        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
               "        local options='' kind=command words='' label=${COMP_WORDS[1]-}\n"
               "        COMPREPLY=()\n"
               "        case \"$label\" in\n"
               "        ");
        print_groups();
        printf(") if [ \"$COMP_CWORD\" -gt 2 ]; then label=\"$label ${COMP_WORDS[2]}\"; fi ;;\n"
               "        esac\n"
               "        if [ \"$COMP_CWORD\" -gt 1 ]; then\n"
               "        case \"$label\" in\n"
               "        help) kind=command ;;\n");
        each_command(cli_commands, "", bash_command);
        printf("        esac\n        fi\n"
               "        case \"$current\" in\n"
               "        -*) kind=words words=$options ;;\n"
               "        esac\n"
               "        case \"$kind\" in\n"
               "        command) words='");
        print_names(cli_commands);
        printf("' ;;\n"
               "        box) words=$(boxlet ls -a 2>/dev/null | awk 'NR > 1 { print $NF }') ;;\n"
               "        image) words=$(boxlet images 2>/dev/null | awk 'NR > 1 && $1 != \"<none>\" { print "
               "$1 \":\" $2 }') ;;\n"
               "        file) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"
               "        none) return ;;\n"
               "        esac\n"
               "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
               "}\n"
               "complete -o bashdefault -F _boxlet boxlet\n");
}

/* ---- zsh ---- */

static const char *const zsh_actions[] = {"",       "_boxlet_boxes",    "_boxlet_images",
                                          "_files", "_boxlet_commands", ""};

static void zsh_option(const struct cli_option *o)
{
        bool many = o->kind == OPTION_LIST;
        printf(" \\\n                '");
        if (many)
                printf("*");
        else if (o->letter != 0)
                printf("(-%c --%s)", o->letter, o->name);
        const char *plus = o->kind == OPTION_FLAG ? "" : "+", *equals = o->kind == OPTION_FLAG ? "" : "=";
        if (o->letter != 0)
                printf("'{-%c%s,--%s%s}'", o->letter, plus, o->name, equals);
        else
                printf("--%s%s", o->name, equals);
        printf("[");
        quote(o->help, "[]:\\");
        printf("]");
        if (o->kind != OPTION_FLAG) {
                printf(":");
                quote(o->argument, "[]:\\");
                printf(":");
                if (o->choices != NULL) {
                        printf("(");
                        print_choices(o->choices);
                        printf(")");
                } else {
                        printf("%s", zsh_actions[o->complete]);
                }
        }
        printf("'");
}

static void zsh_command(const struct command *command, const char *label)
{
        const struct cli_option *o;
        if (command->subcommands != NULL)
                return;
        printf("        '%s')\n                _arguments -s -S", label);
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->help != NULL)
                        zsh_option(o);
        }
        printf(" \\\n                '--help[Show how it is used]'");
        if (command->first != OPERAND_NONE)
                printf(" \\\n                '1: :%s'", zsh_actions[command->first]);
        if (command->others != OPERAND_NONE)
                printf(" \\\n                '*: :%s'", zsh_actions[command->others]);
        else if (command->leading)
                printf(" \\\n                '*:: :_normal'");
        printf("\n                ;;\n");
}

static void zsh_names(const struct command *const *commands)
{
        for (; *commands != NULL; commands++) {
                printf("                '%s:", (*commands)->name);
                quote((*commands)->summary, ":\\");
                printf("'\n");
        }
}

/* _boxlet_commands or, with the name of a group, _boxlet_NAME_commands. */
static void zsh_names_of(const char *group, const struct command *const *commands)
{
        printf("_boxlet%s%s_commands() {\n"
               "        local -a names\n"
               "        names=(\n",
               group[0] != '\0' ? "_" : "", group);
        zsh_names(commands);
        printf("        )\n        _describe command names\n}\n");
}

static void print_zsh(void)
{
        printf("#compdef boxlet\n"
               "# zsh completion for boxlet; write it to a file _boxlet in a folder of $fpath\n"
               "_boxlet_boxes() {\n"
               "        local -a names\n"
               "        names=(${(f)\"$(boxlet ls -a 2>/dev/null | awk 'NR > 1 { print $NF }')\"})\n"
               "        compadd -a names\n}\n"
               "_boxlet_images() {\n"
               "        local -a names\n"
               "        names=(${(f)\"$(boxlet images 2>/dev/null | awk 'NR > 1 && $1 != \"<none>\" { print "
               "$1 \":\" $2 }')\"})\n"
               "        compadd -a names\n}\n");
        zsh_names_of("", cli_commands);
        for (const struct command *const *c = cli_commands; *c != NULL; c++) {
                if ((*c)->subcommands != NULL)
                        zsh_names_of((*c)->name, (*c)->subcommands);
        }
        printf("_boxlet() {\n"
               "        local label\n"
               "        if (( CURRENT == 2 )); then _boxlet_commands; return; fi\n"
               "        label=$words[2]\n"
               "        shift words\n"
               "        (( CURRENT-- ))\n"
               "        case $label in\n"
               "        ");
        print_groups();
        printf(")\n"
               "                if (( CURRENT == 2 )); then _boxlet_${label}_commands; return; fi\n"
               "                label=\"$label $words[2]\"\n"
               "                shift words\n"
               "                (( CURRENT-- )) ;;\n"
               "        esac\n"
               "        case $label in\n");
        each_command(cli_commands, "", zsh_command);
        printf("        esac\n}\n"
               "if [ \"$funcstack[1]\" = _boxlet ]; then _boxlet \"$@\"; else compdef _boxlet boxlet; fi\n");
}

/* ---- fish ---- */

static const char *const fish_actions[] = {"",   "(__boxlet_boxes)",    "(__boxlet_images)",
                                           NULL, "(__boxlet_commands)", ""};

static void fish_condition(const char *label)
{
        const char *space = strchr(label, ' ');
        if (space != NULL)
                printf("complete -c boxlet -n '__boxlet_is %.*s; and __fish_seen_subcommand_from %s'",
                       (int)(space - label), label, space + 1);
        else
                printf("complete -c boxlet -n '__boxlet_is %s'", label);
}

static void fish_command(const struct command *command, const char *label)
{
        const struct cli_option *o;
        enum operand operand = command->others != OPERAND_NONE ? command->others : command->first;
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->help == NULL)
                        continue;
                fish_condition(label);
                if (o->letter != 0)
                        printf(" -s %c", o->letter);
                printf(" -l %s -d '", o->name);
                quote(o->help, "\\");
                printf("'");
                if (o->choices != NULL) {
                        printf(" -x -a '");
                        print_choices(o->choices);
                        printf("'");
                } else if (o->kind != OPTION_FLAG) {
                        printf(o->complete == OPERAND_FILE ? " -r -F" : " -x");
                }
                printf("\n");
        }
        if (command->subcommands != NULL) {
                for (const struct command *const *sub = command->subcommands; *sub != NULL; sub++) {
                        fish_condition(label);
                        printf(" -a %s -d '", (*sub)->name);
                        quote((*sub)->summary, "\\");
                        printf("'\n");
                }
        } else if (fish_actions[operand] == NULL) {
                fish_condition(label);
                printf(" -F\n");
        } else if (fish_actions[operand][0] != '\0') {
                fish_condition(label);
                printf(" -a '%s'\n", fish_actions[operand]);
        }
}

static void print_fish(void)
{
        printf("# fish completion for boxlet; load it with: boxlet completion fish | source\n"
               "function __boxlet_is\n"
               "        set -l words (commandline -opc)\n"
               "        test (count $words) -gt 1; and test $words[2] = $argv[1]\n"
               "end\n"
               "function __boxlet_boxes\n"
               "        boxlet ls -a 2>/dev/null | awk 'NR > 1 { print $NF }'\n"
               "end\n"
               "function __boxlet_images\n"
               "        boxlet images 2>/dev/null | awk 'NR > 1 && $1 != \"<none>\" { print $1 \":\" $2 }'\n"
               "end\n"
               "function __boxlet_commands\n"
               "        printf '%%s\\n' ");
        print_names(cli_commands);
        printf("\nend\ncomplete -c boxlet -f\n");
        for (const struct command *const *c = cli_commands; *c != NULL; c++) {
                printf("complete -c boxlet -n __fish_use_subcommand -a %s -d '", (*c)->name);
                quote((*c)->summary, "\\");
                printf("'\n");
        }
        each_command(cli_commands, "", fish_command);
}

static int carry_out(struct cli *cli, void *data)
{
        const struct completion_plan *plan = data;
        (void)cli;
        if (strcmp(plan->operands.items[0], "bash") == 0)
                print_bash();
        else if (strcmp(plan->operands.items[0], "zsh") == 0)
                print_zsh();
        else
                print_fish();
        return 0;
}

const struct command command_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "Print a completion script for a shell",
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_CHOICE,
    .plan_size = sizeof(struct completion_plan),
    .check = check,
    .carry_out = carry_out,
};
