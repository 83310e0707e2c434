/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the KVM machine that are pure: ELF, MP table, boot data, CPUID, command line, serial port,
 * relay. */
#include "base/cleanup.h"
#include "harness.h"
#include "vmm/kvm/arguments.h"
#include "vmm/kvm/boot.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/elf.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/mptable.h"
#include "vmm/kvm/relay.h"
#include "vmm/kvm/serial.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- ELF ---- */

struct image {
        Elf64_Ehdr header;
        Elf64_Phdr segments[4];
};

static struct image sound_image(void)
{
        struct image i = {.header = {.e_machine = EM_X86_64,
                                     .e_entry = 0x1000000,
                                     .e_phoff = sizeof(Elf64_Ehdr),
                                     .e_phentsize = sizeof(Elf64_Phdr),
                                     .e_phnum = 3}};
        memcpy(i.header.e_ident, ELFMAG "\2\1\1", 7);
        i.segments[0] = (Elf64_Phdr){PT_LOAD, PF_X | PF_R, 0x1000, 0, 0x1000000, 0x2000, 0x2000, 0};
        i.segments[1] = (Elf64_Phdr){PT_LOAD, PF_W | PF_R, 0x3000, 0, 0x1200000, 0x1800, 0x10000, 0};
        i.segments[2] = (Elf64_Phdr){PT_NOTE, PF_R, 0x2000, 0, 0, 0x40, 0x40, 0};
        return i;
}

static int parse(const struct image *i, struct elf_kernel *k)
{
        return elf_parse(i, sizeof(*i), 0x8000, LAYOUT_HIGH_MEMORY, 0x2000000, k, NULL);
}

static void reads_a_kernel(void **state)
{
        struct image i = sound_image();
        struct elf_kernel k;
        assert_int_equal(parse(&i, &k), 0);
        assert_int_equal(k.entry, 0x1000000);
        assert_int_equal(k.segment_count, 2);
        assert_int_equal(k.end, 0x1210000);
        assert_int_equal(k.notes_offset, 0x2000);
        i.header.e_entry = 0xffffffff81000000; /* a virtual address: PVH's turn */
        assert_int_equal(parse(&i, &k), 0);
        assert_int_equal(k.entry, 0);
}

#define REFUSES(change)                                    \
        do {                                               \
                struct image i = sound_image();            \
                struct elf_kernel k;                       \
                change;                                    \
                assert_int_equal(parse(&i, &k), -ENOEXEC); \
        } while (0)

static void refuses_unsound_kernels(void **state)
{
        REFUSES(i.header.e_ident[0] = 0);
        REFUSES(i.header.e_ident[EI_CLASS] = ELFCLASS32);
        REFUSES(i.header.e_machine = EM_AARCH64);
        REFUSES(i.header.e_phnum = 0);
        REFUSES(i.header.e_phnum = 5);
        REFUSES(i.header.e_phnum = UINT16_MAX);
        REFUSES(i.header.e_phoff = UINT64_MAX);
        REFUSES(i.header.e_phoff = sizeof(i));
        REFUSES(i.header.e_phentsize = 1);
        REFUSES(i.segments[0].p_offset = 0x7000);
        REFUSES(i.segments[0].p_offset = UINT64_MAX);
        REFUSES(i.segments[0].p_filesz = 0x3000); /* more than in memory */
        REFUSES(i.segments[0].p_paddr = 0x9f000);
        REFUSES(i.segments[0].p_paddr = UINT64_MAX - 0x1000);
        REFUSES(i.segments[0].p_memsz = UINT64_MAX);
        REFUSES(i.segments[0].p_memsz = 0);         /* would be an entry in nothing */
        REFUSES(i.segments[1].p_memsz = 0x1000000); /* beyond memory */
        REFUSES(i.segments[1].p_paddr = 0x1001000); /* on the first */
        REFUSES(i.segments[0].p_type = i.segments[1].p_type = PT_NOTE);
        struct image whole = sound_image();
        struct elf_kernel k;
        for (size_t size = 0; size < sizeof(whole.header) + 3 * sizeof(Elf64_Phdr); size++)
                assert_int_equal(elf_parse(&whole, size, 0x8000, LAYOUT_HIGH_MEMORY, 0x2000000, &k, NULL),
                                 -ENOEXEC);
}

