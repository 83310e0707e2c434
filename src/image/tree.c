/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes, names and folder attributes lie in pools addressed by 32-bit numbers: a pool is a table of chunks,
 * so growing never copies. One open-addressing table finds (parent, name). It is keyed by SipHash with a
 * random key, since names come from strangers; the order in it shows nowhere.
 *
 * Invariants:
 * 1. A node never leaves its parent's list nor the table: a removed one is marked dead and brought to life
 *    again when its name comes back. What is below a dead folder is dead.
 * 2. A node's layer is not below that of any living node under it (tree_touch()).
 * 3. Nothing here recurses: walks go by child, next and parent.
 */
#include "image/tree.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CHUNK_SHIFT 12
#define CHUNK_COUNT (1U << CHUNK_SHIFT)
#define NAME_CHUNK  65536U

struct pool {
        void **chunks;
        size_t chunk_count, chunk_room;
        size_t item_size; /* of which CHUNK_COUNT make a chunk */
        size_t used, maximum;
};

struct tree {
        struct pool nodes, folders;
        struct pool names; /* items of one byte in chunks of NAME_CHUNK; a name never crosses a chunk */
        uint32_t *table;   /* node numbers, 0 (the root) for a free slot */
        size_t table_size, table_used;
        uint64_t key[2];
};

static size_t chunk_items(const struct pool *pool)
{
        return pool->item_size == 1 ? NAME_CHUNK : CHUNK_COUNT;
}

static void *pool_at(const struct pool *pool, size_t index)
{
        size_t items = chunk_items(pool);
        return (char *)pool->chunks[index / items] + index % items * pool->item_size;
}

static int add_chunk(struct pool *pool)
{
        if (pool->chunk_count == pool->chunk_room) {
                size_t room = pool->chunk_room > 0 ? pool->chunk_room * 2 : 16;
                void **grown = reallocarray(pool->chunks, room, sizeof(*grown));
                if (grown == NULL)
                        return -ENOMEM;
                pool->chunks = grown;
                pool->chunk_room = room;
        }
        void *chunk = calloc(chunk_items(pool), pool->item_size);
        if (chunk == NULL)
                return -ENOMEM;
        pool->chunks[pool->chunk_count++] = chunk;
        return 0;
}

/* Takes count items that lie in one chunk. */
static int pool_take(struct pool *pool, size_t count, uint32_t *ret_index)
{
        size_t items = chunk_items(pool);
        size_t at = pool->used;
        if (at % items + count > items)
                at += items - at % items;
        if (at + count > pool->maximum)
                return -E2BIG;
        if (at + count > pool->chunk_count * items && add_chunk(pool) < 0)
                return -ENOMEM;
        pool->used = at + count;
        *ret_index = (uint32_t)at;
        return 0;
}

static void pool_done(struct pool *pool)
{
        for (size_t i = 0; i < pool->chunk_count; i++)
                free(pool->chunks[i]);
        free(pool->chunks);
}

