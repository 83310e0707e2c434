/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk I/O by a few threads, each of which carries out one operation after the other.
 *
 * Threads: submit, run, wait and free are the loop's; worker() is the others'. Shared are the two lists, the
 * number of threads that have begun, and `quit`, all under `lock`. A request belongs to the workers while it
 * is in `todo` or being carried out, and to the loop otherwise; the lock is the barrier for what is in it.
 * The workers have all signals blocked and small stacks.
 */
#include "vmm/virtio/blk_io.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 16
#define STACK_BYTES (128U << 10)

struct list {
        struct blk_io_request *first;
        struct blk_io_request **end;
};

struct pool {
        struct blk_io io; /* first */
        struct source *source;
        int done_fd; /* readable when `done` is not empty */
        int (*thread_begins)(void *data);
        void *begins_data;

        pthread_mutex_t lock;
        pthread_cond_t work;  /* todo has something, or quit */
        pthread_cond_t ended; /* done has something, or a thread has begun */
        struct list todo;
        struct list done;
        unsigned begun;
        int begin_result; /* the first that was below 0 */
        bool quit;

        pthread_t threads[THREADS_MAX];
        unsigned thread_count;
};

static struct pool *of(struct blk_io *io)
{
        return (struct pool *)io;
}

static void list_init(struct list *l)
{
        l->first = NULL;
        l->end = &l->first;
}

static void list_append(struct list *l, struct blk_io_request *r)
{
        r->next = NULL;
        *l->end = r;
        l->end = &r->next;
}

static struct blk_io_request *list_take(struct list *l)
{
        struct blk_io_request *r = l->first;
        if (r != NULL) {
                l->first = r->next;
                if (l->first == NULL)
                        l->end = &l->first;
        }
        return r;
}

static void say_begun(struct pool *p)
{
        int r = p->thread_begins == NULL ? 0 : p->thread_begins(p->begins_data);
        (void)pthread_mutex_lock(&p->lock); /* a plain mutex: cannot fail, here and below */
        p->begun++;
        if (r < 0 && p->begin_result == 0)
                p->begin_result = r;
        (void)pthread_cond_broadcast(&p->ended);
        (void)pthread_mutex_unlock(&p->lock);
}

static void *worker(void *data)
{
        struct pool *p = data;
        uint64_t one = 1;
        say_begun(p);
        (void)pthread_mutex_lock(&p->lock);
        while (!p->quit) {
                struct blk_io_request *r = list_take(&p->todo);
                if (r == NULL) {
                        (void)pthread_cond_wait(&p->work, &p->lock);
                        continue;
                }
                (void)pthread_mutex_unlock(&p->lock);
                blk_io_perform(p->io.fd, r);
                (void)pthread_mutex_lock(&p->lock);
                bool was_empty = p->done.first == NULL;
                list_append(&p->done, r);
                if (was_empty) {
                        (void)pthread_cond_signal(&p->ended);
                        (void)!write(p->done_fd, &one, sizeof(one)); /* full: it is readable anyway */
                }
        }
        (void)pthread_mutex_unlock(&p->lock);
        return NULL;
}

static void submit(struct blk_io *io, struct blk_io_request *r)
{
        struct pool *p = of(io);
        (void)pthread_mutex_lock(&p->lock);
        list_append(&p->todo, r);
        (void)pthread_cond_signal(&p->work);
        (void)pthread_mutex_unlock(&p->lock);
}

static void give_back(struct pool *p, struct list *done)
{
        struct blk_io_request *r;
        while ((r = list_take(done)) != NULL) {
                p->io.under_way--;
                p->io.events.done(r, p->io.events.data);
        }
}

/* Takes the whole list, under the lock. */
static void take_all(struct pool *p, struct list *ret_done)
{
        list_init(ret_done);
        if (p->done.first != NULL) {
                *ret_done = p->done;
                list_init(&p->done);
        }
}

static bool run(struct blk_io *io)
{
        struct pool *p = of(io);
        struct list done;
        (void)pthread_mutex_lock(&p->lock);
        take_all(p, &done);
        (void)pthread_mutex_unlock(&p->lock);
        give_back(p, &done);
        return true;
}

static void wait(struct blk_io *io)
{
        struct pool *p = of(io);
        struct list done;
        (void)pthread_mutex_lock(&p->lock);
        while (p->done.first == NULL)
                (void)pthread_cond_wait(&p->ended, &p->lock);
        take_all(p, &done);
        (void)pthread_mutex_unlock(&p->lock);
        give_back(p, &done);
}

static void on_done(struct source *s, int fd, uint32_t events, void *data)
{
        struct pool *p = data;
        uint64_t count;
        (void)!read(fd, &count, sizeof(count)); /* nothing there: then nothing is lost by trying */
        p->io.events.wake(p->io.events.data);
}

static void pool_free(struct blk_io *io)
{
        struct pool *p = of(io);
        source_free(p->source);
        (void)pthread_mutex_lock(&p->lock);
        p->quit = true;
        (void)pthread_cond_broadcast(&p->work);
        (void)pthread_mutex_unlock(&p->lock);
        for (unsigned i = 0; i < p->thread_count; i++)
                (void)pthread_join(p->threads[i], NULL);
        (void)pthread_cond_destroy(&p->work);
        (void)pthread_cond_destroy(&p->ended);
        (void)pthread_mutex_destroy(&p->lock);
        close_fd(&p->done_fd);
        free(p);
}

static const struct blk_io_ops pool_ops = {
    .name = "threads", .submit = submit, .run = run, .wait = wait, .free = pool_free};

static int start_threads(struct pool *p, unsigned count)
{
        sigset_t all, before;
        pthread_attr_t attributes;
        int r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES); /* else it is larger than it need be */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* a valid request: cannot fail */
        for (unsigned i = 0; i < count && r == 0; i++) {
                r = pthread_create(&p->threads[i], &attributes, worker, p);
                p->thread_count += r == 0;
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        (void)pthread_mutex_lock(&p->lock);
        while (p->begun < p->thread_count)
                (void)pthread_cond_wait(&p->ended, &p->lock);
        (void)pthread_mutex_unlock(&p->lock);
        if (p->begin_result < 0)
                return p->begin_result;
        return p->thread_count > 0 ? 0 : -r; /* fewer than wanted will do */
}

int blk_io_pool_new(struct loop *loop, int fd, unsigned threads, int (*thread_begins)(void *data),
                    void *begins_data, const struct blk_io_events *events, struct blk_io **ret_io)
{
        struct pool *p = calloc(1, sizeof(*p));
        if (p == NULL)
                return -ENOMEM;
        p->io = (struct blk_io){.ops = &pool_ops, .events = *events, .fd = fd};
        p->thread_begins = thread_begins;
        p->begins_data = begins_data;
        list_init(&p->todo);
        list_init(&p->done);
        (void)pthread_mutex_init(&p->lock, NULL); /* plain ones: cannot fail */
        (void)pthread_cond_init(&p->work, NULL);
        (void)pthread_cond_init(&p->ended, NULL);
        p->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = p->done_fd < 0 ? -errno : loop_add_io(loop, p->done_fd, EPOLLIN, on_done, p, &p->source);
        if (r == 0)
                r = start_threads(p, threads < THREADS_MAX ? threads : THREADS_MAX);
        if (r < 0) {
                pool_free(&p->io);
                return r;
        }
        *ret_io = &p->io;
        return 0;
}
