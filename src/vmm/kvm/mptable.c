/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout: the floating pointer (16 bytes, found by its signature), then the configuration table: header (44),
 * one entry a processor (20), and of 8 bytes each the ISA bus, the IOAPIC, an entry for each of its lines,
 * and the two local interrupts. Line n is ISA's IRQ n and goes to pin n; ISA's lines are edge-triggered,
 * which is how an irqfd without resampling works. All sums over the bytes of a structure are 0.
 */
#include "vmm/kvm/mptable.h"

#include "vmm/kvm/layout.h"

#include <errno.h>
#include <string.h>

#define SPEC_REVISION   4 /* 1.4 */
#define APIC_VERSION    0x14
#define ISA_BUS         0
#define DESTINATION_ALL 0xff

struct floating_pointer {
        char signature[4]; /* "_MP_" */
        uint32_t table;
        uint8_t length; /* in 16 bytes */
        uint8_t revision;
        uint8_t checksum;
        uint8_t features[5];
};

struct table_header {
        char signature[4]; /* "PCMP" */
        uint16_t length;
        uint8_t revision;
        uint8_t checksum;
        char oem[8];
        char product[12];
        uint32_t oem_table;
        uint16_t oem_size;
        uint16_t entries;
        uint32_t lapic;
        uint32_t reserved;
};

struct processor_entry {
        uint8_t type; /* 0 */
        uint8_t apic_id;
        uint8_t apic_version;
        uint8_t flags; /* 1 enabled, 2 the one that boots */
        uint32_t signature;
        uint32_t features;
        uint32_t reserved[2];
};

struct bus_entry {
        uint8_t type; /* 1 */
        uint8_t id;
        char name[6];
};

struct ioapic_entry {
        uint8_t type; /* 2 */
        uint8_t id;
        uint8_t version;
        uint8_t flags; /* 1 enabled */
        uint32_t address;
};

struct interrupt_entry {
        uint8_t type; /* 3 to a pin of an IOAPIC, 4 to one of each local APIC */
        uint8_t kind; /* 0 INT, 1 NMI, 3 ExtINT */
        uint16_t flags;
        uint8_t bus;
        uint8_t irq;
        uint8_t apic;
        uint8_t pin;
};
_Static_assert(sizeof(struct floating_pointer) == 16, "MP specification, table 4-1");
_Static_assert(sizeof(struct table_header) == 44, "MP specification, table 4-2");
_Static_assert(sizeof(struct processor_entry) == 20, "MP specification, table 4-4");
_Static_assert(sizeof(struct bus_entry) == 8, "MP specification, table 4-8");
_Static_assert(sizeof(struct ioapic_entry) == 8, "MP specification, table 4-10");
_Static_assert(sizeof(struct interrupt_entry) == 8, "MP specification, table 4-11");

static uint8_t checksum(const void *bytes, size_t size)
{
        unsigned sum = 0;
        for (size_t i = 0; i < size; i++)
                sum += ((const uint8_t *)bytes)[i];
        return (uint8_t)(0U - sum);
}

static uint8_t *put(uint8_t *to, const void *entry, size_t size)
{
        memcpy(to, entry, size);
        return to + size;
}

static uint8_t *put_processors(uint8_t *p, unsigned cpus)
{
        for (unsigned i = 0; i < cpus; i++) {
                struct processor_entry e = {.type = 0,
                                            .apic_id = (uint8_t)i,
                                            .apic_version = APIC_VERSION,
                                            .flags = i == 0 ? 3 : 1,
                                            .signature = 0x600, /* a P6 */
                                            .features = 0x201}; /* with FPU and APIC */
                p = put(p, &e, sizeof(e));
        }
        return p;
}

static uint8_t *put_interrupts(uint8_t *p, uint8_t ioapic)
{
        for (unsigned i = 0; i < LAYOUT_IRQS; i++) {
                struct interrupt_entry e = {
                    .type = 3, .bus = ISA_BUS, .irq = (uint8_t)i, .apic = ioapic, .pin = (uint8_t)i};
                p = put(p, &e, sizeof(e));
        }
        struct interrupt_entry external = {.type = 4, .kind = 3, .apic = 0, .pin = 0};
        struct interrupt_entry nmi = {.type = 4, .kind = 1, .apic = DESTINATION_ALL, .pin = 1};
        p = put(p, &external, sizeof(external));
        return put(p, &nmi, sizeof(nmi));
}

int mptable_build(void *bytes, size_t size, uint32_t gpa, unsigned cpus)
{
        if (cpus == 0 || cpus > 254) /* the ids below 255 are the processors' and the IOAPIC's */
                return -EINVAL;
        size_t entries = cpus + 2 + LAYOUT_IRQS + 2;
        size_t length = sizeof(struct table_header) + cpus * sizeof(struct processor_entry) +
                        (entries - cpus) * sizeof(struct interrupt_entry);
        if (size < sizeof(struct floating_pointer) + length)
                return -ENOSPC;
        struct floating_pointer pointer = {.signature = {'_', 'M', 'P', '_'},
                                           .table = gpa + (uint32_t)sizeof(pointer),
                                           .length = 1,
                                           .revision = SPEC_REVISION};
        struct table_header header = {.signature = {'P', 'C', 'M', 'P'},
                                      .length = (uint16_t)length,
                                      .revision = SPEC_REVISION,
                                      .oem = "BOXLET ",
                                      .product = "BOX        ",
                                      .entries = (uint16_t)entries,
                                      .lapic = LAYOUT_LAPIC};
        struct bus_entry isa = {.type = 1, .id = ISA_BUS, .name = {'I', 'S', 'A', ' ', ' ', ' '}};
        struct ioapic_entry ioapic = {
            .type = 2, .id = (uint8_t)cpus, .version = APIC_VERSION, .flags = 1, .address = LAYOUT_IOAPIC};
        pointer.checksum = checksum(&pointer, sizeof(pointer));
        uint8_t *table = put(bytes, &pointer, sizeof(pointer));
        uint8_t *p = put(table, &header, sizeof(header));
        p = put_processors(p, cpus);
        p = put(p, &isa, sizeof(isa));
        p = put(p, &ioapic, sizeof(ioapic));
        (void)put_interrupts(p, ioapic.id); /* ends at length, as counted above */
        table[offsetof(struct table_header, checksum)] = checksum(table, length);
        return (int)(sizeof(pointer) + length);
}