static uint64_t rotate(uint64_t v, unsigned bits)
{
        return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 of the parent's number and the name. */
static size_t hash(const struct tree *tree, uint32_t parent, const char *name, size_t length)
{
        uint64_t v[4] = {tree->key[0] ^ 0x736f6d6570736575, tree->key[1] ^ 0x646f72616e646f6d,
                         tree->key[0] ^ 0x6c7967656e657261, tree->key[1] ^ 0x7465646279746573};
        uint64_t word = (uint64_t)parent << 32 | (uint32_t)length;
        for (;;) {
                v[3] ^= word;
                sip_round(v);
                v[0] ^= word;
                if (length == 0)
                        break;
                size_t part = length < sizeof(word) ? length : sizeof(word);
                word = 0;
                memcpy(&word, name, part);
                name += part;
                length -= part;
        }
        v[2] ^= 0xff;
        for (int i = 0; i < 3; i++)
                sip_round(v);
        return (size_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

struct tree_node *tree_node(const struct tree *tree, uint32_t index)
{
        return pool_at(&tree->nodes, index);
}

const char *tree_name(const struct tree *tree, uint32_t index)
{
        return pool_at(&tree->names, tree_node(tree, index)->name);
}

struct tree_folder *tree_folder(const struct tree *tree, uint32_t index)
{
        return pool_at(&tree->folders, tree_node(tree, index)->ref);
}

static bool is_named(const struct tree *tree, uint32_t index, uint32_t parent, const char *name,
                     size_t length)
{
        if (tree_node(tree, index)->parent != parent)
                return false;
        const char *own = tree_name(tree, index);
        return strncmp(own, name, length) == 0 && own[length] == '\0';
}

/* The slot of that child, or the free one where it belongs. */
static size_t find_slot(const struct tree *tree, uint32_t parent, const char *name, size_t length)
{
        size_t mask = tree->table_size - 1;
        size_t slot = hash(tree, parent, name, length) & mask;
        while (tree->table[slot] != 0 && !is_named(tree, tree->table[slot], parent, name, length))
                slot = (slot + 1) & mask;
        return slot;
}

static int grow_table(struct tree *tree)
{
        size_t size = tree->table_size * 2;
        uint32_t *table = calloc(size, sizeof(*table));
        if (table == NULL)
                return -ENOMEM;
        free(tree->table);
        tree->table = table;
        tree->table_size = size;
        for (uint32_t i = 1; i < tree->nodes.used; i++) {
                const char *name = tree_name(tree, i);
                size_t slot = hash(tree, tree_node(tree, i)->parent, name, strlen(name)) & (size - 1);
                while (table[slot] != 0)
                        slot = (slot + 1) & (size - 1);
                table[slot] = i;
        }
        return 0;
}

uint32_t tree_find(const struct tree *tree, uint32_t parent, const char *name, size_t length)
{
        uint32_t index = tree->table[find_slot(tree, parent, name, length)];
        return index != 0 ? index : TREE_NONE;
}

int tree_make(struct tree *tree, uint32_t parent, const char *name, size_t length, uint32_t *ret_index)
{
        uint32_t index, text;
        int r;
        if (tree->table_used * 4 >= tree->table_size * 3 && (r = grow_table(tree)) < 0)
                return r;
        size_t slot = find_slot(tree, parent, name, length);
        if (tree->table[slot] != 0) {
                *ret_index = tree->table[slot];
                return 0;
        }
        if ((r = pool_take(&tree->names, length + 1, &text)) < 0 ||
            (r = pool_take(&tree->nodes, 1, &index)) < 0)
                return r;
        memcpy(pool_at(&tree->names, text), name, length); /* the NUL is there: chunks start as zeros */
        struct tree_node *node = tree_node(tree, index);
        struct tree_node *above = tree_node(tree, parent);
        *node = (struct tree_node){
            .parent = parent, .name = text, .next = above->child, .child = TREE_NONE, .dead = true};
        above->child = index;
        tree->table[slot] = index;
        tree->table_used++;
        *ret_index = index;
        return 0;
}

int tree_revive(struct tree *tree, uint32_t index, enum tree_kind kind, uint32_t ref)
{
        struct tree_node *node = tree_node(tree, index);
        if (kind == TREE_FOLDER) {
                int r = pool_take(&tree->folders, 1, &ref);
                if (r < 0)
                        return r;
        }
        node->ref = ref;
        node->kind = (uint8_t)kind;
        node->dead = false;
        return 0;
}

void tree_touch(struct tree *tree, uint32_t index, uint16_t layer)
{
        struct tree_node *node = tree_node(tree, index);
        while (node->layer != layer) { /* once it is, all above are: invariant 2 */
                node->layer = layer;
                node = tree_node(tree, node->parent);
        }
}

static int bury_one(struct tree *tree, uint32_t index, tree_gone_fn on_gone, void *data)
{
        struct tree_node *node = tree_node(tree, index);
        node->dead = true;
        if (node->kind != TREE_FOLDER)
                return on_gone(node, data);
        struct tree_folder *folder = tree_folder(tree, index);
        free(folder->xattrs);
        folder->xattrs = NULL;
        folder->xattr_size = 0;
        return 0;
}

int tree_bury(struct tree *tree, uint32_t index, uint32_t below, bool keep_top, tree_gone_fn on_gone,
              void *data)
{
        uint32_t at = index;
        for (;;) {
                struct tree_node *node = tree_node(tree, at);
                bool descend = !node->dead && node->kind == TREE_FOLDER && node->child != TREE_NONE;
                if (!node->dead && node->layer < below && !(keep_top && at == index)) {
                        int r = bury_one(tree, at, on_gone, data);
                        if (r != 0)
                                return r;
                }
                if (descend) {
                        at = node->child;
                        continue;
                }
                while (at != index && tree_node(tree, at)->next == TREE_NONE)
                        at = tree_node(tree, at)->parent;
                if (at == index)
                        return 0;
                at = tree_node(tree, at)->next;
        }
}

static uint32_t merge_lists(const struct tree *tree, uint32_t a, uint32_t b)
{
        uint32_t head = TREE_NONE;
        uint32_t *tail = &head;
        while (a != TREE_NONE && b != TREE_NONE) {
                uint32_t *smaller = strcmp(tree_name(tree, a), tree_name(tree, b)) < 0 ? &a : &b;
                *tail = *smaller;
                tail = &tree_node(tree, *smaller)->next;
                *smaller = *tail;
        }
        *tail = a != TREE_NONE ? a : b;
        return head;
}

void tree_sort(struct tree *tree, uint32_t folder)
{
        uint32_t runs[32]; /* runs[i]: none, or a sorted list of 2^i nodes; as a binary counter */
        struct tree_node *top = tree_node(tree, folder);
        uint32_t next;
        for (size_t i = 0; i < 32; i++)
                runs[i] = TREE_NONE;
        for (uint32_t at = top->child; at != TREE_NONE; at = next) {
                struct tree_node *node = tree_node(tree, at);
                next = node->next;
                node->next = TREE_NONE;
                if (node->dead)
                        continue;
                size_t i = 0;
                for (; runs[i] != TREE_NONE; i++) {
                        at = merge_lists(tree, runs[i], at);
                        runs[i] = TREE_NONE;
                }
                runs[i] = at;
        }
        top->child = TREE_NONE;
        for (size_t i = 0; i < 32; i++)
                top->child = merge_lists(tree, runs[i], top->child);
}

static uint32_t first_folder(const struct tree *tree, uint32_t at)
{
        while (at != TREE_NONE && (tree_node(tree, at)->dead || tree_node(tree, at)->kind != TREE_FOLDER))
                at = tree_node(tree, at)->next;
        return at;
}

uint32_t tree_next_folder(const struct tree *tree, uint32_t index)
{
        uint32_t found = first_folder(tree, tree_node(tree, index)->child);
        while (found == TREE_NONE && index != TREE_ROOT) {
                found = first_folder(tree, tree_node(tree, index)->next);
                index = tree_node(tree, index)->parent;
        }
        return found;
}

int tree_new(size_t entries, size_t name_bytes, struct tree **ret_tree)
{
        struct tree *tree = calloc(1, sizeof(*tree));
        uint32_t root;
        if (tree == NULL)
                return -ENOMEM;
        tree->nodes = (struct pool){.item_size = sizeof(struct tree_node), .maximum = entries};
        tree->folders = (struct pool){.item_size = sizeof(struct tree_folder), .maximum = entries};
        tree->names = (struct pool){.item_size = 1, .maximum = name_bytes};
        tree->table_size = 1024;
        tree->table = calloc(tree->table_size, sizeof(*tree->table));
        if (getrandom(tree->key, sizeof(tree->key), 0) != (ssize_t)sizeof(tree->key) || tree->table == NULL ||
            pool_take(&tree->names, 1, &root) < 0 || pool_take(&tree->nodes, 1, &root) < 0) {
                tree_free(tree);
                return -ENOMEM;
        }
        *tree_node(tree, TREE_ROOT) = (struct tree_node){.next = TREE_NONE, .child = TREE_NONE};
        if (tree_revive(tree, TREE_ROOT, TREE_FOLDER, 0) < 0) {
                tree_free(tree);
                return -ENOMEM;
        }
        tree_folder(tree, TREE_ROOT)->mode = 0755;
        *ret_tree = tree;
        return 0;
}

void tree_free(struct tree *tree)
{
        if (tree == NULL)
                return;
        for (size_t i = 0; i < tree->folders.used; i++)
                free(((struct tree_folder *)pool_at(&tree->folders, i))->xattrs);
        pool_done(&tree->nodes);
        pool_done(&tree->folders);
        pool_done(&tree->names);
        free(tree->table);
        free(tree);
}
