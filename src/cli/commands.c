/* SPDX-License-Identifier: Apache-2.0 */
/* The list of subcommands, and docker's commands that are refused with a reason. */
#include "cli/cli.h"

#include <string.h>

/* In the order of the overview; one a line. */
/* clang-format off */
const struct command *const cli_commands[] = {
    &command_run,
    &command_create,
    &command_start,
    &command_exec,
    &command_attach,
    &command_wait,
    &command_ls,
    &command_top,
    &command_stats,
    &command_stop,
    &command_restart,
    &command_kill,
    &command_pause,
    &command_unpause,
    &command_rm,
    &command_rename,
    &command_update,
    &command_cp,
    &command_diff,
    &command_export,
    &command_commit,
    &command_logs,
    &command_inspect,
    &command_port,
    &command_events,
    &command_pull,
    &command_images,
    &command_rmi,
    &command_tag,
    &command_load,
    &command_save,
    &command_import,
    &command_image,
    &command_volume,
    &command_snapshot,
    &command_clone,
    &command_export_box,
    &command_import_box,
    &command_system,
    &command_doctor,
    &command_info,
    &command_version,
    &command_completion,
    &command_help,
    NULL,
};
/* clang-format on */

const struct refused_command cli_refused_commands[] = {
    {"build", "build the image elsewhere, then 'boxlet load' or 'boxlet import'"},
    {"builder", NULL},
    {"buildx", NULL},
    {"compose", NULL},
    {"container", "use the command without 'container'"},
    {"context", NULL},
    {"history", NULL},
    {"login", "credentials are read from ~/.docker/config.json and its credential helpers"},
    {"logout", "credentials are read from ~/.docker/config.json and its credential helpers"},
    {"network", "every box has a network of its own; see -p and --network of 'boxlet run'"},
    {"push", NULL},
    {"search", NULL},
    {"swarm", NULL},
    {NULL, NULL},
};

const struct command *cli_find_command(const struct command *const *commands, const char *name)
{
        for (; *commands != NULL; commands++) {
                if (strcmp((*commands)->name, name) == 0)
                        return *commands;
                if ((*commands)->alias != NULL && strcmp((*commands)->alias, name) == 0)
                        return *commands;
        }
        return NULL;
}
