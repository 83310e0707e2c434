/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_ELF_H
#define VMM_KVM_ELF_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* An uncompressed kernel (vmlinux) as it is to lie in memory. Pure: bytes in, numbers out. */

#define ELF_HEAD_MAX     4096 /* the ELF header and all program headers must lie in the file's first bytes */
#define ELF_SEGMENTS_MAX 32
#define ELF_NOTES_MAX    4096

struct elf_segment {
        uint64_t offset; /* in the file */
        uint64_t gpa;
        uint64_t file_bytes;
        uint64_t memory_bytes; /* what is beyond file_bytes is zero */
};

struct elf_kernel {
        uint64_t entry; /* physical, for 64-bit mode; 0: the file's is none, see elf_pvh_entry() */
        struct elf_segment segments[ELF_SEGMENTS_MAX];
        unsigned segment_count;
        uint64_t end; /* the first byte behind all segments */
        uint64_t notes_offset;
        uint64_t notes_bytes; /* 0: none */
};

/*
 * head holds the file's first `size` bytes, all of it or ELF_HEAD_MAX. In the result every segment lies in
 * the file, and in [minimum, limit) of memory, and none overlaps another. -ENOEXEC: it is not such a file.
 */
int elf_parse(const void *head, size_t size, uint64_t file_bytes, uint64_t minimum, uint64_t limit,
              struct elf_kernel *ret_kernel, struct error *err);

/* Looks for the note that names the PVH entry (XEN_ELFNOTE_PHYS32_ENTRY): 0, -ENOENT, or -ENOEXEC. */
int elf_pvh_entry(const void *notes, size_t size, uint32_t *ret_entry);

#endif
