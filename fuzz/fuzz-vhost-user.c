/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user transport, told nonsense. Input: messages, each of
 *
 *     0     request      1  flags      2  size of the payload     3  descriptors: low 3 bits how many, bit 3
 * eventfd or memory 4..   payload
 *
 * with a device behind it that takes all chains. Memory that is mapped is a sealed file of one page a
 * descriptor.
 */
#include "vmm/virtio/vhost_user.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void toy_config_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        memset(bytes, 1, size);
}

static void toy_kick(struct device *d, unsigned queue)
{
        static struct chain chain;
        for (unsigned i = 0; i < 100 && queue_next(&d->queues[queue], &chain) > 0; i++)
                queue_put(&d->queues[queue], &chain, 7);
        queue_publish(&d->queues[queue]);
        (void)queue_kicks_on(&d->queues[queue]);
}

static void toy_stop(struct device *d)
{
}

static const struct device_ops toy_ops = {.name = "toy",
                                          .id = 42,
                                          .queue_count = 3,
                                          .config_read = toy_config_read,
                                          .kick = toy_kick,
                                          .stop = toy_stop};

static int memory_file(void)
{
        int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, 65536) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
                abort();
        return fd;
}

static void check_queues(const struct device *d)
{
        for (unsigned i = 0; i < toy_ops.queue_count; i++) {
                const struct queue *q = &d->queues[i];
                if (q->started && memory_translate(q->memory, q->memory->regions[0].gpa, 0) == NULL)
                        abort(); /* a ring runs without memory */
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct device device;
        struct vhost_user_events events = {.ready = NULL};
        struct vhost_user *u;
        struct loop *loop;
        int pair[2];
        device = (struct device){.ops = &toy_ops};
        if (loop_new(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
            vhost_user_new(loop, pair[1], &device, &events, &u) < 0)
                abort();
        while (size >= 4) {
                static struct vhost_user_message m, reply;
                struct error err = ERROR_INIT;
                int fds[VHOST_USER_FDS_MAX];
                size_t count = data[3] & 7, length = data[2];
                bool replies;
                memset(&m, 0, sizeof(m));
                m.request = data[0] % 26;
                m.flags = data[1];
                m.size = data[2];
                if (length > size - 4)
                        length = size - 4;
                memcpy(m.payload, data + 4, length);
                for (size_t i = 0; i < count; i++)
                        fds[i] = data[3] & 8 ? memory_file() : eventfd(0, EFD_CLOEXEC);
                data += 4 + length;
                size -= 4 + length;
                if (vhost_user_handle(u, &m, fds, count, &reply, &replies, &err) < 0)
                        break;
                if (replies && reply.size > VHOST_USER_PAYLOAD_MAX)
                        abort();
                check_queues(&device);
                (void)loop_step(loop, 0);
        }
        vhost_user_free(u);
        loop_free(loop);
        (void)close(pair[0]);
        (void)close(pair[1]);
        return 0;
}
