/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_COPY_H
#define RUNTIME_COPY_H

#include "base/error.h"
#include "wire/pack.h"
#include "wire/tar.h"

/* Writes a box's tar on, entry by entry: names that would lead out are refused. top: what "." is
 * called, and what stands in front of the other names; "": nothing, and "." is left out. */
int copy_tar_on(struct tar_reader *reader, const char *top, const struct pack_sink *sink, struct error *err);

/* Of a struct pack_sink whose data is an int *: a descriptor. */
int copy_to_fd(void *data, const void *bytes, size_t size, struct error *err);

#endif
