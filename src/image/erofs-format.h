/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_EROFS_FORMAT_H
#define IMAGE_EROFS_FORMAT_H

/*
 * The part of EROFS on disk that is written here, as Linux 6.1 reads it: everything little-endian (so is
 * every machine this is built for), blocks of 4096 bytes, inodes at multiples of 32 bytes ("nid" = position /
 * 32, since the metadata area begins with the file), only extended inodes.
 *
 *     block 0      1024: superblock   1152: root inode, its attributes, its entries if they fit
 *     then         data of files, in the order it came; between it, areas of inodes with the tails of
 *                  their files; at the end folders
 */
#include <stddef.h>
#include <stdint.h>

#define EROFS_MAGIC        0xe0f5e1e2U
#define EROFS_SUPER_AT     1024U
#define EROFS_BLOCK_BITS   12
#define EROFS_BLOCK        (1U << EROFS_BLOCK_BITS)
#define EROFS_INODE_BITS   5
#define EROFS_NULL_BLOCK   UINT32_MAX /* a chunk of zeros */
#define EROFS_HAS_CHECKSUM 0x1U
#define EROFS_HAS_MTIME    0x2U
#define EROFS_HAS_CHUNKS   0x4U /* incompatible features */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are written as they are");

struct erofs_super {
        uint32_t magic;
        uint32_t checksum; /* CRC-32C of the block from here on, this field being 0 */
        uint32_t features;
        uint8_t block_bits, extra_slots;
        uint16_t root;
        uint64_t inodes;
        uint64_t time;
        uint32_t time_nsec;
        uint32_t blocks;
        uint32_t inode_area, xattr_area;
        uint8_t uuid[16];
        uint8_t volume[16];
        uint32_t needed_features;
        uint16_t algorithms, devices, device_slot;
        uint8_t folder_bits, reserved[37];
};
_Static_assert(sizeof(struct erofs_super) == 128, "superblock");
_Static_assert(offsetof(struct erofs_super, root) == 14, "superblock");
_Static_assert(offsetof(struct erofs_super, blocks) == 36, "superblock");
_Static_assert(offsetof(struct erofs_super, uuid) == 48, "superblock");
_Static_assert(offsetof(struct erofs_super, needed_features) == 80, "superblock");

enum erofs_layout { EROFS_PLAIN = 0, EROFS_INLINE = 2, EROFS_CHUNKED = 4 };

/* bit 0: extended; bits 1 to 3: layout */
#define EROFS_INODE_FORMAT(layout) ((uint16_t)(1U | (unsigned)(layout) << 1))

struct erofs_inode {
        uint16_t format;
        uint16_t xattr_count; /* 0, or 1 + (bytes after the header) / 4 */
        uint16_t mode;
        uint16_t reserved;
        uint64_t size;
        uint32_t where; /* first block; device number; or chunk size: bits beyond a block's */
        uint32_t number;
        uint32_t uid, gid;
        uint64_t mtime; /* signed in effect */
        uint32_t mtime_nsec;
        uint32_t links;
        uint8_t reserved2[16];
};
_Static_assert(sizeof(struct erofs_inode) == 64, "inode");
_Static_assert(offsetof(struct erofs_inode, where) == 16, "inode");
_Static_assert(offsetof(struct erofs_inode, mtime) == 32, "inode");
_Static_assert(offsetof(struct erofs_inode, links) == 44, "inode");

/* Right after the inode: this header, then entries, each padded to 4 bytes: name and value follow. */
#define EROFS_XATTR_HEADER 12U
struct erofs_xattr {
        uint8_t name_length, prefix;
        uint16_t value_size;
};
_Static_assert(sizeof(struct erofs_xattr) == 4, "extended attribute");

/* A folder's block: entries, then their names; sorted; the first name's offset tells the count. */
struct __attribute__((packed)) erofs_entry {
        uint64_t inode;
        uint16_t name_at;
        uint8_t kind, reserved;
};
_Static_assert(sizeof(struct erofs_entry) == 12, "folder entry");

#endif
