/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/cli.h"

/*
 * Has fn write to a descriptor: standard output (path NULL), a device or pipe of that path as it is, or a
 * file, which gets its name only when fn has returned 0. The exit code: fn's, or that of a failure here.
 */
int output_write(struct cli *cli, const char *path, int (*fn)(struct cli *cli, int fd, void *data),
                 void *data);

#endif
