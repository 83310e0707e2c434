/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_PACK_H
#define WIRE_PACK_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Files to a tar of tar.h: the agent for what leaves a box, libboxlet for what goes in. */
struct pack_sink {
        int (*write)(void *data, const void *bytes, size_t size, struct error *err);
        void *data;
};

enum pack_flags {
        PACK_ONE_MOUNT = 1,  /* what is mounted below is an empty folder, or nothing */
        PACK_ALL_XATTRS = 2, /* else only user.* and security.capability */
};

struct pack;

int pack_new(const struct pack_sink *sink, unsigned flags, struct pack **ret_pack);
void pack_free(struct pack *p);

/* One object without what is in it, as `path`. It is opened anew as dir_fd/name, no link is followed. A
 * socket is left out; so is what is gone by now. */
int pack_add(struct pack *p, int dir_fd, const char *name, const char *path, struct error *err);

/* The object behind fd, as `path`, with all that is in it; in it, names are path/..., or plain when path is
 * ".". fd: opened for reading if it is a file or a folder, O_PATH otherwise. */
int pack_tree(struct pack *p, int fd, const char *path, struct error *err);

/* An empty file: a layer's whiteout. */
int pack_marker(struct pack *p, const char *path, struct error *err);

int pack_end(struct pack *p, struct error *err);

static inline void cleanup_pack_p(struct pack **p)
{
        pack_free(*p);
}
#define cleanup_pack __attribute__((cleanup(cleanup_pack_p)))

#endif
