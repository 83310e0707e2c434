/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF reader. The kernel's file is the user's own choice (--kernel), so it is not trusted to be sound:
 * all sums are checked, all counts bounded, nothing is looked at beyond the bytes given.
 *
 * A vmlinux is linked for virtual addresses, and e_entry is one or the other: Linux on x86-64 gives the
 * physical address of startup_64 (arch/x86/kernel/vmlinux.lds.S: phys_startup_64). An entry that is in no
 * executable segment by its physical address cannot be jumped to; PVH's then may.
 */
#include "vmm/kvm/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY, xen/interface/elfnote.h */

static int check_header(const Elf64_Ehdr *h, size_t size, struct error *err)
{
        if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
                return error_set(err, -ENOEXEC,
                                 "the kernel is not an ELF file (an uncompressed vmlinux is needed)");
        if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
            h->e_machine != EM_X86_64)
                return error_set(err, -ENOEXEC, "the kernel is not for x86-64");
        if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0)
                return error_set(err, -ENOEXEC, "the kernel has no program headers");
        if (h->e_phoff > size || (size - h->e_phoff) / sizeof(Elf64_Phdr) < h->e_phnum)
                return error_set(err, -ENOEXEC, "the kernel's program headers are not in its first %d bytes",
                                 ELF_HEAD_MAX);
        return 0;
}

static bool overlaps(const struct elf_segment *a, const struct elf_segment *b)
{
        return a->gpa < b->gpa + b->memory_bytes && b->gpa < a->gpa + a->memory_bytes;
}

static int add_segment(struct elf_kernel *k, const Elf64_Phdr *p, uint64_t file_bytes, uint64_t minimum,
                       uint64_t limit, struct error *err)
{
        uint64_t file_end, memory_end;
        struct elf_segment s = {p->p_offset, p->p_paddr, p->p_filesz, p->p_memsz};
        if (__builtin_add_overflow(s.offset, s.file_bytes, &file_end) || file_end > file_bytes)
                return error_set(err, -ENOEXEC, "the kernel's file ends before its segment at 0x%" PRIx64,
                                 s.gpa);
        if (s.file_bytes > s.memory_bytes || __builtin_add_overflow(s.gpa, s.memory_bytes, &memory_end))
                return error_set(err, -ENOEXEC, "the kernel's segment at 0x%" PRIx64 " has impossible sizes",
                                 s.gpa);
        if (s.memory_bytes == 0)
                return 0; /* nothing, wherever it is */
        if (s.gpa < minimum || memory_end > limit)
                return error_set(err, -ENOEXEC,
                                 "the kernel's segment 0x%" PRIx64 "-0x%" PRIx64
                                 " does not fit into the guest's memory: give it more",
                                 s.gpa, memory_end);
        for (unsigned i = 0; i < k->segment_count; i++) {
                if (overlaps(&k->segments[i], &s))
                        return error_set(err, -ENOEXEC, "the kernel's segments overlap at 0x%" PRIx64, s.gpa);
        }
        if (k->segment_count == ELF_SEGMENTS_MAX)
                return error_set(err, -ENOEXEC, "the kernel has more than %d segments", ELF_SEGMENTS_MAX);
        k->segments[k->segment_count++] = s;
        if (memory_end > k->end)
                k->end = memory_end;
        return 0;
}

static bool contains(const Elf64_Phdr *p, uint64_t address)
{
        return (p->p_flags & PF_X) && address >= p->p_paddr && address - p->p_paddr < p->p_filesz;
}

int elf_parse(const void *head, size_t size, uint64_t file_bytes, uint64_t minimum, uint64_t limit,
              struct elf_kernel *ret_kernel, struct error *err)
{
        struct elf_kernel k = {.entry = 0};
        Elf64_Ehdr h;
        if (size < sizeof(h))
                return error_set(err, -ENOEXEC, "the kernel is not an ELF file: it has %zu bytes", size);
        memcpy(&h, head, sizeof(h));
        int r = check_header(&h, size, err);
        for (unsigned i = 0; i < h.e_phnum && r == 0; i++) {
                Elf64_Phdr p;
                memcpy(&p, (const uint8_t *)head + h.e_phoff + i * sizeof(p), sizeof(p));
                if (p.p_type == PT_LOAD) {
                        r = add_segment(&k, &p, file_bytes, minimum, limit, err);
                        if (contains(&p, h.e_entry))
                                k.entry = h.e_entry;
                } else if (p.p_type == PT_NOTE && p.p_offset <= file_bytes &&
                           p.p_filesz <= file_bytes - p.p_offset) {
                        k.notes_offset = p.p_offset;
                        k.notes_bytes = p.p_filesz < ELF_NOTES_MAX ? p.p_filesz : ELF_NOTES_MAX;
                }
        }
        if (r < 0)
                return r;
        if (k.segment_count == 0)
                return error_set(err, -ENOEXEC, "the kernel has nothing to load");
        *ret_kernel = k;
        return 0;
}

static uint64_t pad4(uint64_t n)
{
        return (n + 3) / 4 * 4;
}

int elf_pvh_entry(const void *notes, size_t size, uint32_t *ret_entry)
{
        size_t at = 0;
        while (size - at >= sizeof(Elf64_Nhdr)) {
                Elf64_Nhdr n;
                memcpy(&n, (const uint8_t *)notes + at, sizeof(n));
                at += sizeof(n);
                /* 32-bit lengths: their padded sum does not wrap in 64 bits */
                uint64_t name = pad4(n.n_namesz), content = pad4(n.n_descsz);
                if (name > size - at || content > size - at - name)
                        return -ENOEXEC;
                const uint8_t *bytes = (const uint8_t *)notes + at;
                if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == 4 && memcmp(bytes, "Xen", 4) == 0 &&
                    n.n_descsz >= sizeof(*ret_entry)) {
                        memcpy(ret_entry, bytes + name, sizeof(*ret_entry));
                        return 0;
                }
                at += (size_t)(name + content);
        }
        return -ENOENT;
}
