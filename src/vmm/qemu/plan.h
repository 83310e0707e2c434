/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_QEMU_PLAN_H
#define VMM_QEMU_PLAN_H

#include "base/process.h"
#include "vmm/config.h"

/* QEMU's command line: made from the configuration, then checked, then carried out by qemu.c. */

#define QEMU_WORDS_MAX  256
#define QEMU_PLAN_STATE 8 /* the number that a template's state has in QEMU */
#define QEMU_FDS_MAX    (CONFIG_DISKS_MAX + 11)

struct qemu_plan {
        char *words[QEMU_WORDS_MAX + 1]; /* NULL-terminated, owned */
        unsigned word_count;
        unsigned device_count;               /* each in a slot of its own */
        struct process_fd fds[QEMU_FDS_MAX]; /* what QEMU inherits: ours, and its number there */
        unsigned fd_count;
};

/* Our ends of what is made for one start. */
struct qemu_ends {
        int memory;  /* the guest's: a file of its size */
        int monitor; /* QMP; -1: no template is used or made */
        int vsock;   /* vhost-user; -1: a template is made */
        int fs;      /* the same, -1: no shares */
        int console; /* stream socket that gets what the guest's console says */
        int words;   /* QEMU's stderr */
};

int qemu_plan_make(const struct config *config, const struct qemu_ends *ends, struct qemu_plan *ret_plan,
                   struct error *err);

/* Does the plan hold together: every descriptor that a word names is handed over, no number is used twice? */
int qemu_plan_check(const struct qemu_plan *plan, struct error *err);

void qemu_plan_done(struct qemu_plan *plan);

#endif
