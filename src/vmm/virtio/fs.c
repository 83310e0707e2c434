/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system device. The host's disk may be slow, so requests are served by a few threads of their own,
 * and a guest that reads files never holds up its streams or its console.
 *
 *     FREE -> TODO [take()]         the loop takes a chain from a queue into a job
 *     TODO -> SERVED [serve()]      a thread carries it out
 *     SERVED -> FREE [give_back()]  the loop puts the chain back and tells the guest
 *     SERVED -> WAITING [give_back()]  it is for a lock that is taken
 *     WAITING -> TODO [try_again()]    locks were let go of, or it is time to look at the host's
 *     WAITING -> FREE [refuse_waiting()]
 *
 * Threads: queues and transport are the loop thread's alone. The lists, `taken` and `ending` are under the
 * lock; a job is its thread's alone while it stands in no list. Guest memory is touched by the threads too,
 * which is why drain() waits for them before queues or memory change.
 *
 * Invariants:
 * 1. `serving` counts the jobs that are TODO or in a thread's hands; when it is 0 no thread touches guest
 * memory.
 * 2. There are as many jobs as can be; when none is free the chains wait in their ring, and are taken as soon
 * as one is.
 *
 * system calls (loop): read
 */
#include "vmm/virtio/fs.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEVICE_ID_FS 26 /* virtio 1.2 section 5 */
#define JOBS         64
#define WAITING_MAX  32  /* for locks */
#define RETRY_MS     100 /* how often locks that others on the host hold are tried */
#define STACK_BYTES  (256U << 10)

struct job {
        struct job *next;
        unsigned queue;
        size_t written; /* or FS_LATER */
        struct chain chain;
};

struct list {
        struct job *first;
        struct job **end;
};

struct virtio_fs {
        struct device device; /* first: ops get this pointer */
        struct fs *fs;
        int (*jail_thread)(void *data, struct error *err);
        void *jail_data;
        pthread_mutex_t lock;
        pthread_cond_t work;  /* todo has something, or ending */
        pthread_cond_t event; /* a job was served, or a thread has begun */
        struct list todo;
        struct list served;
        struct job
            *free;      /* the loop's alone, as `fresh`: the one used last comes first, its memory is there */
        unsigned fresh; /* jobs from this one on were never used */
        unsigned serving; /* jobs in a thread's hands or todo */
        bool ending;
        unsigned begun; /* threads that serve, or failed */
        struct error begin_error;
        struct list waiting; /* the loop's alone, as the rest */
        unsigned waiting_count;
        unsigned unlocks; /* of the server, when they were tried last */
        struct source *retry;
        int served_fd;
        struct source *source;
        pthread_t threads[VIRTIO_FS_THREADS];
        unsigned thread_count;
        struct job jobs[JOBS];
};

static void list_init(struct list *l)
{
        l->first = NULL;
        l->end = &l->first;
}

static void list_add(struct list *l, struct job *job)
{
        job->next = NULL;
        *l->end = job;
        l->end = &job->next;
}

static struct job *list_take(struct list *l)
{
        struct job *job = l->first;
        if (job == NULL)
                return NULL;
        l->first = job->next;
        if (l->first == NULL)
                l->end = &l->first;
        return job;
}

static void lock(struct virtio_fs *f)
{
        (void)pthread_mutex_lock(&f->lock); /* a plain mutex, never taken twice: cannot fail */
}

static void unlock(struct virtio_fs *f)
{
        (void)pthread_mutex_unlock(&f->lock);
}

/* ---- the threads ---- */

static struct fs_request request_of(const struct job *job)
{
        const struct chain *c = &job->chain;
        return (struct fs_request){.out = c->iov,
                                   .out_count = c->out_count,
                                   .out_bytes = c->out_bytes,
                                   .in = c->iov + c->out_count,
                                   .in_count = c->in_count,
                                   .in_bytes = c->in_bytes};
}

static void serve(struct virtio_fs *f, struct fs_scratch *scratch, struct job *job)
{
        struct fs_request request = request_of(job);
        job->written = fs_serve(f->fs, scratch, &request);
}

static void hand_in(struct virtio_fs *f, struct job *job)
{
        uint64_t one = 1;
        bool first = f->served.first == NULL;
        list_add(&f->served, job);
        f->serving--;
        (void)pthread_cond_signal(&f->event); /* cannot fail */
        if (first)
                (void)!write(f->served_fd, &one, sizeof(one)); /* fails only when it is readable anyway */
}

