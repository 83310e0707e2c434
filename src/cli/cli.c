/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From argv to a subcommand and back to an exit code: find the command, parse its words into its plan, check
 * the plan, carry it out. Everything that is said about failures passes through here, so that it has one
 * form:
 *
 *     boxlet: run: unknown option '--foo'
 *     see 'boxlet run --help'
 *
 * Misuse ends in 125 for the commands that pass on the exit code of a process of a box, else in 2; a failure
 * of boxlet in 125 or 1.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *label, const char *text)
{
        cleanup_free char *safe = text_safe(text, true);
        fprintf(stderr, "boxlet: %s%s%s\n", label, label[0] != '\0' ? ": " : "",
                safe != NULL ? safe : "out of memory");
}

static int failure_code(const struct cli *cli)
{
        return cli->command->failure != 0 ? cli->command->failure : CLI_FAILURE;
}

int cli_fail(const struct cli *cli, const struct boxlet_error *error)
{
        if (error->code == -ECANCELED && cli->signal != 0) {
                say(cli->label, "interrupted");
                return CLI_SIGNALLED(cli->signal);
        }
        say(cli->label,
            error->text[0] != '\0' ? error->text : strerror(error->code < 0 ? -error->code : EIO));
        return failure_code(cli);
}

int cli_complain(const struct cli *cli, const char *format, ...)
{
        char text[ERROR_TEXT_MAX];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args); /* a cut message is still one */
        va_end(args);
        say(cli->label, text);
        return failure_code(cli);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
        char text[ERROR_TEXT_MAX];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args); /* as above */
        va_end(args);
        say(cli->label, text);
}

int cli_open(struct cli *cli)
{
        struct boxlet_error error = {0};
        if (cli->boxlet != NULL || boxlet_open(NULL, &cli->boxlet, &error) >= 0)
                return 0;
        return cli_fail(cli, &error);
}

bool cli_box_is_up(const char *state)
{
        return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 ||
               strcmp(state, "restarting") == 0;
}

int cli_each(struct cli *cli, const struct text_list *operands,
             int (*fn)(struct cli *cli, const char *operand, void *data, struct boxlet_error *error),
             void *data)
{
        int code = cli_open(cli);
        if (code != 0)
                return code;
        for (size_t i = 0; i < operands->count; i++) {
                struct boxlet_error error = {0};
                if (fn(cli, operands->items[i], data, &error) < 0)
                        code = cli_fail(cli, &error);
        }
        return code;
}

void cli_print_safe(FILE *file, const char *text)
{
        cleanup_free char *safe = text_safe(text, true);
        if (safe != NULL)
                fputs(safe, file);
}

int cli_check_askable(bool force, struct error *err)
{
        if (!force && !isatty(STDIN_FILENO))
                return error_set(err, -EINVAL, "there is no terminal to ask on: use -f");
        return 0;
}

bool cli_is_confirmed(bool force, const char *question, ...)
{
        char answer[16];
        va_list arguments;
        if (force)
                return true;
        va_start(arguments, question);
        (void)vfprintf(stderr, question, arguments); /* unread, it is not answered */
        va_end(arguments);
        fputs(" Go on? [y/N] ", stderr);
        if (fgets(answer, sizeof(answer), stdin) == NULL)
                return false;
        return answer[0] == 'y' || answer[0] == 'Y';
}

int cli_print_json(FILE *file, const char *text)
{
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        int r = json_parse(text, strlen(text), "the library's answer", &json, &err);
        if (r < 0)
                return r;
        /* DEL and the C1 controls are no control characters to JSON: ASCII output escapes all of them but
         * DEL, which a terminal ignores */
        cleanup_free char *pretty = json_dumps(json, JSON_INDENT(4) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
        if (pretty == NULL)
                return -ENOMEM;
        fprintf(file, "%s\n", pretty);
        return 0;
}

int cli_finish_output(const struct cli *cli, int code)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return code;
        if (errno == EPIPE)
                return CLI_SIGNALLED(13);
        return cli_complain(cli, "write to standard output: %s", strerror(errno));
}

