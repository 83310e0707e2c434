/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot data from extreme configurations. Input:
 *
 *     0..7    memory in bytes           8..15   initramfs' address
 *     16..23  its size                  24..25  CPUs
 *     26      bit 0 PVH, bit 1 debug console, bit 2 TSC deadline
 *     27      devices                   28..29  size of the table to build on its own
 *     30..    the caller's kernel arguments
 *
 * Nothing may be written outside of its place; the tables must add up.
 */
#include "vmm/kvm/arguments.h"
#include "vmm/kvm/boot.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/mptable.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 30

static void require(bool truth)
{
        if (!truth)
                abort();
}

static void check_table(const uint8_t *data)
{
        size_t room = data[28] | (size_t)data[29] << 8;
        unsigned cpus = data[24] | (unsigned)data[25] << 8;
        uint8_t sum = 0, *bytes = malloc(room > 0 ? room : 1); /* of the exact size: a step beyond is seen */
        require(bytes != NULL);
        int n = mptable_build(bytes, room, LAYOUT_MPTABLE, cpus);
        require(n < 0 || (size_t)n <= room);
        for (int i = 0; i < n; i++)
                sum = (uint8_t)(sum + bytes[i]);
        require(sum == 0);
        free(bytes);
}

static void check_cpuid(const uint8_t *data, size_t size)
{
        static struct cpuid_table t;
        struct cpuid_options o = {.cpu = data[24],
                                  .cpus = data[25] % LAYOUT_CPUS_MAX + 1,
                                  .tsc_khz = data[0] * 1000U};
        memset(&t, 0, sizeof(t));
        memcpy(&t, data, size < sizeof(t) ? size : sizeof(t));
        cpuid_fill(&t, &o);
        require(t.count <= CPUID_ENTRIES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct ram ram;
        struct load load = {.entry = 0x1000000};
        uint64_t memory;
        if (size < HEAD)
                return 0;
        memcpy(&memory, data, 8);
        memcpy(&load.initrd, data + 8, 8);
        memcpy(&load.initrd_bytes, data + 16, 8);
        load.pvh = data[26] & 1;
        check_table(data);
        check_cpuid(data, size);
        char *own = strndup((const char *)data + HEAD, size - HEAD);
        struct arguments a = {.devices = data[27] % (LAYOUT_DEVICES_MAX + 1),
                              .debug_console = data[26] & 2,
                              .tsc_deadline = data[26] & 4,
                              .own = own};
        char *line = arguments_make(&a);
        require(own != NULL && line != NULL);
        if (ram_init(&ram, memory, NULL) == 0) {
                struct kvm_regs regs;
                struct kvm_sregs sregs = {.cr0 = 0};
                require(ram.low_bytes + ram.high_bytes == memory && ram.low_bytes <= LAYOUT_HOLE);
                int r = boot_write(&ram, &load, line, data[24], NULL);
                require(r < 0 || strlen(line) < LAYOUT_COMMAND_LINE_MAX);
                boot_registers(&load, &regs, &sregs);
                const uint8_t *video =
                    memory_translate(&ram.memory, LAYOUT_MPTABLE + LAYOUT_MPTABLE_SIZE, 4096);
                for (unsigned i = 0; i < 4096; i++)
                        require(video[i] == 0);
                ram_done(&ram);
        }
        free(line);
        free(own);
        return 0;
}
