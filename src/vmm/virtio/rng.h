/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_RNG_H
#define VMM_VIRTIO_RNG_H

#include "base/loop.h"
#include "vmm/virtio/device.h"

/* A virtio entropy device (virtio 1.2 section 5.4): the host's random bytes. */
struct rng;

int rng_new(struct loop *loop, struct rng **ret_rng);
void rng_free(struct rng *r);
struct device *rng_device(struct rng *r);

#endif
