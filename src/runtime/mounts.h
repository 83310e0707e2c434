/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_MOUNTS_H
#define RUNTIME_MOUNTS_H

/*
 * What is to be mounted in a box: from docker's words (-v, --mount) to a checked list, and from the list to
 * the runtime-spec document. Pure functions: nothing is looked up on the host.
 */
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOUNTS_MAX 256

enum mount_kind {
        MOUNT_SHARE,  /* a folder or file of the host */
        MOUNT_VOLUME, /* a disk of ours with a name; without one (source NULL) a folder on the box's disk */
        MOUNT_TMPFS,
};

enum mount_cache { MOUNT_CACHE_AUTO, MOUNT_CACHE_ALWAYS, MOUNT_CACHE_NONE };

struct mount_request {
        enum mount_kind kind;
        char *source; /* SHARE: absolute path on the host. VOLUME: the name, NULL: anonymous. TMPFS: NULL */
        char *target; /* absolute path in the box, without "." and "..", never "/" */
        bool readonly;
        bool make_source;       /* SHARE: a folder that is missing on the host is made, as -v does */
        bool no_copy;           /* VOLUME: an empty one is not filled from the image */
        enum mount_cache cache; /* SHARE */
        uint64_t tmpfs_bytes;   /* TMPFS: 0 for the kernel's default */
        int tmpfs_mode;         /* TMPFS: -1 for 01777 */
};

struct mount_list {
        struct mount_request
            *entries; /* sorted: what is mounted over comes before what is mounted below it */
        size_t count;
};
void mounts_done(struct mount_list *list);

/*
 * volumes: "[NAME|/HOST|./HOST:]/BOX[:options]" strings; mounts: "type=...,source=...,target=..." strings;
 * NULL-terminated, NULL for none. working_dir: what "./HOST" is relative to. Two at one target are refused.
 */
int mounts_parse(const char *const *volumes, const char *const *mounts, const char *working_dir,
                 struct mount_list *ret_list, struct error *err);

/* The volumes with a name as disks of the machine: [{"volume", "path", "readonly"}], each once. NULL when out
 * of memory. */
json_t *mounts_disks(const struct mount_list *list);

/* The list as docker inspect's "Mounts". NULL when out of memory. */
json_t *mounts_describe(const struct mount_list *list);

/* The name of a volume: [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 128. */
int mounts_check_name(const char *name, struct error *err);

/*
 * Puts what the list has into the runtime-spec document's mounts, and its anonymous volumes among `volumes`,
 * the paths that lie on the box's disk. A volume with a name comes from where the agent mounts it. A path the
 * image declares as VOLUME gives way to what the list mounts there.
 */
int mounts_apply(const struct mount_list *list, json_t *document, json_t *volumes, struct error *err);

/* The entry of a runtime-spec's `mounts` which takes the place of another at the same destination. */
int mounts_put(json_t *mounts, json_t *mount, struct error *err);

#endif
