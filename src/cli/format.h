/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "base/error.h"
#include "base/json.h"

#include <stdio.h>

/*
 * The part of docker's --format that is a path: "{{.State.Status}} {{json .Config.Env}}". A string is printed
 * as it is (made safe), everything else as JSON; a member that does not exist is an error. Anything else
 * between the braces is refused by format_check().
 */
int format_check(const char *format, struct error *err);
int format_print(FILE *file, const char *format, const json_t *json, struct error *err);

#endif
