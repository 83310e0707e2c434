/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_EXITS_H
#define VMM_KVM_EXITS_H

#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

/* KVM's exits in words, for people who have to find out what happened. */

#define EXITS_REASONS_MAX 64

/* "I/O port", "MMIO", ...; "unknown" for what this header's kernel did not have. */
const char *exits_name(uint32_t reason);

/* Why KVM gave up, from the fields of run that belong to its reason. One line. */
void exits_describe(const struct kvm_run *run, char *text, size_t size);

/* The registers that tell where a processor was. One line. */
void exits_registers(const struct kvm_regs *regs, const struct kvm_sregs *sregs, char *text, size_t size);

#endif
