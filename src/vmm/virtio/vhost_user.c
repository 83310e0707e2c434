/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user transport. The other side (QEMU) owns the guest and the virtio registers; it tells us,
 * message by message, where guest memory is, where each ring lies, and which eventfds carry kicks and
 * interrupts. The device core then works on guest memory directly.
 *
 * A ring: SET_VRING_NUM, _BASE, _ADDR describe it, _KICK starts it (if enabled), GET_VRING_BASE stops it and
 * tells how far it came. Rings begin disabled and wait for SET_VRING_ENABLE, if protocol features were
 * negotiated.
 *
 *     STOPPED -> STARTED [try_start()]   has addresses, a kick descriptor, and is enabled
 *     STARTED -> STOPPED [stop_ring()]   GET_VRING_BASE, disabled, or new memory (then try_start() again)
 *
 * Hostile: every message, almost as much as the guest. The header is checked against a table (size, number of
 * descriptors) before anything is looked at; ring indices are checked; addresses go through
 * memory_gpa_of_peer() and then memory_translate(). A wrong message ends the conversation, and with it the
 * machine: there is no guessing.
 *
 * Invariants:
 * 1. A started ring's pointers lie in u->memory; memory only changes while no ring is started.
 * 2. Each descriptor received is closed on every path or stored in exactly one place.
 *
 * system calls (loop): recvmsg sendto read write close
 */
#include "vmm/virtio/vhost_user.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLAG_VERSION_MASK 3U
#define FLAG_VERSION      1U
#define FLAG_REPLY        4U
#define FLAG_NEED_REPLY   8U

#define F_PROTOCOL_FEATURES  (UINT64_C(1) << 30) /* VHOST_USER_F_PROTOCOL_FEATURES */
#define PROTOCOL_F_MQ        (UINT64_C(1) << 0)
#define PROTOCOL_F_REPLY_ACK (UINT64_C(1) << 3)
#define PROTOCOL_F_CONFIG    (UINT64_C(1) << 9)
#define PROTOCOL_FEATURES    (PROTOCOL_F_MQ | PROTOCOL_F_REPLY_ACK | PROTOCOL_F_CONFIG)

#define VRING_INDEX_MASK 0xffU
#define VRING_NO_FD      0x100U

#define CONFIG_SIZE_MAX 256

enum request {
        GET_FEATURES = 1,
        SET_FEATURES = 2,
        SET_OWNER = 3,
        RESET_OWNER = 4,
        SET_MEM_TABLE = 5,
        SET_VRING_NUM = 8,
        SET_VRING_ADDR = 9,
        SET_VRING_BASE = 10,
        GET_VRING_BASE = 11,
        SET_VRING_KICK = 12,
        SET_VRING_CALL = 13,
        SET_VRING_ERR = 14,
        GET_PROTOCOL_FEATURES = 15,
        SET_PROTOCOL_FEATURES = 16,
        GET_QUEUE_NUM = 17,
        SET_VRING_ENABLE = 18,
        GET_CONFIG = 24,
        SET_CONFIG = 25,
        REQUEST_COUNT = 26,
};

struct ring_state { /* SET_VRING_NUM, _BASE, _ENABLE, GET_VRING_BASE */
        uint32_t index;
        uint32_t number;
};
struct ring_address { /* SET_VRING_ADDR; the addresses are the other side's */
        uint32_t index;
        uint32_t flags;
        uint64_t descriptors;
        uint64_t used;
        uint64_t available;
        uint64_t log;
};
struct table_region {
        uint64_t gpa;
        uint64_t size;
        uint64_t peer;
        uint64_t offset;
};
struct memory_table {
        uint32_t count;
        uint32_t padding;
        struct table_region regions[MEMORY_REGIONS_MAX];
};
struct config_payload {
        uint32_t offset;
        uint32_t size;
        uint32_t flags;
        uint8_t bytes[CONFIG_SIZE_MAX];
};
_Static_assert(sizeof(struct ring_state) == 8, "vhost-user: vring state description");
_Static_assert(sizeof(struct ring_address) == 40, "vhost-user: vring address description");
_Static_assert(sizeof(struct memory_table) == 8 + 32 * MEMORY_REGIONS_MAX,
               "vhost-user: memory regions description");
