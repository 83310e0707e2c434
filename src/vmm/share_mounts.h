/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_SHARE_MOUNTS_H
#define VMM_SHARE_MOUNTS_H

#include <stdbool.h>

/*
 * A second wall around what is shared, for the case that somebody takes over the process that serves it: each
 * share becomes the root of a mount of its own that stands nowhere, so that ".." leads nowhere either, and a
 * read-only one is read-only for the kernel. It takes a mount namespace of our own; without one nothing
 * changes.
 */

/* Replaces the O_PATH descriptor fd by one of a mount of its own, beneath which nothing is a device or gains
 * rights. Returns 0, or -errno, and then fd is as it was. */
int share_mount(int fd, bool readonly);

/* The same for /proc/self/fd. Returns a descriptor, or -errno. */
int share_mount_proc(void);

#endif
