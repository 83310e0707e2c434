/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Files and folders, addressed under a directory descriptor. All return 0 or more, or -errno. */

/* "a/b"; free() it; NULL when out of memory. */
char *path_join(const char *a, const char *b);

/* mkdir -p for an absolute or relative path; an existing folder is fine. */
int path_mkdir_all(const char *path, mode_t mode);

/* Opens a folder inside dir_fd, making it if need be. */
int path_open_dir_at(int dir_fd, const char *name, mode_t mode);

/*
 * Replaces dir_fd/name in one step: written beside it, fsync'd, renamed, folder fsync'd. A crash at any point
 * leaves either the old file or the new one (and perhaps a "name.XXXXXX.tmp").
 */
int path_write_atomic_at(int dir_fd, const char *name, const void *bytes, size_t size, mode_t mode);

/* Whether this errno says that there is nothing of that name. Any other says nothing about it. */
bool path_is_absent(int error);

/* Whether a name is of such a "name.XXXXXX.tmp". */
bool path_is_draft(const char *name);

/* Reads dir_fd/name, a regular file of at most maximum bytes; NUL-terminated; free() it. */
int path_read_at(int dir_fd, const char *name, size_t maximum, char **ret_bytes, size_t *ret_size);

/* Removes dir_fd/name with everything in it, never following a link nor leaving the file system. Missing is
 * fine. */
int path_remove_all_at(int dir_fd, const char *name);

/*
 * Opens path inside the folder root_fd as if that were "/": no "..", absolute link or magic link leads out of
 * it. Uses openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), Linux 5.6; where the call does not exist
 * (ENOSYS, or EPERM by an old seccomp filter) the same is done step by step.
 */
int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Which file a name stands for, to find out later whether it still does. An inode's number alone does not
 * tell: when a file is gone, the next one may get it. Neither use nor a change of mode or owner of a socket
 * alters its time of modification. */
struct path_mark {
        int64_t device, inode, modified_ns;
};

int path_mark_socket(const char *path, struct path_mark *ret_mark); /* -ENOTSOCK for anything else */
bool path_is_marked_socket(const char *path, const struct path_mark *mark);

/* A file without a name in dir_fd (O_TMPFILE), or an unlinked temporary one where that is not supported. */
int path_open_anonymous_at(int dir_fd, int flags);

#endif
