/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_DISK_H
#define AGENT_DISK_H

#include "agent/boot_plan.h"
#include "base/error.h"

/* Disks with a name: each is mounted, filled from the image at first use, and then is
 * run_folder/volumes/NAME, from where the container's mounts take it. root_fd: the container's root, before
 * anything is mounted in it. */
int disk_mount_all(const struct boot_plan *plan, const char *run_folder, int root_fd, struct error *err);

/* Leaves them clean. */
void disk_unmount_all(const char *run_folder);

#endif
