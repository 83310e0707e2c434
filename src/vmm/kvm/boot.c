/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ways into a kernel.
 *
 * 64-bit (Documentation/x86/boot.rst, "64-bit boot protocol"): paging is on with the first GiB mapped to
 * itself, %rsi points to boot_params, which name the command line, the initramfs and the memory map (e820).
 *
 * PVH (Documentation/x86/xen-pvh, "x86/HVM direct boot ABI"): 32-bit protected mode without paging, %ebx
 * points to the start information with the same contents in another form.
 *
 * Invariant: all that is written here lies below 1 MiB, where the kernel (elf.c) and the initramfs (load.c)
 * are not, and each thing in its own place of layout.h.
 */
#include "vmm/kvm/boot.h"

#include "vmm/kvm/layout.h"
#include "vmm/kvm/mptable.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#define E820_USABLE   1
#define E820_RESERVED 2
#define E820_MAX      5

#define LOADER_UNDEFINED 0xff /* boot.rst: type_of_loader of a loader without a number */
#define BOOT_FLAG        0xaa55
#define HEADER_MAGIC     0x53726448 /* "HdrS" */
#define BOOT_PROTOCOL    0x020c

#define PTE_PRESENT  1ULL
#define PTE_WRITABLE 2ULL
#define PTE_HUGE     0x80ULL

#define CR0_PE   1U
#define CR0_MP   2U
#define CR0_ET   0x10U
#define CR0_NE   0x20U
#define CR0_WP   0x10000U
#define CR0_AM   0x40000U
#define CR0_PG   0x80000000U
#define CR4_PAE  0x20U
#define EFER_LME 0x100U
#define EFER_LMA 0x400U

/* Selectors, as boot.rst wants them: __BOOT_CS 0x10, __BOOT_DS 0x18. */
enum { GDT_CODE = 2, GDT_DATA = 3, GDT_TASK = 4, GDT_ENTRIES = 5 };

/* Xen's public/arch-x86/hvm/start_info.h, version 1. */
#define PVH_MAGIC 0x336ec578U
struct pvh_start {
        uint32_t magic;
        uint32_t version;
        uint32_t flags;
        uint32_t modules;
        uint64_t module_list;
        uint64_t command_line;
        uint64_t rsdp;
        uint64_t map;
        uint32_t map_entries;
        uint32_t reserved;
};
struct pvh_module {
        uint64_t gpa;
        uint64_t bytes;
        uint64_t command_line;
        uint64_t reserved;
};
struct pvh_map_entry {
        uint64_t gpa;
        uint64_t bytes;
        uint32_t type;
        uint32_t reserved;
};
struct pvh_info {
        struct pvh_start start;
        struct pvh_module initrd;
        struct pvh_map_entry map[E820_MAX];
};
_Static_assert(sizeof(struct pvh_start) == 56, "hvm_start_info");
_Static_assert(sizeof(struct pvh_module) == 32, "hvm_modlist_entry");
_Static_assert(sizeof(struct pvh_map_entry) == 24, "hvm_memmap_table_entry");
_Static_assert(sizeof(struct boot_params) == 4096, "boot.rst: the zero page");

static unsigned make_map(const struct ram *ram, struct boot_e820_entry map[E820_MAX])
{
        unsigned n = 0;
        map[n++] = (struct boot_e820_entry){0, LAYOUT_MPTABLE, E820_USABLE};
        map[n++] =
            (struct boot_e820_entry){LAYOUT_MPTABLE, LAYOUT_HIGH_MEMORY - LAYOUT_MPTABLE, E820_RESERVED};
        map[n++] =
            (struct boot_e820_entry){LAYOUT_HIGH_MEMORY, ram->low_bytes - LAYOUT_HIGH_MEMORY, E820_USABLE};
        if (ram->high_bytes > 0)
                map[n++] = (struct boot_e820_entry){LAYOUT_HOLE_END, ram->high_bytes, E820_USABLE};
        return n;
}

static int write_params(struct ram *ram, const struct load *load, size_t command_line_size)
{
        struct boot_params *p = memory_translate(&ram->memory, LAYOUT_BOOT_PARAMS, sizeof(*p));
        if (p == NULL)
                return -EFAULT;
        p->hdr.boot_flag = BOOT_FLAG;
        p->hdr.header = HEADER_MAGIC;
        p->hdr.version = BOOT_PROTOCOL;
        p->hdr.type_of_loader = LOADER_UNDEFINED;
        p->hdr.loadflags = LOADED_HIGH;
        p->hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
        p->hdr.cmdline_size = (uint32_t)command_line_size;
        p->hdr.ramdisk_image = (uint32_t)load->initrd; /* below the hole, so below 4 GiB */
        p->hdr.ramdisk_size = (uint32_t)load->initrd_bytes;
        p->e820_entries = (uint8_t)make_map(ram, p->e820_table);
        return 0;
}

static int write_pvh(struct ram *ram, const struct load *load)
{
        struct boot_e820_entry map[E820_MAX];
        struct pvh_info info = {.start = {.magic = PVH_MAGIC,
                                          .version = 1,
                                          .command_line = LAYOUT_COMMAND_LINE,
                                          .modules = load->initrd_bytes > 0 ? 1 : 0,
                                          .module_list = LAYOUT_PVH_INFO + offsetof(struct pvh_info, initrd),
                                          .map = LAYOUT_PVH_INFO + offsetof(struct pvh_info, map)},
                                .initrd = {.gpa = load->initrd, .bytes = load->initrd_bytes}};
        info.start.map_entries = make_map(ram, map);
        for (unsigned i = 0; i < info.start.map_entries; i++)
                info.map[i] =
                    (struct pvh_map_entry){.gpa = map[i].addr, .bytes = map[i].size, .type = map[i].type};
        return ram_write(ram, LAYOUT_PVH_INFO, &info, sizeof(info));
}

