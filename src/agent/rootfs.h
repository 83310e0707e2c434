/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_ROOTFS_H
#define AGENT_ROOTFS_H

#include "agent/boot_plan.h"

/* Mounts the image and the box's disk (or memory) as RUN/root, with the volumes in their places. */
int rootfs_mount(const struct boot_plan *plan, const char *run_folder, struct error *err);

/* Takes all of it apart so that the disk is clean; what is still busy is at least written out. */
void rootfs_unmount(const char *run_folder);

#endif
