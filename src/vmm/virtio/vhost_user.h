/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_VHOST_USER_H
#define VMM_VIRTIO_VHOST_USER_H

#include "base/error.h"
#include "base/loop.h"
#include "vmm/virtio/device.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A transport: serves a device core to another VMM over a vhost-user socket, as the "back-end" of QEMU's
 * documentation of that protocol (docs/interop/vhost-user.rst in its source).
 */
struct vhost_user;

struct vhost_user_events {
        /* The other side has found the device usable. Once. */
        void (*ready)(void *data);
        /* It spoke wrongly (why says how), or closed the socket (why is NULL). No more calls after this. */
        void (*ended)(void *data, const char *why);
        void *data;
};

/* Serves device on the connected stream socket, which stays the caller's, as does device. */
int vhost_user_new(struct loop *loop, int socket, struct device *device,
                   const struct vhost_user_events *events, struct vhost_user **ret_transport);
void vhost_user_free(struct vhost_user *u);

/*
 * One message, header then payload, all fields little endian:
 *
 *     offset  size
 *          0     4  request
 *          4     4  flags: bits 0-1 version (1), bit 2 this is a reply, bit 3 a reply is wanted
 *          8     4  size of the payload
 *         12        payload
 */
#define VHOST_USER_HEADER_SIZE 12
#define VHOST_USER_PAYLOAD_MAX 512 /* longest accepted: a memory table of 8 regions has 264 bytes */
#define VHOST_USER_FDS_MAX     8

struct vhost_user_message {
        uint32_t request;
        uint32_t flags;
        uint32_t size;
        uint8_t payload[VHOST_USER_PAYLOAD_MAX];
};
_Static_assert(offsetof(struct vhost_user_message, payload) == VHOST_USER_HEADER_SIZE, "see the table");

/* Is this a header of a message that we take? 0, or -EPROTO with the reason. */
int vhost_user_check_header(const struct vhost_user_message *m, struct error *err);

/*
 * Carries out one whole message that came with count descriptors (taken over, in any case). The answer, if
 * there is to be one, is in *ret_reply with *ret_replies true. -EPROTO and others: the conversation is over.
 * For the reader of the socket, and for tests.
 */
int vhost_user_handle(struct vhost_user *u, const struct vhost_user_message *m, int *fds, size_t count,
                      struct vhost_user_message *ret_reply, bool *ret_replies, struct error *err);

#endif
