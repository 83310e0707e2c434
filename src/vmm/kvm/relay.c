/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls stand in a list; an eventfd wakes the loop, which takes one after the other. A call lives on its
 * caller's stack, so its caller does not go on before the call is out of the list and has a result.
 *
 * Threads: `first`, `last`, `closed` and the calls' results are the lock's; fn runs without it.
 *
 * system calls (loop, vcpu): read write
 */
#include "vmm/kvm/relay.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct call {
        void (*fn)(void *data);
        void *data;
        bool done;
        int result;
        struct call *next;
};

struct relay {
        int fd;
        struct source *source;
        pthread_mutex_t lock;
        pthread_cond_t finished;
        struct call *first;
        struct call *last;
        bool closed;
};

/* Takes the first call out, or NULL. With the lock held. */
static struct call *take(struct relay *r)
{
        struct call *c = r->first;
        if (c != NULL)
                r->first = c->next;
        return c;
}

static void finish(struct relay *r, struct call *c, int result)
{
        c->result = result;
        c->done = true;
        (void)pthread_cond_broadcast(&r->finished); /* cannot fail */
}

static void on_wake(struct source *s, int fd, uint32_t events, void *data)
{
        struct relay *r = data;
        uint64_t count;
        struct call *c;
        (void)!read(fd, &count, sizeof(count)); /* empty: somebody else's wake-up was ours too */
        (void)pthread_mutex_lock(&r->lock);     /* a plain mutex: cannot fail, here and below */
        while ((c = take(r)) != NULL) {
                (void)pthread_mutex_unlock(&r->lock);
                c->fn(c->data);
                (void)pthread_mutex_lock(&r->lock);
                finish(r, c, 0);
        }
        (void)pthread_mutex_unlock(&r->lock);
}

int relay_call(struct relay *relay, void (*fn)(void *data), void *data)
{
        struct call c = {.fn = fn, .data = data};
        uint64_t one = 1;
        (void)pthread_mutex_lock(&relay->lock);
        if (relay->closed) {
                (void)pthread_mutex_unlock(&relay->lock);
                return -ESHUTDOWN;
        }
        if (relay->first == NULL)
                relay->first = &c;
        else
                relay->last->next = &c;
        relay->last = &c;
        (void)!write(relay->fd, &one, sizeof(one)); /* full: it is awake anyway */
        while (!c.done)
                (void)pthread_cond_wait(&relay->finished, &relay->lock);
        (void)pthread_mutex_unlock(&relay->lock);
        return c.result;
}

void relay_close(struct relay *relay)
{
        struct call *c;
        (void)pthread_mutex_lock(&relay->lock);
        relay->closed = true;
        while ((c = take(relay)) != NULL)
                finish(relay, c, -ESHUTDOWN);
        (void)pthread_mutex_unlock(&relay->lock);
}

int relay_new(struct loop *loop, struct relay **ret_relay)
{
        struct relay *r = calloc(1, sizeof(*r));
        if (r == NULL)
                return -ENOMEM;
        r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int status = r->fd < 0 ? -errno : loop_add_io(loop, r->fd, EPOLLIN, on_wake, r, &r->source);
        if (status < 0) {
                close_fd(&r->fd);
                free(r);
                return status;
        }
        (void)pthread_mutex_init(&r->lock, NULL);    /* plain ones: cannot fail on Linux */
        (void)pthread_cond_init(&r->finished, NULL); /* as above */
        *ret_relay = r;
        return 0;
}

void relay_free(struct relay *relay)
{
        if (relay == NULL)
                return;
        source_free(relay->source);
        close_fd(&relay->fd);
        (void)pthread_cond_destroy(&relay->finished); /* nobody waits */
        (void)pthread_mutex_destroy(&relay->lock);    /* nobody holds it */
        free(relay);
}
