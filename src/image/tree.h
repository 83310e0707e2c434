/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H

/*
 * The merged tree of names, in memory: about 45 bytes an entry. It knows names, kinds and which layer touched
 * them last; content and attributes of everything but folders are in the image file already, behind `ref`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

#define TREE_ROOT     0U
#define TREE_NONE     UINT32_MAX
#define TREE_NAME_MAX 255

/* Kinds, numbered as in EROFS directory entries. */
enum tree_kind {
        TREE_FILE = 1,
        TREE_FOLDER = 2,
        TREE_CHARACTER = 3,
        TREE_BLOCK = 4,
        TREE_FIFO = 5,
        TREE_SOCKET = 6,
        TREE_SYMLINK = 7,
};

struct tree_node {
        uint32_t parent; /* the root's is itself */
        uint32_t name;   /* tree_name() */
        uint32_t next;   /* sibling */
        uint32_t child;  /* first child, dead ones included */
        uint32_t ref;    /* folders: tree_folder(); others: the inode's number in the image */
        uint16_t layer;  /* that touched it, or anything below it, last */
        uint8_t kind;
        bool dead; /* the name is free; the node waits to be used again */
};

struct tree_folder {
        int64_t mtime;
        uint8_t *xattrs; /* as in the image; owned */
        uint32_t xattr_size;
        uint32_t mtime_nsec;
        uint32_t uid, gid;
        /* where it goes in the image, known at the end */
        uint32_t inode, block, size, folders;
        uint16_t mode; /* permissions only */
};

/* At most entries names ever made, dead ones included, and name_bytes of text. */
int tree_new(size_t entries, size_t name_bytes, struct tree **ret_tree);
void tree_free(struct tree *tree);

struct tree_node *tree_node(const struct tree *tree, uint32_t index);
const char *tree_name(const struct tree *tree, uint32_t index);
struct tree_folder *tree_folder(const struct tree *tree, uint32_t index);

/* The child of that name, dead or alive, or TREE_NONE. */
uint32_t tree_find(const struct tree *tree, uint32_t parent, const char *name, size_t length);

/* As tree_find(), but makes a dead one if there is none. -ENOMEM, or -E2BIG past a maximum. */
int tree_make(struct tree *tree, uint32_t parent, const char *name, size_t length, uint32_t *ret_index);

/* Brings a dead node to life. A folder gets attributes of its own, all zero. */
int tree_revive(struct tree *tree, uint32_t index, enum tree_kind kind, uint32_t ref);

/* Says that this layer wrote here: the node and all above it. */
void tree_touch(struct tree *tree, uint32_t index, uint16_t layer);

/*
 * Buries the node and what is below it, as far as touched last by a layer below `below`; with keep_top only
 * what is below it. on_gone is told about each that is no folder; other than 0 ends the walk with it.
 */
typedef int (*tree_gone_fn)(const struct tree_node *node, void *data);
int tree_bury(struct tree *tree, uint32_t index, uint32_t below, bool keep_top, tree_gone_fn on_gone,
              void *data);

/* Sorts the folder's children by name, as bytes, and drops dead ones for good. Nothing may be added after. */
void tree_sort(struct tree *tree, uint32_t folder);

/* All living folders, each before what is below it: TREE_ROOT first, TREE_NONE after the last. */
uint32_t tree_next_folder(const struct tree *tree, uint32_t index);

#endif
