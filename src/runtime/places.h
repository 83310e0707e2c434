/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PLACES_H
#define RUNTIME_PLACES_H

/*
 * Where the files lie that a box needs besides its own. Order for each of the two folders: the client's
 * option, the environment, the build tree that this library was loaded from, the installation.
 */
#include "base/error.h"

#include <stdbool.h>

struct places {
        char *libexec;    /* NULL when in the build tree */
        char *build;      /* the build tree's top, or NULL */
        char *kernel_dir; /* holds vmlinux-<flavour> */
};

int places_init(struct places *p, const char *libexec, const char *kernel_dir, struct error *err);
void places_done(struct places *p);

enum place {
        PLACE_MONITOR,
        PLACE_VMM,
        PLACE_AGENT, /* the initramfs with the agent in it */
        PLACE_QEMU,
        PLACE_PASST,
        PLACE_MKFS,
};

/* Absolute path of a program or file that exists; free() it. -ENOENT says what is missing and what to do. */
int places_find(const struct places *p, enum place place, char **ret_path, struct error *err);

/* The kernel of a flavour ("lean"), or `file` if that is not NULL; as above. remedy: how it is built. */
int places_find_kernel(const struct places *p, const char *file, const char *flavour, const char *remedy,
                       char **ret_path, struct error *err);

#endif
