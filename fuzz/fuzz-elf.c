/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's file, as --kernel may name any. Input: the file. What is said of its segments must be true, or
 * they would be mapped over something else; and loading it into a small memory must do no harm.
 */
#include "vmm/kvm/elf.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (UINT64_C(32) << 20)

static void require(bool truth)
{
        if (!truth)
                abort();
}

static void check(const struct elf_kernel *k, uint64_t file_bytes)
{
        require(k->segment_count > 0 && k->segment_count <= ELF_SEGMENTS_MAX);
        for (unsigned i = 0; i < k->segment_count; i++) {
                const struct elf_segment *s = &k->segments[i];
                require(s->file_bytes <= s->memory_bytes && s->offset <= file_bytes &&
                        s->file_bytes <= file_bytes - s->offset);
                require(s->gpa >= LAYOUT_HIGH_MEMORY && s->gpa < MEMORY &&
                        s->memory_bytes <= MEMORY - s->gpa);
                require(s->gpa + s->memory_bytes <= k->end);
                for (unsigned j = 0; j < i; j++) {
                        const struct elf_segment *t = &k->segments[j];
                        require(s->gpa + s->memory_bytes <= t->gpa || t->gpa + t->memory_bytes <= s->gpa);
                }
        }
        require(k->notes_bytes <= ELF_NOTES_MAX && k->notes_offset <= file_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct elf_kernel k;
        uint32_t entry;
        size_t head = size < ELF_HEAD_MAX ? size : ELF_HEAD_MAX;
        if (elf_parse(data, head, size, LAYOUT_HIGH_MEMORY, MEMORY, &k, NULL) == 0)
                check(&k, size);
        (void)elf_pvh_entry(data, head, &entry);

        struct ram ram;
        struct load load = {.entry = 0};
        int fd = memfd_create("kernel", MFD_CLOEXEC);
        require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        require(ram_init(&ram, MEMORY, NULL) == 0);
        if (load_kernel(&ram, fd, &load, NULL) == 0) {
                require(load.entry >= LAYOUT_HIGH_MEMORY && load.entry < load.kernel_end);
                if (load_initrd(&ram, fd, &load, NULL) == 0)
                        require(load.initrd >= load.kernel_end && load.initrd + load.initrd_bytes <= MEMORY);
        }
        ram_done(&ram);
        (void)close(fd);
        return 0;
}
