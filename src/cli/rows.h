/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "base/json.h"

#include <stdbool.h>

/*
 * A box of boxlet_box_list() as a row of `ls`: an object with docker's names for the fields of --format, all
 * texts for a person (and Label, an object, for {{.Label "key"}}). whole: ids and commands are not shortened.
 * NULL: out of memory.
 */
json_t *rows_box(const json_t *box, bool whole);

/* What stands above them: an object with the same members. */
json_t *rows_box_headings(void);

/* "0.0.0.0:8080->80/tcp, 53/udp"; free() it. */
char *rows_ports(const json_t *ports);

#endif
