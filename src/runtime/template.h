/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_TEMPLATE_H
#define RUNTIME_TEMPLATE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Templates (wire/template.h, docs/machine.md), in HOME/machines/<cpus>-<memory>k-<kernel>/: `memory` and
 * `state` by boxlet-vmm, `key` with what they depend on. A template holds for one boot of the host and for
 * exactly these programs; it costs about 30 MB of disk, and there are at most TEMPLATES_MAX.
 */
#define TEMPLATES_FOLDER "machines"
#define TEMPLATES_MAX    4

struct template_machine {
        const char *vmm, *qemu, *kernel, *agent; /* paths */
        int64_t cpus, memory_bytes;
};

/* The absolute path of a template for such a machine, made now if there is none; free() it. NULL if none can
 * be had (somebody else makes it right now, there is no room, ...): the machine then boots. */
char *template_get(const char *home, int home_fd, const struct template_machine *machine);

/* Whether somebody was killed while making one: 1, 0, or -errno. repair: what is left of it is removed. */
int template_collect(int home_fd, bool repair);

/* How many there are, and the bytes of disk that they take. */
void template_sum(int home_fd, size_t *ret_count, uint64_t *ret_bytes);

/* Why the last machine could not be made, and is not tried again for a while; an empty text if it could. */
void template_complaint(int home_fd, char *text, size_t size);

#endif
