/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_DISK_H
#define RUNTIME_DISK_H

/* The sparse ext4 disk of a box: a template per size, made once with mkfs.ext4, and copied by its data only.
 */
#include "base/error.h"

#include <stdint.h>

#define DISK_OF_BOX   "disk.ext4" /* in the folder of the box */
#define DISK_SIZE_MIN (16ULL << 20)
#define DISK_SIZE_MAX (16ULL << 40)

/*
 * Makes `name` in the folder box_fd, a disk of size_bytes (rounded up to a MiB). home_fd holds templates/.
 * mkfs: the program's path, needed only when there is no template of that size yet. Nothing is left behind on
 * failure.
 */
int disk_create(int home_fd, const char *mkfs, uint64_t size_bytes, int box_fd, const char *name,
                struct error *err);

/* Copies a sparse file to an empty one: shares the blocks where the file system can, else copies the data
 * extents. */
int disk_copy_sparse(int from_fd, int to_fd, struct error *err);

#endif
