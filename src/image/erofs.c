/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EROFS file grows at its end only. Content is written straight to its place; inodes of everything but
 * folders are written when they come, into areas of up to 64 blocks kept in memory until full, each inode
 * with the tail of its file behind it. So memory does not grow with the image, and no byte is written twice.
 *
 * Invariants:
 * 1. A block is taken once. What is never written in it reads as zeros (the file is sparse).
 * 2. An inode with its attributes and tail lies in one block; only one larger than a block has blocks of its
 *    own, from the first byte on.
 * 3. The link count in the image is the count: it is read and written there, whether the area is in memory
 *    still or not.
 * 4. The same calls give the same bytes.
 *
 * Data of inodes that lose their last name is punched out of the file (erofs_drop_data()); the hole stays in
 * the image's length. Nothing reuses it: content goes out in the order of its coming.
 */
#include "image/erofs-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCKS_MAX  (UINT64_C(1) << 25) /* 128 GiB: an inode's number has 32 bits */
#define FLUSH_EVERY (UINT64_C(16) << 20)

static int write_error(struct error *err, int code)
{
        return error_errno(err, code, "write root file system");
}

static int write_file(struct erofs_writer *writer, uint64_t position, const void *bytes, size_t size,
                      struct error *err)
{
        const char *from = bytes;
        while (size > 0) {
                ssize_t n = pwrite(writer->fd, from, size, (off_t)position);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return write_error(err, n < 0 ? -errno : -ENOSPC);
                from += n;
                position += (uint64_t)n;
                size -= (size_t)n;
        }
        return 0;
}

int erofs_take_blocks(struct erofs_writer *writer, uint64_t count, uint64_t *ret_block, struct error *err)
{
        if (count > BLOCKS_MAX - writer->end)
                return error_set(err, -EFBIG, "write root file system: it would be larger than 128 GiB");
        *ret_block = writer->end;
        writer->end += count;
        return 0;
}

int erofs_flush_data(struct erofs_writer *writer, struct error *err)
{
        size_t size = writer->stage_used;
        writer->stage_used = 0;
        return write_file(writer, writer->stage_at, writer->stage, size, err);
}

/* Starts writing out early, so that the sync at the end finds little to do. */
static void write_behind(struct erofs_writer *writer, uint64_t position)
{
        if (position < writer->flushed + FLUSH_EVERY)
                return;
        /* only a hint: a failure shows at the fsync() */
        (void)sync_file_range(writer->fd, (off_t)writer->flushed, (off_t)(position - writer->flushed),
                              SYNC_FILE_RANGE_WRITE);
        writer->flushed = position;
}

int erofs_write_data(struct erofs_writer *writer, uint64_t position, const void *bytes, size_t size,
                     struct error *err)
{
        int r;
        bool follows = position == writer->stage_at + writer->stage_used;
        write_behind(writer, position);
        if (!follows || size > STAGE_SIZE - writer->stage_used) {
                if ((r = erofs_flush_data(writer, err)) < 0)
                        return r;
                writer->stage_at = position;
        }
        if (size >= STAGE_SIZE / 8 && writer->stage_used == 0) {
                writer->stage_at = position + size;
                return write_file(writer, position, bytes, size, err);
        }
        memcpy(writer->stage + writer->stage_used, bytes, size);
        writer->stage_used += size;
        return 0;
}

/* Where in memory the position is, if in the area being filled. */
static uint8_t *in_area(const struct erofs_writer *writer, uint64_t position)
{
        uint64_t start = writer->area_block << EROFS_BLOCK_BITS;
        uint64_t size = (uint64_t)writer->area_room << EROFS_BLOCK_BITS;
        return position >= start && position - start < size ? writer->area + (position - start) : NULL;
}

int erofs_write_at(struct erofs_writer *writer, uint64_t position, const void *bytes, size_t size,
                   struct error *err)
{
        uint8_t *place = in_area(writer, position);
        if (place == NULL)
                return write_file(writer, position, bytes, size, err);
        memcpy(place, bytes, size);
        return 0;
}

int erofs_read_at(struct erofs_writer *writer, uint64_t position, void *bytes, size_t size, struct error *err)
{
        const uint8_t *place = in_area(writer, position);
        char *to = bytes;
        if (place != NULL) {
                memcpy(bytes, place, size);
                return 0;
        }
        while (size > 0) {
                ssize_t n = pread(writer->fd, to, size, (off_t)position);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(err, n < 0 ? -errno : -EIO, "read root file system");
                to += n;
                position += (uint64_t)n;
                size -= (size_t)n;
        }
        return 0;
}

/* Writes the area as far as it is used. */
static int flush_area(struct erofs_writer *writer, struct error *err)
{
        return write_file(writer, writer->area_block << EROFS_BLOCK_BITS, writer->area,
                          (size_t)writer->area_count << EROFS_BLOCK_BITS, err);
}

