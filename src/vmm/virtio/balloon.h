/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_BALLOON_H
#define VMM_VIRTIO_BALLOON_H

#include "base/loop.h"
#include "vmm/virtio/device.h"

/*
 * A virtio balloon (virtio 1.2 section 5.5): memory that the guest does not need goes back to the host. Most
 * of it by itself, by free page reporting: the guest says which pages are free, and takes them again without
 * asking. On request also by a target, up to which the guest gives pages away.
 */
struct balloon;

/* What a guest says about its memory; BALLOON_STAT_UNKNOWN where it says nothing. */
#define BALLOON_STAT_UNKNOWN UINT64_MAX

enum balloon_stat {
        BALLOON_STAT_SWAP_IN,
        BALLOON_STAT_SWAP_OUT,
        BALLOON_STAT_MAJOR_FAULTS,
        BALLOON_STAT_MINOR_FAULTS,
        BALLOON_STAT_FREE, /* bytes, as are the next three */
        BALLOON_STAT_TOTAL,
        BALLOON_STAT_AVAILABLE, /* without swapping */
        BALLOON_STAT_DISK_CACHES,
        BALLOON_STAT_HUGETLB_ALLOCATIONS,
        BALLOON_STAT_HUGETLB_FAILURES,
        BALLOON_STAT_COUNT,
};

struct balloon_options {
        bool shared; /* guest memory is a file's (memfd), not private and anonymous */

        /* Statistics that balloon_ask_stats() asked for have come. May be NULL. */
        void (*stats)(void *data, const uint64_t stats[BALLOON_STAT_COUNT]);
        void *data;
};

int balloon_new(struct loop *loop, const struct balloon_options *options, struct balloon **ret_balloon);
void balloon_free(struct balloon *b);
struct device *balloon_device(struct balloon *b);

/* How much the guest should do without, and how much of that it says it has given. It may take its time. */
void balloon_set_target(struct balloon *b, uint64_t bytes);
uint64_t balloon_actual(const struct balloon *b);

/* Bytes that were handed back to the host so far, by either way. */
uint64_t balloon_released(const struct balloon *b);

/* -EAGAIN: the driver has no statistics queue, or has not answered the question before. */
int balloon_ask_stats(struct balloon *b);

#endif
