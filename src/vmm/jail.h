/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

#include "base/error.h"

#include <stddef.h>

/*
 * How boxlet-vmm gives its privileges away, in stages that must be taken in this order. After the last one,
 * whoever has taken over the process through a device can use the descriptors it holds, and little else.
 */

/* 1. First thing: no descriptor is open but 0 to 2 and those listed. */
int jail_close_others(const int *keep, size_t count, struct error *err);

/* 2. Before the engine is started, which inherits it: ends with its parent, cannot gain privileges by
 * execve(2), leaves no core (guest memory is in it), is in an empty network of its own and has no
 * capabilities outside. Where the system does not allow the last two to this user, it goes on without. */
int jail_before_engine(struct error *err);

/* 3. Before the guest is served: only the system calls of the list in jail.c; another one ends the process by
 * SIGSYS. */
int jail_before_guest(struct error *err);

/* For a thread of its own kind: only these system calls (numbers as libseccomp's SCMP_SYS()), and memory that
 * is not executable. Before stage 3, from the thread itself. */
int jail_thread(const int *calls, size_t count, struct error *err);

#endif