/* Small at first, so that a small image stays small. */
static int new_area(struct erofs_writer *writer, struct error *err)
{
        unsigned room = writer->area_room == 0            ? 4
                        : writer->area_room < AREA_BLOCKS ? writer->area_room * 2
                                                          : AREA_BLOCKS;
        uint64_t block = 0;
        int r;
        if ((r = flush_area(writer, err)) < 0 || (r = erofs_take_blocks(writer, room, &block, err)) < 0)
                return r;
        writer->area_block = block;
        writer->area_room = room;
        writer->area_count = 0;
        memset(writer->area, 0, (size_t)room << EROFS_BLOCK_BITS);
        return 0;
}

static uint16_t round_up_inode(uint64_t size)
{
        return (uint16_t)((size + 31) & ~UINT64_C(31));
}

int erofs_place_inode(struct erofs_writer *writer, uint64_t size, uint64_t *ret_position, struct error *err)
{
        uint64_t block = 0;
        unsigned i;
        int r;
        if (size > EROFS_BLOCK) {
                r = erofs_take_blocks(writer, (size + EROFS_BLOCK - 1) >> EROFS_BLOCK_BITS, &block, err);
                if (r == 0)
                        *ret_position = block << EROFS_BLOCK_BITS;
                return r;
        }
        for (i = 0; i < writer->area_count && writer->area_used[i] + size > EROFS_BLOCK; i++)
                ;
        if (i == writer->area_room) {
                if ((r = new_area(writer, err)) < 0)
                        return r;
                i = 0;
        }
        if (i == writer->area_count)
                writer->area_used[writer->area_count++] = 0;
        *ret_position = ((writer->area_block + i) << EROFS_BLOCK_BITS) + writer->area_used[i];
        writer->area_used[i] = round_up_inode(writer->area_used[i] + size);
        return 0;
}

void erofs_fill_inode(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                      struct erofs_inode *inode)
{
        *inode = (struct erofs_inode){
            .format = EROFS_INODE_FORMAT(EROFS_PLAIN),
            .xattr_count = attributes->xattr_size > 0
                               ? (uint16_t)(1 + (attributes->xattr_size - EROFS_XATTR_HEADER) / 4)
                               : 0,
            .mode = attributes->mode,
            .number = ++writer->numbers,
            .uid = attributes->uid,
            .gid = attributes->gid,
            .mtime = (uint64_t)attributes->mtime,
            .mtime_nsec = attributes->mtime_nsec,
            .links = 1,
        };
        writer->inodes++;
}

int erofs_write_inode(struct erofs_writer *writer, uint64_t position, const struct erofs_inode *inode,
                      const uint8_t *xattrs, uint32_t xattr_size, const void *after, size_t size_after,
                      struct error *err)
{
        int r = erofs_write_at(writer, position, inode, sizeof(*inode), err);
        position += sizeof(*inode);
        if (r == 0 && xattr_size > 0)
                r = erofs_write_at(writer, position, xattrs, xattr_size, err);
        position += xattr_size;
        if (r == 0 && size_after > 0)
                r = erofs_write_at(writer, position, after, size_after, err);
        return r;
}

int erofs_add_symlink(struct erofs_writer *writer, const struct erofs_attributes *attributes,
                      const char *target, uint32_t *ret_inode, struct error *err)
{
        struct erofs_inode inode;
        size_t length = strlen(target);
        size_t head = sizeof(inode) + attributes->xattr_size;
        bool is_inline = head + length <= EROFS_BLOCK;
        uint64_t position = 0, block = 0;
        int r = erofs_place_inode(writer, is_inline ? head + length : head, &position, err);
        if (r < 0)
                return r;
        erofs_fill_inode(writer, attributes, &inode);
        inode.size = length;
        if (is_inline) {
                inode.format = EROFS_INODE_FORMAT(EROFS_INLINE);
        } else {
                if ((r = erofs_take_blocks(writer, 1, &block, err)) < 0 ||
                    (r = erofs_write_at(writer, block << EROFS_BLOCK_BITS, target, length, err)) < 0)
                        return r;
                inode.where = (uint32_t)block;
        }
        *ret_inode = (uint32_t)(position >> EROFS_INODE_BITS);
        return erofs_write_inode(writer, position, &inode, attributes->xattrs, attributes->xattr_size, target,
                                 is_inline ? length : 0, err);
}

int erofs_add_special(struct erofs_writer *writer, const struct erofs_attributes *attributes, uint32_t device,
                      uint32_t *ret_inode, struct error *err)
{
        struct erofs_inode inode;
        uint64_t position = 0;
        int r = erofs_place_inode(writer, sizeof(inode) + attributes->xattr_size, &position, err);
        if (r < 0)
                return r;
        erofs_fill_inode(writer, attributes, &inode);
        inode.where = device;
        *ret_inode = (uint32_t)(position >> EROFS_INODE_BITS);
        return erofs_write_inode(writer, position, &inode, attributes->xattrs, attributes->xattr_size, NULL,
                                 0, err);
}

static int change_links(struct erofs_writer *writer, uint32_t number, bool more,
                        struct erofs_inode *ret_inode, struct error *err)
{
        uint64_t position = (uint64_t)number << EROFS_INODE_BITS;
        int r = erofs_read_at(writer, position, ret_inode, sizeof(*ret_inode), err);
        if (r < 0)
                return r;
        ret_inode->links += more ? 1 : UINT32_MAX;
        return erofs_write_at(writer, position + offsetof(struct erofs_inode, links), &ret_inode->links,
                              sizeof(ret_inode->links), err);
}

