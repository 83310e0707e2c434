/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_TAP_H
#define MONITOR_TAP_H

#include "base/loop.h"

/*
 * Carries the bytes of the network between the machine and passt, and says that some passed. Only boxes whose
 * traffic is to be noticed (--idle-stop) have one; those of others go straight.
 */
struct tap;

/* a and b are connected stream sockets, taken, also on failure. passed(): bytes went either way. When either
 * side ends, both are closed. */
int tap_new(struct loop *loop, int a, int b, void (*passed)(void *data), void *data, struct tap **ret_tap);
void tap_free(struct tap *tap);

#endif
