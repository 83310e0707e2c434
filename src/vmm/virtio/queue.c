/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue, device side. The three rings lie in guest memory (virtio 1.2 section 2.7):
 *
 *     descriptors  16 bytes each: addr u64, len u32, flags u16, next u16          aligned to 16
 *     available    flags u16, idx u16, ring[size] u16, used_event u16              aligned to 2
 *     used         flags u16, idx u16, ring[size] {id u32, len u32}, avail_event u16   aligned to 4
 *
 * All fields are little endian, as is the only host we run on. Indices run freely through 65536.
 *
 * What is hostile: everything in the rings, changing at any moment. So each field is read once, into a local,
 * and the local is checked and used. Barriers:
 *   - idx of the available ring is loaded with acquire before the entries it announces are read;
 *   - idx of the used ring is stored with release after the entries it announces were written;
 *   - between announcing (used idx, avail_event) and looking at what the driver wrote (used_event, available
 * idx) stands a full fence, because the driver does the mirror image of it: each side writes, then reads what
 * the other writes, and without the fence both could read the old value, and a wake-up would be lost
 * (section 2.7.13.3 and 2.7.10).
 *
 * Invariants:
 * 1. While started, the three pointers cover the whole rings of `size` entries.
 * 2. A chain holds at most min(size, CHAIN_SEGMENTS_MAX) descriptors, so every walk ends.
 * 3. No pointer into guest memory leaves here that memory_translate() has not checked with its length.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <string.h>

#define DESCRIPTOR_SIZE 16
#define FLAG_NEXT       1 /* section 2.7.5 */
#define FLAG_WRITE      2
#define FLAG_INDIRECT   4

#define AVAILABLE_NO_INTERRUPT 1
#define USED_NO_NOTIFY         1

struct descriptor {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
        uint16_t next;
};
_Static_assert(sizeof(struct descriptor) == DESCRIPTOR_SIZE, "virtio 1.2 section 2.7.5");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring fields are little endian");

