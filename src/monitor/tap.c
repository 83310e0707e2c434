/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two one-way streets, each with a buffer: bytes are read when the buffer is empty, and written until it is
 * again; so a side that does not read holds up the other, as without us, and nothing grows.
 *
 * Hostile: both sides. Their bytes are carried, not looked at.
 */
#include "monitor/tap.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define STREET_BYTES (64U << 10)

struct street {
        size_t start, end; /* of what is to be written */
        char bytes[STREET_BYTES];
};

struct tap {
        void (*passed)(void *data);
        void *data;
        int fds[2];
        struct source *sources[2];
        struct street streets[2]; /* [i]: from fds[i] to the other */
};

static void end(struct tap *t)
{
        for (int i = 0; i < 2; i++) {
                source_free(t->sources[i]);
                t->sources[i] = NULL;
                close_fd(&t->fds[i]);
        }
}

/* Takes what side `from` has, if its street is empty. False: that side is at its end. */
static bool take(struct tap *t, int from)
{
        struct street *s = &t->streets[from];
        if (s->start < s->end)
                return true;
        ssize_t n = recv(t->fds[from], s->bytes, sizeof(s->bytes), MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        s->start = 0;
        s->end = (size_t)n;
        return n > 0;
}

/* Writes what waits on the street from side `from`. False: the other side is gone. */
static bool give(struct tap *t, int from)
{
        struct street *s = &t->streets[from];
        if (s->start == s->end)
                return true;
        ssize_t n =
            send(t->fds[1 - from], s->bytes + s->start, s->end - s->start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        s->start += (size_t)n;
        t->passed(t->data);
        return true;
}

/* What each side is to be waited for. */
static void wait_on(struct tap *t)
{
        for (int i = 0; i < 2; i++) {
                bool has = t->streets[i].start < t->streets[i].end;
                bool gets = t->streets[1 - i].start < t->streets[1 - i].end;
                (void)source_set_events(t->sources[i], (has ? 0U : (uint32_t)EPOLLIN) |
                                                           (gets ? (uint32_t)EPOLLOUT : 0U)); /* valid bits */
        }
}

static void on_side(struct source *source, int fd, uint32_t events, void *data)
{
        struct tap *t = data;
        (void)source;
        (void)fd;
        bool goes_on = true;
        for (int i = 0; i < 2 && goes_on; i++)
                goes_on = take(t, i) && give(t, i);
        /* a side that has hung up, with nothing to read from it any more, would wake us for ever */
        if (goes_on && (events & (EPOLLHUP | EPOLLERR)) != 0)
                goes_on = false;
        if (goes_on)
                wait_on(t);
        else
                end(t);
}

int tap_new(struct loop *loop, int a, int b, void (*passed)(void *data), void *data, struct tap **ret_tap)
{
        struct tap *t = calloc(1, sizeof(*t));
        if (t == NULL) {
                close_fd(&a);
                close_fd(&b);
                return -ENOMEM;
        }
        t->passed = passed;
        t->data = data;
        t->fds[0] = a;
        t->fds[1] = b;
        int r = 0;
        for (int i = 0; i < 2 && r == 0; i++) {
                r = fd_set_nonblocking(t->fds[i]);
                if (r == 0)
                        r = loop_add_io(loop, t->fds[i], EPOLLIN, on_side, t, &t->sources[i]);
        }
        if (r < 0) {
                tap_free(t);
                return r;
        }
        *ret_tap = t;
        return 0;
}

void tap_free(struct tap *t)
{
        if (t == NULL)
                return;
        end(t);
        free(t);
}
