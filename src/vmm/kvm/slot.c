/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins a device core and its virtio-mmio registers to KVM. What a vCPU's thread can do with registers alone
 * it does; the rest is done by the loop's thread while the vCPU waits (relay.h): starting a device, resetting
 * one that runs, and writes to its configuration. Kicks come by ioeventfd, interrupts go by irqfd, and
 * neither is an exit to us.
 *
 * system calls (loop, vcpu): read write
 */
#include "vmm/kvm/slot.h"

#include "base/cleanup.h"
#include "vmm/kvm/layout.h"
#include "vmm/virtio/mmio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct kick {
        struct slot *owner;
        int fd;
        struct source *source;
};

struct slot {
        struct relay *relay;
        struct device *device;
        struct mmio *mmio;
        int irq_fd;
        uint32_t count;
        struct kick kicks[DEVICE_QUEUES_MAX];
};

struct access {
        struct mmio *mmio;
        uint32_t offset;
        const void *bytes;
        size_t size;
};

static void do_write(void *data)
{
        const struct access *a = data;
        mmio_write(a->mmio, a->offset, a->bytes, a->size);
}

void slot_access(struct slot *s, bool write, uint32_t offset, void *bytes, size_t size)
{
        struct access access = {.mmio = s->mmio, .offset = offset, .bytes = bytes, .size = size};
        (void)__atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
        if (!mmio_try_quick(s->mmio, write, offset, bytes, size))
                (void)relay_call(s->relay, do_write, &access); /* closed: the machine is at its end */
}

static void on_kick(struct source *source, int fd, uint32_t events, void *data)
{
        struct kick *k = data;
        uint64_t count;
        if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
                mmio_notify(k->owner->mmio, (uint32_t)(k - k->owner->kicks));
}

static void on_interrupt(void *data)
{
        const struct slot *s = data;
        uint64_t one = 1;
        (void)!write(s->irq_fd, &one, sizeof(one)); /* KVM takes each: it cannot be full */
}

static int add_kick(struct slot *s, struct loop *loop, struct vm *vm, uint64_t gpa, unsigned queue,
                    struct error *err)
{
        struct kick *k = &s->kicks[queue];
        k->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = k->fd < 0 ? -errno : loop_add_io(loop, k->fd, EPOLLIN, on_kick, k, &k->source);
        if (r < 0)
                return error_errno(err, r, "make an eventfd");
        return vm_add_ioeventfd(vm, gpa + MMIO_QUEUE_NOTIFY, queue, k->fd, err);
}

static int set_up(struct slot *s, struct loop *loop, struct vm *vm, const struct memory *memory,
                  unsigned index, struct error *err)
{
        struct mmio_options options = {.device = s->device,
                                       .memory = memory,
                                       .interrupt = on_interrupt,
                                       .data = s};
        uint64_t gpa = LAYOUT_DEVICES + (uint64_t)index * LAYOUT_PAGE;
        int r = mmio_new(&options, &s->mmio);
        if (r < 0)
                return error_errno(err, r, "make a device");
        s->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->irq_fd < 0)
                return error_errno(err, -errno, "make an eventfd");
        r = vm_add_irqfd(vm, LAYOUT_IRQ(index), s->irq_fd, err);
        for (unsigned i = 0; i < s->device->ops->queue_count && r == 0; i++)
                r = add_kick(s, loop, vm, gpa, i, err);
        return r;
}

int slot_new(struct loop *loop, struct vm *vm, struct relay *relay, const struct memory *memory,
             unsigned index, struct device *device, struct slot **ret_slot, struct error *err)
{
        if (index >= LAYOUT_DEVICES_MAX)
                return error_set(err, -ENOSPC, "more than %u devices", LAYOUT_DEVICES_MAX);
        struct slot *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_errno(err, -ENOMEM, "make a device");
        *s = (struct slot){.relay = relay, .device = device, .irq_fd = -1};
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++)
                s->kicks[i] = (struct kick){.owner = s, .fd = -1};
        int r = set_up(s, loop, vm, memory, index, err);
        if (r < 0) {
                slot_free(s);
                return r;
        }
        *ret_slot = s;
        return 0;
}

void slot_free(struct slot *s)
{
        if (s == NULL)
                return;
        mmio_free(s->mmio);
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++) {
                source_free(s->kicks[i].source);
                close_fd(&s->kicks[i].fd);
        }
        close_fd(&s->irq_fd);
        free(s);
}

const char *slot_name(const struct slot *s)
{
        return s->device->ops->name;
}

uint32_t slot_accesses(const struct slot *s)
{
        return __atomic_load_n(&s->count, __ATOMIC_RELAXED);
}
