/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "base/error.h"
#include "base/json.h"

#include <stdio.h>

/*
 * The part of docker's --format that is a path: "{{.State.Status}} {{json .Config.Env}} {{index
 * .Config.Labels "key"}}". A string is printed as it is (made safe), everything else as JSON; a member that
 * does not exist is an error, but for index ("{{.Label "key"}}" is the same), which prints nothing then.
 * Anything else between the braces is refused by format_check().
 */
int format_check(const char *format, struct error *err);
int format_print(FILE *file, const char *format, const json_t *json, struct error *err);

/*
 * The same for listings: "table", "json", "TEMPLATE" (a line for each row, \t and \n in it mean what they
 * say) and "table TEMPLATE" (with a heading, in columns). headings: an object with the rows' members. The
 * first two are not format_print_rows()'s.
 */
int format_check_row(const char *format, struct error *err);
int format_print_rows(FILE *file, const char *format, const json_t *headings, const json_t *rows,
                      struct error *err);

#endif
