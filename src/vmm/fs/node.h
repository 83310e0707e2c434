/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_NODE_H
#define VMM_FS_NODE_H

/*
 * The files and folders that the guest knows: each has a number of its own for the guest (never used again),
 * and is one inode of the host in one share. A node remembers by which name in which folder it was seen last;
 * its O_PATH descriptor is opened when it is needed and may be closed again at any time while nobody uses it.
 *
 * All functions may be called by several threads at once, nodes_new(), nodes_free() and nodes_reset()
 * excepted.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define NODES_MAX (4U << 20)

struct nodes;
struct node;

struct nodes_options {
        /* How many O_PATH descriptors of nodes may be open; those of the shares' own roots do not count. */
        unsigned descriptor_max;
        unsigned node_max; /* how many nodes there may be, roots included; at most NODES_MAX */
        /* A new O_PATH descriptor of a node that is not found by its name, by what the guest has open of it.
         * -ESTALE: nothing is open. May be called by several threads at once. */
        int (*reopen)(void *data, const struct node *n);
        void *data;
};

int nodes_new(const struct nodes_options *options, struct nodes **ret_nodes);
void nodes_free(struct nodes *t);

/* Forgets all nodes but the shares' roots. Nobody may have one. */
void nodes_reset(struct nodes *t);

/* The root of a share: it is never forgotten, and fd stays the caller's. */
int nodes_add_share(struct nodes *t, unsigned share, int fd, const struct stat *st);

/* How many nodes there are, and descriptors of theirs. */
void nodes_count(struct nodes *t, size_t *ret_nodes, size_t *ret_descriptors);

/* What never changes about a node. */
unsigned node_share(const struct node *n);
mode_t node_type(const struct node *n);
uint64_t node_id(const struct node *n);

/* Gets the node of this number, or of a share's root, and keeps it and its descriptor until node_put(). NULL:
 * there is none. */
struct node *node_get(struct nodes *t, uint64_t id);
struct node *node_get_share(struct nodes *t, unsigned share);
void node_put(struct nodes *t, struct node *n); /* NULL is fine */

/* Keeps the node itself, without its descriptor, until node_release(): for what is open. */
void node_hold(struct nodes *t, struct node *n);
void node_release(struct nodes *t, struct node *n);

/*
 * The guest learns of what is at dir/name now (st): *ret_id is its number, which the guest knows once more
 * often. -ENFILE when it knows too many.
 */
int node_learn(struct nodes *t, struct node *dir, const char *name, const struct stat *st, uint64_t *ret_id);

/* The same for a node that is at hand already. */
void node_learn_again(struct nodes *t, struct node *n);

/* The guest forgets: it knew the node `count` times less. Unknown numbers are ignored. */
void node_forget(struct nodes *t, uint64_t id, uint64_t count);

/*
 * The O_PATH descriptor of a node that was got; it is good until node_put(). -ESTALE: its inode is no longer
 * where it was seen last, and the guest has it not open, so it cannot be opened again.
 */
int node_fd(struct nodes *t, struct node *n);

/*
 * The name dir/name of what st describes is about to go: opens the node, if the guest knows it, so that it
 * can go on without a name. Returns it (to be put), or NULL. When the name is gone node_lost_name() says so.
 */
struct node *node_before_unlink(struct nodes *t, struct node *dir, const char *name, const struct stat *st);
void node_lost_name(struct nodes *t, struct node *n, struct node *dir, const char *name);

/* What st describes has moved to dir/name. */
void node_moved(struct nodes *t, const struct stat *st, struct node *dir, const char *name);

/*
 * What the guest may keep of a file's contents: node_seen() remembers how the file looked when the guest had
 * read or written it, node_unchanged() tells whether it looks the same now.
 */
void node_seen(struct nodes *t, struct node *n, const struct stat *st);
bool node_unchanged(struct nodes *t, struct node *n, const struct stat *st);

#endif
