/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_BOOT_H
#define VMM_KVM_BOOT_H

#include "base/error.h"
#include "vmm/kvm/load.h"
#include "vmm/kvm/ram.h"

#include <linux/kvm.h>

/* What the kernel finds in memory and in its first processor's registers. */

/* Writes the tables, boot_params or PVH's start information, the MP table, and the command line. */
int boot_write(struct ram *ram, const struct load *load, const char *command_line, unsigned cpus,
               struct error *err);

/* The registers of the first processor at the first instruction; sregs holds the reset values before. */
void boot_registers(const struct load *load, struct kvm_regs *ret_regs, struct kvm_sregs *sregs);

#endif
