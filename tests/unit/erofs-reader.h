/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_EROFS_READER_H
#define UNIT_EROFS_READER_H

/*
 * Reads EROFS images for tests, from the format's description and not from the writer's header: so that a
 * mistake is not made twice. Uncompressed images of 4096-byte blocks only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct erofs_view {
        const uint8_t *bytes;
        uint64_t size;
};

struct erofs_node {
        uint64_t nid;
        unsigned mode, layout;
        uint32_t uid, gid, links, where, mtime_nsec;
        uint64_t size;
        int64_t mtime;
        uint64_t xattr_at, xattr_size; /* the body behind the inode */
        uint64_t after;                /* what follows: tail or map */
};

/* Maps the file; true if that worked. */
bool erofs_view_open(int fd, struct erofs_view *view);
void erofs_view_close(struct erofs_view *view);

/*
 * Looks at everything that can be reached: superblock and its checksum, every inode, folders sorted and
 * findable, "." and "..", link counts, the count of inodes, and that nothing overlaps or lies outside. NULL
 * if all is well, else what is wrong (static).
 */
const char *erofs_view_check(const struct erofs_view *view);

bool erofs_view_inode(const struct erofs_view *view, uint64_t nid, struct erofs_node *node);

/* By absolute path, links not followed. */
bool erofs_view_find(const struct erofs_view *view, const char *path, struct erofs_node *node);

/* Content of a file or link; false outside of it. */
bool erofs_view_read(const struct erofs_view *view, const struct erofs_node *node, uint64_t offset,
                     void *bytes, size_t size);

/* "user.name"; -1 if it is not there, else its size; value gets at most room bytes. */
int erofs_view_xattr(const struct erofs_view *view, const struct erofs_node *node, const char *name,
                     void *value, size_t room);

/* Names in a folder without "." and "..": each with a NUL behind it; free() it. */
char *erofs_view_list(const struct erofs_view *view, const struct erofs_node *node, size_t *ret_count);

#endif
