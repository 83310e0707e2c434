/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_WORDS_H
#define RUNTIME_WORDS_H

/* Words of the command line and of image configurations, read strictly. All pure functions. */
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "SIGTERM", "term", "15", "RTMIN+3" -> number. */
int words_signal(const char *text, int *ret_number, struct error *err);

/* Capabilities as a bit set. add and drop: names with or without CAP_, or ALL; NULL-terminated or NULL. */
#define WORDS_DEFAULT_CAPABILITIES 0xa80425fbULL
#define WORDS_ALL_CAPABILITIES     0x1ffffffffffULL /* of Linux 6.1 */
int words_capabilities(uint64_t base, const char *const *add, const char *const *drop, uint64_t *ret_set,
                       struct error *err);
/* {"CAP_CHOWN", ...}, in the order of their numbers; NULL when out of memory. */
json_t *words_capability_names(uint64_t set);

/* "name=soft[:hard]" -> {"type", "soft", "hard"} of the OCI runtime-spec. */
int words_ulimit(const char *text, json_t **ret_rlimit, struct error *err);

/* "/a//b/./c/../d/" -> "/a/b/d", in place; path is absolute. */
void words_clean_path(char *path);

/* "PATH[:options]" -> an OCI mount with docker's defaults. */
int words_tmpfs(const char *text, json_t **ret_mount, struct error *err);

/* Whether bytes are UTF-8 without control characters that no JSON reader takes; what: "environment", ... */
int words_check_utf8(const char *text, const char *what, struct error *err);

/* A name a box may have: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128. */
int words_check_name(const char *name, struct error *err);

/* A host name: labels of letters, digits and hyphens, at most 64 bytes in all. */
int words_check_hostname(const char *name, struct error *err);

/* "quiet_heron": from random, which may be anything. ret_name has room for WORDS_NAME_MAX. */
#define WORDS_NAME_MAX 48
void words_make_name(uint64_t random, char ret_name[WORDS_NAME_MAX]);

#endif
