/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_DEVICE_H
#define VMM_VIRTIO_DEVICE_H

/*
 * The seam between what a device does (a core) and how a machine reaches it (a transport).
 *
 * A core fills struct device with its ops and features and knows queues, nothing else. A transport gives the
 * queues their memory and notify functions, negotiates features, starts and stops queues, reads and writes
 * the configuration space for the driver, and calls kick.
 *
 * Everything here is called on the one loop thread, in both directions. The order, for one life of a driver:
 *
 *     config_read, config_write     at any time, also before and between
 *     queues are started            over vhost-user one by one, at any time from here to drain
 *     ready                         once, before the first kick
 *     kick                          each started queue at least once, then whenever the driver kicks
 *     drain                         before a queue is stopped or guest memory changes: the queues still run
 *     queues are stopped
 *     stop                          the driver's life is over; the next begins with ready
 *
 * drain without stop happens as well (memory changes, one queue of several is stopped): after it kick follows
 * for what runs on.
 */
#include "vmm/virtio/queue.h"

#include <stddef.h>
#include <stdint.h>

#define DEVICE_QUEUES_MAX 8

struct device;

struct device_ops {
        const char *name;
        uint32_t id;          /* virtio device type, virtio 1.2 section 5 */
        unsigned queue_count; /* at most DEVICE_QUEUES_MAX */

        /* Copies size bytes of the configuration space from offset; what lies beyond its end reads as 0. */
        void (*config_read)(struct device *device, uint32_t offset, void *bytes, size_t size);

        /* The driver wrote size bytes there; what may not be written is left alone. NULL: none may. */
        void (*config_write)(struct device *device, uint32_t offset, const void *bytes, size_t size);

        /* These features, a part of what was offered, are what the driver wants. Not every queue need be
         * started yet: it is the kick that says so. May be NULL. */
        void (*ready)(struct device *device, uint64_t features);

        /* The driver kicked this queue, or it has just been started. Spurious calls are fine. */
        void (*kick)(struct device *device, unsigned queue);

        /*
         * Gives back every chain that was taken, finished, and published; when it returns, nobody (no thread,
         * no kernel working for us) touches guest memory or rings until the next kick. It may wait for the
         * host's disk. NULL when the core holds no chain between two calls.
         */
        void (*drain)(struct device *device);

        /* The driver reset the device, or is gone: drop what belongs to the driver. The queues are stopped
         * already, or are stopped before anything else happens. */
        void (*stop)(struct device *device);
};

struct device {
        const struct device_ops *ops;
        uint64_t features; /* what this device can do; the queue's own features are the transport's to add */
        struct queue queues[DEVICE_QUEUES_MAX];

        /* The transport's: tells the driver that the configuration space reads otherwise now (virtio 1.2
         * section 2.5). NULL: it cannot, as over vhost-user. Call device_config_changed(). */
        void (*config_changed)(struct device *device, void *data);
        void *config_changed_data;
};

void device_config_changed(struct device *device);

/* A config_read() for a space that is `space_size` bytes long and in memory. */
void device_config_copy(const void *space, size_t space_size, uint32_t offset, void *bytes, size_t size);

#endif