static void finds_the_pvh_note(void **state)
{
        uint32_t notes[] = {4, 8, 1,  0x00756e47, 1,        2, /* another's */
                            4, 4, 18, 0x006e6558, 0x1000200};  /* "Xen", PHYS32_ENTRY */
        uint32_t entry = 0;
        assert_int_equal(elf_pvh_entry(notes, sizeof(notes), &entry), 0);
        assert_int_equal(entry, 0x1000200);
        assert_int_equal(elf_pvh_entry(notes, 24, &entry), -ENOENT);
        assert_int_equal(elf_pvh_entry(notes, 40, &entry), -ENOEXEC);
        notes[0] = UINT32_MAX;
        assert_int_equal(elf_pvh_entry(notes, sizeof(notes), &entry), -ENOEXEC);
        notes[0] = 4;
        notes[1] = UINT32_MAX;
        assert_int_equal(elf_pvh_entry(notes, sizeof(notes), &entry), -ENOEXEC);
}

/* ---- MP table and boot data ---- */

static void mptable_adds_up(void **state)
{
        uint8_t bytes[LAYOUT_MPTABLE_SIZE];
        for (unsigned cpus = 1; cpus <= LAYOUT_CPUS_MAX; cpus++) {
                int n = mptable_build(bytes, sizeof(bytes), LAYOUT_MPTABLE, cpus);
                assert_true(n > 0);
                uint8_t sum = 0;
                for (unsigned i = 0; i < 16; i++)
                        sum = (uint8_t)(sum + bytes[i]);
                assert_int_equal(sum, 0);
                for (int i = 16; i < n; i++)
                        sum = (uint8_t)(sum + bytes[i]);
                assert_int_equal(sum, 0);
                assert_memory_equal(bytes, "_MP_", 4);
                assert_memory_equal(bytes + 16, "PCMP", 4);
                uint32_t at;
                memcpy(&at, bytes + 4, sizeof(at));
                assert_int_equal(at, LAYOUT_MPTABLE + 16);
                assert_int_equal(bytes[16 + 4] | bytes[16 + 5] << 8, n - 16);
                assert_int_equal(bytes[16 + 34], cpus + 2 + LAYOUT_IRQS + 2);
                assert_int_equal(mptable_build(bytes, (size_t)n - 1, LAYOUT_MPTABLE, cpus), -ENOSPC);
        }
        assert_int_equal(mptable_build(bytes, sizeof(bytes), LAYOUT_MPTABLE, 0), -EINVAL);
        assert_int_equal(mptable_build(bytes, sizeof(bytes), LAYOUT_MPTABLE, 255), -EINVAL);
        assert_int_equal(mptable_build(bytes, sizeof(bytes), LAYOUT_MPTABLE, 200), -ENOSPC);
}

static void boot_data(void **state)
{
        struct ram ram;
        struct error err = ERROR_INIT;
        struct load load = {.entry = 0x1000000, .initrd = 0x7000000, .initrd_bytes = 1234};
        assert_int_equal(ram_init(&ram, UINT64_C(5) << 30, &err), 0);
        assert_int_equal(ram.low_bytes, LAYOUT_HOLE);
        assert_int_equal(ram.high_bytes, UINT64_C(2) << 30);
        assert_null(memory_translate(&ram.memory, LAYOUT_HOLE, 1));
        assert_null(memory_translate(&ram.memory, LAYOUT_HOLE_END - 1, 1));
        assert_non_null(memory_translate(&ram.memory, LAYOUT_HOLE_END, ram.high_bytes));
        assert_int_equal(boot_write(&ram, &load, "a=b", 4, &err), 0);
        const struct boot_params *p = memory_translate(&ram.memory, LAYOUT_BOOT_PARAMS, sizeof(*p));
        assert_int_equal(p->hdr.boot_flag, 0xaa55);
        assert_int_equal(p->hdr.ramdisk_image, 0x7000000);
        assert_int_equal(p->hdr.ramdisk_size, 1234);
        assert_int_equal(p->e820_entries, 4);
        assert_int_equal(p->e820_table[3].addr, LAYOUT_HOLE_END);
        assert_int_equal(p->e820_table[3].size, UINT64_C(2) << 30);
        assert_string_equal(memory_translate(&ram.memory, p->hdr.cmd_line_ptr, 4), "a=b");
        cleanup_free char *longest = malloc(LAYOUT_COMMAND_LINE_MAX + 1);
        assert_non_null(longest);
        memset(longest, 'x', LAYOUT_COMMAND_LINE_MAX);
        longest[LAYOUT_COMMAND_LINE_MAX] = '\0';
        assert_int_equal(boot_write(&ram, &load, longest, 4, &err), -E2BIG);
        longest[LAYOUT_COMMAND_LINE_MAX - 1] = '\0';
        assert_int_equal(boot_write(&ram, &load, longest, 4, &err), 0);
        assert_int_equal(boot_write(&ram, &load, "", 300, &err), -EINVAL);
        ram_done(&ram);
        assert_int_equal(ram_init(&ram, 4097, &err), -EINVAL);
        assert_int_equal(ram_init(&ram, LAYOUT_MEMORY_MAX * 2, &err), -EINVAL);
}

