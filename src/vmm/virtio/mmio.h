/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_MMIO_H
#define VMM_VIRTIO_MMIO_H

/*
 * A transport: the register block of a virtio-mmio device, version 2 (virtio 1.2 section 4.2.2), over a
 * device core. It knows no KVM: accesses come in as offset, bytes and size, an interrupt goes out by a
 * callback.
 *
 *     mmio_new -> mmio_read(), mmio_write(), mmio_notify(), ... in any order -> mmio_free
 *
 * All calls but mmio_try_quick() come from the device's one thread.
 */
#include "vmm/virtio/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MMIO_BLOCK_SIZE 0x1000U
#define MMIO_QUEUE_MAX  256U /* entries of a queue that we offer */
#define MMIO_CONFIG_MAX 256U /* bytes of a configuration space; what lies beyond reads as zero */

/* Offsets, virtio 1.2 table 4.1. */
enum mmio_register {
        MMIO_MAGIC = 0x000,
        MMIO_VERSION = 0x004,
        MMIO_DEVICE_ID = 0x008,
        MMIO_VENDOR_ID = 0x00c,
        MMIO_DEVICE_FEATURES = 0x010,
        MMIO_DEVICE_FEATURES_SEL = 0x014,
        MMIO_DRIVER_FEATURES = 0x020,
        MMIO_DRIVER_FEATURES_SEL = 0x024,
        MMIO_QUEUE_SEL = 0x030,
        MMIO_QUEUE_NUM_MAX = 0x034,
        MMIO_QUEUE_NUM = 0x038,
        MMIO_QUEUE_READY = 0x044,
        MMIO_QUEUE_NOTIFY = 0x050,
        MMIO_INTERRUPT_STATUS = 0x060,
        MMIO_INTERRUPT_ACK = 0x064,
        MMIO_STATUS = 0x070,
        MMIO_QUEUE_DESC_LOW = 0x080,
        MMIO_QUEUE_DESC_HIGH = 0x084,
        MMIO_QUEUE_DRIVER_LOW = 0x090,
        MMIO_QUEUE_DRIVER_HIGH = 0x094,
        MMIO_QUEUE_DEVICE_LOW = 0x0a0,
        MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
        MMIO_SHM_LENGTH_LOW = 0x0b0,
        MMIO_SHM_BASE_HIGH = 0x0bc,
        MMIO_CONFIG_GENERATION = 0x0fc,
        MMIO_CONFIG = 0x100,
};

/* Device status, virtio 1.2 section 2.1. */
#define MMIO_STATUS_ACKNOWLEDGE 1U
#define MMIO_STATUS_DRIVER      2U
#define MMIO_STATUS_DRIVER_OK   4U
#define MMIO_STATUS_FEATURES_OK 8U
#define MMIO_STATUS_NEEDS_RESET 64U
#define MMIO_STATUS_FAILED      128U

/* Why there is an interrupt, virtio 1.2 section 4.2.2. */
#define MMIO_INTERRUPT_QUEUE  1U
#define MMIO_INTERRUPT_CONFIG 2U

struct mmio_options {
        struct device *device;       /* the caller's; must outlive the transport */
        const struct memory *memory; /* the guest's */
        /* Raises the device's interrupt line, an edge. From the device's thread. */
        void (*interrupt)(void *data);
        void *data;
};

struct mmio;

int mmio_new(const struct mmio_options *options, struct mmio **ret_mmio);
void mmio_free(struct mmio *m);

/* A load of the guest's from its device's block. What is not there, or not of that width, reads as zero. */
void mmio_read(struct mmio *m, uint32_t offset, void *bytes, size_t size);

/* A store. What is not allowed at the moment, or not of that width, does nothing. */
void mmio_write(struct mmio *m, uint32_t offset, const void *bytes, size_t size);

/*
 * Either of the two, from any thread, if it concerns nothing but registers: then it is done at once, and
 * true is the result. False: it is for the device's thread, nothing was done. That is so for starting,
 * stopping and kicking queues and for writing the configuration space.
 */
bool mmio_try_quick(struct mmio *m, bool write, uint32_t offset, void *bytes, size_t size);

/* The driver kicked this queue, by QueueNotify or its eventfd. */
void mmio_notify(struct mmio *m, uint32_t queue);

uint32_t mmio_status(struct mmio *m);

#endif
