/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PROFILE_H
#define RUNTIME_PROFILE_H

/*
 * What a box may do, in the runtime-spec's terms. There are two profiles: the default one, which is docker's
 * for a container, and the one of a box made with support_docker, in which everything is root of its machine.
 */
#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"
#include "runtime/mounts.h"

#include <stdbool.h>
#include <stdint.h>

#define PROFILE_CPUS_MAX   64
#define PROFILE_MEMORY_MIN (64ULL << 20) /* of any box */

struct profile {
        const char *kernel_flavour; /* of vmlinux-<flavour> */
        const char *kernel_remedy;  /* how that one is built */
        uint64_t memory_bytes;      /* unless the client says */
        uint64_t memory_minimum_bytes;
        int64_t stop_timeout_ms;       /* likewise */
        uint64_t capabilities;         /* before cap_add and cap_drop */
        const char *const *rlimits;    /* "name=soft:hard", for those the client does not set; ends in NULL */
        const char *const *disk_paths; /* lie on the box's disk like the image's volumes; ends in NULL */
};

const struct profile *profile_get(bool support_docker);

/* What the client asked for beside support_docker must not take away what an engine needs. */
int profile_check(const struct boxlet_box_options *options, struct error *err);

/* The same for its mounts. */
int profile_check_mounts(const struct mount_list *mounts, struct error *err);

/* Whether a mount of a document is one of the profile's that gives way to a client's at the same place. */
bool profile_gives_way(const json_t *mount);

/* The mounts before the client's are added; NULL when out of memory. */
json_t *profile_mounts(bool support_docker);

/* Takes away a mount of the profile's that would hide a volume of the image. */
int profile_uncover(json_t *mounts, const char *volume);

/* The member "linux" of the document; NULL when out of memory. */
json_t *profile_linux(bool support_docker);

#endif
