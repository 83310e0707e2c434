/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_TAR_INPUT_H
#define RUNTIME_TAR_INPUT_H

#include "base/error.h"
#include "wire/pack.h"

/* Reads any tar, possibly compressed, from fd to its end, and sends it on as one of wire/tar.h. */
int tar_input_send(int fd, const struct pack_sink *sink, struct error *err);

#endif
