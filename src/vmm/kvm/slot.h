/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_SLOT_H
#define VMM_KVM_SLOT_H

#include "base/loop.h"
#include "vmm/kvm/relay.h"
#include "vmm/kvm/vm.h"
#include "vmm/virtio/device.h"

/*
 * A place for a device in the machine's address space: one page of registers at LAYOUT_DEVICES, one interrupt
 * line, an ioeventfd for each queue.
 */
struct slot;

/* Puts device into the index-th place. device, vm and relay must outlive the slot. */
int slot_new(struct loop *loop, struct vm *vm, struct relay *relay, const struct memory *memory,
             unsigned index, struct device *device, struct slot **ret_slot, struct error *err);

/* When no vCPU runs any more. */
void slot_free(struct slot *s);

/* The guest's access to its page; from any vCPU's thread. */
void slot_access(struct slot *s, bool write, uint32_t offset, void *bytes, size_t size);

/* "blk", "net", ... and how many accesses there were. */
const char *slot_name(const struct slot *s);
uint32_t slot_accesses(const struct slot *s);

#endif
