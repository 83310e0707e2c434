/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_RAM_H
#define VMM_KVM_RAM_H

#include "base/error.h"
#include "vmm/virtio/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The guest's memory: anonymous and private, around the hole at 3 to 4 GiB. */
struct ram {
        struct memory memory; /* one region, or two */
        uint64_t low_bytes;   /* from 0 */
        uint64_t high_bytes;  /* from 4 GiB */
        void *mapping;
        size_t mapping_size;
};

/* From here on memory is in huge pages where the host has them. */
#define RAM_LARGE (UINT64_C(512) << 20)
bool ram_is_large(uint64_t bytes);

/* bytes is a multiple of the page size, at most LAYOUT_MEMORY_MAX. Nothing of it is touched. */
int ram_init(struct ram *ram, uint64_t bytes, struct error *err);
void ram_done(struct ram *ram);

/* Copies size bytes to gpa; -EFAULT unless all of it is in one region. */
int ram_write(struct ram *ram, uint64_t gpa, const void *bytes, size_t size);

/* Maps whole pages of a file, private, at page-aligned gpa instead of the memory there. */
int ram_map_file(struct ram *ram, uint64_t gpa, size_t size, int fd, uint64_t offset, struct error *err);

#endif
