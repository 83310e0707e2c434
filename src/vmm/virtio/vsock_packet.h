/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_VSOCK_PACKET_H
#define VMM_VIRTIO_VSOCK_PACKET_H

#include <stdint.h>

/*
 * The header before every vsock packet (virtio 1.2 section 5.10.6), little endian:
 *
 *     offset  size
 *          0     8  src_cid
 *          8     8  dst_cid
 *         16     4  src_port
 *         20     4  dst_port
 *         24     4  len        bytes of payload that follow
 *         28     2  type       1 stream
 *         30     2  op         enum vsock_op
 *         32     4  flags      of VSOCK_OP_SHUTDOWN: VSOCK_SHUTDOWN_*
 *         36     4  buf_alloc  the sender's receive buffer of this connection
 *         40     4  fwd_cnt    how much the sender's receiver has consumed, modulo 2^32
 */
#define VSOCK_HEADER_SIZE 44

#define VSOCK_CID_HOST    2
#define VSOCK_TYPE_STREAM 1

enum vsock_op {
        VSOCK_OP_INVALID = 0,
        VSOCK_OP_REQUEST = 1,
        VSOCK_OP_RESPONSE = 2,
        VSOCK_OP_RST = 3,
        VSOCK_OP_SHUTDOWN = 4,
        VSOCK_OP_RW = 5,
        VSOCK_OP_CREDIT_UPDATE = 6,
        VSOCK_OP_CREDIT_REQUEST = 7,
};

#define VSOCK_SHUTDOWN_RECEIVE 1U /* the sender will receive no more */
#define VSOCK_SHUTDOWN_SEND    2U /* the sender will send no more */
#define VSOCK_SHUTDOWN_BOTH    3U

struct vsock_header {
        uint64_t src_cid;
        uint64_t dst_cid;
        uint32_t src_port;
        uint32_t dst_port;
        uint32_t length;
        uint16_t type;
        uint16_t op;
        uint32_t flags;
        uint32_t buf_alloc;
        uint32_t fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct vsock_header) == VSOCK_HEADER_SIZE, "virtio 1.2 section 5.10.6");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "header fields are little endian");

#endif
