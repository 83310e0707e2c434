/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_ARGUMENTS_H
#define VMM_KVM_ARGUMENTS_H

#include <stdbool.h>

/* The kernel's command line for a machine of ours. Pure. */
struct arguments {
        unsigned devices;   /* virtio-mmio blocks, at LAYOUT_DEVICES and from LAYOUT_IRQ_FIRST on */
        bool debug_console; /* a serial port, for all that the kernel says */
        bool tsc_deadline;  /* the local APIC's timer has that mode */
        const char *own;    /* the caller's words, last */
};

/* free() it; NULL when out of memory. */
char *arguments_make(const struct arguments *a);

#endif
