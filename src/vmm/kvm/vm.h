/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_VM_H
#define VMM_KVM_VM_H

#include "base/error.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/ram.h"

#include <stdbool.h>
#include <stdint.h>

/* A virtual machine of /dev/kvm: its descriptor, memory, interrupt chips, and what is common to its vCPUs. */
struct vm {
        int kvm_fd; /* the caller's */
        int fd;
        size_t run_size; /* of a vCPU's shared page(s) */
        bool tsc_deadline;
        uint32_t slots;
        struct cpuid_table supported;
};

/* kvm_fd is an open /dev/kvm. -EOPNOTSUPP: this KVM lacks something, and err says what. */
int vm_init(struct vm *vm, int kvm_fd, struct error *err);
void vm_done(struct vm *vm);

/* Makes all of ram the guest's. It must outlive vm. */
int vm_add_ram(struct vm *vm, const struct ram *ram, struct error *err);

/* A write of the value `match`, 4 bytes wide, to gpa signals fd and does not come to us. */
int vm_add_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t match, int fd, struct error *err);

/* Signalling fd raises the interrupt line once. */
int vm_add_irqfd(struct vm *vm, unsigned line, int fd, struct error *err);

#endif