const char *cli_short_id(const char *id, char place[CLI_SHORT_ID + 1])
{
        const char *colon = strchr(id, ':');
        (void)snprintf(place, CLI_SHORT_ID + 1, "%s",
                       colon != NULL ? colon + 1 : id); /* cutting is the point */
        return place;
}

static int misuse(const struct cli *cli, const struct error *err)
{
        say(cli->label, err->text);
        fprintf(stderr, "see 'boxlet %s --help'\n", cli->label);
        return cli->command->failure == CLI_BOXLET_FAILED ? CLI_BOXLET_FAILED : CLI_MISUSE;
}

static const char *nearest(const struct command *const *commands, const char *name)
{
        const char *best = NULL;
        size_t best_distance = 3;
        for (; *commands != NULL; commands++) {
                size_t distance = text_distance(name, (*commands)->name);
                if (distance < best_distance && distance < strlen((*commands)->name)) {
                        best = (*commands)->name;
                        best_distance = distance;
                }
        }
        return best;
}

/* label: of the command they are subcommands of, "" for the program. */
static int unknown_command(const struct command *const *commands, const char *label, const char *name)
{
        char text[ERROR_TEXT_MAX];
        const char *near = nearest(commands, name);
        for (const struct refused_command *r = cli_refused_commands; label[0] == '\0' && r->name != NULL;
             r++) {
                if (strcmp(r->name, name) == 0) {
                        (void)snprintf(text, sizeof(text), "'%s' is not supported%s%s", name,
                                       r->instead != NULL ? ": " : "", r->instead != NULL ? r->instead : "");
                        say(label, text);
                        return CLI_MISUSE;
                }
        }
        (void)snprintf(text, sizeof(text), "unknown %s '%s'%s%s%s", name[0] == '-' ? "option" : "command",
                       name, near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                       near != NULL ? "'?" : "");
        say(label, text);
        fprintf(stderr, "see 'boxlet %s%s--help'\n", label, label[0] != '\0' ? " " : "");
        return CLI_MISUSE;
}

static int run_subcommand(const struct command *command, const char *label, int argc, char **argv)
{
        char longer[48];
        if (argc < 1 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
                help_command(stdout, command, label);
                return 0;
        }
        const struct command *sub = cli_find_command(command->subcommands, argv[0]);
        if (sub == NULL)
                return unknown_command(command->subcommands, label, argv[0]);
        (void)snprintf(longer, sizeof(longer), "%s %s", label, sub->name);
        return cli_run_command(sub, longer, argc - 1, argv + 1);
}

int cli_run_command(const struct command *command, const char *label, int argc, char **argv)
{
        struct cli cli = {.command = command};
        struct error err = ERROR_INIT;
        int code;
        (void)snprintf(cli.label, sizeof(cli.label), "%s", label);
        if (command->subcommands != NULL)
                return run_subcommand(command, label, argc, argv);
        struct plan *plan = calloc(1, command->plan_size);
        if (plan == NULL)
                return cli_complain(&cli, "out of memory");
        int r = options_parse(command, argc, argv, plan, &err);
        if (r == 0 && command->check != NULL)
                r = command->check(plan, &err);
        if (r == 1)
                help_command(stdout, command, label);
        if (r < 0)
                code = misuse(&cli, &err);
        else
                code = r == 1 ? 0 : command->carry_out(&cli, plan);
        boxlet_close(cli.boxlet);
        if (command->done != NULL)
                command->done(plan);
        options_done(command, plan);
        free(plan);
        return cli_finish_output(&cli, code);
}

int cli_main(int argc, char **argv)
{
        const char *name = argc > 1 ? argv[1] : "--help";
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
                struct cli cli = {.command = &command_help};
                help_program(stdout);
                return cli_finish_output(&cli, 0);
        }
        if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0)
                return cli_run_command(&command_version, "version", 0, NULL);
        const struct command *command = cli_find_command(cli_commands, name);
        if (command == NULL)
                return unknown_command(cli_commands, "", name);
        return cli_run_command(command, command->name, argc - 2, argv + 2);
}
