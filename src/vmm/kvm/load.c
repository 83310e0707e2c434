/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel and initramfs come into memory by mapping their files, private, in place of the memory there: what a
 * guest never writes stays one copy in the host's page cache for all boxes, and nothing is read that is not
 * needed. Only what shares a page with something else is copied: a segment's odd first and last bytes, and a
 * segment whose file offset and address differ within a page.
 *
 * The files must not become shorter while the guest runs (a replaced file is a new one, and does no harm).
 */
#include "vmm/kvm/load.h"

#include "vmm/kvm/elf.h"
#include "vmm/kvm/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads size bytes of the file at offset, all of them. */
static int read_at(int fd, uint64_t offset, void *bytes, uint64_t size)
{
        for (uint64_t done = 0; done < size;) {
                ssize_t n = pread(fd, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));
                if (n == 0)
                        return -EIO; /* shorter than fstat() said */
                if (n < 0 && errno != EINTR)
                        return -errno;
                done += n > 0 ? (uint64_t)n : 0;
        }
        return 0;
}

static int copy_part(struct ram *ram, int fd, uint64_t offset, uint64_t gpa, uint64_t size, struct load *load,
                     struct error *err)
{
        void *place = memory_translate(&ram->memory, gpa, size);
        int r = place == NULL ? -EFAULT : read_at(fd, offset, place, size);
        if (r < 0)
                return error_errno(err, r, "read the kernel's part at 0x%" PRIx64, gpa);
        load->copied_bytes += size;
        return 0;
}

/* [gpa, gpa + size) from the file: whole pages mapped, the rest copied. */
static int place(struct ram *ram, int fd, uint64_t offset, uint64_t gpa, uint64_t size, struct load *load,
                 struct error *err)
{
        uint64_t head = (LAYOUT_PAGE - gpa % LAYOUT_PAGE) % LAYOUT_PAGE;
        if (offset % LAYOUT_PAGE != gpa % LAYOUT_PAGE || head > size)
                head = size;
        uint64_t whole = (size - head) / LAYOUT_PAGE * LAYOUT_PAGE;
        uint64_t tail = size - head - whole;
        int r = head > 0 ? copy_part(ram, fd, offset, gpa, head, load, err) : 0;
        if (r == 0 && whole > 0)
                r = ram_map_file(ram, gpa + head, whole, fd, offset + head, err);
        if (r == 0 && tail > 0)
                r = copy_part(ram, fd, offset + head + whole, gpa + head + whole, tail, load, err);
        return r;
}

static int find_entry(int fd, const struct elf_kernel *k, struct load *load, struct error *err)
{
        uint8_t notes[ELF_NOTES_MAX];
        uint32_t entry;
        load->entry = k->entry;
        load->pvh = false;
        if (k->entry != 0)
                return 0;
        if (read_at(fd, k->notes_offset, notes, k->notes_bytes) < 0 ||
            elf_pvh_entry(notes, k->notes_bytes, &entry) < 0)
                return error_set(err, -ENOEXEC, "the kernel has neither a 64-bit entry nor one for PVH");
        for (unsigned i = 0; i < k->segment_count; i++) {
                const struct elf_segment *s = &k->segments[i];
                if (entry >= s->gpa && entry - s->gpa < s->file_bytes) {
                        load->entry = entry;
                        load->pvh = true;
                        return 0;
                }
        }
        return error_set(err, -ENOEXEC, "the kernel's PVH entry 0x%" PRIx32 " is in no segment", entry);
}

int load_kernel(struct ram *ram, int fd, struct load *load, struct error *err)
{
        uint8_t head[ELF_HEAD_MAX];
        struct elf_kernel k;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "look at the kernel");
        uint64_t size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
        size_t head_size = size < sizeof(head) ? (size_t)size : sizeof(head);
        int r = read_at(fd, 0, head, head_size);
        if (r < 0)
                return error_errno(err, r, "read the kernel");
        if ((r = elf_parse(head, head_size, size, LAYOUT_HIGH_MEMORY, ram->low_bytes, &k, err)) < 0 ||
            (r = find_entry(fd, &k, load, err)) < 0)
                return r;
        for (unsigned i = 0; i < k.segment_count && r == 0; i++)
                r = place(ram, fd, k.segments[i].offset, k.segments[i].gpa, k.segments[i].file_bytes, load,
                          err);
        load->kernel_end = k.end;
        return r;
}

int load_initrd(struct ram *ram, int fd, struct load *load, struct error *err)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "look at the initramfs");
        uint64_t size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
        uint64_t pages = (size + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
        if (size == 0 || pages < size)
                return error_set(err, -ENOEXEC, "the initramfs is empty");
        uint64_t room = ram->low_bytes / LAYOUT_PAGE * LAYOUT_PAGE;
        if (load->kernel_end > room || pages > room - load->kernel_end)
                return error_set(err, -ENOMEM,
                                 "the guest's memory is too small for its initramfs of %" PRIu64
                                 " bytes: give it more",
                                 size);
        load->initrd = room - pages;
        load->initrd_bytes = size;
        /* a mapping's last page is zero behind the file's end */
        return ram_map_file(ram, load->initrd, pages, fd, 0, err);
}
