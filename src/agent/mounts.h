/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_MOUNTS_H
#define AGENT_MOUNTS_H

#include "agent/spec.h"
#include "base/error.h"

#include <stdbool.h>

/*
 * What a container sees of the file system, made in its own mount namespace by its own first process. Paths
 * inside the container are resolved under root_fd, so that no link of an image leads out of it.
 */

/* Makes every mount private and root a mount point of its own; *ret_root_fd is an O_PATH descriptor of it. */
int mounts_begin(const char *root, int *ret_root_fd, struct error *err);

/* The mounts of the plan; then hosts, hostname and resolv.conf of the folder `files` where the plan has none.
 */
int mounts_carry_out(int root_fd, const struct container_plan *plan, const char *files, struct error *err);

/* Device files and links in /dev: the usual ones and the plan's. */
int mounts_make_devices(int root_fd, const struct container_plan *plan, struct error *err);

/* Binds the terminal pts_number of the container's own devpts to /dev/console. */
int mounts_make_console(int root_fd, unsigned pts_number, struct error *err);

/* The container's root becomes "/" and the old one is gone; then read-only and masked paths, and the root
 * itself. */
int mounts_finish(int root_fd, const struct container_plan *plan, struct error *err);

/* Opens (O_PATH) a folder or a file inside the root, making what is missing. */
int mounts_open_target(int root_fd, const char *path, bool folder);

#endif
