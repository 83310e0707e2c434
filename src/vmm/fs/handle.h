/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_HANDLE_H
#define VMM_FS_HANDLE_H

/*
 * What the guest has open. A handle has a number for the guest, never used again, and an open descriptor of
 * the host (the root of all shares has none). It lives until it is released and nobody is at work on it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node;
struct handles;

enum handle_kind { HANDLE_FILE, HANDLE_FOLDER, HANDLE_ROOT };

struct handle {
        uint64_t id;
        enum handle_kind kind;
        int fd;               /* -1 for HANDLE_ROOT */
        struct node *node;    /* held; NULL for HANDLE_ROOT */
        pthread_mutex_t lock; /* a folder's position: whoever reads it has the lock */
        off_t position;
        unsigned pins; /* handle.c's */
        bool released; /* handle.c's */
};

/* ended is called for a handle that is gone, before it is freed: it lets go of the node. */
int handles_new(unsigned maximum, void (*ended)(struct handle *h, void *data), void *data,
                struct handles **ret_handles);
void handles_free(struct handles *t);

/* Closes all. Nobody may have one. */
void handles_reset(struct handles *t);

/* Would handle_add() refuse now? To be asked before anything is made or cut off for a handle. */
bool handles_are_full(struct handles *t);

/* Takes fd and the hold on node. -ENFILE: the guest has too many open; nothing is taken then. */
int handle_add(struct handles *t, enum handle_kind kind, int fd, struct node *node, uint64_t *ret_id);

/* Gets the handle of this number until handle_put(). NULL: there is none. */
struct handle *handle_get(struct handles *t, uint64_t id);
struct handle *handle_find(struct handles *t, const struct node *node); /* any one of this node */
void handle_put(struct handles *t, struct handle *h);                   /* NULL is fine */

/* The guest closed it: its number is nothing from now on. */
void handle_release(struct handles *t, struct handle *h);

unsigned handles_count(struct handles *t);

#endif
