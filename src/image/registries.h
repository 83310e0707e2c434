/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_REGISTRIES_H
#define IMAGE_REGISTRIES_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* The registries file, docs/registries.md: where registries are and how to talk with them. */
struct registries {
        json_t *json; /* its "registries", an object by host; or NULL */
        int64_t connect_timeout_s;
        int64_t stall_timeout_s;
        int64_t retries;
        int64_t retry_delay_ms;
        int64_t parallel;
        int64_t unpack_ratio;
};

/* path NULL, or no such file: the defaults. */
int registries_read(const char *path, struct registries *ret, struct error *err);
int registries_parse(const char *text, size_t size, struct registries *ret, struct error *err);
void registries_done(struct registries *r);

/* What is said of one host ("docker.io", "localhost:5000"); false and NULL where nothing is. */
bool registries_plain_http(const struct registries *r, const char *host);
const char *registries_ca_file(const struct registries *r, const char *host);
size_t registries_mirror_count(const struct registries *r, const char *host);
const char *registries_mirror(const struct registries *r, const char *host, size_t i);

#endif
