/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_CPUID_H
#define VMM_KVM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

/* What a processor says of itself: what KVM supports here, with the parts that are ours to fill in. Pure. */

#define CPUID_ENTRIES_MAX 256

struct cpuid_table { /* as KVM reads it: struct kvm_cpuid2 with its entries */
        uint32_t count;
        uint32_t padding;
        struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

struct cpuid_options {
        unsigned cpu; /* its local APIC id */
        unsigned cpus;
        uint32_t tsc_khz; /* 0: not known */
        bool tsc_deadline;
};

/* table holds what KVM_GET_SUPPORTED_CPUID says. */
void cpuid_fill(struct cpuid_table *table, const struct cpuid_options *options);

const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *table, uint32_t leaf, uint32_t index);

#endif
