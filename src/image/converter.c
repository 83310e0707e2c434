/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downloading is one thread's work (pull.c), making the root file system another's: on two processors they
 * overlap. Shared between them, under the mutex: which layers are there, whether to stop, the result, and how
 * far it is. The conversion itself belongs to the thread.
 */
#include "image/converter.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct converter {
        struct image_store *store;
        const struct manifest *manifest;
        struct http *wake;
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        bool *ready; /* a layer each */
        bool stop, finished, waits;
        uint64_t done; /* compressed bytes of the layers before the present one */
        uint64_t now;  /* and of the present one */
        int result;
        struct error error;
};

static bool should_stop(struct converter *c)
{
        (void)pthread_mutex_lock(
            &c->mutex); /* a normal mutex used as intended: cannot fail, here and below */
        bool stop = c->stop;
        (void)pthread_mutex_unlock(&c->mutex);
        return stop;
}

/* The builder's progress. */
static int on_progress(uint64_t compressed_bytes, void *data)
{
        struct converter *c = data;
        (void)pthread_mutex_lock(&c->mutex);
        c->now = compressed_bytes;
        int stop = c->stop;
        (void)pthread_mutex_unlock(&c->mutex);
        return stop;
}

/* Messages while waiting for a lock: the other thread tells the real observer. */
static int on_wait(const struct image_progress *progress, void *data)
{
        struct converter *c = data;
        (void)progress;
        (void)pthread_mutex_lock(&c->mutex);
        c->waits = true;
        int stop = c->stop;
        (void)pthread_mutex_unlock(&c->mutex);
        return stop;
}

static int wait_for_layer(struct converter *c, size_t number, struct error *err)
{
        (void)pthread_mutex_lock(&c->mutex);
        while (!c->ready[number] && !c->stop)
                (void)pthread_cond_wait(&c->changed, &c->mutex);
        bool stop = c->stop;
        (void)pthread_mutex_unlock(&c->mutex);
        return stop ? error_set(err, -ECANCELED, "stopped as asked") : 0;
}

static int convert(struct converter *c, struct error *err)
{
        cleanup_conversion struct conversion *conversion = NULL;
        struct image_observer observer = {.fn = on_wait, .data = c};
        int r = conversion_begin(c->store, c->manifest, true, &observer, on_progress, c, &conversion, err);
        if (r < 0 || conversion == NULL)
                return r;
        for (size_t i = 0; i < c->manifest->count; i++) {
                r = wait_for_layer(c, i, err);
                if (r == 0)
                        r = conversion_add_layer(conversion, i, err);
                if (r < 0)
                        return r;
                (void)pthread_mutex_lock(&c->mutex);
                c->done += (uint64_t)c->manifest->layers[i].blob.size;
                c->now = 0;
                (void)pthread_mutex_unlock(&c->mutex);
        }
        return should_stop(c) ? error_set(err, -ECANCELED, "stopped as asked")
                              : conversion_finish(conversion, err);
}

static void *thread_main(void *data)
{
        struct converter *c = data;
        struct error error = ERROR_INIT;
        int r = convert(c, &error);
        (void)pthread_mutex_lock(&c->mutex);
        c->finished = true;
        c->result = r;
        c->error = error;
        (void)pthread_mutex_unlock(&c->mutex);
        http_wakeup(c->wake);
        return NULL;
}

/* Signals are for the caller's threads. */
static int start_thread(struct converter *c)
{
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        int r = pthread_create(&c->thread, NULL, thread_main, c);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

int converter_start(struct image_store *store, const struct manifest *m, struct http *wake,
                    struct converter **ret_converter, struct error *err)
{
        struct converter *c = calloc(1, sizeof(*c));
        if (c == NULL || (c->ready = calloc(m->count + 1, sizeof(*c->ready))) == NULL) {
                free(c);
                return error_set(err, -ENOMEM, "make the root file system: out of memory");
        }
        c->store = store;
        c->manifest = m;
        c->wake = wake;
        (void)pthread_mutex_init(&c->mutex, NULL); /* neither can fail on Linux */
        (void)pthread_cond_init(&c->changed, NULL);
        int r = start_thread(c);
        if (r < 0) {
                free(c->ready);
                free(c);
                return error_errno(err, r, "make the root file system: start a thread");
        }
        *ret_converter = c;
        return 0;
}

void converter_layer_ready(struct converter *c, size_t number)
{
        (void)pthread_mutex_lock(&c->mutex);
        c->ready[number] = true;
        (void)pthread_cond_signal(&c->changed);
        (void)pthread_mutex_unlock(&c->mutex);
}

int converter_result(struct converter *c, struct error *err)
{
        (void)pthread_mutex_lock(&c->mutex);
        int r = c->finished ? c->result : 1;
        if (r < 0)
                (void)error_set(err, r, "%s", c->error.text);
        (void)pthread_mutex_unlock(&c->mutex);
        return r;
}

uint64_t converter_progress(struct converter *c, bool *ret_waits)
{
        (void)pthread_mutex_lock(&c->mutex);
        uint64_t bytes = c->done + c->now;
        *ret_waits = c->waits;
        (void)pthread_mutex_unlock(&c->mutex);
        return bytes;
}

void converter_free(struct converter *c)
{
        if (c == NULL)
                return;
        (void)pthread_mutex_lock(&c->mutex);
        c->stop = true;
        (void)pthread_cond_signal(&c->changed);
        (void)pthread_mutex_unlock(&c->mutex);
        (void)pthread_join(c->thread, NULL); /* ours, joinable: cannot fail */
        (void)pthread_cond_destroy(&c->changed);
        (void)pthread_mutex_destroy(&c->mutex);
        free(c->ready);
        free(c);
}
