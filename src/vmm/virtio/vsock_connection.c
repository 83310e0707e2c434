/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pool, table and lists of vsock connections. Everything is allocated when the device is made: the pool, and
 * address space for one ring of bytes a connection, of which the kernel gives pages only when a ring is first
 * used (a host reader that keeps up never makes it so) and gets them back when the connection ends.
 *
 * Invariants: a connection is in the table exactly while `hashed`; store_length <= store_bytes; in no list
 * when free.
 */
#include "vmm/virtio/vsock_connection.h"

#include "vmm/virtio/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOST_PORT_FIRST (UINT32_C(1) << 30) /* far from the ports with a meaning */

static void link_init(struct connection_link *l)
{
        l->previous = l->next = l;
}

static void link_remove(struct connection_link *l)
{
        l->previous->next = l->next;
        l->next->previous = l->previous;
        link_init(l);
}

static void link_append(struct connection_link *list, struct connection_link *l)
{
        l->previous = list->previous;
        l->next = list;
        list->previous->next = l;
        list->previous = l;
}

int connections_init(struct connections *cs, unsigned maximum, uint32_t store_bytes)
{
        memset(cs, 0, sizeof(*cs));
        link_init(&cs->ready);
        link_init(&cs->closing);
        cs->pool = calloc(maximum, sizeof(*cs->pool));
        if (cs->pool == NULL)
                return -ENOMEM;
        void *stores = mmap(NULL, (size_t)maximum * store_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stores == MAP_FAILED) {
                free(cs->pool);
                cs->pool = NULL;
                return -ENOMEM;
        }
        cs->stores = stores;
        cs->store_bytes = store_bytes;
        cs->maximum = maximum;
        cs->next_host_port = HOST_PORT_FIRST;
        for (unsigned i = maximum; i-- > 0;) {
                struct connection *c = &cs->pool[i];
                c->fd = -1;
                c->store = cs->stores + (size_t)i * store_bytes;
                link_init(&c->ready);
                link_init(&c->waiting);
                c->next = cs->free;
                cs->free = c;
        }
        return 0;
}

void connections_done(struct connections *cs)
{
        for (unsigned i = 0; i < cs->maximum; i++) {
                if (cs->pool[i].state != CONNECTION_FREE)
                        connection_free(cs, &cs->pool[i]);
        }
        if (cs->stores != NULL)
                (void)munmap(cs->stores, (size_t)cs->maximum * cs->store_bytes); /* ours: cannot fail */
        free(cs->pool);
        memset(cs, 0, sizeof(*cs));
}

static unsigned bucket_of(uint32_t guest_port, uint32_t host_port)
{
        uint32_t mixed = guest_port * UINT32_C(2654435761) ^ host_port * UINT32_C(2246822519);
        return (mixed >> 16 ^ mixed) % CONNECTION_BUCKETS;
}

struct connection *connection_find(struct connections *cs, uint32_t guest_port, uint32_t host_port)
{
        struct connection *c = cs->buckets[bucket_of(guest_port, host_port)];
        while (c != NULL && (c->guest_port != guest_port || c->host_port != host_port))
                c = c->next;
        return c;
}

struct connection *connection_new(struct connections *cs, uint32_t guest_port, uint32_t host_port)
{
        struct connection *c = cs->free;
        if (c == NULL)
                return NULL;
        cs->free = c->next;
        cs->count++;
        uint8_t *store = c->store;
        memset(c, 0, sizeof(*c));
        c->store = store;
        c->fd = -1;
        link_init(&c->ready);
        link_init(&c->waiting);
        c->guest_port = guest_port;
        c->host_port = host_port;
        struct connection **bucket = &cs->buckets[bucket_of(guest_port, host_port)];
        c->next = *bucket;
        *bucket = c;
        c->hashed = true;
        return c;
}

void connection_unhash(struct connections *cs, struct connection *c)
{
        if (!c->hashed)
                return;
        struct connection **p = &cs->buckets[bucket_of(c->guest_port, c->host_port)];
        while (*p != c)
                p = &(*p)->next;
        *p = c->next;
        c->hashed = false;
}