_Static_assert(offsetof(struct config_payload, bytes) == 12, "vhost-user: virtio device config space");
_Static_assert(sizeof(struct config_payload) <= VHOST_USER_PAYLOAD_MAX, "the longest payload");

/* What each request looks like; a request that is not here is not taken. */
static const struct shape {
        const char *name;
        uint32_t size_min;
        uint32_t size_max;
        uint8_t fds_max;
        bool ring_first; /* the payload begins with a ring index (in the low 8 bits of a u64, or a u32) */
} shapes[REQUEST_COUNT] = {
    [GET_FEATURES] = {"GET_FEATURES", 0, 0, 0, false},
    [SET_FEATURES] = {"SET_FEATURES", 8, 8, 0, false},
    [SET_OWNER] = {"SET_OWNER", 0, 0, 0, false},
    [RESET_OWNER] = {"RESET_OWNER", 0, 0, 0, false},
    [SET_MEM_TABLE] = {"SET_MEM_TABLE", 8, sizeof(struct memory_table), MEMORY_REGIONS_MAX, false},
    [SET_VRING_NUM] = {"SET_VRING_NUM", 8, 8, 0, true},
    [SET_VRING_ADDR] = {"SET_VRING_ADDR", 40, 40, 0, true},
    [SET_VRING_BASE] = {"SET_VRING_BASE", 8, 8, 0, true},
    [GET_VRING_BASE] = {"GET_VRING_BASE", 8, 8, 0, true},
    [SET_VRING_KICK] = {"SET_VRING_KICK", 8, 8, 1, true},
    [SET_VRING_CALL] = {"SET_VRING_CALL", 8, 8, 1, true},
    [SET_VRING_ERR] = {"SET_VRING_ERR", 8, 8, 1, true},
    [GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", 0, 0, 0, false},
    [SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", 8, 8, 0, false},
    [GET_QUEUE_NUM] = {"GET_QUEUE_NUM", 0, 0, 0, false},
    [SET_VRING_ENABLE] = {"SET_VRING_ENABLE", 8, 8, 0, true},
    [GET_CONFIG] = {"GET_CONFIG", 12, sizeof(struct config_payload), 0, false},
    [SET_CONFIG] = {"SET_CONFIG", 12, sizeof(struct config_payload), 0, false},
};

struct ring {
        struct vhost_user *owner;
        struct ring_address address; /* as told; looked up anew when memory changes */
        bool has_address;
        bool enabled;
        uint16_t size;
        uint16_t base;
        int kick_fd;
        int call_fd;
        int err_fd;
        struct source *kick;
};

struct vhost_user {
        struct loop *loop;
        int socket;
        struct device *device;
        struct vhost_user_events events;
        struct source *source;
        struct memory memory;
        uint64_t features; /* negotiated */
        struct ring rings[DEVICE_QUEUES_MAX];
        bool said_ready;
        bool said_wrong;      /* that the driver is wrong: once, however often it begins anew */
        bool driver_is_ready; /* the core was told */

        struct vhost_user_message incoming;
        size_t incoming_length;
        int incoming_fds[VHOST_USER_FDS_MAX];
        size_t incoming_fd_count;
};

static uint64_t offered_features(const struct vhost_user *u)
{
        return u->device->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC |
               F_PROTOCOL_FEATURES;
}

static void signal_fd(int fd)
{
        uint64_t one = 1;
        if (fd >= 0)
                (void)!write(fd, &one, sizeof(one)); /* an eventfd that is full is already signalled */
}

static struct ring *ring_of_queue(struct vhost_user *u, const struct queue *q)
{
        return &u->rings[q - u->device->queues];
}

static void on_queue_notify(struct queue *q, void *data)
{
        signal_fd(ring_of_queue(data, q)->call_fd);
}

/* The guest's driver misused the queue: said once, and told to the VMM as vhost-user has it. */
static void on_queue_broken(struct queue *q, const char *why, void *data)
{
        struct vhost_user *u = data;
        if (!u->said_wrong)
                log_warning("guest misused queue %d of %s, which needs a reset now: %s",
                            (int)(q - u->device->queues), u->device->ops->name, why);
        u->said_wrong = true;
        signal_fd(ring_of_queue(u, q)->err_fd);
}

static unsigned index_of(const struct ring *r)
{
        return (unsigned)(r - r->owner->rings);
}

static void on_kick(struct source *s, int fd, uint32_t events, void *data)
{
        struct ring *r = data;
        struct vhost_user *u = r->owner;
        uint64_t count;
        ssize_t n = read(fd, &count, sizeof(count));
        if (n < 0 ? errno != EAGAIN && errno != EINTR : n != (ssize_t)sizeof(count)) {
                /* not an eventfd, or a broken one: it would wake us for ever */
                source_free(r->kick);
                r->kick = NULL;
                return;
        }
        if (u->device->queues[index_of(r)].started)
                u->device->ops->kick(u->device, index_of(r));
}

/* Nothing of the guest's is in the core's hands after this, see device.h. */
static void drain(struct vhost_user *u)
{
        if (u->device->ops->drain != NULL)
                u->device->ops->drain(u->device);
}

static void stop_ring(struct ring *r)
{
        struct queue *q = &r->owner->device->queues[index_of(r)];
        source_free(r->kick);
        r->kick = NULL;
        if (!q->started)
                return;
        drain(r->owner);
        r->base = q->next_available;
        queue_stop(q);
}

static void say_driver_is_ready(struct vhost_user *u)
{
        if (!u->driver_is_ready && u->device->ops->ready != NULL)
                u->device->ops->ready(u->device, u->features & u->device->features);
        u->driver_is_ready = true;
}

static void stop_device(struct vhost_user *u)
{
        u->driver_is_ready = false;
        u->device->ops->stop(u->device);
}

static int try_start(struct ring *r, struct error *err)
{
        struct vhost_user *u = r->owner;
        struct queue *q = &u->device->queues[index_of(r)];
        struct queue_address address;
        if (q->started || !r->has_address || !r->enabled || r->kick_fd < 0 || r->size == 0)
                return 0;
        if (memory_gpa_of_peer(&u->memory, r->address.descriptors, 1, &address.descriptors) < 0 ||
            memory_gpa_of_peer(&u->memory, r->address.available, 1, &address.available) < 0 ||
            memory_gpa_of_peer(&u->memory, r->address.used, 1, &address.used) < 0)
                return error_set(err, -EPROTO, "ring %u lies outside guest memory", index_of(r));
        int status = queue_start(q, r->size, &address, r->base, u->features);
        if (status < 0)
                return error_errno(err, status, "start ring %u of size %u", index_of(r), r->size);
        status = loop_add_io(u->loop, r->kick_fd, EPOLLIN, on_kick, r, &r->kick);
        if (status < 0) {
                queue_stop(q);
                return error_errno(err, status, "watch ring %u", index_of(r));
        }
        say_driver_is_ready(u);
        u->device->ops->kick(u->device, index_of(r)); /* what is there came before we listened */
        return 0;
}

static int set_memory(struct vhost_user *u, const struct vhost_user_message *m, int *fds, size_t count,
                      struct error *err)
{
        struct memory_table table;
        memset(&table, 0, sizeof(table));
        memcpy(&table, m->payload, m->size);
        if (table.count > MEMORY_REGIONS_MAX || table.count != count ||
            m->size < 8 + 32 * (size_t)table.count)
                return error_set(err, -EPROTO, "memory table of %" PRIu32 " regions with %zu descriptors",
                                 table.count, count);
        unsigned n = u->device->ops->queue_count;
        for (unsigned i = 0; i < n; i++)
                stop_ring(&u->rings[i]); /* invariant 1 */
        memory_done(&u->memory);
        for (unsigned i = 0; i < table.count; i++) {
                const struct table_region *t = &table.regions[i];
                int r = memory_add_fd(&u->memory, t->gpa, t->size, t->peer, fds[i], t->offset, err);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < n; i++) {
                int r = try_start(&u->rings[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_features(struct vhost_user *u, uint64_t features, struct error *err)
{
        if (features & ~offered_features(u))
                return error_set(err, -EPROTO, "features 0x%" PRIx64 " were not offered",
                                 features & ~offered_features(u));
        u->features = features;
        /* without that feature there is no SET_VRING_ENABLE, and rings are enabled from the start */
        for (unsigned i = 0; i < u->device->ops->queue_count && !(features & F_PROTOCOL_FEATURES); i++)
                u->rings[i].enabled = true;
        return 0;
}

/* Takes the descriptor of a SET_VRING_KICK, _CALL or _ERR, or none. */
static int replace_fd(int *place, int *fds, size_t count, uint64_t number, struct error *err)
{
        if (((number & VRING_NO_FD) != 0) != (count == 0))
                return error_set(err, -EPROTO, "descriptor of a ring is missing or too much");
        close_fd(place);
        if (count == 0)
                return 0;
        *place = take_fd(&fds[0]);
        return fd_set_nonblocking(*place) < 0 ? error_set(err, -EPROTO, "bad descriptor of a ring") : 0;
}

static int set_kick(struct ring *r, int *fds, size_t count, uint64_t number, struct error *err)
{
        if (number & VRING_NO_FD)
                return error_set(err, -EPROTO, "ring without kicks: polling is not done here");
        stop_ring(r);
        int status = replace_fd(&r->kick_fd, fds, count, number, err);
        return status < 0 ? status : try_start(r, err);
}

static int enable(struct ring *r, uint32_t on, struct error *err)
{
        if (on > 1)
                return error_set(err, -EPROTO, "ring enabled by %" PRIu32, on);
        r->enabled = on == 1;
        if (r->enabled)
                return try_start(r, err);
        stop_ring(r);
        return 0;
}

static void reset_rings(struct vhost_user *u)
{
        for (unsigned i = 0; i < u->device->ops->queue_count; i++) {
                stop_ring(&u->rings[i]);
                u->rings[i].enabled = false;
        }
        stop_device(u);
}

static int handle_ring(struct vhost_user *u, const struct vhost_user_message *m, int *fds, size_t count,
                       struct vhost_user_message *reply, bool *replies, struct error *err)
{
        uint64_t number;
        struct ring_state state;
        memcpy(&number, m->payload, sizeof(number));
        memcpy(&state, m->payload, sizeof(state));
        bool by_fd = m->request >= SET_VRING_KICK && m->request <= SET_VRING_ERR;
        uint32_t index = by_fd ? (uint32_t)(number & VRING_INDEX_MASK) : state.index;
        if (index >= u->device->ops->queue_count)
                return error_set(err, -EPROTO, "%s for ring %" PRIu32, shapes[m->request].name, index);
        struct ring *r = &u->rings[index];
        switch ((enum request)m->request) {
        case SET_VRING_NUM:
                if (state.number == 0 || state.number > QUEUE_SIZE_MAX ||
                    (state.number & (state.number - 1)) != 0)
                        return error_set(err, -EPROTO, "ring of %" PRIu32 " entries", state.number);
                stop_ring(r);
                r->size = (uint16_t)state.number;
                return 0;
        case SET_VRING_BASE:
                if (state.number > UINT16_MAX)
                        return error_set(err, -EPROTO, "ring begins at %" PRIu32, state.number);
                stop_ring(r);
                r->base = (uint16_t)state.number;
                return 0;
        case SET_VRING_ADDR:
                stop_ring(r);
                memcpy(&r->address, m->payload, sizeof(r->address));
                r->has_address = true;
                return try_start(r, err);
        case GET_VRING_BASE:
                stop_ring(r);
                close_fd(&r->kick_fd); /* the next start begins with a new one */
                stop_device(u);
                state.number = r->base;
                memcpy(reply->payload, &state, sizeof(state));
                reply->size = sizeof(state);
                *replies = true;
                return 0;
        case SET_VRING_ENABLE:
                return enable(r, state.number, err);
        case SET_VRING_KICK:
                return set_kick(r, fds, count, number, err);
        case SET_VRING_CALL:
                return replace_fd(&r->call_fd, fds, count, number, err);
        case SET_VRING_ERR:
                return replace_fd(&r->err_fd, fds, count, number, err);
        default:
                return error_set(err, -EPROTO, "request %" PRIu32, m->request);
        }
}

static int handle_config(struct vhost_user *u, const struct vhost_user_message *m,
                         struct vhost_user_message *reply, struct error *err)
{
        struct config_payload config;
        memset(&config, 0, sizeof(config));
        memcpy(&config, m->payload, m->size);
        if (config.size > CONFIG_SIZE_MAX || m->size != 12 + config.size || config.offset > CONFIG_SIZE_MAX)
                return error_set(err, -EPROTO, "configuration of %" PRIu32 " bytes", config.size);
        if (m->request == SET_CONFIG) {
                if (u->device->ops->config_write != NULL)
                        u->device->ops->config_write(u->device, config.offset, config.bytes, config.size);
                return 0;
        }
        u->device->ops->config_read(u->device, config.offset, config.bytes, config.size);
        memcpy(reply->payload, &config, m->size);
        reply->size = m->size;
        return 0;
}

static void reply_number(struct vhost_user_message *reply, bool *replies, uint64_t number)
{
        memcpy(reply->payload, &number, sizeof(number));
        reply->size = sizeof(number);
        *replies = true;
}

static void say_ready(struct vhost_user *u)
{
        if (!u->said_ready && u->events.ready != NULL)
                u->events.ready(u->events.data);
        u->said_ready = true;
}

static int dispatch(struct vhost_user *u, const struct vhost_user_message *m, int *fds, size_t count,
                    struct vhost_user_message *reply, bool *replies, struct error *err)
{
        uint64_t number;
        memcpy(&number, m->payload, sizeof(number));
        if (shapes[m->request].ring_first)
                return handle_ring(u, m, fds, count, reply, replies, err);
        switch ((enum request)m->request) {
        case GET_FEATURES:
                reply_number(reply, replies, offered_features(u));
                return 0;
        case SET_FEATURES:
                return set_features(u, number, err);
        case GET_PROTOCOL_FEATURES:
                reply_number(reply, replies, PROTOCOL_FEATURES);
                return 0;
        case SET_PROTOCOL_FEATURES:
                return number & ~PROTOCOL_FEATURES
                           ? error_set(err, -EPROTO, "protocol features 0x%" PRIx64 " were not offered",
                                       number)
                           : 0;
        case GET_QUEUE_NUM:
                reply_number(reply, replies, u->device->ops->queue_count);
                return 0;
        case SET_OWNER:
                return 0;
        case RESET_OWNER:
                reset_rings(u);
                return 0;
        case SET_MEM_TABLE:
                return set_memory(u, m, fds, count, err);
        case GET_CONFIG:
                *replies = true;
                say_ready(u); /* the last thing that QEMU asks before it runs the guest */
                return handle_config(u, m, reply, err);
        case SET_CONFIG:
                return handle_config(u, m, reply, err);
        default:
                return error_set(err, -EPROTO, "request %" PRIu32, m->request);
        }
}

int vhost_user_check_header(const struct vhost_user_message *m, struct error *err)
{
        if (m->request >= REQUEST_COUNT || shapes[m->request].name == NULL)
                return error_set(err, -EPROTO, "unknown request %" PRIu32, m->request);
        const struct shape *shape = &shapes[m->request];
        if ((m->flags & FLAG_VERSION_MASK) != FLAG_VERSION || (m->flags & FLAG_REPLY) != 0)
                return error_set(err, -EPROTO, "%s with flags 0x%" PRIx32, shape->name, m->flags);
        if (m->size < shape->size_min || m->size > shape->size_max)
                return error_set(err, -EPROTO, "%s of %" PRIu32 " bytes", shape->name, m->size);
        return 0;
}

int vhost_user_handle(struct vhost_user *u, const struct vhost_user_message *m, int *fds, size_t count,
                      struct vhost_user_message *ret_reply, bool *ret_replies, struct error *err)
{
        int r = vhost_user_check_header(m, err);
        memset(ret_reply, 0, VHOST_USER_HEADER_SIZE);
        *ret_replies = false;
        if (r == 0 && count > shapes[m->request].fds_max)
                r = error_set(err, -EPROTO, "%s with %zu descriptors", shapes[m->request].name, count);
        if (r == 0)
                r = dispatch(u, m, fds, count, ret_reply, ret_replies, err);
        for (size_t i = 0; i < count; i++)
                close_fd(&fds[i]); /* those that were kept are taken out */
        if (r < 0)
                return r;
        if (!*ret_replies && (m->flags & FLAG_NEED_REPLY))
                reply_number(ret_reply, ret_replies, 0); /* REPLY_ACK: done */
        ret_reply->request = m->request;
        ret_reply->flags = FLAG_VERSION | FLAG_REPLY;
        return 0;
}

/* ---- the socket ---- */

static void end(struct vhost_user *u, const char *why)
{
        source_free(u->source);
        u->source = NULL;
        reset_rings(u);
        if (u->events.ended != NULL)
                u->events.ended(u->events.data, why);
}

/* Reads on until the message is whole: 1; 0 when the rest has not come yet; -ENOTCONN at the end. */
static int read_message(struct vhost_user *u, struct error *err)
{
        for (;;) {
                size_t want = VHOST_USER_HEADER_SIZE;
                int r;
                if (u->incoming_length >= VHOST_USER_HEADER_SIZE) {
                        if ((r = vhost_user_check_header(&u->incoming, err)) < 0)
                                return r;
                        want += u->incoming.size;
                        if (u->incoming_length == want)
                                return 1;
                }
                size_t count = 0;
                ssize_t n = fd_receive(u->socket, (uint8_t *)&u->incoming + u->incoming_length,
                                       want - u->incoming_length, u->incoming_fds + u->incoming_fd_count,
                                       VHOST_USER_FDS_MAX - u->incoming_fd_count, &count);
                if (n == -EAGAIN || n == -EWOULDBLOCK)
                        return 0;
                if (n <= 0)
                        return n < 0 ? error_errno(err, (int)n, "read") : -ENOTCONN;
                u->incoming_length += (size_t)n;
                u->incoming_fd_count += count;
        }
}

static int answer(struct vhost_user *u, struct error *err)
{
        struct vhost_user_message reply;
        bool replies;
        size_t count = u->incoming_fd_count;
        u->incoming_fd_count = 0;
        u->incoming_length = 0;
        int r = vhost_user_handle(u, &u->incoming, u->incoming_fds, count, &reply, &replies, err);
        if (r < 0 || !replies)
                return r;
        ssize_t size = (ssize_t)(VHOST_USER_HEADER_SIZE + reply.size);
        /* it is waiting for the answer, so there is room in the socket */
        if (send(u->socket, &reply, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) != size)
                return error_set(err, -EPROTO, "answer of %zd bytes was not taken", size);
        return 0;
}

static void on_socket(struct source *s, int fd, uint32_t events, void *data)
{
        struct vhost_user *u = data;
        struct error err = ERROR_INIT;
        int r;
        while ((r = read_message(u, &err)) > 0) {
                if ((r = answer(u, &err)) < 0)
                        break;
        }
        if (r == -ENOTCONN)
                end(u, NULL);
        else if (r < 0)
                end(u, err.text);
}

int vhost_user_new(struct loop *loop, int socket, struct device *device,
                   const struct vhost_user_events *events, struct vhost_user **ret_transport)
{
        struct vhost_user *u = calloc(1, sizeof(*u));
        if (u == NULL)
                return -ENOMEM;
        u->loop = loop;
        u->socket = socket;
        u->device = device;
        u->events = *events;
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++) {
                struct queue *q = &device->queues[i];
                u->rings[i] = (struct ring){.owner = u, .kick_fd = -1, .call_fd = -1, .err_fd = -1};
                memset(q, 0, sizeof(*q));
                q->memory = &u->memory;
                q->notify = on_queue_notify;
                q->on_broken = on_queue_broken;
                q->data = u;
        }
        int r = fd_set_nonblocking(socket);
        if (r == 0)
                r = loop_add_io(loop, socket, EPOLLIN, on_socket, u, &u->source);
        if (r < 0) {
                free(u);
                return r;
        }
        *ret_transport = u;
        return 0;
}

void vhost_user_free(struct vhost_user *u)
{
        if (u == NULL)
                return;
        source_free(u->source);
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++) {
                struct ring *r = &u->rings[i];
                stop_ring(r);
                close_fd(&r->kick_fd);
                close_fd(&r->call_fd);
                close_fd(&r->err_fd);
        }
        for (size_t i = 0; i < u->incoming_fd_count; i++)
                close_fd(&u->incoming_fds[i]);
        memory_done(&u->memory);
        free(u);
}
