/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of regular files. Blocks of zeros are not written, whether the layer had them as holes or as bytes.
 *
 * A file below CHUNKED_FROM takes its whole blocks in one piece when it begins; its last part goes behind the
 * inode if there is room in a block. A larger file takes a chunk (64 KiB or more) when the first byte other
 * than zero arrives for it; in the end it is plain if the chunks lie one behind the other with none left out,
 * which is the rule, and chunk-based otherwise: then a hole of any size costs a few bytes of map. The map has
 * at most CHUNKS_MAX entries in memory, and is made coarser before it is written as far as that loses
 * nothing.
 */
#include "image/erofs-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNKED_FROM   (UINT64_C(1) << 20)
#define CHUNK_BITS_MIN 4U  /* 64 KiB */
#define CHUNK_BITS_MAX 31U /* what the format has room for */
#define FILE_MAX       (UINT64_C(1) << 44)

static uint64_t block_count(uint64_t size)
{
        return (size + EROFS_BLOCK - 1) >> EROFS_BLOCK_BITS;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
        return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static int begin_chunked(struct erofs_file *file, struct error *err)
{
        file->chunked = true;
        file->chunk_bits = CHUNK_BITS_MIN;
        while (block_count(file->size) > (uint64_t)CHUNKS_MAX << file->chunk_bits)
                file->chunk_bits++;
        uint64_t chunk = UINT64_C(1) << file->chunk_bits;
        file->chunk_count = (uint32_t)((block_count(file->size) + chunk - 1) >> file->chunk_bits);
        if (file->chunks == NULL && (file->chunks = malloc(CHUNKS_MAX * sizeof(*file->chunks))) == NULL)
                return error_errno(err, -ENOMEM, "write root file system");
        memset(file->chunks, 0xff, file->chunk_count * sizeof(*file->chunks)); /* CHUNK_NOTHING */
        return 0;
}

int erofs_file_begin(struct erofs_writer *writer, uint64_t size, struct error *err)
{
        struct erofs_file *file = &writer->file;
        uint64_t block = 0;
        int r = 0;
        if (size > FILE_MAX)
                return error_set(err, -EFBIG, "write root file system: a file larger than 16 TiB");
        file->open = true;
        file->chunked = false;
        file->size = size;
        file->at = 0;
        memset(file->part, 0, sizeof(file->part));
        if (size >= CHUNKED_FROM)
                return begin_chunked(file, err);
        /* the last, partial block is taken at the end, if it does not go behind the inode */
        if (size >= EROFS_BLOCK)
                r = erofs_take_blocks(writer, size >> EROFS_BLOCK_BITS, &block, err);
        file->block = (uint32_t)block;
        return r;
}

/* Where the file's block number `index` goes; how many from there on lie together is at least *count. */
static int find_place(struct erofs_writer *writer, uint64_t index, size_t *count, uint64_t *ret_block,
                      struct error *err)
{
        struct erofs_file *file = &writer->file;
        if (!file->chunked) {
                *ret_block = file->block + index;
                return 0;
        }
        uint64_t chunk = index >> file->chunk_bits;
        uint64_t first = chunk << file->chunk_bits;
        uint64_t blocks = UINT64_C(1) << file->chunk_bits;
        if (file->chunks[chunk] == CHUNK_NOTHING) {
                uint64_t left = block_count(file->size) - first;
                uint64_t taken;
                int r = erofs_take_blocks(writer, left < blocks ? left : blocks, &taken, err);
                if (r < 0)
                        return r;
                file->chunks[chunk] = (uint32_t)taken;
        }
        if (*count > first + blocks - index)
                *count = (size_t)(first + blocks - index);
        *ret_block = file->chunks[chunk] + (index - first);
        return 0;
}

/* Whole blocks at file->at, none of them only zeros. */
static int write_run(struct erofs_writer *writer, const uint8_t *bytes, size_t count, struct error *err)
{
        uint64_t index = writer->file.at >> EROFS_BLOCK_BITS;
        while (count > 0) {
                size_t together = count;
                uint64_t block;
                int r = find_place(writer, index, &together, &block, err);
                if (r == 0)
                        r = erofs_write_data(writer, block << EROFS_BLOCK_BITS, bytes,
                                             together << EROFS_BLOCK_BITS, err);
                if (r < 0)
                        return r;
                bytes += together << EROFS_BLOCK_BITS;
                index += together;
                count -= together;
        }
        return 0;
}

/* Whole blocks at file->at. */
static int write_blocks(struct erofs_writer *writer, const uint8_t *bytes, size_t count, struct error *err)
{
        size_t run = 0;
        while (count > 0) {
                for (run = 0; run < count && !is_zero(bytes + (run << EROFS_BLOCK_BITS), EROFS_BLOCK); run++)
                        ;
                int r = write_run(writer, bytes, run, err);
                if (r < 0)
                        return r;
                if (run < count)
                        run++; /* the block of zeros that ended it */
                bytes += run << EROFS_BLOCK_BITS;
                writer->file.at += (uint64_t)run << EROFS_BLOCK_BITS;
                count -= run;
        }
        return 0;
}

/* Puts the part at the right place: it is complete, or the file ends in it. */
static int end_part(struct erofs_writer *writer, struct error *err)
{
        struct erofs_file *file = &writer->file;
        file->at &= ~(uint64_t)(EROFS_BLOCK - 1);
        int r = write_blocks(writer, file->part, 1, err);
        memset(file->part, 0, sizeof(file->part));
        return r;
}

static int skip_to(struct erofs_writer *writer, uint64_t offset, struct error *err)
{
        struct erofs_file *file = &writer->file;
        uint64_t same_block = file->at >> EROFS_BLOCK_BITS == offset >> EROFS_BLOCK_BITS;
        if (file->at % EROFS_BLOCK != 0 && !same_block) {
                int r = end_part(writer, err);
                if (r < 0)
                        return r;
        }
        file->at = offset;
        return 0;
}

int erofs_file_write(struct erofs_writer *writer, uint64_t offset, const void *bytes, size_t size,
                     struct error *err)
{
        struct erofs_file *file = &writer->file;
        const uint8_t *from = bytes;
        int r;
        if (offset < file->at || offset > file->size || size > file->size - offset)
                return error_set(err, -EBADMSG, "content beyond the size of its file, or out of order");
        if (size > 0 && offset > file->at && (r = skip_to(writer, offset, err)) < 0)
                return r;
        while (size > 0) {
                size_t in_part = file->at % EROFS_BLOCK;
                size_t now = EROFS_BLOCK - in_part;
                if (in_part == 0 && size >= EROFS_BLOCK) {
                        now = size & ~(size_t)(EROFS_BLOCK - 1);
                        if ((r = write_blocks(writer, from, now >> EROFS_BLOCK_BITS, err)) < 0)
                                return r;
                } else {
                        if (now > size)
                                now = size;
                        memcpy(file->part + in_part, from, now);
                        file->at += now;
                        if (file->at % EROFS_BLOCK == 0) {
                                file->at -= EROFS_BLOCK; /* it is done again with the whole block */
                                if ((r = end_part(writer, err)) < 0)
                                        return r;
                        }
                }
                from += now;
                size -= now;
        }
        return 0;
}

/* Doubles the chunks while each pair is two holes, or two that lie one behind the other. */
static void make_coarser(struct erofs_file *file)
{
        while (file->chunk_count > 1 && file->chunk_bits < CHUNK_BITS_MAX) {
                uint32_t *chunks = file->chunks;
                uint32_t count = file->chunk_count;
                for (uint32_t i = 0; i + 1 < count; i += 2) {
                        bool holes = chunks[i] == CHUNK_NOTHING && chunks[i + 1] == CHUNK_NOTHING;
                        bool follows = chunks[i] != CHUNK_NOTHING &&
                                       chunks[i + 1] == chunks[i] + (UINT32_C(1) << file->chunk_bits);
                        if (!holes && !follows)
                                return;
                }
                for (uint32_t i = 0; i < count; i += 2)
                        chunks[i / 2] = chunks[i];
                file->chunk_count = (count + 1) / 2;
                file->chunk_bits++;
        }
}

/* Turns the chunks into the inode's layout: plain if they are one piece. */
static void settle_chunks(struct erofs_file *file, struct erofs_inode *inode)
{
        uint32_t expected = file->chunks[0];
        bool plain = expected != CHUNK_NOTHING;
        for (uint32_t i = 0; i < file->chunk_count && plain; i++) {
                plain = file->chunks[i] == expected;
                expected += UINT32_C(1) << file->chunk_bits;
        }
        if (plain) {
                inode->where = file->chunks[0];
                file->chunk_count = 0;
                return;
        }
        make_coarser(file);
        inode->format = EROFS_INODE_FORMAT(EROFS_CHUNKED);
        inode->where = file->chunk_bits;
}

static int end_chunked(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                       struct erofs_inode *inode, uint64_t *ret_position, struct error *err)
{
        struct erofs_file *file = &writer->file;
        int r;
        if (file->at % EROFS_BLOCK != 0 && (r = end_part(writer, err)) < 0)
                return r;
        settle_chunks(file, inode);
        size_t map_size = file->chunk_count * sizeof(*file->chunks);
        if (map_size > 0)
                writer->has_chunks = true;
        r = erofs_place_inode(writer, sizeof(*inode) + attributes->xattr_size + map_size, ret_position, err);
        if (r == 0)
                r = erofs_write_inode(writer, *ret_position, inode, attributes->xattrs,
                                      attributes->xattr_size, file->chunks, map_size, err);
        return r;
}

static int end_small(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                     struct erofs_inode *inode, uint64_t *ret_position, struct error *err)
{
        struct erofs_file *file = &writer->file;
        size_t head = sizeof(*inode) + attributes->xattr_size;
        size_t tail = file->size % EROFS_BLOCK;
        uint64_t block = 0;
        int r;
        /* what did not come is zeros: the part holds the file's tail only if content came so far */
        if (file->at % EROFS_BLOCK != 0 && file->at >> EROFS_BLOCK_BITS != file->size >> EROFS_BLOCK_BITS &&
            (r = end_part(writer, err)) < 0)
                return r;
        inode->where = file->block;
        if (tail > 0 && head + tail <= EROFS_BLOCK) {
                inode->format = EROFS_INODE_FORMAT(EROFS_INLINE);
        } else if (tail > 0) {
                /* the block right behind the others: nothing was taken since */
                if ((r = erofs_take_blocks(writer, 1, &block, err)) < 0)
                        return r;
                if (file->size < EROFS_BLOCK)
                        inode->where = (uint32_t)block;
                if (!is_zero(file->part, sizeof(file->part)) &&
                    (r = erofs_write_data(writer, block << EROFS_BLOCK_BITS, file->part, EROFS_BLOCK, err)) <
                        0)
                        return r;
                tail = 0;
        }
        if ((r = erofs_place_inode(writer, head + tail, ret_position, err)) < 0)
                return r;
        return erofs_write_inode(writer, *ret_position, inode, attributes->xattrs, attributes->xattr_size,
                                 file->part, tail, err);
}

int erofs_file_end(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                   uint32_t *ret_inode, struct error *err)
{
        struct erofs_file *file = &writer->file;
        struct erofs_inode inode;
        uint64_t position = 0;
        int r;
        file->open = false;
        erofs_fill_inode(writer, attributes, &inode);
        inode.size = file->size;
        if (file->chunked)
                r = end_chunked(writer, attributes, &inode, &position, err);
        else
                r = end_small(writer, attributes, &inode, &position, err);
        if (r == 0)
                *ret_inode = (uint32_t)(position >> EROFS_INODE_BITS);
        return r;
}

static void punch(struct erofs_writer *writer, uint64_t block, uint64_t count)
{
        /* to save room only: where the file system below cannot, the dead bytes stay */
        if (count > 0)
                (void)fallocate(writer->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)(block << EROFS_BLOCK_BITS), (off_t)(count << EROFS_BLOCK_BITS));
}

