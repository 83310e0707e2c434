/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says which port of the guest is wanted and waits for boxlet-vmm's "OK <port>\n". The line is read byte by
 * byte, because what follows it belongs to whoever gets the descriptor.
 */
#include "monitor/dial.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define WORK_PORT_LINE "CONNECT 1025\n"
#define ANSWER_MAX     64

struct dial {
        const char *what;
        dial_fn fn;
        void *data;
        int fd;
        struct source *source;
        struct buffer answer;
};

static void end(struct dial *d, const struct error *err)
{
        int fd = take_fd(&d->fd);
        source_free(d->source);
        d->source = NULL;
        if (err->code != 0)
                close_fd(&fd);
        d->fn(d, fd, err, d->data);
}

static void on_answer(struct source *s, int fd, uint32_t events, void *data)
{
        struct dial *d = data;
        struct error err = ERROR_INIT;
        char byte = 0;
        (void)s;
        (void)events;
        while (byte != '\n' && err.code == 0) {
                ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                int r = n < 0 ? -errno : n == 0 ? -ECONNRESET : buffer_append(&d->answer, &byte, 1);
                if (r < 0)
                        (void)error_errno(&err, r, "connect to the agent %s", d->what);
        }
        if (err.code == 0 && strncmp(buffer_content(&d->answer), "OK ", 3) != 0)
                (void)error_set(&err, -EPROTO, "connect to the agent %s: boxlet-vmm said no", d->what);
        end(d, &err);
}

int dial_new(struct loop *loop, int box_fd, const char *what, dial_fn fn, void *data, struct dial **ret_dial,
             struct error *err)
{
        cleanup_fd int fd = unix_connect_at(box_fd, "vsock.sock", SOCK_STREAM | SOCK_NONBLOCK);
        if (fd < 0)
                return error_errno(err, fd, "connect to vsock.sock");
        int r = fd_write_full(fd, WORK_PORT_LINE, sizeof(WORK_PORT_LINE) - 1);
        if (r < 0)
                return error_errno(err, r, "connect to the agent %s", what);
        struct dial *d = calloc(1, sizeof(*d));
        if (d == NULL)
                return error_set(err, -ENOMEM, "connect to the agent %s: out of memory", what);
        *d = (struct dial){.what = what, .fn = fn, .data = data, .fd = -1};
        buffer_init(&d->answer, ANSWER_MAX);
        r = loop_add_io(loop, fd, EPOLLIN, on_answer, d, &d->source);
        if (r < 0) {
                free(d);
                return error_errno(err, r, "connect to the agent %s", what);
        }
        d->fd = take_fd(&fd);
        *ret_dial = d;
        return 0;
}

void dial_free(struct dial *d)
{
        if (d == NULL)
                return;
        source_free(d->source);
        close_fd(&d->fd);
        buffer_done(&d->answer);
        free(d);
}
