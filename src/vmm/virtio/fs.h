/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_FS_H
#define VMM_VIRTIO_FS_H

/*
 * The virtio file system device (virtio 1.2 section 5.11): carries FUSE requests to the file server
 * (vmm/fs/fs.h). Queue 0 is for requests that must not wait for others (FORGET), queue 1 for the rest.
 */
#include "base/error.h"
#include "base/loop.h"
#include "vmm/fs/fs.h"
#include "vmm/virtio/device.h"

#define VIRTIO_FS_TAG     "boxlet" /* what the guest mounts */
#define VIRTIO_FS_QUEUES  2
#define VIRTIO_FS_THREADS 4

struct virtio_fs;

struct virtio_fs_options {
        struct fs_options fs;
        /* Called by each serving thread before it serves, while virtio_fs_new() waits: takes away what it
         * does not need. -errno ends the start. May be NULL. */
        int (*jail_thread)(void *data, struct error *err);
        void *jail_data;
};

/* When it returns, all threads serve or the start has failed. */
int virtio_fs_new(struct loop *loop, const struct virtio_fs_options *options, struct virtio_fs **ret_fs,
                  struct error *err);
void virtio_fs_free(struct virtio_fs *f);

struct device *virtio_fs_device(struct virtio_fs *f);

#endif