/* ---- CPUID ---- */

static void add_leaf(struct cpuid_table *t, uint32_t leaf, uint32_t index, uint32_t eax, uint32_t ecx)
{
        t->entries[t->count++] =
            (struct kvm_cpuid_entry2){.function = leaf,
                                      .index = index,
                                      .flags = leaf == 4 || leaf == 0xb ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                      .eax = eax,
                                      .ecx = ecx};
}

static void cpuid_of_each_processor(void **state)
{
        static struct cpuid_table t;
        struct cpuid_options o = {.cpu = 2, .cpus = 3, .tsc_khz = 2500000, .tsc_deadline = true};
        add_leaf(&t, 0, 0, 0x16, 0x444d4163);
        add_leaf(&t, 1, 0, 0, 0);
        add_leaf(&t, 4, 0, 1U << 5 | 1 | 0xffffc000, 0);
        add_leaf(&t, 4, 1, 3U << 5 | 3 | 0xffffc000, 0);
        add_leaf(&t, 6, 0, 0x77, 9);
        add_leaf(&t, 0xa, 0, 0x07300404, 0);
        for (uint32_t i = 0; i < 6; i++)
                add_leaf(&t, 0xb, i, 7, 7);
        add_leaf(&t, 0x1f, 0, 7, 7);
        add_leaf(&t, 0x40000000, 0, 0x40000001, 0);
        add_leaf(&t, 0x80000008, 0, 0x3030, 0xffff);
        cpuid_fill(&t, &o);
        const struct kvm_cpuid_entry2 *e = cpuid_find(&t, 1, 0);
        assert_int_equal(e->ebx >> 24, 2);
        assert_int_equal(e->ebx >> 16 & 0xff, 4);
        assert_int_equal(e->ecx & 1U << 31, 1U << 31);
        assert_int_equal(e->ecx & 1U << 24, 1U << 24);
        assert_int_equal(e->edx & 1U << 28, 1U << 28);
        assert_int_equal(cpuid_find(&t, 4, 0)->eax >> 14 & 0xfff, 0);
        assert_int_equal(cpuid_find(&t, 4, 1)->eax >> 14 & 0xfff, 3);
        assert_int_equal(cpuid_find(&t, 6, 0)->eax, 4);
        assert_int_equal(cpuid_find(&t, 0xa, 0)->eax, 0);
        assert_int_equal(cpuid_find(&t, 0xb, 0)->edx, 2);
        assert_int_equal(cpuid_find(&t, 0xb, 1)->ebx, 3);
        assert_null(cpuid_find(&t, 0xb, 2));
        assert_null(cpuid_find(&t, 0x1f, 0));
        assert_int_equal(cpuid_find(&t, 0x15, 0)->ebx, 2500000);
        assert_int_equal(cpuid_find(&t, 0x40000000, 0)->eax, 0x40000010);
        assert_int_equal(cpuid_find(&t, 0x40000010, 0)->eax, 2500000);
        assert_int_equal(cpuid_find(&t, 0x80000008, 0)->ecx, 2U << 12 | 2);
        /* a table that is full, or says that it is fuller than it can be, stays in its bounds */
        while (t.count < CPUID_ENTRIES_MAX)
                add_leaf(&t, 0x8fffffff, 0, 0, 0);
        t.count = UINT32_MAX;
        cpuid_fill(&t, &o);
        assert_true(t.count <= CPUID_ENTRIES_MAX);
}

/* ---- command line, serial port ---- */

