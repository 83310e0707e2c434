/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_NET_FRAME_H
#define VMM_VIRTIO_NET_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The header before every packet in a queue (virtio 1.2 section 5.1.6), little endian:
 *
 *     offset  size
 *          0     1  flags
 *          1     1  gso_type     NET_GSO_*: how the packet may be cut into segments
 *          2     2  hdr_len
 *          4     2  gso_size     bytes of payload in a segment
 *          6     2  csum_start   with NET_NEEDS_CHECKSUM: from here to the end of the packet,
 *          8     2  csum_offset  to be put so many bytes after csum_start
 *         10     2  num_buffers  to the driver: how many buffers hold the packet
 */
struct net_header {
        uint8_t flags;
        uint8_t gso_type;
        uint16_t hdr_len;
        uint16_t gso_size;
        uint16_t csum_start;
        uint16_t csum_offset;
        uint16_t num_buffers;
};
_Static_assert(sizeof(struct net_header) == 12, "virtio 1.2 section 5.1.6");

#define NET_NEEDS_CHECKSUM 1U
#define NET_DATA_VALID     2U

#define NET_GSO_NONE  0
#define NET_GSO_TCPV4 1
#define NET_GSO_TCPV6 4

#define NET_ETHERNET_HEADER 14
/* What passt takes, the Ethernet header included (ETH_MAX_MTU in its source, version 2023-03). */
#define NET_FRAME_MAX 65535

/*
 * The Internet checksum (RFC 1071) of what follows the first skip bytes of the segments, as it stands in the
 * packet; never 0, which to UDP means that there is none.
 */
uint16_t net_checksum(const struct iovec *iov, unsigned count, size_t skip);

/*
 * Is this header, of a frame of that size, one that a driver with these features may send? NULL, or what is
 * wrong. `head` is how many of the frame's first bytes can be written to: the checksum must lie there.
 */
const char *net_check_header(const struct net_header *h, size_t size, size_t head, uint64_t features);

#endif
