/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_QEMU_TEMPLATE_H
#define VMM_QEMU_TEMPLATE_H

#include "vmm/qemu/qmp.h"

#include <stdint.h>

/*
 * A template on this engine is two files: the guest's memory, and QEMU's migration stream of everything else
 * (50 KB; x-ignore-shared leaves the memory out).
 */

/* Makes a file without a name, of a size that is for good, for a guest's memory; the caller's. */
int template_memory_new(uint64_t size, int *ret_fd);

/* Copies a template's memory into such a file; what was never written stays a hole. */
int template_copy_memory(int from_fd, int to_fd);

/* Beginning as a copy: once the guest's memory is filled. Done when the guest runs. */
extern const struct qmp_dialogue template_begin;

/* Becoming one: writes the state to passed_fd. Done when all is written, and the guest stands still. */
extern const struct qmp_dialogue template_save;

#endif
