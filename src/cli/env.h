/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ENV_H
#define CLI_ENV_H

#include "base/error.h"
#include "cli/text.h"

#include <stdbool.h>
#include <stddef.h>

/* The environment given by --env-host (first), --env-file and -e (each over what is before it), or with
 * .labels the labels given by --label-file and --label. strings is NULL-terminated; each "NAME=value" or, to
 * take a variable away, "NAME"; no name twice. */
struct env {
        char **strings;
        size_t count;
        bool labels; /* "NAME" alone is "NAME=" */
};

/* The caller's own environment, but what is no UTF-8 text. */
int env_add_host(struct env *env, struct error *err);

/* "NAME=value", or "NAME" for the caller's own value. */
int env_add(struct env *env, const char *text, struct error *err);

/* The text of a file of such lines; what names it in messages. The text is changed while it is read. */
int env_add_lines(struct env *env, char *text, size_t size, const char *what, struct error *err);

/* Files ("-" is stdin), then assignments. */
int env_fill(struct env *env, const struct text_list *files, const struct text_list *assignments,
             struct error *err);
void env_done(struct env *env);

#endif