/* The rings are aligned to 2 at least: queue_start() checks. */
static uint16_t load(const uint8_t *place, int order)
{
        const uint16_t *field = (const uint16_t *)(const void *)place;
        return order == __ATOMIC_ACQUIRE ? __atomic_load_n(field, __ATOMIC_ACQUIRE)
                                         : __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void store(uint8_t *place, uint16_t value, int order)
{
        uint16_t *field = (uint16_t *)(void *)place;
        if (order == __ATOMIC_RELEASE)
                __atomic_store_n(field, value, __ATOMIC_RELEASE);
        else
                __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* Copies a descriptor (an indirect table may lie anywhere, so bytewise); the compiler may not look again. */
static struct descriptor descriptor_copy(const uint8_t *place)
{
        struct descriptor d;
        memcpy(&d, place, sizeof(d));
        __asm__ volatile("" : : "g"(&d) : "memory");
        return d;
}

static uint8_t *available_flags(const struct queue *q)
{
        return q->available;
}

static uint8_t *available_idx(const struct queue *q)
{
        return q->available + 2;
}

static uint8_t *used_event(const struct queue *q)
{
        return q->available + 4 + 2 * (size_t)q->size;
}

static uint8_t *used_flags(const struct queue *q)
{
        return q->used;
}

static uint8_t *used_idx(const struct queue *q)
{
        return q->used + 2;
}

static uint8_t *avail_event(const struct queue *q)
{
        return q->used + 4 + 8 * (size_t)q->size;
}

int queue_start(struct queue *q, uint16_t size, const struct queue_address *address, uint16_t next_available,
                uint64_t features)
{
        queue_stop(q);
        if (size == 0 || size > QUEUE_SIZE_MAX || (size & (size - 1)) != 0)
                return -EINVAL;
        if (address->descriptors % 16 != 0 || address->available % 2 != 0 || address->used % 4 != 0)
                return -EINVAL;
        uint8_t *descriptors =
            memory_translate(q->memory, address->descriptors, (uint64_t)DESCRIPTOR_SIZE * size);
        /* 6 = flags, idx and the event field, which is there whether or not it is used */
        uint8_t *available = memory_translate(q->memory, address->available, 6 + 2 * (uint64_t)size);
        uint8_t *used = memory_translate(q->memory, address->used, 6 + 8 * (uint64_t)size);
        if (descriptors == NULL || available == NULL || used == NULL)
                return -EFAULT;
        /* the guest's alignment is ours only if its region is mapped on even addresses */
        if ((uintptr_t)available % 2 != 0 || (uintptr_t)used % 4 != 0)
                return -EINVAL;
        q->descriptors = descriptors;
        q->available = available;
        q->used = used;
        q->size = size;
        q->indirect = (features & VIRTIO_F_INDIRECT_DESC) != 0;
        q->event_index = (features & VIRTIO_F_EVENT_IDX) != 0;
        q->next_available = next_available;
        q->next_used = load(used_idx(q), __ATOMIC_RELAXED);
        q->published = q->next_used;
        q->broken = false;
        q->started = true;
        return 0;
}

void queue_stop(struct queue *q)
{
        q->started = false;
        q->descriptors = NULL;
        q->available = NULL;
        q->used = NULL;
}

void queue_break(struct queue *q, const char *why)
{
        if (q->broken)
                return;
        q->broken = true;
        if (q->on_broken != NULL)
                q->on_broken(q, why, q->data);
}

/* The state of a walk along a chain. */
struct walk {
        const uint8_t *table;
        unsigned table_size;
        unsigned index;
        unsigned hops;
        bool inside_indirect;
};

static const char *enter_indirect(const struct queue *q, struct walk *w, const struct descriptor *d)
{
        if (!q->indirect)
                return "indirect descriptor without the feature";
        if (w->inside_indirect)
                return "indirect descriptor inside an indirect table";
        if (d->flags & FLAG_NEXT) /* section 2.7.5.3.1 */
                return "indirect descriptor with a next one";
        if (d->length == 0 || d->length % DESCRIPTOR_SIZE != 0 || d->length / DESCRIPTOR_SIZE > q->size)
                return "bad size of an indirect table";
        w->table = memory_translate(q->memory, d->address, d->length);
        if (w->table == NULL)
                return "indirect table outside memory";
        w->table_size = d->length / DESCRIPTOR_SIZE;
        w->index = 0;
        w->inside_indirect = true;
        return NULL;
}

static const char *add_segment(const struct queue *q, struct chain *c, const struct descriptor *d)
{
        bool in = (d->flags & FLAG_WRITE) != 0;
        uint32_t *bytes = in ? &c->in_bytes : &c->out_bytes;
        if (!in && c->in_count > 0)
                return "descriptor to read after one to write"; /* section 2.7.4.2 */
        if (__builtin_add_overflow(*bytes, d->length, bytes))
                return "chain of more than 4 GiB";
        if (d->length == 0)
                return NULL; /* allowed, and nothing */
        void *place = memory_translate(q->memory, d->address, d->length);
        if (place == NULL)
                return "buffer outside memory";
        c->iov[c->out_count + c->in_count] = (struct iovec){.iov_base = place, .iov_len = d->length};
        if (in)
                c->in_count++;
        else
                c->out_count++;
        return NULL;
}

/* Returns NULL, or what is wrong with the chain. */
static const char *walk_chain(const struct queue *q, unsigned head, struct chain *c)
{
        struct walk w = {.table = q->descriptors, .table_size = q->size, .index = head};
        unsigned hops_max = q->size < CHAIN_SEGMENTS_MAX ? q->size : CHAIN_SEGMENTS_MAX;
        c->head = (uint16_t)head;
        c->out_count = c->in_count = 0;
        c->out_bytes = c->in_bytes = 0;
        for (;;) {
                const char *wrong;
                if (w.index >= w.table_size)
                        return "descriptor index beyond its table";
                struct descriptor d = descriptor_copy(w.table + (size_t)w.index * DESCRIPTOR_SIZE);
                if (d.flags & FLAG_INDIRECT) {
                        if ((wrong = enter_indirect(q, &w, &d)) != NULL)
                                return wrong;
                        continue;
                }
                if (w.hops++ == hops_max)
                        return "chain too long or in a circle";
                if ((wrong = add_segment(q, c, &d)) != NULL)
                        return wrong;
                if (!(d.flags & FLAG_NEXT))
                        return NULL;
                w.index = d.next;
        }
}

int queue_next(struct queue *q, struct chain *ret_chain)
{
        if (!q->started || q->broken)
                return 0;
        uint16_t announced = load(available_idx(q), __ATOMIC_ACQUIRE);
        uint16_t waiting = (uint16_t)(announced - q->next_available);
        if (waiting == 0)
                return 0;
        if (waiting > q->size) {
                queue_break(q, "available index jumps");
                return 0;
        }
        unsigned slot = q->next_available & (q->size - 1U);
        unsigned head = load(q->available + 4 + 2 * (size_t)slot, __ATOMIC_RELAXED);
        const char *wrong = walk_chain(q, head, ret_chain);
        if (wrong != NULL) {
                queue_break(q, wrong);
                return 0;
        }
        q->next_available++;
        return 1;
}

void queue_untake(struct queue *q)
{
        q->next_available--;
}

void queue_put_head(struct queue *q, uint16_t head, uint32_t written)
{
        if (!q->started)
                return;
        unsigned slot = q->next_used & (q->size - 1U);
        uint32_t entry[2] = {head, written};
        memcpy(q->used + 4 + 8 * (size_t)slot, entry, sizeof(entry));
        q->next_used++;
}

void queue_put(struct queue *q, const struct chain *chain, uint32_t written)
{
        queue_put_head(q, chain->head, written);
}

/* Does the driver want to hear that idx went from before to now? Section 2.7.10. */
static bool wants_notification(const struct queue *q, uint16_t before, uint16_t now)
{
        if (!q->event_index)
                return !(load(available_flags(q), __ATOMIC_RELAXED) & AVAILABLE_NO_INTERRUPT);
        uint16_t event = load(used_event(q), __ATOMIC_RELAXED);
        return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void queue_publish(struct queue *q)
{
        uint16_t before = q->published;
        if (!q->started || before == q->next_used)
                return;
        store(used_idx(q), q->next_used, __ATOMIC_RELEASE);
        q->published = q->next_used;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (q->notify != NULL && wants_notification(q, before, q->next_used))
                q->notify(q, q->data);
}

bool queue_kicks_on(struct queue *q)
{
        if (!q->started || q->broken)
                return false;
        if (q->event_index)
                store(avail_event(q), q->next_available, __ATOMIC_RELAXED);
        else
                store(used_flags(q), 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return load(available_idx(q), __ATOMIC_RELAXED) != q->next_available;
}

void queue_kicks_off(struct queue *q)
{
        /* with event index there is nothing to do: an avail_event left behind asks for no kick for a long
         * time */
        if (q->started && !q->event_index)
                store(used_flags(q), USED_NO_NOTIFY, __ATOMIC_RELAXED);
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t skip, void *bytes, size_t size)
{
        size_t done = 0;
        for (unsigned i = 0; i < count && done < size; i++) {
                if (skip >= iov[i].iov_len) {
                        skip -= iov[i].iov_len;
                        continue;
                }
                size_t n = iov[i].iov_len - skip;
                if (n > size - done)
                        n = size - done;
                memcpy((uint8_t *)bytes + done, (const uint8_t *)iov[i].iov_base + skip, n);
                done += n;
                skip = 0;
        }
        __asm__ volatile("" : : "g"(bytes) : "memory"); /* the copy is made now, and made once */
        return done;
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t skip, const void *bytes, size_t size)
{
        size_t done = 0;
        for (unsigned i = 0; i < count && done < size; i++) {
                if (skip >= iov[i].iov_len) {
                        skip -= iov[i].iov_len;
                        continue;
                }
                size_t n = iov[i].iov_len - skip;
                if (n > size - done)
                        n = size - done;
                memcpy((uint8_t *)iov[i].iov_base + skip, (const uint8_t *)bytes + done, n);
                done += n;
                skip = 0;
        }
        return done;
}

unsigned iov_slice(const struct iovec *iov, unsigned count, size_t skip, size_t limit, struct iovec *ret_iov,
                   size_t *ret_bytes)
{
        unsigned n = 0;
        size_t bytes = 0;
        for (unsigned i = 0; i < count && bytes < limit; i++) {
                if (skip >= iov[i].iov_len) {
                        skip -= iov[i].iov_len;
                        continue;
                }
                size_t length = iov[i].iov_len - skip;
                if (length > limit - bytes)
                        length = limit - bytes;
                ret_iov[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, length};
                bytes += length;
                skip = 0;
        }
        *ret_bytes = bytes;
        return n;
}
