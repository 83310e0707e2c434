/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "base/loop.h"
#include "vmm/virtio/device.h"

/*
 * A virtio console (virtio 1.2 section 5.3) of one port that only speaks: what the guest writes to hvc0 goes
 * to a descriptor, and nothing comes back.
 */
struct virtio_console;

#define VIRTIO_CONSOLE_QUEUE_RX 0 /* device to driver */
#define VIRTIO_CONSOLE_QUEUE_TX 1

struct virtio_console_options {
        int fd;         /* borrowed; made non-blocking. A pipe or socket that is full makes the guest wait */
        uint64_t limit; /* bytes in all, the rest is dropped; 0: the descriptor's other end sees to that */
};

int virtio_console_new(struct loop *loop, const struct virtio_console_options *options,
                       struct virtio_console **ret_console);
void virtio_console_free(struct virtio_console *c);
struct device *virtio_console_device(struct virtio_console *c);

#endif
