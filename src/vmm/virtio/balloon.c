/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon. Up to four queues; which of the last two are there, and so their numbers, depends on the
 * features that the driver took (virtio 1.2 section 5.5.2):
 *
 *     inflate     chains of page numbers (u32, of 4096 bytes) that the guest does without from now on
 *     deflate     the same for pages that it takes back: nothing to do, the host gives memory when touched
 *     statistics  one chain that lies there with the latest numbers; giving it back asks for newer ones
 *     reporting   chains of which the segments themselves are free memory; when a chain is given back, the
 *                 guest may use them again
 *
 * Releasing means madvise(2): MADV_DONTNEED on private memory, MADV_REMOVE (which punches the hole in the
 * file) on shared. The next touch finds zeroes, or, where the kernel's or the initramfs' file is mapped
 * (kvm/load.c), what that file has there: nothing that the guest had not been given before.
 *
 * Invariants:
 * 1. Only whole host pages inside a range that queue.c or memory_translate() has checked are released.
 * 2. A chain makes at most PAGES_MAX calls of madvise() for page numbers, and one per segment for reports:
 *    what one round costs is bounded, and after BUDGET chains the loop gets to see other events.
 * 3. The statistics chain stays in the queue while nobody asks: it is taken, looked at and put back, so
 *    nothing of the guest's is held.
 *
 * Hostile: page numbers (copied, then checked) and segments. A guest that gives away memory that it still
 * uses harms itself only. Threads: the loop's only.
 */
#include "vmm/virtio/balloon.h"

#include "base/log.h"
#include "vmm/virtio/again.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE_ID_BALLOON 5 /* virtio 1.2 section 5 */

#define F_STATS_VQ       (UINT64_C(1) << 1) /* section 5.5.3 */
#define F_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define F_PAGE_REPORTING (UINT64_C(1) << 5)

#define PAGE_SHIFT 12 /* of page numbers, whatever the guest's pages are: section 5.5.6 */
#define PAGE_BYTES (1U << PAGE_SHIFT)
#define PAGES_MAX  1024 /* in a chain; Linux sends 256 */
#define BUDGET     64   /* chains a round */

#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1
#define QUEUE_NONE    UINT32_MAX

struct config {
        uint32_t num_pages; /* what we want */
        uint32_t actual;    /* what the driver says it has given; the only field it may write */
};
_Static_assert(sizeof(struct config) == 8, "virtio 1.2 section 5.5.4");

struct stat_entry {
        uint16_t tag; /* enum balloon_stat */
        uint64_t value;
} __attribute__((packed));
_Static_assert(sizeof(struct stat_entry) == 10, "virtio 1.2 section 5.5.6.3");

struct balloon {
        struct device device; /* first: ops get this pointer */
        struct balloon_options options;
        struct again again;
        struct config config;
        unsigned stats_queue; /* QUEUE_NONE: the driver does not have it */
        unsigned reporting_queue;
        bool asked;
        bool said_failed;
        uint64_t released;
        uintptr_t host_page;
        struct chain chain;
};

/* ---- giving memory back ---- */

/* The whole pages of [start, start + size), which is guest memory. */
static void release(struct balloon *b, uint8_t *start, uint64_t size)
{
        uintptr_t mask = b->host_page - 1;
        uintptr_t first = ((uintptr_t)start + mask) & ~mask;
        uintptr_t end = ((uintptr_t)start + size) & ~mask;
        if (first >= end)
                return;
        if (madvise((void *)first, end - first, b->options.shared ? MADV_REMOVE : MADV_DONTNEED) == 0) {
                b->released += end - first;
        } else if (!b->said_failed) {
                log_warning("cannot give guest memory back to the host: %s", strerror(errno));
                b->said_failed = true;
        }
}

/* Pages next to each other, in either order, are released by one call. */
struct run {
        uint64_t first;
        uint64_t count;
};

static void release_run(struct balloon *b, const struct run *r)
{
        uint64_t size = r->count << PAGE_SHIFT;
        uint8_t *place =
            memory_translate(b->device.queues[QUEUE_INFLATE].memory, r->first << PAGE_SHIFT, size);
        if (r->count > 0 && place != NULL)
                release(b, place, size);
}

static bool extend_run(struct run *r, uint64_t page)
{
        if (page == r->first + r->count)
                r->count++;
        else if (r->count > 0 && page + 1 == r->first)
                *r = (struct run){page, r->count + 1};
        else
                return false;
        return true;
}

static void inflate(struct balloon *b)
{
        uint32_t pages[PAGES_MAX];
        struct run run = {0, 0};
        const struct chain *c = &b->chain;
        const struct memory *memory = b->device.queues[QUEUE_INFLATE].memory;
        if (c->out_bytes % sizeof(pages[0]) != 0 || c->out_bytes > sizeof(pages)) {
                queue_break(&b->device.queues[QUEUE_INFLATE], "bad size of a list of pages");
                return;
        }
        size_t count = iov_read(c->iov, c->out_count, 0, pages, c->out_bytes) / sizeof(pages[0]);
        for (size_t i = 0; i < count; i++) {
                if (memory_translate(memory, (uint64_t)pages[i] << PAGE_SHIFT, PAGE_BYTES) == NULL)
                        continue; /* not memory: section 5.5.6.1 has no answer for it */
                if (run.count > 0 && extend_run(&run, pages[i]))
                        continue;
                release_run(b, &run);
                run = (struct run){pages[i], 1};
        }
        release_run(b, &run);
}

static void report(struct balloon *b)
{
        const struct chain *c = &b->chain;
        for (unsigned i = 0; i < c->in_count; i++)
                release(b, c->iov[c->out_count + i].iov_base, c->iov[c->out_count + i].iov_len);
}

