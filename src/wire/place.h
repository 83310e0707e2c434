/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_PLACE_H
#define WIRE_PLACE_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

/* Where a copy goes, by the rules of `docker cp`; the same on the host and in a box. */

/* What is copied. */
struct place_source {
        bool folder;
        bool contents;    /* "dir/.": what is in it */
        const char *name; /* what it is called in an existing folder */
};

/* How paths are opened: with O_PATH and flags, following links; -errno. */
struct place_world {
        int (*open)(void *data, const char *path, int flags);
        void *data;
};

struct place_found {
        int folder_fd;    /* O_PATH; -1 after a failure */
        bool is_contents; /* into folder_fd itself; else as `name` in it */
        char name[NAME_MAX + 1];
};

/* source NULL: a tar, whose names are its own. -ENOENT, -ENOTDIR or -EISDIR with a message about path. */
int place_find(const struct place_world *world, const char *path, const struct place_source *source,
               struct place_found *ret_place, struct error *err);

/* The last component of a path, without slashes at its end: "" for "/". *ret_contents: it ends in "." or
 * "..", or is the root, and means what is in it. -ENAMETOOLONG. */
int place_base_name(const char *path, char ret_name[NAME_MAX + 1], bool *ret_contents);

#endif
