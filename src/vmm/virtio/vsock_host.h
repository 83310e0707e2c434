/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_VSOCK_HOST_H
#define VMM_VIRTIO_VSOCK_HOST_H

#include "vmm/virtio/vsock.h"

/*
 * The host's side of the vsock device, docs/protocol.md section 1: a listening unix socket on which clients
 * say `CONNECT <port>\n`, and one port of the host that the guest may connect to.
 */
struct vsock_host;

struct vsock_host_options {
        uint64_t guest_cid;
        unsigned connection_max;
        int listen_fd;        /* borrowed */
        unsigned greeting_ms; /* a client that has not said its line by then is dropped; 0: 10 s */

        uint32_t control_port; /* the only host port the guest may connect to, once at a time */
        /* The guest did: fd is one end of the stream, lent (send it on). Below 0 refuses. */
        int (*control)(void *data, uint32_t port, int fd);
        /* There is one connection more, or less, of either side's making. NULL: nobody asks. */
        void (*counted)(void *data, unsigned count);
        void *data;
};

int vsock_host_new(struct loop *loop, const struct vsock_host_options *options, struct vsock_host **ret_host);
void vsock_host_free(struct vsock_host *h);

struct device *vsock_host_device(struct vsock_host *h);
unsigned vsock_host_count(const struct vsock_host *h);

/*
 * What a client said first, of size bytes: "CONNECT <port>\n". Returns the line's length with *ret_port, 0 if
 * more is to come, -EINVAL if this can never become such a line.
 */
#define VSOCK_CONNECT_LINE_MAX 32
int vsock_parse_connect(const char *text, size_t size, uint32_t *ret_port);

#endif
