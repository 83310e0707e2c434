/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_REPORT_H
#define VMM_KVM_REPORT_H

#include "vmm/kvm/ports.h"
#include "vmm/kvm/slot.h"
#include "vmm/kvm/vcpu.h"

/* Exits so far, by reason, device and port, as debug lines in the log. */
void report_exits(const char *moment, const struct vcpus *vcpus, struct slot *const *slots,
                  unsigned slot_count, const struct ports *ports);

#endif
