/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_DISKS_H
#define MONITOR_DISKS_H

#include "base/error.h"
#include "base/json.h"
#include "monitor/config.h"

/*
 * Disks with a name: the starter opened and locked them (flock on the open file description), and they came
 * to us as descriptors. As long as one of us or of the machine's processes has it open, no other box gets it.
 */

/* Takes the descriptors over: they are not inherited by accident from now on. */
int disks_adopt(const struct config *config, struct error *err);
/* Lets go of them: the volumes are free as soon as the machine is gone too. */
void disks_release(struct config *config);

/* Whether the machine may write to one, so that it must be left clean. */
bool disks_writable(const struct config *config);

/* `disks` of the boot request; the first of them is device number `first` (0: vda). NULL when out of memory.
 */
json_t *disks_request(const struct config *config, unsigned first);

#endif
