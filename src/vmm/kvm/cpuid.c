/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID. KVM's supported set is the host's processor as far as KVM can give it; some of it describes the
 * host's own shape, and is replaced by the machine's: one package, each processor a core of its own.
 *
 * Leaves that we write (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux'
 * Documentation/virt/kvm/x86/cpuid.rst):
 *   1            APIC id, number of processors, hypervisor (without it the guest asks for no kvmclock), TSC
 * deadline 4, 8000001D  who shares a cache: nobody the first two levels, all the last 6            the local
 * APIC's timer never stops (ARAT); nothing of frequencies and heat A            no performance counters: the
 * guest's kernel has none B            the levels: one thread a core, all cores in the package (1F, its
 * successor, is left out) 15           the TSC's frequency 80000008, 8000001E   AMD's words for the package
 *   40000010     the TSC's and the local APIC timer's frequency, as hypervisors have it
 *
 * Invariant: never more than CPUID_ENTRIES_MAX entries; what does not fit any more is left out.
 */
#include "vmm/kvm/cpuid.h"

#include <stddef.h>
#include <string.h>

#define LEAF1_ECX_TSC_DEADLINE (1U << 24)
#define LEAF1_ECX_HYPERVISOR   (1U << 31)
#define LEAF1_EDX_HTT          (1U << 28)
#define LEAF6_EAX_ARAT         (1U << 2)

#define KVM_LEAF_BASE   0x40000000U
#define KVM_LEAF_TIMING 0x40000010U
#define APIC_BUS_KHZ    1000000U /* KVM's local APIC timer counts nanoseconds */
#define CRYSTAL_HZ      1000000U

_Static_assert(offsetof(struct cpuid_table, entries) == offsetof(struct kvm_cpuid2, entries),
               "as KVM reads it");

