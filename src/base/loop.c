/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll, with timers as timerfds and signals as signalfds, so that everything that can happen
 * is a descriptor and loop_fd() can be polled by somebody else's loop.
 *
 * Invariants:
 * 1. A source freed while events are being dispatched is only marked, and its memory goes at the end of the
 * round: an event later in the same batch may still point to it.
 * 2. Timers and signals own their descriptor; io and child sources borrow theirs.
 *
 * system calls (loop): epoll_wait epoll_pwait epoll_ctl timerfd_settime read close
 */
#include "base/loop.h"

#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_ROUND 32

enum source_kind { SOURCE_IO, SOURCE_TIMER, SOURCE_CHILD, SOURCE_SIGNAL };

struct source {
        struct loop *loop;
        enum source_kind kind;
        int fd;
        bool owns_fd;
        bool dead;
        void *data;
        union {
                source_io_fn io;
                source_timer_fn timer;
                source_child_fn child;
                source_signal_fn signal;
        } fn;
        struct source *next_dead;
};

struct loop {
        int epoll_fd;
        bool dispatching;
        bool quit;
        int code;
        struct source *dead;
};

int loop_new(struct loop **ret_loop)
{
        struct loop *loop = calloc(1, sizeof(*loop));
        if (loop == NULL)
                return -ENOMEM;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll_fd < 0) {
                int r = -errno;
                free(loop);
                return r;
        }
        *ret_loop = loop;
        return 0;
}

static void bury(struct loop *loop)
{
        while (loop->dead != NULL) {
                struct source *s = loop->dead;
                loop->dead = s->next_dead;
                free(s);
        }
}

void loop_free(struct loop *loop)
{
        if (loop == NULL)
                return;
        bury(loop);
        (void)close(loop->epoll_fd);
        free(loop);
}

static int add(struct loop *loop, const struct source *draft, uint32_t events, struct source **ret_source)
{
        struct source *s = malloc(sizeof(*s));
        if (s == NULL)
                return -ENOMEM;
        *s = *draft;
        s->loop = loop;
        struct epoll_event event = {.events = events, .data.ptr = s};
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0) {
                int r = -errno;
                free(s);
                return r;
        }
        *ret_source = s;
        return 0;
}

int loop_add_io(struct loop *loop, int fd, uint32_t events, source_io_fn fn, void *data,
                struct source **ret_source)
{
        struct source draft = {.kind = SOURCE_IO, .fd = fd, .data = data, .fn.io = fn};
        return add(loop, &draft, events, ret_source);
}

int source_set_events(struct source *s, uint32_t events)
{
        struct epoll_event event = {.events = events, .data.ptr = s};
        return epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &event) < 0 ? -errno : 0;
}

int loop_add_timer(struct loop *loop, source_timer_fn fn, void *data, struct source **ret_source)
{
        cleanup_fd int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        struct source draft = {.kind = SOURCE_TIMER, .fd = fd, .owns_fd = true, .data = data, .fn.timer = fn};
        int r = add(loop, &draft, EPOLLIN, ret_source);
        if (r == 0)
                (void)take_fd(&fd);
        return r;
}

int source_arm(struct source *s, int64_t delay_ms)
{
        struct itimerspec when = {0};
        if (delay_ms >= 0) {
                when.it_value.tv_sec = delay_ms / 1000;
                when.it_value.tv_nsec = delay_ms % 1000 * 1000000;
                if (delay_ms == 0)
                        when.it_value.tv_nsec = 1; /* all zero would disarm */
        }
        return timerfd_settime(s->fd, 0, &when, NULL) < 0 ? -errno : 0;
}

int loop_add_child(struct loop *loop, int pidfd, source_child_fn fn, void *data, struct source **ret_source)
{
        struct source draft = {.kind = SOURCE_CHILD, .fd = pidfd, .data = data, .fn.child = fn};
        return add(loop, &draft, EPOLLIN, ret_source);
}

int loop_add_signal(struct loop *loop, int signal, source_signal_fn fn, void *data,
                    struct source **ret_source)
{
        sigset_t set;
        if (sigemptyset(&set) < 0 || sigaddset(&set, signal) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        cleanup_fd int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        struct source draft = {
            .kind = SOURCE_SIGNAL, .fd = fd, .owns_fd = true, .data = data, .fn.signal = fn};
        int r = add(loop, &draft, EPOLLIN, ret_source);
        if (r == 0)
                (void)take_fd(&fd);
        return r;
}

void source_free(struct source *s)
{
        if (s == NULL || s->dead)
                return;
        s->dead = true;
        (void)epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL); /* its fd may be closed already */
        if (s->owns_fd)
                (void)close(s->fd);
        s->next_dead = s->loop->dead;
        s->loop->dead = s;
        if (!s->loop->dispatching)
                bury(s->loop);
}

static void dispatch(struct source *s, uint32_t events)
{
        uint64_t expirations;
        struct signalfd_siginfo info;
        switch (s->kind) {
        case SOURCE_IO:
                s->fn.io(s, s->fd, events, s->data);
                break;
        case SOURCE_TIMER:
                if (read(s->fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
                        s->fn.timer(s, s->data);
                break;
        case SOURCE_CHILD:
                s->fn.child(s, s->fd, s->data);
                break;
        case SOURCE_SIGNAL:
                if (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                        s->fn.signal(s, (int)info.ssi_signo, (pid_t)info.ssi_pid, s->data);
                break;
        }
}

int loop_step(struct loop *loop, int timeout_ms)
{
        struct epoll_event events[EVENTS_PER_ROUND];
        int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, timeout_ms);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        loop->dispatching = true;
        for (int i = 0; i < n; i++) {
                struct source *s = events[i].data.ptr;
                if (!s->dead)
                        dispatch(s, events[i].events);
        }
        loop->dispatching = false;
        bury(loop);
        return n;
}

int loop_run(struct loop *loop)
{
        loop->quit = false;
        while (!loop->quit) {
                int r = loop_step(loop, -1);
                if (r < 0)
                        return r;
        }
        return loop->code;
}

void loop_quit(struct loop *loop, int code)
{
        loop->quit = true;
        loop->code = code;
}

int loop_fd(const struct loop *loop)
{
        return loop->epoll_fd;
}