int erofs_link(struct erofs_writer *writer, uint32_t number, struct error *err)
{
        struct erofs_inode inode;
        return change_links(writer, number, true, &inode, err);
}

int erofs_unlink(struct erofs_writer *writer, uint32_t number, struct error *err)
{
        struct erofs_inode inode;
        int r = change_links(writer, number, false, &inode, err);
        if (r < 0 || inode.links > 0)
                return r;
        writer->inodes--;
        return erofs_drop_data(writer, (uint64_t)number << EROFS_INODE_BITS, &inode, err);
}

int erofs_read_symlink(struct erofs_writer *writer, uint32_t number, char *target, size_t room,
                       struct error *err)
{
        uint64_t position = (uint64_t)number << EROFS_INODE_BITS;
        struct erofs_inode inode;
        int r = erofs_read_at(writer, position, &inode, sizeof(inode), err);
        if (r < 0)
                return r;
        if (!S_ISLNK(inode.mode) || inode.size >= room)
                return error_set(err, -EIO, "read root file system: no link where one was written");
        position += sizeof(inode);
        if (inode.xattr_count > 0)
                position += EROFS_XATTR_HEADER + 4U * (inode.xattr_count - 1U);
        if (inode.format == EROFS_INODE_FORMAT(EROFS_PLAIN))
                position = (uint64_t)inode.where << EROFS_BLOCK_BITS;
        target[inode.size] = '\0';
        return erofs_read_at(writer, position, target, inode.size, err);
}

/* CRC-32C (Castagnoli), bit by bit: it is only ever used for one block. */
static uint32_t checksum(uint32_t crc, const uint8_t *bytes, size_t size)
{
        while (size-- > 0) {
                crc ^= *bytes++;
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
        return crc;
}

static int write_super(struct erofs_writer *writer, const uint8_t uuid[16], struct error *err)
{
        uint8_t block[EROFS_BLOCK];
        struct erofs_super super = {
            .magic = EROFS_MAGIC,
            .features = EROFS_HAS_CHECKSUM | EROFS_HAS_MTIME,
            .block_bits = EROFS_BLOCK_BITS,
            .root = EROFS_ROOT_AT >> EROFS_INODE_BITS,
            .inodes = writer->inodes,
            .blocks = (uint32_t)writer->end,
            .needed_features = writer->has_chunks ? EROFS_HAS_CHUNKS : 0,
        };
        int r = erofs_read_at(writer, 0, block, sizeof(block), err);
        if (r < 0)
                return r;
        memcpy(super.uuid, uuid, sizeof(super.uuid));
        memcpy(block + EROFS_SUPER_AT, &super, sizeof(super));
        super.checksum = checksum(UINT32_MAX, block + EROFS_SUPER_AT, EROFS_BLOCK - EROFS_SUPER_AT);
        return write_file(writer, EROFS_SUPER_AT, &super, sizeof(super), err);
}

int erofs_finish(struct erofs_writer *writer, struct tree *tree, const uint8_t uuid[16], uint64_t *ret_bytes,
                 uint64_t *ret_inodes, struct error *err)
{
        int r = erofs_write_folders(writer, tree, err);
        if (r < 0 || (r = erofs_flush_data(writer, err)) < 0)
                return r;
        /* nothing behind the last area: its rest is not needed */
        if (writer->area_block + writer->area_room == writer->end)
                writer->end = writer->area_block + writer->area_count;
        if ((r = flush_area(writer, err)) < 0)
                return r;
        if (ftruncate(writer->fd, (off_t)(writer->end << EROFS_BLOCK_BITS)) < 0)
                return write_error(err, -errno);
        if ((r = write_super(writer, uuid, err)) < 0)
                return r;
        *ret_bytes = writer->end << EROFS_BLOCK_BITS;
        *ret_inodes = writer->inodes;
        return 0;
}

int erofs_writer_new(int fd, struct erofs_writer **ret_writer, struct error *err)
{
        struct erofs_writer *writer = calloc(1, sizeof(*writer));
        struct stat st;
        if (writer == NULL)
                return error_errno(err, -ENOMEM, "write root file system");
        writer->fd = fd;
        writer->end = 1; /* block 0: superblock and root */
        writer->area = malloc((size_t)AREA_BLOCKS << EROFS_BLOCK_BITS);
        writer->stage = malloc(STAGE_SIZE);
        int r = fstat(fd, &st) < 0 ? -errno : 0;
        if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size != 0))
                r = -EINVAL;
        if (r == 0 && (writer->area == NULL || writer->stage == NULL))
                r = -ENOMEM;
        if (r < 0) {
                erofs_writer_free(writer);
                return write_error(err, r);
        }
        *ret_writer = writer;
        return 0;
}

void erofs_writer_free(struct erofs_writer *writer)
{
        if (writer == NULL)
                return;
        free(writer->file.chunks);
        free(writer->area);
        free(writer->stage);
        free(writer);
}