static void *run(void *data)
{
        struct virtio_fs *f = data;
        struct error err = ERROR_INIT;
        struct fs_scratch *scratch = calloc(1, sizeof(*scratch));
        int r = scratch == NULL ? -ENOMEM : fs_enter_thread(f->fs);
        if (r < 0)
                (void)error_errno(&err, r, "begin a thread that serves files");
        else if (f->jail_thread != NULL)
                r = f->jail_thread(f->jail_data, &err);
        lock(f);
        if (r < 0)
                f->begin_error = err;
        f->begun++;
        (void)pthread_cond_signal(&f->event); /* cannot fail */
        while (r == 0 && !f->ending) {
                struct job *job = list_take(&f->todo);
                if (job == NULL) {
                        (void)pthread_cond_wait(&f->work, &f->lock); /* cannot fail */
                        continue;
                }
                unlock(f);
                serve(f, scratch, job);
                lock(f);
                hand_in(f, job);
        }
        unlock(f);
        free(scratch);
        return NULL;
}

/* ---- the loop ---- */

/* The job to be used next, at the head of `free`; NULL when all are in use. */
static struct job *free_job(struct virtio_fs *f)
{
        if (f->free == NULL && f->fresh < JOBS) {
                f->free = &f->jobs[f->fresh++];
                f->free->next = NULL;
        }
        return f->free;
}

/* Takes what the guest has for us from one queue, as far as there are jobs. */
static void take(struct virtio_fs *f, unsigned queue)
{
        struct queue *q = &f->device.queues[queue];
        queue_kicks_off(q);
        for (;;) {
                struct job *job = free_job(f);
                if (job == NULL)
                        return; /* a kick is not needed: give_back() comes here again */
                if (queue_next(q, &job->chain) == 0) {
                        if (!queue_kicks_on(q))
                                return;
                        continue;
                }
                f->free = job->next;
                job->queue = queue;
                lock(f);
                list_add(&f->todo, job);
                f->serving++;
                (void)pthread_cond_signal(&f->work); /* cannot fail */
                unlock(f);
        }
}

static void put(struct virtio_fs *f, struct job *job)
{
        queue_put(&f->device.queues[job->queue], &job->chain, (uint32_t)job->written); /* at most in_bytes */
        job->next = f->free;
        f->free = job;
}

static void publish(struct virtio_fs *f)
{
        for (unsigned i = 0; i < VIRTIO_FS_QUEUES; i++)
                queue_publish(&f->device.queues[i]);
}

static void refuse(struct virtio_fs *f, struct job *job, int error)
{
        struct fs_request request = request_of(job);
        job->written = fs_refuse(&request, error);
        put(f, job);
}

/* Enough jobs must be left for those who let go of the locks. */
static void wait_for_lock(struct virtio_fs *f, struct job *job)
{
        if (f->waiting_count == WAITING_MAX) {
                refuse(f, job, -ENOLCK);
                return;
        }
        if (f->waiting_count++ == 0)
                (void)source_arm(f->retry, RETRY_MS); /* an armed timerfd cannot refuse */
        list_add(&f->waiting, job);
}

/* Gives the guest what was served. */
static void give_back(struct virtio_fs *f)
{
        struct job *first;
        lock(f);
        first = f->served.first;
        list_init(&f->served);
        unlock(f);
        for (struct job *job = first, *next; job != NULL; job = next) {
                next = job->next;
                if (job->written == FS_LATER)
                        wait_for_lock(f, job);
                else
                        put(f, job);
        }
        publish(f);
}

static void try_again(struct virtio_fs *f)
{
        struct job *job;
        f->unlocks = fs_unlocks(f->fs);
        f->waiting_count = 0;
        lock(f);
        while ((job = list_take(&f->waiting)) != NULL) {
                list_add(&f->todo, job);
                f->serving++;
        }
        (void)pthread_cond_broadcast(&f->work); /* cannot fail */
        unlock(f);
}

static void refuse_waiting(struct virtio_fs *f)
{
        struct job *job;
        while ((job = list_take(&f->waiting)) != NULL)
                refuse(f, job, -EINTR);
        f->waiting_count = 0;
        publish(f);
}

/* Nothing tells when another process of the host lets go of a lock. */
static void on_retry(struct source *s, void *data)
{
        (void)s;
        try_again(data);
}

static void on_served(struct source *s, int fd, uint32_t events, void *data)
{
        struct virtio_fs *f = data;
        uint64_t count;
        (void)s;
        (void)events;
        (void)!read(fd, &count, sizeof(count)); /* nothing to read: drain() was faster */
        give_back(f);
        if (f->waiting_count > 0 && fs_unlocks(f->fs) != f->unlocks)
                try_again(f);
        for (unsigned i = 0; i < VIRTIO_FS_QUEUES; i++)
                take(f, i);
}

