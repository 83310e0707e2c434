/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include "cli/cli.h"

/* Stops the boxes, several at once, and prints the names of those that are down; the exit code. shutdown: the
 * host goes down, so that those with a restart policy are to come back. */
int stop_boxes(struct cli *cli, const char *const *names, size_t count, int64_t timeout_ms, bool shutdown);

#endif