void connection_free(struct connections *cs, struct connection *c)
{
        connection_unhash(cs, c);
        link_remove(&c->ready);
        link_remove(&c->waiting);
        source_free(c->source);
        c->source = NULL;
        if (c->fd >= 0)
                (void)close(c->fd); /* a socket: nothing is lost by a failure */
        c->fd = -1;
        if (c->store_touched)
                (void)madvise(c->store, cs->store_bytes, MADV_DONTNEED); /* else only memory is wasted */
        c->state = CONNECTION_FREE;
        c->next = cs->free;
        cs->free = c;
        cs->count--;
}

uint32_t connections_host_port(struct connections *cs, uint32_t guest_port)
{
        uint32_t port;
        do {
                port = cs->next_host_port++;
                if (cs->next_host_port > INT32_MAX)
                        cs->next_host_port = HOST_PORT_FIRST;
        } while (connection_find(cs, guest_port, port) !=
                 NULL); /* ends: there are fewer connections than ports */
        return port;
}

void connection_make_ready(struct connections *cs, struct connection *c)
{
        if (c->ready.next == &c->ready)
                link_append(&cs->ready, &c->ready);
}

void connection_not_ready(struct connection *c)
{
        link_remove(&c->ready);
}

struct connection *connections_first_ready(struct connections *cs)
{
        struct connection_link *l = cs->ready.next;
        return l == &cs->ready ? NULL : (struct connection *)((char *)l - offsetof(struct connection, ready));
}

void connection_await_end(struct connections *cs, struct connection *c, int64_t deadline_ms)
{
        c->deadline_ms = deadline_ms;
        link_remove(&c->waiting);
        link_append(&cs->closing, &c->waiting);
}

struct connection *connections_first_closing(struct connections *cs)
{
        struct connection_link *l = cs->closing.next;
        return l == &cs->closing ? NULL
                                 : (struct connection *)((char *)l - offsetof(struct connection, waiting));
}

void connection_no_more_waiting(struct connection *c)
{
        link_remove(&c->waiting);
}

uint32_t connection_credit(const struct connection *c)
{
        /* modulo 2^32; a guest that claims to have consumed more than it was sent gets nothing more */
        uint32_t in_flight = c->sent - c->guest_forwarded;
        return in_flight < c->guest_alloc ? c->guest_alloc - in_flight : 0;
}

uint32_t connection_store_room(const struct connections *cs, const struct connection *c)
{
        return cs->store_bytes - c->store_length;
}

void connection_store_add(struct connections *cs, struct connection *c, const struct iovec *iov,
                          unsigned count, size_t skip, uint32_t size)
{
        uint32_t end = (c->store_start + c->store_length) % cs->store_bytes;
        uint32_t first = size < cs->store_bytes - end ? size : cs->store_bytes - end;
        (void)iov_read(iov, count, skip, c->store + end, first); /* the caller knows that so much is there */
        (void)iov_read(iov, count, skip + first, c->store, size - first);
        c->store_length += size;
        c->store_touched = true;
}

unsigned connection_store_peek(const struct connections *cs, const struct connection *c,
                               struct iovec ret_iov[2])
{
        uint32_t to_end = cs->store_bytes - c->store_start;
        uint32_t first = c->store_length < to_end ? c->store_length : to_end;
        ret_iov[0] = (struct iovec){c->store + c->store_start, first};
        ret_iov[1] = (struct iovec){c->store, c->store_length - first};
        return ret_iov[1].iov_len > 0 ? 2 : ret_iov[0].iov_len > 0 ? 1 : 0;
}

void connection_store_drop(struct connections *cs, struct connection *c, uint32_t size)
{
        c->store_start = (c->store_start + size) % cs->store_bytes;
        c->store_length -= size;
        if (c->store_length == 0)
                c->store_start = 0; /* small amounts then stay on the same pages */
}