/* The space: a tag of 36 bytes, NUL-padded, then the number of request queues (section 5.11.4). */
static void virtio_fs_config_read(struct device *device, uint32_t offset, void *bytes, size_t size)
{
        struct {
                char tag[36];
                uint32_t queues;
        } space = {.tag = VIRTIO_FS_TAG, .queues = VIRTIO_FS_QUEUES - 1};
        (void)device;
        device_config_copy(&space, sizeof(space), offset, bytes, size);
}

static void virtio_fs_kick(struct device *device, unsigned queue)
{
        take((struct virtio_fs *)device, queue);
}

static void virtio_fs_drain(struct device *device)
{
        struct virtio_fs *f = (struct virtio_fs *)device;
        lock(f);
        while (f->serving > 0)
                (void)pthread_cond_wait(&f->event, &f->lock); /* cannot fail */
        unlock(f);
        give_back(f);
        refuse_waiting(f);
}

static void virtio_fs_stop(struct device *device)
{
        struct virtio_fs *f = (struct virtio_fs *)device;
        virtio_fs_drain(device); /* so that nobody is at work on what is dropped now */
        fs_reset(f->fs);
}

static const struct device_ops virtio_fs_ops = {
    .name = "fs",
    .id = DEVICE_ID_FS,
    .queue_count = VIRTIO_FS_QUEUES,
    .config_read = virtio_fs_config_read,
    .kick = virtio_fs_kick,
    .drain = virtio_fs_drain,
    .stop = virtio_fs_stop,
};

struct device *virtio_fs_device(struct virtio_fs *f)
{
        return &f->device;
}

/* Signals are the loop thread's: the others block all. */
static int start_threads(struct virtio_fs *f, struct error *err)
{
        sigset_t all, before;
        pthread_attr_t attributes;
        int r = pthread_attr_init(&attributes);
        if (r != 0)
                return error_errno(err, -r, "start threads that serve files");
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES); /* a valid size: cannot fail */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* valid arguments: cannot fail */
        while (r == 0 && f->thread_count < VIRTIO_FS_THREADS) {
                r = pthread_create(&f->threads[f->thread_count], &attributes, run, f);
                if (r == 0)
                        f->thread_count++;
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        if (r != 0)
                return error_errno(err, -r, "start threads that serve files");
        lock(f);
        while (f->begun < f->thread_count)
                (void)pthread_cond_wait(&f->event, &f->lock); /* cannot fail */
        unlock(f);
        if (f->begin_error.code < 0 && err != NULL)
                *err = f->begin_error;
        return f->begin_error.code;
}

int virtio_fs_new(struct loop *loop, const struct virtio_fs_options *options, struct virtio_fs **ret_fs,
                  struct error *err)
{
        struct virtio_fs *f = calloc(1, sizeof(*f));
        if (f == NULL)
                return error_errno(err, -ENOMEM, "make the file system device");
        f->device.ops = &virtio_fs_ops; /* no features: notifications are not sent */
        f->jail_thread = options->jail_thread;
        f->jail_data = options->jail_data;
        f->jail_data = options->jail_data;
        (void)pthread_mutex_init(&f->lock, NULL); /* plain ones: cannot fail */
        (void)pthread_cond_init(&f->work, NULL);
        (void)pthread_cond_init(&f->event, NULL);
        list_init(&f->todo);
        list_init(&f->served);
        list_init(&f->waiting);
        f->served_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r =
            f->served_fd < 0 ? -errno : loop_add_io(loop, f->served_fd, EPOLLIN, on_served, f, &f->source);
        if (r == 0)
                r = loop_add_timer(loop, on_retry, f, &f->retry);
        if (r < 0)
                (void)error_errno(err, r, "make the file system device");
        else
                r = fs_new(&options->fs, &f->fs, err);
        if (r == 0)
                r = start_threads(f, err);
        if (r < 0) {
                virtio_fs_free(f);
                return r;
        }
        *ret_fs = f;
        return 0;
}

void virtio_fs_free(struct virtio_fs *f)
{
        if (f == NULL)
                return;
        lock(f);
        f->ending = true;
        (void)pthread_cond_broadcast(&f->work); /* cannot fail */
        unlock(f);
        for (unsigned i = 0; i < f->thread_count; i++)
                (void)pthread_join(f->threads[i], NULL); /* ours, joined once: cannot fail */
        source_free(f->source);
        source_free(f->retry);
        close_fd(&f->served_fd);
        fs_free(f->fs);
        (void)pthread_cond_destroy(&f->event);
        (void)pthread_cond_destroy(&f->work);
        (void)pthread_mutex_destroy(&f->lock);
        free(f);
}