static int write_page_tables(struct ram *ram)
{
        uint64_t pml4 = LAYOUT_PDPT | PTE_PRESENT | PTE_WRITABLE;
        uint64_t pdpt = LAYOUT_PD | PTE_PRESENT | PTE_WRITABLE;
        uint64_t pd[512];
        for (uint64_t i = 0; i < 512; i++)
                pd[i] = i * LAYOUT_HUGE_PAGE | PTE_PRESENT | PTE_WRITABLE | PTE_HUGE;
        int r = ram_write(ram, LAYOUT_PML4, &pml4, sizeof(pml4));
        if (r == 0)
                r = ram_write(ram, LAYOUT_PDPT, &pdpt, sizeof(pdpt));
        return r < 0 ? r : ram_write(ram, LAYOUT_PD, pd, sizeof(pd));
}

/* A flat segment from 0 with the given type; `wide` is 64-bit code. */
static struct kvm_segment flat(unsigned index, uint8_t type, bool wide)
{
        return (struct kvm_segment){.limit = UINT32_MAX,
                                    .selector = (uint16_t)(index * 8),
                                    .type = type,
                                    .present = 1,
                                    .db = !wide,
                                    .s = 1,
                                    .l = wide,
                                    .g = 1};
}

static struct kvm_segment task(void)
{
        return (struct kvm_segment){.limit = 0x67, .selector = GDT_TASK * 8, .type = 11, .present = 1};
}

/* The descriptor that says the same as the segment, Intel SDM volume 3 section 3.4.5. */
static uint64_t descriptor(const struct kvm_segment *s)
{
        uint64_t limit = s->g ? s->limit >> 12 : s->limit;
        uint64_t attributes = s->type | (uint64_t)s->s << 4 | (uint64_t)s->dpl << 5 |
                              (uint64_t)s->present << 7 | (uint64_t)s->l << 13 | (uint64_t)s->db << 14 |
                              (uint64_t)s->g << 15;
        return (limit & 0xffff) | (s->base & 0xffffff) << 16 | attributes << 40 | (limit & 0xf0000) << 32 |
               (s->base & 0xff000000) << 32;
}

static int write_gdt(struct ram *ram, bool pvh)
{
        struct kvm_segment code = flat(GDT_CODE, 11, !pvh), data = flat(GDT_DATA, 3, false), tss = task();
        uint64_t gdt[GDT_ENTRIES] = {
            [GDT_CODE] = descriptor(&code), [GDT_DATA] = descriptor(&data), [GDT_TASK] = descriptor(&tss)};
        return ram_write(ram, LAYOUT_GDT, gdt, sizeof(gdt));
}

static int write_mptable(struct ram *ram, unsigned cpus)
{
        void *place = memory_translate(&ram->memory, LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE);
        int n = place == NULL ? -EFAULT : mptable_build(place, LAYOUT_MPTABLE_SIZE, LAYOUT_MPTABLE, cpus);
        return n < 0 ? n : 0;
}

int boot_write(struct ram *ram, const struct load *load, const char *command_line, unsigned cpus,
               struct error *err)
{
        size_t size = strlen(command_line) + 1;
        if (size > LAYOUT_COMMAND_LINE_MAX)
                return error_set(err, -E2BIG, "the kernel's command line has %zu bytes, more than %u",
                                 size - 1, LAYOUT_COMMAND_LINE_MAX - 1);
        int r = ram_write(ram, LAYOUT_COMMAND_LINE, command_line, size);
        if (r == 0)
                r = write_gdt(ram, load->pvh);
        if (r == 0)
                r = load->pvh ? write_pvh(ram, load) : write_params(ram, load, size);
        if (r == 0 && !load->pvh)
                r = write_page_tables(ram);
        if (r == 0)
                r = write_mptable(ram, cpus);
        return r < 0 ? error_errno(err, r, "prepare the guest's memory") : 0;
}

void boot_registers(const struct load *load, struct kvm_regs *ret_regs, struct kvm_sregs *sregs)
{
        *ret_regs = (struct kvm_regs){.rip = load->entry, .rflags = 2, .rsp = LAYOUT_BOOT_STACK};
        if (load->pvh)
                ret_regs->rbx = LAYOUT_PVH_INFO;
        else
                ret_regs->rsi = LAYOUT_BOOT_PARAMS;
        sregs->cs = flat(GDT_CODE, 11, !load->pvh);
        sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = flat(GDT_DATA, 3, false);
        sregs->tr = task();
        sregs->gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = GDT_ENTRIES * 8 - 1};
        sregs->idt = (struct kvm_dtable){.base = 0, .limit = 0};
        sregs->cr0 = CR0_PE | CR0_ET;
        sregs->cr4 = 0;
        if (load->pvh)
                return;
        sregs->cr0 |= CR0_MP | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
        sregs->cr3 = LAYOUT_PML4;
        sregs->cr4 = CR4_PAE;
        sregs->efer = EFER_LME | EFER_LMA;
}
