/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device core of ours for a VMM of others: `vhost-device SOCKET blk FILE [threads]` or `vhost-device SOCKET
 * rng` listens on SOCKET in this folder, serves the first who connects over vhost-user, and ends with it. So
 * real drivers, in QEMU's guests, try the cores.
 */
#include "base/fd.h"
#include "base/log.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/rng.h"
#include "vmm/virtio/vhost_user.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_ended(void *data, const char *why)
{
        if (why != NULL)
                (void)fprintf(stderr, "vhost-user: %s\n", why);
        loop_quit(data, why == NULL ? 0 : 1);
}

static struct device *make_device(struct loop *loop, int argc, char **argv)
{
        struct error err = ERROR_INIT;
        struct blk *blk;
        struct rng *rng;
        if (strcmp(argv[2], "rng") == 0)
                return rng_new(loop, &rng) < 0 ? NULL : rng_device(rng);
        if (argc < 4)
                return NULL;
        struct blk_options options = {.fd = open(argv[3], O_RDWR | O_CLOEXEC),
                                      .id = "vhost-device",
                                      .engine = argc > 4 ? BLK_ENGINE_THREADS : BLK_ENGINE_AUTO};
        if (options.fd < 0 || blk_new(loop, &options, &blk, &err) < 0) {
                (void)fprintf(stderr, "%s: %s\n", argv[3], err.text);
                return NULL;
        }
        (void)fprintf(stderr, "disk I/O by %s\n", blk_engine_name(blk));
        return blk_device(blk);
}

int main(int argc, char **argv)
{
        struct loop *loop;
        struct vhost_user *transport;
        struct vhost_user_events events = {.ended = on_ended};
        if (argc < 3 || loop_new(&loop) < 0)
                return 2;
        log_init("vhost-device", 2, LOG_LEVEL_INFO);
        events.data = loop;
        struct device *device = make_device(loop, argc, argv);
        int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int listener = unix_listen_at(folder, argv[1], SOCK_STREAM, 1);
        if (device == NULL || listener < 0) {
                (void)fprintf(stderr, "cannot listen on %s\n", argv[1]);
                return 2;
        }
        (void)fprintf(stderr, "listening\n");
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || vhost_user_new(loop, fd, device, &events, &transport) < 0)
                return 2;
        return loop_run(loop);
}
