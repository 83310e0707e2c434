/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_REMAINS_H
#define MONITOR_REMAINS_H

/* What may be left when the machine has ended. */

/* Ends and reaps children that became ours: QEMU is boxlet-vmm's child, and ours when that was killed. */
void remains_reap(void);

/* Removes the folder box_fd, which must still be the one called name beside it. 0 or -errno. */
int remains_remove_folder(int box_fd, const char *name);

#endif
