/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_MACHINE_H
#define RUNTIME_MACHINE_H

#include "runtime/runtime.h"

/* A box's machine for the time of one piece of work in its files. */
struct machine {
        int box_fd;
};

int machine_begin(struct boxlet_box *box, struct machine *ret_machine, struct error *err);
void machine_end(struct machine *machine);

#endif
