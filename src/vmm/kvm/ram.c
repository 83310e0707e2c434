/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory. One reservation holds both parts and a page that nobody may touch on either side, so that a
 * step outside is a fault and not somebody else's memory. It begins on 2 MiB, the guest's 0 and 4 GiB with
 * it: transparent huge pages then serve the guest's own huge pages.
 *
 * A guest of less than RAM_LARGE bytes gets small pages: there the half-used huge pages of an idle guest
 * would be a fifth of all it has (6 MiB of 36, measured with 256 MiB).
 *
 * It is reserved, not committed (MAP_NORESERVE): a guest's page exists when the guest first touches it. A
 * process that is forked from here would share it; there is none, but MADV_DONTFORK says so.
 *
 * Invariant: low_bytes <= LAYOUT_HOLE, and high memory exists only if low memory reaches the hole.
 */
#include "vmm/kvm/ram.h"

#include "vmm/kvm/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

bool ram_is_large(uint64_t bytes)
{
        return bytes >= RAM_LARGE;
}

static uint8_t *align_up(uint8_t *p, uintptr_t to)
{
        return p + (to - (uintptr_t)p % to) % to;
}

static int add_regions(struct ram *ram, uint8_t *start)
{
        bool huge = ram_is_large(ram->low_bytes + ram->high_bytes);
        uint8_t *high = start + (ram->low_bytes + LAYOUT_HUGE_PAGE - 1) / LAYOUT_HUGE_PAGE * LAYOUT_HUGE_PAGE;
        int r = memory_add(&ram->memory, 0, ram->low_bytes, 0, start);
        if (r == 0 && ram->high_bytes > 0)
                r = memory_add(&ram->memory, LAYOUT_HOLE_END, ram->high_bytes, LAYOUT_HOLE_END, high);
        for (unsigned i = 0; i < ram->memory.count && r == 0; i++) {
                struct memory_region *region = &ram->memory.regions[i];
                if (mmap(region->host, region->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
                        return -errno;
                /* a kernel may do without either */
                (void)madvise(region->host, region->size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
                (void)madvise(region->host, region->size, MADV_DONTFORK); /* as above */
        }
        return r;
}

int ram_init(struct ram *ram, uint64_t bytes, struct error *err)
{
        memset(ram, 0, sizeof(*ram));
        if (bytes < 2 * LAYOUT_HIGH_MEMORY || bytes > LAYOUT_MEMORY_MAX || bytes % LAYOUT_PAGE != 0)
                return error_set(err, -EINVAL,
                                 "%" PRIu64 " bytes of memory: the kvm engine has 2 MiB to 64 GiB", bytes);
        ram->low_bytes = bytes < LAYOUT_HOLE ? bytes : LAYOUT_HOLE;
        ram->high_bytes = bytes - ram->low_bytes;
        ram->mapping_size = bytes + UINT64_C(4) * LAYOUT_HUGE_PAGE;
        ram->mapping =
            mmap(NULL, ram->mapping_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        int r = ram->mapping == MAP_FAILED ? -errno : 0;
        if (r < 0)
                ram->mapping = NULL;
        else
                r = add_regions(ram, align_up((uint8_t *)ram->mapping + LAYOUT_PAGE, LAYOUT_HUGE_PAGE));
        if (r < 0) {
                ram_done(ram);
                return error_errno(err, r, "reserve %" PRIu64 " MiB for the guest", bytes >> 20);
        }
        return 0;
}

void ram_done(struct ram *ram)
{
        memory_done(&ram->memory);
        if (ram->mapping != NULL)
                (void)munmap(ram->mapping, ram->mapping_size); /* ours: cannot fail */
        memset(ram, 0, sizeof(*ram));
}

int ram_write(struct ram *ram, uint64_t gpa, const void *bytes, size_t size)
{
        void *place = memory_translate(&ram->memory, gpa, size);
        if (place == NULL)
                return -EFAULT;
        memcpy(place, bytes, size);
        return 0;
}

int ram_map_file(struct ram *ram, uint64_t gpa, size_t size, int fd, uint64_t offset, struct error *err)
{
        void *place = memory_translate(&ram->memory, gpa, size);
        if (place == NULL || gpa % LAYOUT_PAGE != 0 || size % LAYOUT_PAGE != 0)
                return error_set(err, -EFAULT, "map a file at 0x%" PRIx64 ": not whole pages of memory", gpa);
        if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                 (off_t)offset) == MAP_FAILED)
                return error_errno(err, -errno, "map a file into the guest");
        return 0;
}
