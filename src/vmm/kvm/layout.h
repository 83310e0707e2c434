/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_LAYOUT_H
#define VMM_KVM_LAYOUT_H

/*
 * Where everything lies in the guest's physical address space (docs/machine.md has it as a table).
 *
 *     0x0000_0500   GDT for the entry                       written before the first instruction, then the
 *     0x0000_6000   PVH start information                   kernel's to reuse; it copies what it keeps
 *     0x0000_7000   boot_params ("zero page")
 *     0x0000_9000   page tables: PML4, PDPT, one PD         the first GiB, by 2 MiB pages
 *     0x0002_0000   command line
 *     0x0009_fc00   MP table, in the last KiB below 640 KiB (the kernel looks there), reserved in the map
 *     0x0010_0000   memory; the kernel at its own addresses, the initramfs at the end of low memory
 *     0xc000_0000   hole: devices from 0xd000_0000, one page each; IOAPIC, local APIC, KVM's own pages
 *     0x1_0000_0000 the rest of memory
 */
#include <stdint.h>

#define LAYOUT_GDT          0x500U
#define LAYOUT_PVH_INFO     0x6000U
#define LAYOUT_BOOT_PARAMS  0x7000U
#define LAYOUT_BOOT_STACK   0x8ff0U
#define LAYOUT_PML4         0x9000U
#define LAYOUT_PDPT         0xa000U
#define LAYOUT_PD           0xb000U
#define LAYOUT_COMMAND_LINE 0x20000U
#define LAYOUT_MPTABLE      0x9fc00U
#define LAYOUT_MPTABLE_SIZE 0x400U
#define LAYOUT_HIGH_MEMORY  0x100000U /* what the kernel may lie at, and above */

#define LAYOUT_HOLE     UINT64_C(0xc0000000)
#define LAYOUT_HOLE_END UINT64_C(0x100000000)
#define LAYOUT_DEVICES  0xd0000000U /* virtio-mmio blocks, 4 KiB each */
#define LAYOUT_IOAPIC   0xfec00000U
#define LAYOUT_LAPIC    0xfee00000U
#define LAYOUT_IDENTITY 0xfffbc000U /* KVM's, on Intel: one page for real mode, three for the TSS */
#define LAYOUT_TSS      0xfffbd000U

#define LAYOUT_PAGE       0x1000U
#define LAYOUT_HUGE_PAGE  0x200000U
#define LAYOUT_MEMORY_MAX (UINT64_C(64) << 30)
#define LAYOUT_CPUS_MAX   32U

/* The kernel takes 2048 bytes with the NUL (COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h). */
#define LAYOUT_COMMAND_LINE_MAX 2048U

/* Interrupt lines of the IOAPIC. Those below 5 are the timer's, the cascade's and the serial port's. */
#define LAYOUT_IRQS        24U
#define LAYOUT_IRQ_SERIAL  4U
#define LAYOUT_IRQ_FIRST   5U
#define LAYOUT_DEVICES_MAX 32U

/* The line of the n-th device; with more than 19 of them some share one, which virtio's drivers are made for.
 */
#define LAYOUT_IRQ(n) (LAYOUT_IRQ_FIRST + (n) % (LAYOUT_IRQS - LAYOUT_IRQ_FIRST))

/* Ports. All others read as all ones and take no writes. */
#define LAYOUT_PORT_I8042_DATA   0x60U
#define LAYOUT_PORT_I8042_STATUS 0x64U /* 0xfe written: reset, which is what reboot=k does */
#define LAYOUT_PORT_EXIT         0xf4U /* one byte: the machine ends, and says this byte */
#define LAYOUT_PORT_BOOT_TIMER   0xf5U /* one byte: the moment is noted under this byte */
#define LAYOUT_PORT_SERIAL       0x3f8U

#endif
