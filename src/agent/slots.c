/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel looks into each virtio-mmio slot once, at boot, and has no driver for an empty one. The driver
 * can be told to look again. A copy has a device in the first slot; only this one is looked at until it is
 * there, because disks get their names in the order in which they are found.
 *
 * A copy's devices may not say what they are (kernel/patches/0004): with a kernel that cannot be told, the
 * machine is no template.
 */
#include "agent/slots.h"

#include "base/cleanup.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DRIVER   "/sys/bus/platform/drivers/virtio-mmio"
#define KINDS    "/sys/module/virtio_mmio/parameters/kinds"
#define SLOTS    8 /* the most that an engine has */
#define AGAIN_NS 500000

/* 0, or -ENODEV for a slot that is empty or not there. */
static int look(int bind_fd, unsigned slot)
{
        char name[32];
        int n = snprintf(name, sizeof(name), "virtio-mmio.%u", slot); /* fits */
        return write(bind_fd, name, (size_t)n) == n ? 0 : -errno;
}

int slots_await_devices(struct error *err)
{
        const struct timespec again = {.tv_nsec = AGAIN_NS};
        int r;
        if (access(DRIVER "/virtio-mmio.0", F_OK) == 0)
                return 0;
        if (access(KINDS, F_OK) < 0)
                return error_set(err, -ENODEV,
                                 "the machine has no devices, and this kernel cannot get them later");
        cleanup_fd int fd = open(DRIVER "/bind", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "look for devices");
        (void)dprintf(2, TEMPLATE_READY "\n"); /* who does not hear it ends the machine */
        while ((r = look(fd, 0)) == -ENODEV)
                (void)nanosleep(&again, NULL);
        for (unsigned slot = 1; slot < SLOTS && (r == 0 || r == -ENODEV); slot++)
                r = look(fd, slot);
        return r == 0 || r == -ENODEV ? 0 : error_errno(err, r, "take the devices");
}
