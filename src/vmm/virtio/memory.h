/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_MEMORY_H
#define VMM_VIRTIO_MEMORY_H

/*
 * The guest's memory as a device sees it: a few regions of guest-physical addresses ("gpa"), each mapped in
 * our process. Everything a device reads or writes goes through memory_translate(), the one function that
 * knows the bounds.
 */
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define MEMORY_REGIONS_MAX 8 /* what vhost-user can describe in one message */

struct memory_region {
        uint64_t gpa;
        uint64_t size;
        uint64_t peer; /* where the process on the transport's other side has it mapped (vhost-user) */
        uint8_t *host;
        void *mapping; /* what memory_done() unmaps; NULL when the memory was lent */
        size_t mapping_size;
};

struct memory {
        struct memory_region regions[MEMORY_REGIONS_MAX];
        unsigned count;
};

/* Unmaps everything; m is empty afterwards. A zeroed struct is an empty memory. */
void memory_done(struct memory *m);

/* Adds memory that the caller keeps. -EINVAL when empty, wrapping around or overlapping; -ENOSPC when full.
 */
int memory_add(struct memory *m, uint64_t gpa, uint64_t size, uint64_t peer, void *host);

/*
 * Maps size bytes at offset of fd, shared. The file must be long enough and sealed against shrinking (memfd
 * with F_SEAL_SHRINK), or whoever holds it could make every access to it a SIGBUS. The descriptor stays the
 * caller's.
 */
int memory_add_fd(struct memory *m, uint64_t gpa, uint64_t size, uint64_t peer, int fd, uint64_t offset,
                  struct error *err);

/*
 * Where [gpa, gpa + size) is in our process, or NULL unless all of it lies in one region. A size of 0 is
 * checked like the rest (the address must be inside a region). No alignment is promised.
 */
void *memory_translate(const struct memory *m, uint64_t gpa, uint64_t size);

/* The guest-physical address of the other side's address `peer`, if size bytes from there are in one region.
 */
int memory_gpa_of_peer(const struct memory *m, uint64_t peer, uint64_t size, uint64_t *ret_gpa);

#endif
