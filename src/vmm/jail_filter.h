/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_FILTER_H
#define VMM_JAIL_FILTER_H

#include "base/error.h"
#include "vmm/jail_kinds.h"

/* From here on the calling thread may make the system calls of its kind's list; any other kills the whole
 * process by SIGSYS. The process must have given up new privileges. */
int jail_filter_load(enum jail_kind kind, struct error *err);

#endif
