/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_VOLUME_H
#define AGENT_VOLUME_H

#include "base/error.h"

#include <stddef.h>

/* Puts the folder for `path` (made and filled from the image at first use) of volumes_fd over that path of
 * the root. */
int volume_mount(int root_fd, int volumes_fd, const char *path, struct error *err);

/* The name of path's folder: readable at its end, told apart by a hash. */
void volume_name(const char *path, char *ret_name, size_t size);

/* Makes the folder `name` (missing so far, or empty) of volumes_fd a copy of source_fd, all of it or nothing.
 */
int volume_fill(int source_fd, int volumes_fd, const char *name, struct error *err);

/* Copies what is in the folder source_fd into the empty folder target_fd: owners, modes, times, xattrs,
 * links. */
int volume_copy(int source_fd, int target_fd, struct error *err);

#endif
