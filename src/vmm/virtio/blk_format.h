/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_BLK_FORMAT_H
#define VMM_VIRTIO_BLK_FORMAT_H

#include <stdint.h>

/*
 * What the block device and its driver exchange (virtio 1.2 section 5.2), little endian.
 *
 * A request is a chain: 16 bytes of header to read, data to read or to write, and one last byte to write, the
 * status. Headers and data may be cut into descriptors anywhere.
 *
 *     offset  size
 *          0     4  type      enum blk_type
 *          4     4  reserved
 *          8     8  sector    of 512 bytes, whatever the block size
 */
#define BLK_SECTOR      512U
#define BLK_ID_SIZE     20
#define BLK_STATUS_SIZE 1

enum blk_type {
        BLK_T_IN = 0,
        BLK_T_OUT = 1,
        BLK_T_FLUSH = 4,
        BLK_T_GET_ID = 8,
        BLK_T_DISCARD = 11,
        BLK_T_WRITE_ZEROES = 13,
};

enum blk_status {
        BLK_S_OK = 0,
        BLK_S_IOERR = 1,
        BLK_S_UNSUPP = 2,
};

#define BLK_F_SEG_MAX      (UINT64_C(1) << 2)
#define BLK_F_RO           (UINT64_C(1) << 5)
#define BLK_F_BLK_SIZE     (UINT64_C(1) << 6)
#define BLK_F_FLUSH        (UINT64_C(1) << 9)
#define BLK_F_TOPOLOGY     (UINT64_C(1) << 10)
#define BLK_F_DISCARD      (UINT64_C(1) << 13)
#define BLK_F_WRITE_ZEROES (UINT64_C(1) << 14)

struct blk_header {
        uint32_t type;
        uint32_t reserved;
        uint64_t sector;
};
_Static_assert(sizeof(struct blk_header) == 16, "virtio 1.2 section 5.2.6");

/* The data of DISCARD and WRITE_ZEROES: one or more of these. */
#define BLK_RANGE_UNMAP 1U

struct blk_range {
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
};
_Static_assert(sizeof(struct blk_range) == 16, "virtio 1.2 section 5.2.6");

struct blk_config {
        uint64_t capacity; /* in sectors */
        uint32_t size_max;
        uint32_t seg_max;
        uint8_t geometry[4];
        uint32_t blk_size;
        uint8_t physical_block_exp;
        uint8_t alignment_offset;
        uint16_t min_io_size;
        uint32_t opt_io_size;
        uint8_t writeback;
        uint8_t unused0;
        uint16_t num_queues;
        uint32_t max_discard_sectors;
        uint32_t max_discard_seg;
        uint32_t discard_sector_alignment;
        uint32_t max_write_zeroes_sectors;
        uint32_t max_write_zeroes_seg;
        uint8_t write_zeroes_may_unmap;
        uint8_t unused1[3];
} __attribute__((packed));
_Static_assert(sizeof(struct blk_config) == 60, "virtio 1.2 section 5.2.4");

#endif
