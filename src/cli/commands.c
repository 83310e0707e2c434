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
    {"artifact", NULL},
    {"auto-update", "pull the image and make the box anew"},
    {"bake", "run them in a box with --support-docker"},
    {"build", "build the image elsewhere, then 'boxlet load' or 'boxlet import'"},
    {"builder", "run them in a box with --support-docker"},
    {"buildx", "run them in a box with --support-docker"},
    {"checkpoint", "see 'boxlet snapshot', which keeps the disk"},
    {"compose", "run it in a box with --support-docker"},
    {"config", NULL},
    {"container", "use the command without 'container'"},
    {"context", "boxes run on this host"},
    {"farm", NULL},
    {"generate", "see 'boxlet system start-all' and docs/reboot.md for boxes that start with the host"},
    {"healthcheck", "the box's monitor runs it; see 'boxlet inspect'"},
    {"history", "see 'boxlet image inspect'"},
    {"init", "see 'boxlet create'"},
    {"kube", "see 'boxlet system start-all' and docs/reboot.md for boxes that start with the host"},
    {"login", "credentials are read from ~/.docker/config.json and its credential helpers"},
    {"logout", "credentials are read from ~/.docker/config.json and its credential helpers"},
    {"machine", "boxes run on this host"},
    {"manifest", NULL},
    {"mount", "use 'boxlet cp' or 'boxlet export'"},
    {"network", "every box has a network of its own; see -p and --network of 'boxlet run'"},
    {"node", NULL},
    {"play", "see 'boxlet system start-all' and docs/reboot.md for boxes that start with the host"},
    {"plugin", NULL},
    {"pod", "a box is a machine of its own"},
    {"push", "use 'boxlet save' and skopeo"},
    {"quadlet", "see 'boxlet system start-all' and docs/reboot.md for boxes that start with the host"},
    {"search", NULL},
    {"secret", NULL},
    {"service", NULL},
    {"stack", "run it in a box with --support-docker"},
    {"swarm", NULL},
    {"trust", NULL},
    {"umount", "use 'boxlet cp' or 'boxlet export'"},
    {"unmount", "use 'boxlet cp' or 'boxlet export'"},
    {"unshare", "boxlet needs no user namespace of its own"},
    {"untag", "use 'boxlet rmi NAME', which removes a name"},
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
