/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_NET_H
#define VMM_VIRTIO_NET_H

#include "base/loop.h"
#include "vmm/virtio/device.h"

/*
 * A virtio network device (virtio 1.2 section 5.1), whose other side is a stream socket: to passt, or whoever
 * speaks its language. On the socket each Ethernet frame has its length before it, 4 bytes, big endian.
 */
struct net;

#define NET_QUEUE_RX 0 /* device to driver */
#define NET_QUEUE_TX 1

#define NET_F_CSUM       (UINT64_C(1) << 0)
#define NET_F_GUEST_CSUM (UINT64_C(1) << 1)
#define NET_F_MTU        (UINT64_C(1) << 3)
#define NET_F_MAC        (UINT64_C(1) << 5)
#define NET_F_HOST_TSO4  (UINT64_C(1) << 11)
#define NET_F_HOST_TSO6  (UINT64_C(1) << 12)
#define NET_F_MRG_RXBUF  (UINT64_C(1) << 15)
#define NET_F_STATUS     (UINT64_C(1) << 16)

enum net_direction { NET_TO_HOST, NET_TO_GUEST };

/* How much of a frame's beginning a policy gets to see at least (or all of it, when it is shorter). */
#define NET_HEAD_BYTES 256

struct net_options {
        int fd; /* borrowed: a connected stream socket */
        uint8_t mac[6];
        uint16_t mtu; /* told to the guest; 0: not told */

        /*
         * Every frame passes through here, in both directions, before anything else sees it; NULL lets all
         * through. `head` is a copy of the first head_size bytes that nobody can change any more, and it is
         * this copy that is sent; size is the whole frame's. Dropped frames are counted.
         */
        bool (*passes)(void *data, enum net_direction direction, const uint8_t *head, size_t head_size,
                       size_t size);
        /* The socket's other side is gone; the guest has been told that the link is down. Once. */
        void (*link_lost)(void *data);
        void *data;
};

struct net_counters {
        uint64_t frames[2]; /* by enum net_direction */
        uint64_t bytes[2];
        uint64_t dropped[2];
};

int net_new(struct loop *loop, const struct net_options *options, struct net **ret_net);
void net_free(struct net *n);
struct device *net_device(struct net *n);

const struct net_counters *net_counters(const struct net *n);

#endif
