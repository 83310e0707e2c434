/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_LOAD_H
#define VMM_KVM_LOAD_H

#include "base/error.h"
#include "vmm/kvm/ram.h"

#include <stdbool.h>
#include <stdint.h>

/* What was put into memory before the first instruction, and where the kernel begins. */
struct load {
        uint64_t entry;
        bool pvh; /* entry is PVH's (32-bit), not the 64-bit one */
        uint64_t kernel_end;
        uint64_t initrd;
        uint64_t initrd_bytes;
        uint64_t copied_bytes; /* the rest is mapped from the files */
};

/* Puts the kernel where it wants to be. -ENOEXEC: it is none that we can start. */
int load_kernel(struct ram *ram, int fd, struct load *load, struct error *err);

/* Puts the initramfs at the end of low memory. After load_kernel(). */
int load_initrd(struct ram *ram, int fd, struct load *load, struct error *err);

#endif
