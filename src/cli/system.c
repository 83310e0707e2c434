/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet system: commands about all boxes, and what they lie in. */
#include "cli/cli.h"

static const struct command *const subcommands[] = {
    &command_system_start_all,
    &command_system_stop_all,
    NULL,
};

const struct command command_system = {
    .name = "system",
    .summary = "Commands about all boxes at once",
    .subcommands = subcommands,
    .first = OPERAND_COMMAND,
};
