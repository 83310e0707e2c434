/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory. The guest writes to it at any time, from other processors: whoever reads something here
 * copies it first and looks at the copy only. A range that crosses from one region into the next is refused
 * even if the two touch: no driver lays a buffer across a hole border, and one pointer then stands for one
 * range.
 *
 * Invariants: regions do not overlap, neither in gpa nor in their other side's addresses, and none wraps
 * around.
 *
 * system calls (loop): munmap fstat newfstatat fcntl(1=F_GET_SEALS)
 */
#include "vmm/virtio/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void memory_done(struct memory *m)
{
        for (unsigned i = 0; i < m->count; i++) {
                if (m->regions[i].mapping != NULL)
                        (void)munmap(m->regions[i].mapping,
                                     m->regions[i].mapping_size); /* ours: cannot fail */
        }
        memset(m, 0, sizeof(*m));
}

static bool overlap(uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size)
{
        return a < b + b_size && b < a + a_size;
}

static int check_place(const struct memory *m, uint64_t gpa, uint64_t size, uint64_t peer)
{
        uint64_t end;
        if (size == 0 || __builtin_add_overflow(gpa, size, &end) || __builtin_add_overflow(peer, size, &end))
                return -EINVAL;
        if (m->count == MEMORY_REGIONS_MAX)
                return -ENOSPC;
        for (unsigned i = 0; i < m->count; i++) {
                const struct memory_region *r = &m->regions[i];
                if (overlap(r->gpa, gpa, r->size, size) || overlap(r->peer, peer, r->size, size))
                        return -EINVAL;
        }
        return 0;
}

int memory_add(struct memory *m, uint64_t gpa, uint64_t size, uint64_t peer, void *host)
{
        int r = check_place(m, gpa, size, peer);
        if (r < 0)
                return r;
        m->regions[m->count++] = (struct memory_region){.gpa = gpa, .size = size, .peer = peer, .host = host};
        return 0;
}

/* The file's length and seals, so that [0, offset + size) stays there for as long as it is mapped. */
static int check_file(int fd, uint64_t offset, uint64_t size, struct error *err)
{
        struct stat st;
        uint64_t end;
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "look at guest memory");
        if (!S_ISREG(st.st_mode) || st.st_size < 0)
                return error_set(err, -EINVAL, "guest memory is not a file");
        if (__builtin_add_overflow(offset, size, &end) || end > (uint64_t)st.st_size || end > SIZE_MAX)
                return error_set(err, -EINVAL, "guest memory file is shorter than said: %" PRIu64 " bytes",
                                 (uint64_t)st.st_size);
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_SHRINK))
                return error_set(err, -EINVAL, "guest memory file can be cut short");
        return 0;
}

int memory_add_fd(struct memory *m, uint64_t gpa, uint64_t size, uint64_t peer, int fd, uint64_t offset,
                  struct error *err)
{
        int r = check_place(m, gpa, size, peer);
        if (r < 0)
                return error_errno(err, r, "place guest memory at 0x%" PRIx64, gpa);
        if ((r = check_file(fd, offset, size, err)) < 0)
                return r;
        /* mmap() wants a page-aligned offset: map from the start of offset's page */
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t lead = offset % page;
        size_t mapping_size = (size_t)(size + lead);
        void *mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                             (off_t)(offset - lead));
        if (mapping == MAP_FAILED)
                return error_errno(err, -errno, "map guest memory");
        m->regions[m->count++] = (struct memory_region){.gpa = gpa,
                                                        .size = size,
                                                        .peer = peer,
                                                        .host = (uint8_t *)mapping + lead,
                                                        .mapping = mapping,
                                                        .mapping_size = mapping_size};
        return 0;
}

void *memory_translate(const struct memory *m, uint64_t gpa, uint64_t size)
{
        for (unsigned i = 0; i < m->count; i++) {
                const struct memory_region *r = &m->regions[i];
                /* gpa - r->gpa wraps to a huge number when gpa lies before the region */
                uint64_t offset = gpa - r->gpa;
                if (offset < r->size && size <= r->size - offset)
                        return r->host + offset;
        }
        return NULL;
}

int memory_gpa_of_peer(const struct memory *m, uint64_t peer, uint64_t size, uint64_t *ret_gpa)
{
        for (unsigned i = 0; i < m->count; i++) {
                const struct memory_region *r = &m->regions[i];
                uint64_t offset = peer - r->peer;
                if (offset < r->size && size <= r->size - offset) {
                        *ret_gpa = r->gpa + offset;
                        return 0;
                }
        }
        return -EFAULT;
}
