/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_COPY_H
#define RUNTIME_COPY_H

#include "base/error.h"
#include "wire/tar.h"

/* Writes a box's tar on to fd, entry by entry: names that would lead out are refused. top: what "." is
 * called, and what stands in front of the other names; "": nothing, and "." is left out. */
int copy_tar_on(struct tar_reader *reader, const char *top, int fd, struct error *err);

#endif
