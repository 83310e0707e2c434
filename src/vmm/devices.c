/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices. Disks come first, so that they are vda, vdb, … in the order of the configuration.
 *
 * What the console says goes through a pipe of our own to struct tail, which bounds the file and still has
 * the last words (a panic's) when a guest was talkative; engine qemu does it the same way. The guest's driver
 * waits until its bytes are in the pipe, so when a machine has ended the last of them are there:
 * devices_end() takes them.
 *
 * system calls (loop): read
 */
#include "vmm/devices.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/tail.h"
#include "vmm/virtio/balloon.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/net.h"
#include "vmm/virtio/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONSOLE_LIMIT (UINT64_C(1) << 20)

struct devices {
        struct blk *disks[CONFIG_DISKS_MAX];
        struct net *net;
        struct virtio_console *console;
        struct rng *rng;
        struct balloon *balloon;
        struct device *list[DEVICES_MAX];
        unsigned count;
        int said[2]; /* pipe: the console's words, to be read and written */
        struct source *said_source;
        struct tail tail;
};

static void add(struct devices *d, struct device *device)
{
        d->list[d->count++] = device; /* DEVICES_MAX has room for one of each and all disks */
}

static int add_disks(struct devices *d, struct loop *loop, const struct devices_options *o, struct error *err)
{
        for (unsigned i = 0; i < o->config->disk_count; i++) {
                char id[16];
                (void)snprintf(id, sizeof(id), "disk%u", i); /* fits */
                struct blk_options options = {.fd = o->config->disks[i].fd,
                                              .readonly = o->config->disks[i].readonly,
                                              .id = id,
                                              .thread_begins = o->disk_thread};
                int r = blk_new(loop, &options, &d->disks[i], err);
                if (r < 0)
                        return error_wrap(err, "disk %u", i);
                log_debug("disk %u: %s", i, blk_engine_name(d->disks[i]));
                add(d, blk_device(d->disks[i]));
        }
        return 0;
}

static void on_link_lost(void *data)
{
        log_warning("the network's other side is gone");
}

static int add_net(struct devices *d, struct loop *loop, const struct config *c, struct error *err)
{
        struct net_options options = {.fd = c->net_fd, .link_lost = on_link_lost};
        if (c->net_fd < 0)
                return 0;
        if (sscanf(c->mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &options.mac[0], &options.mac[1],
                   &options.mac[2], &options.mac[3], &options.mac[4], &options.mac[5]) != 6)
                return error_set(err, -EINVAL, "'%s' is not a MAC address", c->mac);
        int r = net_new(loop, &options, &d->net);
        if (r < 0)
                return error_errno(err, r, "make the network device");
        add(d, net_device(d->net));
        return 0;
}

static void take_words(struct devices *d)
{
        char bytes[4096];
        ssize_t n;
        while ((n = read(d->said[0], bytes, sizeof(bytes))) > 0)
                tail_add(&d->tail, bytes, (size_t)n);
}

static void on_said(struct source *s, int fd, uint32_t events, void *data)
{
        take_words(data);
}

static int add_console(struct devices *d, struct loop *loop, int fd, struct error *err)
{
        tail_init(&d->tail, fd, CONSOLE_LIMIT);
        int r = pipe2(d->said, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
        struct virtio_console_options options = {.fd = d->said[1]};
        if (r == 0)
                r = loop_add_io(loop, d->said[0], EPOLLIN, on_said, d, &d->said_source);
        if (r == 0)
                r = virtio_console_new(loop, &options, &d->console);
        if (r < 0)
                return error_errno(err, r, "make the console");
        add(d, virtio_console_device(d->console));
        return 0;
}

static int add_small_ones(struct devices *d, struct loop *loop, struct error *err)
{
        struct balloon_options balloon = {.shared = false};
        int r = rng_new(loop, &d->rng);
        if (r < 0)
                return error_errno(err, r, "make the entropy device");
        add(d, rng_device(d->rng));
        r = balloon_new(loop, &balloon, &d->balloon);
        if (r < 0)
                return error_errno(err, r, "make the balloon");
        add(d, balloon_device(d->balloon));
        return 0;
}

static int make(struct devices *d, struct loop *loop, const struct devices_options *o, struct error *err)
{
        int r = add_disks(d, loop, o, err);
        if (r == 0)
                r = add_net(d, loop, o->config, err);
        if (r == 0)
                r = add_console(d, loop, o->config->console_fd, err);
        if (r < 0)
                return r;
        add(d, o->vsock);
        if (o->fs != NULL)
                add(d, o->fs);
        return add_small_ones(d, loop, err);
}

int devices_new(struct loop *loop, const struct devices_options *options, struct devices **ret_devices,
                struct error *err)
{
        struct devices *d = calloc(1, sizeof(*d));
        if (d == NULL)
                return error_errno(err, -ENOMEM, "make the devices");
        d->said[0] = d->said[1] = -1;
        int r = make(d, loop, options, err);
        if (r < 0) {
                devices_free(d);
                return r;
        }
        *ret_devices = d;
        return 0;
}

void devices_free(struct devices *d)
{
        if (d == NULL)
                return;
        balloon_free(d->balloon);
        rng_free(d->rng);
        virtio_console_free(d->console);
        net_free(d->net);
        for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++)
                blk_free(d->disks[i]);
        source_free(d->said_source);
        close_fd(&d->said[0]);
        close_fd(&d->said[1]);
        free(d);
}

struct device *const *devices_list(const struct devices *d, unsigned *ret_count)
{
        *ret_count = d->count;
        return d->list;
}

void devices_end(struct devices *d)
{
        take_words(d);
        tail_end(&d->tail);
}
