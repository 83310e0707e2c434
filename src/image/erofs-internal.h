/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_EROFS_INTERNAL_H
#define IMAGE_EROFS_INTERNAL_H

/* What the files of the EROFS writer share: where space comes from, and how bytes get to the file. */
#include "image/erofs-format.h"
#include "image/erofs.h"

#define EROFS_ROOT_AT (EROFS_SUPER_AT + (unsigned)sizeof(struct erofs_super))
#define AREA_BLOCKS   64U /* most blocks in an area of inodes */
#define STAGE_SIZE    (1U << 20)
#define CHUNKS_MAX    65536U
#define CHUNK_NOTHING EROFS_NULL_BLOCK

/* The content of the regular file being written. */
struct erofs_file {
        bool open;
        bool chunked;        /* large: blocks are taken a chunk at a time, and none for chunks of zeros */
        unsigned chunk_bits; /* beyond a block's */
        uint64_t size, at;   /* at: everything before is done */
        uint32_t block;      /* first one of a file that is not chunked */
        uint32_t chunk_count;
        uint32_t *chunks;          /* CHUNKS_MAX, made at the first need */
        uint8_t part[EROFS_BLOCK]; /* the block at `at`, as far as it has come; zeros beyond */
};

struct erofs_writer {
        int fd;
        uint64_t end;     /* first block never taken */
        uint64_t inodes;  /* alive */
        uint32_t numbers; /* handed out */
        bool has_chunks;
        /* the area of inodes being filled: blocks from area_block on, area_used[i] bytes used in each */
        uint8_t *area;
        uint64_t area_block;
        unsigned area_room, area_count;
        uint16_t area_used[AREA_BLOCKS];
        /* content on its way: stage_used bytes that belong at stage_at */
        uint8_t *stage;
        uint64_t stage_at;
        size_t stage_used;
        uint64_t flushed; /* the kernel was told to write out what is below */
        struct erofs_file file;
};

/* Takes count blocks in one piece; they read as zeros until written. */
int erofs_take_blocks(struct erofs_writer *writer, uint64_t count, uint64_t *ret_block, struct error *err);

/* Bytes at a position in blocks taken; not for positions within areas of inodes. */
int erofs_write_data(struct erofs_writer *writer, uint64_t position, const void *bytes, size_t size,
                     struct error *err);
int erofs_flush_data(struct erofs_writer *writer, struct error *err);

/* Bytes anywhere, the area being filled included. Reading needs content flushed if it is content. */
int erofs_write_at(struct erofs_writer *writer, uint64_t position, const void *bytes, size_t size,
                   struct error *err);
int erofs_read_at(struct erofs_writer *writer, uint64_t position, void *bytes, size_t size,
                  struct error *err);

/* A place of so many bytes for an inode with what follows it; within one block if size is at most one. */
int erofs_place_inode(struct erofs_writer *writer, uint64_t size, uint64_t *ret_position, struct error *err);

/* Fills what depends on nothing but the attributes. */
void erofs_fill_inode(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                      struct erofs_inode *inode);

/* Writes inode, attributes and what follows (size_after bytes of it). */
int erofs_write_inode(struct erofs_writer *writer, uint64_t position, const struct erofs_inode *inode,
                      const uint8_t *xattrs, uint32_t xattr_size, const void *after, size_t size_after,
                      struct error *err);

/* Gives back the data of an inode nobody names any more. */
int erofs_drop_data(struct erofs_writer *writer, uint64_t position, const struct erofs_inode *inode,
                    struct error *err);

int erofs_write_folders(struct erofs_writer *writer, struct tree *tree, struct error *err);

#endif
