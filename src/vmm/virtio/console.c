/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console: bytes from the guest's own pages to a descriptor. If that does not take all of a chain, the
 * chain goes back into the queue, `written` says how much of it is done, and the rest follows when the
 * descriptor can take more: the guest waits, nothing is kept here. A descriptor that will never take anything
 * again (its reader is gone, the disk is full) is as if everything had been written: a guest must not hang
 * because nobody listens.
 *
 * The process must have SIGPIPE ignored.
 *
 * Hostile: the guest may change a chain that was put back; `written` is only ever compared with what it finds
 * then. Threads: the loop's only.
 *
 * system calls (loop): writev
 */
#include "vmm/virtio/console.h"

#include "base/fd.h"
#include "vmm/virtio/again.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DEVICE_ID_CONSOLE 3 /* virtio 1.2 section 5 */

#define BUDGET      64          /* chains a round */
#define WRITE_BYTES (64U << 10) /* at once */

struct virtio_console {
        struct device device; /* first: ops get this pointer */
        struct virtio_console_options options;
        struct again again;
        struct source *writable; /* NULL: the descriptor is a file, which always takes what there is */
        bool waiting;            /* for the descriptor to become writable */
        uint64_t total;
        uint32_t written; /* bytes of the chain that is next in the queue */
        struct chain chain;
};

/* How many bytes more may be written at all. */
static uint64_t room(const struct virtio_console *c)
{
        if (c->options.limit == 0)
                return UINT64_MAX;
        return c->total < c->options.limit ? c->options.limit - c->total : 0;
}

static void wait_writable(struct virtio_console *c, bool on)
{
        c->waiting = on && c->writable != NULL && source_set_events(c->writable, EPOLLOUT) == 0;
        if (!on && c->writable != NULL)
                (void)source_set_events(c->writable, 0); /* a call too much at worst */
}

/* Writes from c->written on; true when the chain is done with. */
static bool write_chain(struct virtio_console *c)
{
        struct iovec slice[CHAIN_SEGMENTS_MAX];
        const struct chain *chain = &c->chain;
        while (c->written < chain->out_bytes && room(c) > 0) {
                size_t limit = room(c) < WRITE_BYTES ? (size_t)room(c) : WRITE_BYTES, size;
                unsigned n = iov_slice(chain->iov, chain->out_count, c->written, limit, slice, &size);
                ssize_t done = writev(c->options.fd, slice, (int)n);
                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                        wait_writable(c, true);
                        return !c->waiting;
                }
                if (done <= 0)
                        return true; /* see the essay */
                c->written += (uint32_t)done;
                c->total += (uint64_t)done;
        }
        return true;
}

static void serve(struct virtio_console *c)
{
        struct queue *q = &c->device.queues[VIRTIO_CONSOLE_QUEUE_TX];
        unsigned budget = BUDGET;
        if (c->waiting)
                return;
        queue_kicks_off(q);
        do {
                for (; budget > 0 && !c->waiting && queue_next(q, &c->chain) > 0; budget--) {
                        if (!write_chain(c)) {
                                queue_untake(q);
                                break;
                        }
                        c->written = 0;
                        queue_put(q, &c->chain, 0);
                }
        } while (budget > 0 && !c->waiting && queue_kicks_on(q));
        if (budget == 0)
                again_ask(&c->again);
        queue_publish(q);
}

static void on_again(void *data)
{
        serve(data);
}

static void on_writable(struct source *s, int fd, uint32_t events, void *data)
{
        struct virtio_console *c = data;
        if (events & EPOLLERR) { /* nobody reads any more; it would be said again and again */
                source_free(c->writable);
                c->writable = NULL;
        }
        wait_writable(c, false);
        serve(c);
}

static void console_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        device_config_copy(NULL, 0, offset, bytes,
                           size); /* all of it belongs to features that are not offered */
}

static void console_kick(struct device *device, unsigned queue)
{
        if (queue == VIRTIO_CONSOLE_QUEUE_TX)
                serve((struct virtio_console *)device);
}

static void console_stop(struct device *device)
{
        struct virtio_console *c = (struct virtio_console *)device;
        wait_writable(c, false);
        c->written = 0;
}

static const struct device_ops console_ops = {
    .name = "console",
    .id = DEVICE_ID_CONSOLE,
    .queue_count = 2,
    .config_read = console_config_read,
    .kick = console_kick,
    .stop = console_stop,
};

int virtio_console_new(struct loop *loop, const struct virtio_console_options *options,
                       struct virtio_console **ret_console)
{
        struct virtio_console *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return -ENOMEM;
        c->device.ops = &console_ops;
        c->options = *options;
        int r = again_init(&c->again, loop, on_again, c);
        if (r == 0)
                r = fd_set_nonblocking(options->fd);
        if (r == 0) {
                r = loop_add_io(loop, options->fd, 0, on_writable, c, &c->writable);
                if (r == -EPERM) /* epoll(7) does not take files */
                        r = 0;
        }
        if (r < 0) {
                virtio_console_free(c);
                return r;
        }
        *ret_console = c;
        return 0;
}

void virtio_console_free(struct virtio_console *c)
{
        if (c == NULL)
                return;
        source_free(c->writable);
        again_done(&c->again);
        free(c);
}

struct device *virtio_console_device(struct virtio_console *c)
{
        return &c->device;
}
