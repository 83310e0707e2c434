/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders, when the tree is complete, in two walks over it: the first sorts each folder, measures it and
 * takes its place, so that the second finds every inode's number known. Entries are sorted as bytes, "." and
 * ".." among them (a name such as "-x" comes before both), since the kernel looks names up by halving.
 */
#include "image/erofs-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The entries of a folder, in order. */
struct listing {
        const struct tree *tree;
        uint32_t folder, child;
        unsigned dots; /* how many of "." and ".." are done */
};

struct line {
        const char *name;
        size_t length;
        uint32_t inode;
        uint8_t kind;
};

#define LINES_MAX (EROFS_BLOCK / (sizeof(struct erofs_entry) + 1))

static uint32_t inode_of(const struct tree *tree, uint32_t index)
{
        const struct tree_node *node = tree_node(tree, index);
        return node->kind == TREE_FOLDER ? tree_folder(tree, index)->inode : node->ref;
}

static bool next_line(struct listing *listing, struct line *line)
{
        static const char *const dots[] = {".", ".."};
        const struct tree *tree = listing->tree;
        uint32_t child = listing->child;
        const char *name = child != TREE_NONE ? tree_name(tree, child) : NULL;
        if (listing->dots < 2 && (name == NULL || strcmp(dots[listing->dots], name) < 0)) {
                uint32_t at = listing->dots == 0 ? listing->folder : tree_node(tree, listing->folder)->parent;
                *line =
                    (struct line){dots[listing->dots], listing->dots + 1U, inode_of(tree, at), TREE_FOLDER};
                listing->dots++;
                return true;
        }
        if (name == NULL)
                return false;
        *line = (struct line){name, strlen(name), inode_of(tree, child), tree_node(tree, child)->kind};
        listing->child = tree_node(tree, child)->next;
        return true;
}

static struct listing list(const struct tree *tree, uint32_t folder)
{
        return (struct listing){.tree = tree, .folder = folder, .child = tree_node(tree, folder)->child};
}

static void measure(struct tree *tree, uint32_t index)
{
        struct tree_folder *folder = tree_folder(tree, index);
        struct listing listing = list(tree, index);
        struct line line;
        uint32_t blocks = 0, used = 0, folders = 0;
        while (next_line(&listing, &line)) {
                uint32_t size = (uint32_t)(sizeof(struct erofs_entry) + line.length);
                if (used + size > EROFS_BLOCK) {
                        blocks++;
                        used = 0;
                }
                used += size;
                folders += line.kind == TREE_FOLDER;
        }
        folder->size = blocks * EROFS_BLOCK + used;
        folder->folders = folders;
}

/* How much of the folder goes behind its inode. */
static uint32_t inline_size(const struct tree_folder *folder, bool is_root)
{
        uint32_t room = EROFS_BLOCK - (is_root ? EROFS_ROOT_AT : 0);
        uint32_t head = (uint32_t)sizeof(struct erofs_inode) + folder->xattr_size;
        uint32_t tail = folder->size % EROFS_BLOCK;
        return head + tail <= room ? tail : 0;
}

static int place(struct erofs_writer *writer, struct tree *tree, uint32_t index, struct error *err)
{
        struct tree_folder *folder = tree_folder(tree, index);
        uint32_t head = (uint32_t)sizeof(struct erofs_inode) + folder->xattr_size;
        uint32_t tail = inline_size(folder, index == TREE_ROOT);
        uint64_t position = EROFS_ROOT_AT, block = 0;
        uint64_t blocks = (folder->size - tail + EROFS_BLOCK - 1) >> EROFS_BLOCK_BITS;
        int r;
        if (index == TREE_ROOT) {
                if (head > EROFS_BLOCK - EROFS_ROOT_AT)
                        return error_set(err, -E2BIG,
                                         "write root file system: extended attributes of '/' take more "
                                         "than 2.8 KiB");
        } else if ((r = erofs_place_inode(writer, head + tail, &position, err)) < 0) {
                return r;
        }
        if (blocks > 0 && (r = erofs_take_blocks(writer, blocks, &block, err)) < 0)
                return r;
        folder->inode = (uint32_t)(position >> EROFS_INODE_BITS);
        folder->block = (uint32_t)block;
        return 0;
}

/* Takes lines while they fit into a block; *next holds one that did not, or none (name NULL). */
static size_t take_lines(struct listing *listing, struct line *lines, struct line *next)
{
        size_t count = 0, used = 0;
        while (next->name != NULL || next_line(listing, next)) {
                used += sizeof(struct erofs_entry) + next->length;
                if (used > EROFS_BLOCK)
                        break;
                lines[count++] = *next;
                next->name = NULL;
        }
        return count;
}

static size_t fill_block(uint8_t *block, const struct line *lines, size_t count)
{
        size_t at = count * sizeof(struct erofs_entry);
        for (size_t i = 0; i < count; i++) {
                struct erofs_entry entry = {.inode = lines[i].inode,
                                            .name_at = (uint16_t)at,
                                            .kind = lines[i].kind};
                memcpy(block + i * sizeof(entry), &entry, sizeof(entry));
                memcpy(block + at, lines[i].name, lines[i].length);
                at += lines[i].length;
        }
        memset(block + at, 0, EROFS_BLOCK - at);
        return at;
}

static int write_folder(struct erofs_writer *writer, struct tree *tree, uint32_t index, struct error *err)
{
        const struct tree_folder *folder = tree_folder(tree, index);
        struct erofs_attributes attributes = {
            .mode = (uint16_t)(S_IFDIR | folder->mode),
            .uid = folder->uid,
            .gid = folder->gid,
            .mtime = folder->mtime,
            .mtime_nsec = folder->mtime_nsec,
            .xattr_size = folder->xattr_size,
        };
        uint32_t tail = inline_size(folder, index == TREE_ROOT);
        uint64_t position = (uint64_t)folder->block << EROFS_BLOCK_BITS;
        struct listing listing = list(tree, index);
        struct line lines[LINES_MAX], next = {0};
        uint8_t block[EROFS_BLOCK];
        struct erofs_inode inode;
        uint32_t left = folder->size;
        while (left > tail) {
                (void)fill_block(block, lines, take_lines(&listing, lines, &next));
                int r = erofs_write_data(writer, position, block, sizeof(block), err);
                if (r < 0)
                        return r;
                position += EROFS_BLOCK;
                left -= left < EROFS_BLOCK ? left : EROFS_BLOCK;
        }
        if (tail > 0)
                (void)fill_block(block, lines, take_lines(&listing, lines, &next));
        erofs_fill_inode(writer, &attributes, &inode);
        if (tail > 0)
                inode.format = EROFS_INODE_FORMAT(EROFS_INLINE);
        inode.size = folder->size;
        inode.where = folder->block;
        inode.links = folder->folders; /* "." and ".." are among them */
        return erofs_write_inode(writer, (uint64_t)folder->inode << EROFS_INODE_BITS, &inode, folder->xattrs,
                                 folder->xattr_size, block, tail, err);
}

int erofs_write_folders(struct erofs_writer *writer, struct tree *tree, struct error *err)
{
        int r = 0;
        for (uint32_t at = TREE_ROOT; at != TREE_NONE && r == 0; at = tree_next_folder(tree, at)) {
                tree_sort(tree, at);
                measure(tree, at);
                r = place(writer, tree, at, err);
        }
        for (uint32_t at = TREE_ROOT; at != TREE_NONE && r == 0; at = tree_next_folder(tree, at))
                r = write_folder(writer, tree, at, err);
        return r;
}
