/* SPDX-License-Identifier: Apache-2.0 */
/* An eventfd of our own on the loop, see again.h. */
#include "vmm/virtio/again.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_again(struct source *s, int fd, uint32_t events, void *data)
{
        struct again *a = data;
        uint64_t count;
        (void)!read(fd, &count, sizeof(count)); /* nothing there: then nothing is lost by trying */
        a->fn(a->data);
}

int again_init(struct again *a, struct loop *loop, void (*fn)(void *data), void *data)
{
        *a = (struct again){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = fn, .data = data};
        if (a->fd < 0)
                return -errno;
        return loop_add_io(loop, a->fd, EPOLLIN, on_again, a, &a->source);
}

void again_done(struct again *a)
{
        source_free(a->source);
        a->source = NULL;
        close_fd(&a->fd);
}

void again_ask(struct again *a)
{
        uint64_t one = 1;
        (void)!write(a->fd, &one, sizeof(one)); /* fails only when it is readable anyway */
}
