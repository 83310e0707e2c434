/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_DEVICES_H
#define VMM_DEVICES_H

#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/virtio/device.h"

/* All devices of a machine of engine kvm, from its configuration, in the order of the guest's bus. */
#define DEVICES_MAX (CONFIG_DISKS_MAX + 6)

struct devices;

struct devices_options {
        const struct config *config; /* the caller's, with its descriptors; must outlive the devices */
        struct device *vsock;        /* made elsewhere, as is fs (NULL: nothing is shared) */
        struct device *fs;
        /* First thing in a thread that reads and writes disks, if there are such; may be NULL. */
        int (*disk_thread)(void *data);
};

/* Everything is opened and made here, so that a jail may follow. */
int devices_new(struct loop *loop, const struct devices_options *options, struct devices **ret_devices,
                struct error *err);

/* Waits for what is under way. After the machine's end. */
void devices_free(struct devices *d);

struct device *const *devices_list(const struct devices *d, unsigned *ret_count);

/* The machine has ended: what its console said last is written now. */
void devices_end(struct devices *d);

#endif
