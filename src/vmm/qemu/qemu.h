/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_QEMU_QEMU_H
#define VMM_QEMU_QEMU_H

#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/machine.h"
#include "vmm/virtio/device.h"

/* The machine that QEMU runs. config and the devices stay the caller's and must outlive it; fs is
 * NULL when nothing is shared, vsock in a machine that becomes a template. */
int qemu_machine_new(struct loop *loop, const struct config *config, struct device *vsock, struct device *fs,
                     const struct machine_events *events, struct machine **ret_machine);

#endif
