/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_KINDS_H
#define VMM_JAIL_KINDS_H

/* The kinds of thread of boxlet-vmm, each with a list of system calls of its own (tools/jail-calls). */
enum jail_kind {
        JAIL_INIT,  /* waits for the process that serves the guest, outside of its process namespace */
        JAIL_LOOP,  /* the main thread */
        JAIL_VCPU,  /* runs the guest */
        JAIL_DISK,  /* reads and writes disk images, where io_uring is not to be had */
        JAIL_FILES, /* serves shared folders */
        JAIL_KINDS
};

#endif