/* ---- statistics ---- */

static void tell_stats(struct balloon *b)
{
        uint64_t stats[BALLOON_STAT_COUNT];
        struct stat_entry entries[2 * BALLOON_STAT_COUNT]; /* a tag that is told twice, or unknown ones */
        const struct chain *c = &b->chain;
        memset(stats, 0xff, sizeof(stats));
        size_t count = iov_read(c->iov, c->out_count, 0, entries, sizeof(entries)) / sizeof(entries[0]);
        for (size_t i = 0; i < count; i++) {
                if (entries[i].tag < BALLOON_STAT_COUNT)
                        stats[entries[i].tag] = entries[i].value;
        }
        b->options.stats(b->options.data, stats);
}

static void serve_stats(struct balloon *b)
{
        struct queue *q = &b->device.queues[b->stats_queue];
        (void)queue_kicks_on(q); /* what came meanwhile is taken right here */
        if (queue_next(q, &b->chain) == 0)
                return;
        queue_untake(q); /* invariant 3 */
        if (!b->asked)
                return;
        b->asked = false;
        if (b->options.stats != NULL)
                tell_stats(b);
}

int balloon_ask_stats(struct balloon *b)
{
        if (b->stats_queue == QUEUE_NONE || b->asked)
                return -EAGAIN;
        struct queue *q = &b->device.queues[b->stats_queue];
        if (queue_next(q, &b->chain) == 0)
                return -EAGAIN;
        b->asked = true;
        queue_put(q, &b->chain, 0);
        queue_publish(q);
        return 0;
}

/* ---- queues ---- */

/* True when there is more to do than one round takes. */
static bool serve(struct balloon *b, unsigned index, void (*work)(struct balloon *b))
{
        struct queue *q = &b->device.queues[index];
        unsigned budget = BUDGET;
        queue_kicks_off(q);
        do {
                for (; budget > 0 && queue_next(q, &b->chain) > 0; budget--) {
                        if (work != NULL)
                                work(b);
                        queue_put(q, &b->chain, 0);
                }
        } while (budget > 0 && queue_kicks_on(q));
        queue_publish(q);
        return budget == 0;
}

static void serve_queue(struct balloon *b, unsigned index)
{
        bool more = false;
        if (index == QUEUE_INFLATE)
                more = serve(b, index, inflate);
        else if (index == QUEUE_DEFLATE)
                more = serve(b, index, NULL);
        else if (index == b->reporting_queue)
                more = serve(b, index, report);
        else if (index == b->stats_queue)
                serve_stats(b);
        if (more)
                again_ask(&b->again);
}

static void on_again(void *data)
{
        struct balloon *b = data;
        for (unsigned i = 0; i < b->device.ops->queue_count; i++) {
                if (i != b->stats_queue)
                        serve_queue(b, i);
        }
}

/* ---- entry points ---- */

static void balloon_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        const struct balloon *b = (const struct balloon *)device;
        device_config_copy(&b->config, sizeof(b->config), offset, bytes, size);
}

static void balloon_config_write(struct device *device, uint32_t offset, const void *bytes, size_t size)
{
        struct balloon *b = (struct balloon *)device;
        if (offset == offsetof(struct config, actual) && size == sizeof(b->config.actual))
                memcpy(&b->config.actual, bytes, size);
}

static void balloon_ready(struct device *device, uint64_t features)
{
        struct balloon *b = (struct balloon *)device;
        unsigned next = QUEUE_DEFLATE + 1;
        b->stats_queue = features & F_STATS_VQ ? next++ : QUEUE_NONE;
        b->reporting_queue = features & F_PAGE_REPORTING ? next++ : QUEUE_NONE;
}

static void balloon_kick(struct device *device, unsigned queue)
{
        serve_queue((struct balloon *)device, queue);
}

static void balloon_stop(struct device *device)
{
        struct balloon *b = (struct balloon *)device;
        b->stats_queue = b->reporting_queue = QUEUE_NONE;
        b->asked = false;
        b->config.actual = 0; /* all memory is the next driver's: section 5.5.5 */
}

static const struct device_ops balloon_ops = {
    .name = "balloon",
    .id = DEVICE_ID_BALLOON,
    .queue_count = 4,
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .ready = balloon_ready,
    .kick = balloon_kick,
    .stop = balloon_stop,
};

void balloon_set_target(struct balloon *b, uint64_t bytes)
{
        uint64_t pages = bytes >> PAGE_SHIFT;
        b->config.num_pages = pages > UINT32_MAX ? UINT32_MAX : (uint32_t)pages;
        device_config_changed(&b->device);
}

uint64_t balloon_actual(const struct balloon *b)
{
        return (uint64_t)b->config.actual << PAGE_SHIFT;
}

uint64_t balloon_released(const struct balloon *b)
{
        return b->released;
}

struct device *balloon_device(struct balloon *b)
{
        return &b->device;
}

int balloon_new(struct loop *loop, const struct balloon_options *options, struct balloon **ret_balloon)
{
        struct balloon *b = calloc(1, sizeof(*b));
        if (b == NULL)
                return -ENOMEM;
        b->device.ops = &balloon_ops;
        b->device.features = F_STATS_VQ | F_DEFLATE_ON_OOM | F_PAGE_REPORTING;
        b->options = *options;
        b->host_page = (uintptr_t)sysconf(_SC_PAGESIZE);
        balloon_stop(&b->device);
        int r = again_init(&b->again, loop, on_again, b);
        if (r < 0) {
                balloon_free(b);
                return r;
        }
        *ret_balloon = b;
        return 0;
}

void balloon_free(struct balloon *b)
{
        if (b == NULL)
                return;
        again_done(&b->again);
        free(b);
}
