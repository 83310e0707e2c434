/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_CHANGES_H
#define IMAGE_CHANGES_H

#include "base/error.h"
#include "base/json.h"

/*
 * Dockerfile instructions that change an image's configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,
 * STOPSIGNAL, USER, VOLUME, WORKDIR. config is the "config" object of the image-spec. Pure.
 */
int changes_apply(const char *instruction, json_t *config, struct error *err);

#endif
