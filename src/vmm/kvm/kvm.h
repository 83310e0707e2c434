/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/machine.h"
#include "vmm/virtio/device.h"

/* The machine of our own, on /dev/kvm. Front header of this folder. */

struct kvm_options {
        const struct config *config;   /* the caller's; must outlive the machine, its descriptors start() */
        struct device *const *devices; /* in this order on the guest's bus; theirs who made them */
        unsigned device_count;
        /* First thing that each vCPU's thread does, for its jail; may be NULL. Below 0 ends the machine. */
        int (*enter)(struct error *err);
};

int kvm_machine_new(struct loop *loop, const struct kvm_options *options, const struct machine_events *events,
                    struct machine **ret_machine);

#endif
