/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PROBE_H
#define RUNTIME_PROBE_H

#include <stdbool.h>

/* Can this host's KVM run a kernel? */

#define PROBE_REASON_MAX 240

struct probe {
        bool opens;                    /* /dev/kvm can be opened, and makes a VM */
        bool usable;                   /* and it runs what a kernel does */
        char reason[PROBE_REASON_MAX]; /* in one line, and what to do when it does not open */
};

/*
 * Opens /dev/kvm each time, and lets a few instructions run in it unless their outcome is known from before:
 * it is remembered in the file "kvm-probe" of home_fd (-1: nowhere) for as long as the host runs.
 */
void probe_kvm(int home_fd, struct probe *ret_probe);

/* The same without the memory, for the device at path; for tests. */
void probe_device(const char *path, struct probe *ret_probe);

#endif
