/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_RELAY_H
#define VMM_KVM_RELAY_H

#include "base/loop.h"

/* Lets other threads have something done by the loop's thread, and wait for it. */
struct relay;

int relay_new(struct loop *loop, struct relay **ret_relay);
void relay_free(struct relay *relay); /* after relay_close(), and when no other thread knows it any more */

/* Runs fn(data) on the loop's thread; returns when that is done. -ESHUTDOWN: closed, fn did not run. */
int relay_call(struct relay *relay, void (*fn)(void *data), void *data);

/* On the loop's thread: whoever waits, or calls from now on, gets -ESHUTDOWN. */
void relay_close(struct relay *relay);

#endif
