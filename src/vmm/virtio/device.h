/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_DEVICE_H
#define VMM_VIRTIO_DEVICE_H

/*
 * The seam between what a device does (a core) and how a machine reaches it (a transport).
 *
 * A core fills struct device with its ops and knows queues, nothing else. A transport gives the queues their
 * memory and notify functions, negotiates features, starts and stops queues, reads the configuration space
 * for the driver, and calls kick. Everything happens on the one loop thread.
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
        uint64_t features;    /* what this kind of device can do; queue features are the transport's to add */

        /* Copies size bytes of the configuration space from offset; what lies beyond its end reads as 0. */
        void (*config_read)(struct device *device, uint32_t offset, void *bytes, size_t size);

        /* The driver kicked this queue, or it has just been started. Spurious calls are fine. */
        void (*kick)(struct device *device, unsigned queue);

        /* Some queue was stopped (the driver reset the device, or is gone): drop what belongs to the driver.
         */
        void (*stop)(struct device *device);
};

struct device {
        const struct device_ops *ops;
        struct queue queues[DEVICE_QUEUES_MAX];
};

#endif
