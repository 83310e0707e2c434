/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_STORE_H
#define IMAGE_STORE_H

#include "image/image.h"

#include <limits.h>

/* The parts of src/image share the opened store. */
struct image_store {
        int fd;        /* images/ */
        int blobs_fd;  /* images/blobs/sha256 */
        int rootfs_fd; /* images/rootfs */
        int tmp_fd;    /* images/tmp: what is being made; scratch of the EROFS builder */
        int locks_fd;  /* images/locks */
        char *config_path;
};

/* A new file in tmp/, open for reading and writing; ret_name (NAME_MAX + 1 bytes) is its name there. */
int store_temporary(struct image_store *store, char *ret_name, int *ret_fd, struct error *err);

/*
 * Locks, released by closing the descriptor.
 * - in use: shared, held by whatever makes or reads blobs that the index does not name (pull, load, import,
 *   conversion, save). Waits while somebody removes things, which is short.
 * - sweeping: exclusive; -EAGAIN at once while anybody holds the other.
 * - work: exclusive by name, for one piece of work (a blob, an image, a root file system). Says once, with
 * the message, that it waits. Only taken while the store is in use.
 */
int store_lock_in_use(struct image_store *store, int *ret_fd, struct error *err);
int store_lock_sweeping(struct image_store *store, int *ret_fd, struct error *err);
int store_lock_work(struct image_store *store, const char *name, const struct image_observer *observer,
                    const char *what, int *ret_fd, struct error *err);
/* The index lock: index.json is read, changed and replaced under it. Short; waits. */
int store_lock_index(struct image_store *store, int *ret_fd, struct error *err);
/* -EAGAIN when somebody else does that work. */
int store_try_lock_work(struct image_store *store, const char *name, int *ret_fd, struct error *err);

/* Deletes temporary files and work locks; the caller holds the sweeping lock. */
void store_clean_leftovers(struct image_store *store);

#endif
