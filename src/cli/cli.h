/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* What all subcommands share: the list of them, messages, the library handle. */
#include "boxlet.h"
#include "cli/option.h"

/* Exit code of a wrong command line where the command's own code is not passed on (then it is 125). */
#define CLI_FAILURE        1
#define CLI_MISUSE         2
#define CLI_BOXLET_FAILED  125
#define CLI_SIGNALLED(sig) (128 + (sig))

struct cli {
        const struct command *command;
        char label[48]; /* "run", "image ls" */
        struct boxlet *boxlet;
        int signal; /* that cancelled an image operation */
};

/* All subcommands, in the order of --help; NULL-terminated. */
extern const struct command *const cli_commands[];

/* The subcommand of that name or alias among commands, or NULL. */
const struct command *cli_find_command(const struct command *const *commands, const char *name);

/* The whole program: parses, checks, carries out; returns the exit code. */
int cli_main(int argc, char **argv);

/* Runs one command with the words after its name; label is what messages call it. */
int cli_run_command(const struct command *command, const char *label, int argc, char **argv);

/* Opens the library once. 0, or the exit code after having said why not. */
int cli_open(struct cli *cli);

/* "boxlet: <label>: <text>" on stderr, control characters replaced. They return the command's exit code for a
 * failure of boxlet. */
int cli_fail(const struct cli *cli, const struct boxlet_error *error);
int cli_complain(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does something for each operand, says what fails and goes on; the exit code. */
int cli_each(struct cli *cli, const struct text_list *operands,
             int (*fn)(struct cli *cli, const char *operand, void *data, struct boxlet_error *error),
             void *data);

/* Prints text from images and guests: control characters replaced. */
void cli_print_safe(FILE *file, const char *text);

/* For commands that remove much. To be checked before anything else: whether the user can be asked (or need
 * not be, with force); and the question, on the terminal. */
int cli_check_askable(bool force, struct error *err);
__attribute__((format(printf, 2, 3))) bool cli_is_confirmed(bool force, const char *question, ...);

/* Prints a JSON text with an indent of 4, as docker inspect does. -errno if it is none. */
int cli_print_json(FILE *file, const char *text);

/* Flushes stdout; says so if that fails (a full disk) and returns code or the failure's. A closed pipe is
 * quiet. */
int cli_finish_output(const struct cli *cli, int code);

/* The first 12 digits of an id, without "sha256:". */
#define CLI_SHORT_ID 12
const char *cli_short_id(const char *id, char place[CLI_SHORT_ID + 1]);

/* Whether a box in that state (boxlet_box_state()) has a monitor at work: it runs, is paused or restarts. */
bool cli_box_is_up(const char *state);

/* --help and boxlet help. */
void help_command(FILE *file, const struct command *command, const char *label);
void help_program(FILE *file);

/* "  -m, --memory BYTES" */
#define HELP_FORMS_MAX 80
const char *help_option_forms(const struct command *command, const struct cli_option *o,
                              char place[HELP_FORMS_MAX]);

/* Every subcommand is a constant in the file of its name. */
extern const struct command command_attach, command_completion, command_create, command_doctor, command_exec,
    command_help, command_image, command_image_inspect, command_image_ls, command_image_rm, command_images,
    command_import, command_info, command_inspect, command_kill, command_load, command_logs, command_ls,
    command_port, command_pull, command_rm, command_rmi, command_run, command_save, command_start,
    command_stop, command_tag, command_version, command_volume, command_clone, command_snapshot,
    command_events, command_pause, command_rename, command_restart, command_system, command_system_start_all,
    command_system_stop_all, command_unpause, command_update, command_cp, command_export_box,
    command_import_box, command_commit, command_diff, command_export, command_stats, command_top,
    command_wait;

/* What docker has as a command and we have not, by name, and what to say. */
struct refused_command {
        const char *name;
        const char *instead;
};
extern const struct refused_command cli_refused_commands[];

#endif
