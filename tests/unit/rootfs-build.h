/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_ROOTFS_BUILD_H
#define UNIT_ROOTFS_BUILD_H

/* Builds images from tars in memory, and looks at them; shared by the tests of the image builder. */
#include "erofs-reader.h"
#include "tar-build.h"

#include "image/rootfs.h"

/* A file in memory, at its beginning, close-on-exec. */
int memory_file(const void *bytes, size_t size);

/* The layers, lowest first, into a file in memory. The result, or a negative errno with *err. */
int try_build(const struct tar *layers, size_t count, const struct rootfs_limits *limits,
              struct rootfs_statistics *ret_statistics, struct error *err);

/* As above, and it must work, pass the check of the reader and fsck.erofs (where there is one). */
int build(const struct tar *layers, size_t count, struct erofs_view *view);
void unbuild(int fd, struct erofs_view *view);

/* Puts end marks on the layers and builds them; frees them. */
int build_ended(struct tar *layers, size_t count, struct erofs_view *view);

/* One layer (which is freed) that must be refused with that code, and a text that has this part. */
void refuse(struct tar *layer, int code, const char *part);

struct erofs_node must_find(const struct erofs_view *view, const char *path);
void must_miss(const struct erofs_view *view, const char *path);
void must_read(const struct erofs_view *view, const char *path, const char *text);
void must_link(const struct erofs_view *view, const char *path, const char *target);

/* All names below the root, in order, each with a blank behind it: "/a /a/b /c ". Static. */
const char *all_names(const struct erofs_view *view);

void run_fsck(int fd);

#endif