static void command_line(void **state)
{
        struct arguments a = {.devices = 2, .tsc_deadline = true, .own = "extra=1"};
        cleanup_free char *text = arguments_make(&a);
        assert_non_null(strstr(text, "console=hvc0 quiet "));
        assert_non_null(strstr(text, " reboot=k "));
        assert_non_null(strstr(text, " rootfstype=ramfs "));
        assert_non_null(
            strstr(text, " virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 extra=1"));
        assert_null(strstr(text, "lapic_timer_hz"));
        a = (struct arguments){.devices = LAYOUT_DEVICES_MAX, .debug_console = true, .own = ""};
        cleanup_free char *other = arguments_make(&a);
        assert_non_null(strstr(other, "console=ttyS0"));
        assert_null(strstr(other, "quiet"));
        assert_non_null(strstr(other, " lapic_timer_hz=1000000000"));
        assert_non_null(strstr(other, " virtio_mmio.device=4K@0xd0013000:5 ")); /* the 20th shares a line */
        assert_true(strlen(other) < LAYOUT_COMMAND_LINE_MAX - 600);             /* the caller's words fit */
}

static void count_byte(void *data, uint8_t byte)
{
        ((unsigned *)data)[0]++;
}

static void count_interrupt(void *data)
{
        ((unsigned *)data)[1]++;
}

static void serial_port(void **state)
{
        unsigned counts[2] = {0, 0};
        struct serial s = {.output = count_byte, .interrupt = count_interrupt, .data = counts};
        serial_write(&s, 4, 0x1a); /* loop-back as the driver's probe does it */
        assert_int_equal(serial_read(&s, 6) & 0xf0, 0x90);
        serial_write(&s, 0, 'x');
        assert_int_equal(counts[0], 0);
        serial_write(&s, 4, 0);
        serial_write(&s, 3, 0x80);
        serial_write(&s, 0, 1);
        serial_write(&s, 1, 2);
        assert_int_equal(serial_read(&s, 0), 1);
        assert_int_equal(serial_read(&s, 1), 2);
        serial_write(&s, 3, 3);
        assert_int_equal(serial_read(&s, 3), 3);
        assert_int_equal(serial_read(&s, 5) & 0x60, 0x60);
        serial_write(&s, 0, 'x');
        assert_int_equal(counts[0], 1);
        assert_int_equal(counts[1], 0);
        assert_int_equal(serial_read(&s, 2), 1);
        serial_write(&s, 1, 2); /* now it wants to hear */
        assert_int_equal(counts[1], 1);
        assert_int_equal(serial_read(&s, 2), 2);
        assert_int_equal(serial_read(&s, 2), 1);
        serial_write(&s, 0, 'y');
        assert_int_equal(counts[1], 2);
        serial_write(&s, 7, 0x5a);
        assert_int_equal(serial_read(&s, 7), 0x5a);
        assert_int_equal(serial_read(&s, 0), 0);
        assert_int_equal(serial_read(&s, 8), 0xff);
}

/* ---- relay ---- */

struct visitor {
        struct relay *relay;
        struct loop *loop;
        pthread_t home;
        unsigned calls, refused;
};

static void visit(void *data)
{
        struct visitor *v = data;
        assert_true(pthread_equal(pthread_self(), v->home));
        if (++v->calls == 400)
                loop_quit(v->loop, 0);
}

static void *call_often(void *data)
{
        struct visitor *v = data;
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(relay_call(v->relay, visit, v), 0);
        return NULL;
}

static void *call_until_refused(void *data)
{
        struct visitor *v = data;
        while (relay_call(v->relay, visit, v) == 0)
                ;
        (void)__atomic_fetch_add(&v->refused, 1, __ATOMIC_SEQ_CST);
        return NULL;
}

static void relay_carries_and_closes(void **state)
{
        struct visitor v = {.home = pthread_self()};
        pthread_t threads[4];
        assert_int_equal(loop_new(&v.loop), 0);
        assert_int_equal(relay_new(v.loop, &v.relay), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, call_often, &v), 0);
        assert_int_equal(loop_run(v.loop), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(v.calls, 400);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, call_until_refused, &v), 0);
        relay_close(v.relay); /* whoever waits is let go, whoever comes later is refused */
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(v.refused, 4);
        relay_free(v.relay);
        loop_free(v.loop);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(reads_a_kernel),
    cmocka_unit_test(refuses_unsound_kernels),
    cmocka_unit_test(finds_the_pvh_note),
    cmocka_unit_test(mptable_adds_up),
    cmocka_unit_test(boot_data),
    cmocka_unit_test(cpuid_of_each_processor),
    cmocka_unit_test(command_line),
    cmocka_unit_test(serial_port),
    cmocka_unit_test(relay_carries_and_closes),
};
UNIT_TEST_MAIN(cases)
