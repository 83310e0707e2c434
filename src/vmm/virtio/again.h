/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_AGAIN_H
#define VMM_VIRTIO_AGAIN_H

#include "base/loop.h"

/*
 * How a core stops in the middle of much work, so that the loop gets to see other events, and comes back to
 * it: again_ask() has fn called from the loop, once however often it was asked for.
 */
struct again {
        int fd;
        struct source *source;
        void (*fn)(void *data);
        void *data;
};

/* a is zeroed or uninitialised; again_done() may follow in any case. */
int again_init(struct again *a, struct loop *loop, void (*fn)(void *data), void *data);
void again_done(struct again *a);
void again_ask(struct again *a);

#endif