static int punch_chunks(struct erofs_writer *writer, uint64_t position, const struct erofs_inode *inode,
                        struct error *err)
{
        uint64_t blocks = UINT64_C(1) << inode->where;
        uint64_t left = block_count(inode->size);
        position += sizeof(*inode);
        if (inode->xattr_count > 0)
                position += EROFS_XATTR_HEADER + 4U * (inode->xattr_count - 1U);
        for (; left > 0; position += sizeof(uint32_t)) {
                uint64_t here = left < blocks ? left : blocks;
                uint32_t block;
                int r = erofs_read_at(writer, position, &block, sizeof(block), err);
                if (r < 0)
                        return r;
                if (block != CHUNK_NOTHING)
                        punch(writer, block, here);
                left -= here;
        }
        return 0;
}

int erofs_drop_data(struct erofs_writer *writer, uint64_t position, const struct erofs_inode *inode,
                    struct error *err)
{
        if (!S_ISREG(inode->mode) || inode->size < EROFS_BLOCK)
                return 0;
        int r = erofs_flush_data(writer, err); /* it may be on its way, and would be written after */
        if (r < 0)
                return r;
        if (inode->format == EROFS_INODE_FORMAT(EROFS_CHUNKED))
                return punch_chunks(writer, position, inode, err);
        if (inode->format == EROFS_INODE_FORMAT(EROFS_INLINE))
                punch(writer, inode->where, inode->size >> EROFS_BLOCK_BITS);
        else
                punch(writer, inode->where, block_count(inode->size));
        return 0;
}