static unsigned bits_for(unsigned count)
{
        unsigned bits = 0;
        while ((1U << bits) < count)
                bits++;
        return bits;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *t, uint32_t leaf, uint32_t index)
{
        for (uint32_t i = 0; i < t->count && i < CPUID_ENTRIES_MAX; i++) {
                struct kvm_cpuid_entry2 *e = &t->entries[i];
                if (e->function == leaf &&
                    (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
                        return e;
        }
        return NULL;
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *table, uint32_t leaf, uint32_t index)
{
        return find((struct cpuid_table *)table, leaf, index);
}

static void drop(struct cpuid_table *t, uint32_t leaf)
{
        uint32_t kept = 0;
        for (uint32_t i = 0; i < t->count; i++) {
                if (t->entries[i].function != leaf)
                        t->entries[kept++] = t->entries[i];
        }
        t->count = kept;
}

/* Replaces the entry, or adds it. */
static void put(struct cpuid_table *t, const struct kvm_cpuid_entry2 *entry)
{
        struct kvm_cpuid_entry2 *e = find(t, entry->function, entry->index);
        if (e == NULL && t->count < CPUID_ENTRIES_MAX)
                e = &t->entries[t->count++];
        if (e != NULL)
                *e = *entry;
}

static void fill_basic(struct cpuid_table *t, const struct cpuid_options *o)
{
        struct kvm_cpuid_entry2 *e = find(t, 1, 0);
        if (e != NULL) {
                e->ebx = (e->ebx & 0xff00U) | o->cpu << 24 | (1U << bits_for(o->cpus)) << 16;
                e->ecx |= LEAF1_ECX_HYPERVISOR;
                e->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
                if (o->tsc_deadline)
                        e->ecx |= LEAF1_ECX_TSC_DEADLINE;
                e->edx &= ~LEAF1_EDX_HTT;
                if (o->cpus > 1)
                        e->edx |= LEAF1_EDX_HTT;
        }
        if ((e = find(t, 6, 0)) != NULL) {
                e->eax = LEAF6_EAX_ARAT;
                e->ebx = e->ecx = e->edx = 0;
        }
        if ((e = find(t, 0xa, 0)) != NULL)
                e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Bits 25:14 of EAX: one less than the ids that share this cache; on Intel 31:26, than the cores. */
static void fill_caches(struct cpuid_table *t, const struct cpuid_options *o)
{
        uint32_t ids = (1U << bits_for(o->cpus)) - 1;
        for (uint32_t i = 0; i < t->count; i++) {
                struct kvm_cpuid_entry2 *e = &t->entries[i];
                if ((e->function != 4 && e->function != 0x8000001d) || (e->eax & 31) == 0)
                        continue;
                uint32_t level = e->eax >> 5 & 7;
                e->eax &= 0x3fffU;
                e->eax |= (level >= 3 ? ids : 0) << 14;
                if (e->function == 4)
                        e->eax |= ids << 26;
        }
}

static void fill_topology(struct cpuid_table *t, const struct cpuid_options *o)
{
        const struct kvm_cpuid_entry2 *highest = find(t, 0, 0);
        drop(t, 0xb);
        drop(t, 0x1f);
        if (highest == NULL || highest->eax < 0xb)
                return;
        struct kvm_cpuid_entry2 thread = {.function = 0xb,
                                          .index = 0,
                                          .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                          .eax = 0,
                                          .ebx = 1,
                                          .ecx = 1U << 8,
                                          .edx = o->cpu};
        struct kvm_cpuid_entry2 core = {.function = 0xb,
                                        .index = 1,
                                        .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                        .eax = bits_for(o->cpus),
                                        .ebx = o->cpus,
                                        .ecx = 2U << 8 | 1,
                                        .edx = o->cpu};
        put(t, &thread);
        put(t, &core);
}

static void fill_amd(struct cpuid_table *t, const struct cpuid_options *o)
{
        struct kvm_cpuid_entry2 *e = find(t, 0x80000008, 0);
        const struct kvm_cpuid_entry2 *vendor = find(t, 0, 0);
        if (vendor == NULL || vendor->ecx != 0x444d4163) /* "cAMD" of AuthenticAMD */
                return;
        if (e != NULL)
                e->ecx = bits_for(o->cpus) << 12 | (o->cpus - 1);
        if ((e = find(t, 0x8000001e, 0)) != NULL) {
                e->eax = o->cpu;
                e->ebx = o->cpu & 0xff; /* a core of its own, with one thread */
                e->ecx = 0;
        }
}

static void fill_frequencies(struct cpuid_table *t, const struct cpuid_options *o)
{
        struct kvm_cpuid_entry2 *base = find(t, KVM_LEAF_BASE, 0);
        const struct kvm_cpuid_entry2 *highest = find(t, 0, 0);
        drop(t, 0x15);
        drop(t, 0x16);
        if (o->tsc_khz == 0)
                return;
        if (highest != NULL && highest->eax >= 0x15) {
                /* frequency = crystal * ebx / eax */
                struct kvm_cpuid_entry2 tsc = {.function = 0x15,
                                               .eax = 1000,
                                               .ebx = o->tsc_khz,
                                               .ecx = CRYSTAL_HZ};
                put(t, &tsc);
        }
        if (base != NULL) {
                if (base->eax < KVM_LEAF_TIMING)
                        base->eax = KVM_LEAF_TIMING;
                struct kvm_cpuid_entry2 timing = {.function = KVM_LEAF_TIMING,
                                                  .eax = o->tsc_khz,
                                                  .ebx = APIC_BUS_KHZ};
                put(t, &timing);
        }
}

void cpuid_fill(struct cpuid_table *table, const struct cpuid_options *options)
{
        if (table->count > CPUID_ENTRIES_MAX)
                table->count = CPUID_ENTRIES_MAX;
        fill_basic(table, options);
        fill_caches(table, options);
        fill_topology(table, options);
        fill_amd(table, options);
        fill_frequencies(table, options);
}
