/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_BLK_H
#define VMM_VIRTIO_BLK_H

#include "base/error.h"
#include "base/loop.h"
#include "vmm/virtio/device.h"

/*
 * A virtio block device (virtio 1.2 section 5.2) on a raw file or a block device.
 */
struct blk;

enum blk_engine {
        BLK_ENGINE_AUTO, /* io_uring if it can be had, else threads */
        BLK_ENGINE_URING,
        BLK_ENGINE_THREADS,
};

struct blk_options {
        int fd; /* borrowed; open for what readonly says; its length when the device is made is the disk's */
        bool readonly;
        const char *id; /* at most 20 bytes of it are told to the guest; copied */
        enum blk_engine engine;

        /* For the engine's threads: called in each, before it does anything; below 0 makes blk_new() fail. */
        int (*thread_begins)(void *data);
        void *data;
};

/* Everything that needs more than reading and writing is done in here, so that a jail may follow. */
int blk_new(struct loop *loop, const struct blk_options *options, struct blk **ret_blk, struct error *err);

/* Waits for what is under way. NULL is fine. */
void blk_free(struct blk *b);

struct device *blk_device(struct blk *b);

/* "io_uring" or "threads". */
const char *blk_engine_name(const struct blk *b);

#endif
