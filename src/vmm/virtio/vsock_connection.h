/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VIRTIO_VSOCK_CONNECTION_H
#define VMM_VIRTIO_VSOCK_CONNECTION_H

/*
 * The connections of one vsock device: a pool made at its maximum, found by their two ports. Internal to the
 * vsock core (vsock.c is the only other user).
 *
 * States, and who moves them:
 *
 *              host asks                      guest's RESPONSE
 *     FREE ------------------> CONNECTING -------------------------> OPEN
 *      |  guest asks, allowed                                         | |
 *      +--------------------------------------------------------------+ |
 *                                                                       |
 *     OPEN       -> CLOSING    [vsock.c: tell_shutdown()]  both directions ended by the host and told; waits
 * for the guest OPEN       -> DRAINING   [vsock.c: guest_is_done()]  ended by the guest; what it sent before
 * still flows to the host CONNECTING -> RESETTING  [vsock.c: reset()]          the host gave up, or somebody
 * misbehaved: an RST is owed OPEN       -> RESETTING  [vsock.c: reset()] CLOSING    -> RESETTING  [vsock.c:
 * reset()]          the guest did not answer in time any        -> FREE       [connection_free()]
 *
 * DRAINING connections are no longer in the table: the guest may use its port again at once.
 */
#include "base/loop.h"
#include "vmm/virtio/vsock_packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum connection_state {
        CONNECTION_FREE,
        CONNECTION_CONNECTING,
        CONNECTION_OPEN,
        CONNECTION_CLOSING,
        CONNECTION_DRAINING,
        CONNECTION_RESETTING,
};

/* Packets that a connection owes the guest, sent in this order. */
#define OWES_RST            1U
#define OWES_REQUEST        2U
#define OWES_RESPONSE       4U
#define OWES_CREDIT_UPDATE  8U
#define OWES_CREDIT_REQUEST 16U
#define OWES_SHUTDOWN       32U

struct connection_link {
        struct connection_link *previous;
        struct connection_link *next;
};

struct connection {
        struct connection_link ready;   /* in connections.ready, if something is to be sent to the guest */
        struct connection_link waiting; /* in connections.closing, by deadline */
        struct connection *next;        /* in its hash bucket, or among the free ones */
        void *owner;                    /* struct vsock */
        enum connection_state state;
        bool hashed;
        bool by_guest;
        uint32_t guest_port;
        uint32_t host_port;
        int fd;
        struct source *source;
        bool readable; /* edge-triggered: true until a read says EAGAIN */
        bool writable;
        bool host_ended; /* the host's stream is at its end */
        bool hung_up;    /* the host's socket is closed in both directions */
        uint8_t owes;
        uint8_t host_shut;      /* VSOCK_SHUTDOWN_*, to be told or told */
        uint8_t guest_shut;     /* VSOCK_SHUTDOWN_*, as the guest said */
        bool write_end_is_shut; /* the guest's end of stream was passed on */
        int64_t deadline_ms;

        uint32_t received;       /* bytes from the guest */
        uint32_t forwarded;      /* of those, passed on (or dropped for good) */
        uint32_t forwarded_told; /* what the guest knows of that */
        uint32_t sent;           /* bytes to the guest */
        uint32_t guest_alloc;
        uint32_t guest_forwarded;
        bool asked_credit;

        uint8_t
            *store; /* ring of what waits for the host; reserved address space, touched only when needed */
        uint32_t store_start;
        uint32_t store_length;
        bool store_touched;
};

#define CONNECTION_BUCKETS 1024

struct connections {
        struct connection *pool;
        unsigned maximum;
        unsigned count;
        struct connection *free;
        struct connection *buckets[CONNECTION_BUCKETS];
        struct connection_link ready;
        struct connection_link closing;
        uint8_t *stores;
        uint32_t store_bytes;
        uint32_t next_host_port;
};

int connections_init(struct connections *cs, unsigned maximum, uint32_t store_bytes);
void connections_done(struct connections *cs); /* frees all that are left */

/* A fresh one, hashed under its ports; NULL when all are in use. The descriptor and source are the caller's
 * to set. */
struct connection *connection_new(struct connections *cs, uint32_t guest_port, uint32_t host_port);
void connection_free(struct connections *cs, struct connection *c); /* closes its descriptor */
void connection_unhash(struct connections *cs, struct connection *c);
struct connection *connection_find(struct connections *cs, uint32_t guest_port, uint32_t host_port);

/* A host port that is not in use with this guest port. */
uint32_t connections_host_port(struct connections *cs, uint32_t guest_port);

/* The queue of those that have something for the guest: a turn each, in a round. */
void connection_make_ready(struct connections *cs, struct connection *c); /* at the end, unless in it */
void connection_not_ready(struct connection *c);
struct connection *connections_first_ready(struct connections *cs);

/* Those that wait for the guest to agree to the end, earliest deadline first. */
void connection_await_end(struct connections *cs, struct connection *c, int64_t deadline_ms);
struct connection *connections_first_closing(struct connections *cs);
void connection_no_more_waiting(struct connection *c);

/* What the guest may still be sent, by its own account. */
uint32_t connection_credit(const struct connection *c);

/* Bytes that wait for the host: add (there must be room: credit says so), look at, drop. */
uint32_t connection_store_room(const struct connections *cs, const struct connection *c);
void connection_store_add(struct connections *cs, struct connection *c, const struct iovec *iov,
                          unsigned count, size_t skip, uint32_t size);
unsigned connection_store_peek(const struct connections *cs, const struct connection *c,
                               struct iovec ret_iov[2]);
void connection_store_drop(struct connections *cs, struct connection *c, uint32_t size);

#endif
