/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_LOAD_H
#define IMAGE_LOAD_H

#include "base/error.h"
#include "base/json.h"

/* The docker-archive's manifest.json: an array of at least one object. Pure. */
int docker_archive_parse(const char *text, size_t size, json_t **ret_list, struct error *err);

#endif
