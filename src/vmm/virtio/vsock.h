/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_VSOCK_H
#define VMM_VIRTIO_VSOCK_H

#include "base/loop.h"
#include "vmm/virtio/device.h"

/*
 * A virtio socket device (virtio 1.2 section 5.10): each stream of the guest is one socket on the host. The
 * core serves descriptors it is given; where those come from is the host side's business (vsock_host.h).
 */
struct vsock;

#define VSOCK_QUEUE_RX    0 /* device to driver */
#define VSOCK_QUEUE_TX    1 /* driver to device */
#define VSOCK_QUEUE_EVENT 2

/* How much of what the guest sent on one connection may wait for a host reader that does not read. */
#define VSOCK_BUFFER_BYTES (256U << 10)

struct vsock_options {
        uint64_t guest_cid;
        unsigned connection_max; /* further ones are refused by RST, or by closing their descriptor */
        unsigned
            end_wait_ms; /* a guest that does not answer a connection's end by then gets an RST; 0: 10 s */

        /* The guest connects to host port `port`. 0 with a connected stream socket, which the core then owns;
         * below 0: refused. */
        int (*guest_connects)(void *data, uint32_t port, int *ret_fd);
        /* A host connection became what it was to be: answer its maker through fd. Below 0 drops it. */
        int (*host_connected)(void *data, int fd, uint32_t host_port);
        /* A connection that guest_connects() allowed has ended. */
        void (*guest_ended)(void *data, uint32_t port);
        /* There is one connection more, or less. NULL: nobody asks. */
        void (*counted)(void *data, unsigned count);
        void *data;
};

int vsock_new(struct loop *loop, const struct vsock_options *options, struct vsock **ret_vsock);
void vsock_free(struct vsock *v);

struct device *vsock_device(struct vsock *v);

/* Connects the stream socket fd, non-blocking, with the guest's port. On success it is the core's; -EMFILE
 * when there are too many already. */
int vsock_connect(struct vsock *v, uint32_t guest_port, int fd);

/* How many connections there are, in whatever state. */
unsigned vsock_count(const struct vsock *v);

#endif
