/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread reads and unpacks, the caller's hashes and merges: the two take about the same time for a gzip
 * layer, and that is what two processors are for.
 *
 * Threads: between them is a ring of slots under `lock`. `made` and `used` count slots ever filled and given
 * back; slot n % SLOTS belongs to the thread while n - used >= SLOTS, to the caller while used <= n < made.
 * `ended`, `error` and `stop` change under the lock; everything else of the reader half is the thread's.
 * Waiting for a pipe ends when `stop_fd` becomes readable. The thread is joined before layer_stream_free()
 * returns, and has all signals blocked.
 */
#include "image/layer-stream.h"

#include "base/cleanup.h"
#include "image/decode.h"

#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLOTS          6U
#define SLOT_SIZE      (256U << 10)
#define INPUT_SIZE     (128U << 10)
#define PROGRESS_EVERY (UINT64_C(1) << 20)

struct slot {
        size_t size;
        uint8_t *bytes;
};

struct layer_stream {
        struct decode_source source; /* first: the thread finds the stream by it */
        int fd, stop_fd;
        uint8_t *input;
        _Atomic uint64_t compressed; /* bytes read */

        pthread_t thread;
        bool has_thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        uint64_t made, used;
        bool ended, stop;
        struct error error;
        struct slot slots[SLOTS];

        /* the caller's half */
        bool lent, finished;
        EVP_MD_CTX *digest;
        uint64_t bytes, bytes_max, told;
        rootfs_progress_fn progress;
        void *data;
};

/* Fills the input: its first bytes must come together, they tell the format. */
static int next_input(struct decode_source *source, const uint8_t **ret_bytes, size_t *ret_size,
                      struct error *err)
{
        struct layer_stream *stream = (struct layer_stream *)source;
        struct pollfd wait[] = {{.fd = stream->fd, .events = POLLIN},
                                {.fd = stream->stop_fd, .events = POLLIN}};
        size_t done = 0;
        ssize_t n = 1;
        while (done < INPUT_SIZE && n != 0) {
                if (poll(wait, 2, -1) >= 0 && wait[1].revents != 0)
                        return error_errno(err, -ECANCELED, "unpack");
                n = read(stream->fd, stream->input + done, INPUT_SIZE - done);
                if (n < 0 && errno != EINTR && errno != EAGAIN)
                        return error_errno(err, -errno, "read");
                if (n > 0)
                        done += (size_t)n;
        }
        atomic_fetch_add(&stream->compressed, done);
        *ret_bytes = stream->input;
        *ret_size = done;
        return 0;
}

/* Waits for a slot the caller has given back; false if it is time to stop. */
static bool wait_for_room(struct layer_stream *stream)
{
        (void)pthread_mutex_lock(&stream->lock);
        while (stream->made - stream->used == SLOTS && !stream->stop)
                (void)pthread_cond_wait(&stream->changed, &stream->lock);
        bool go_on = !stream->stop;
        (void)pthread_mutex_unlock(&stream->lock);
        return go_on;
}

static void hand_over(struct layer_stream *stream, bool made, bool ended, const struct error *error)
{
        (void)pthread_mutex_lock(&stream->lock);
        stream->made += made;
        stream->ended = ended;
        if (error != NULL)
                stream->error = *error;
        (void)pthread_cond_signal(&stream->changed);
        (void)pthread_mutex_unlock(&stream->lock);
}

static void *unpack(void *data)
{
        struct layer_stream *stream = data;
        struct decoder *decoder = NULL;
        struct error error = ERROR_INIT;
        int r = decoder_new(&stream->source, &decoder, &error);
        while (r == 0 && wait_for_room(stream)) {
                struct slot *slot = &stream->slots[stream->made % SLOTS];
                r = decoder_read(decoder, slot->bytes, SLOT_SIZE, &slot->size, &error);
                if (r < 0 || slot->size == 0)
                        break;
                hand_over(stream, true, false, NULL);
        }
        decoder_free(decoder);
        hand_over(stream, false, true, &error);
        return NULL;
}

static int start_thread(struct layer_stream *stream)
{
        sigset_t all, before;
        (void)sigfillset(&all);
        int r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r == 0) {
                r = pthread_create(&stream->thread, NULL, unpack, stream);
                (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* the mask it was: cannot fail */
        }
        stream->has_thread = r == 0;
        return -r;
}

int layer_stream_new(int fd, uint64_t bytes_max, rootfs_progress_fn progress, void *data,
                     struct layer_stream **ret_stream, struct error *err)
{
        struct layer_stream *stream = calloc(1, sizeof(*stream));
        if (stream == NULL)
                return error_errno(err, -ENOMEM, "unpack");
        stream->source.next = next_input;
        stream->fd = fd;
        stream->bytes_max = bytes_max;
        stream->progress = progress;
        stream->data = data;
        (void)pthread_mutex_init(&stream->lock, NULL); /* with no attributes these two cannot fail */
        (void)pthread_cond_init(&stream->changed, NULL);
        bool complete = true;
        for (size_t i = 0; i < SLOTS; i++)
                complete &= (stream->slots[i].bytes = malloc(SLOT_SIZE)) != NULL;
        complete &= (stream->input = malloc(INPUT_SIZE)) != NULL;
        complete &= (stream->digest = EVP_MD_CTX_new()) != NULL &&
                    EVP_DigestInit_ex(stream->digest, EVP_sha256(), NULL) == 1;
        int r = complete ? 0 : -ENOMEM;
        stream->stop_fd = eventfd(0, EFD_CLOEXEC);
        if (r == 0 && stream->stop_fd < 0)
                r = -errno;
        if (r == 0)
                r = start_thread(stream);
        if (r < 0) {
                layer_stream_free(stream);
                return error_errno(err, r, "unpack");
        }
        *ret_stream = stream;
        return 0;
}

void layer_stream_free(struct layer_stream *stream)
{
        if (stream == NULL)
                return;
        if (stream->has_thread) {
                const uint64_t one = 1;
                (void)pthread_mutex_lock(&stream->lock);
                stream->stop = true;
                (void)pthread_cond_signal(&stream->changed);
                (void)pthread_mutex_unlock(&stream->lock);
                (void)!write(stream->stop_fd, &one, sizeof(one)); /* an eventfd at 0 has room */
                (void)pthread_join(stream->thread, NULL);
        }
        if (stream->stop_fd >= 0)
                (void)close(stream->stop_fd);
        for (size_t i = 0; i < SLOTS; i++)
                free(stream->slots[i].bytes);
        free(stream->input);
        EVP_MD_CTX_free(stream->digest);
        (void)pthread_cond_destroy(&stream->changed);
        (void)pthread_mutex_destroy(&stream->lock);
        free(stream);
}

static int tell_progress(struct layer_stream *stream, struct error *err)
{
        uint64_t compressed = atomic_load(&stream->compressed);
        if (stream->progress == NULL || compressed < stream->told + PROGRESS_EVERY)
                return 0;
        stream->told = compressed;
        if (stream->progress(compressed, stream->data) != 0)
                return error_set(err, -ECANCELED, "canceled");
        return 0;
}

/* Gives the last slot back, and waits for the next: NULL at the end or after an error. */
static const struct slot *take_slot(struct layer_stream *stream)
{
        (void)pthread_mutex_lock(&stream->lock);
        if (stream->lent) {
                stream->used++;
                (void)pthread_cond_signal(&stream->changed);
        }
        while (stream->made == stream->used && !stream->ended)
                (void)pthread_cond_wait(&stream->changed, &stream->lock);
        stream->lent = stream->made != stream->used;
        (void)pthread_mutex_unlock(&stream->lock);
        return stream->lent ? &stream->slots[stream->used % SLOTS] : NULL;
}

int layer_stream_next(struct layer_stream *stream, const void **ret_bytes, size_t *ret_size,
                      struct error *err)
{
        int r = tell_progress(stream, err);
        if (r < 0)
                return r;
        const struct slot *slot = take_slot(stream);
        *ret_size = 0;
        if (slot == NULL) {
                stream->finished = stream->error.code == 0;
                if (stream->finished)
                        return 0;
                if (err != NULL)
                        *err = stream->error;
                return stream->error.code;
        }
        stream->bytes += slot->size;
        if (stream->bytes > stream->bytes_max)
                return error_set(err, -EFBIG, "it unpacks to more than the %llu bytes allowed",
                                 (unsigned long long)stream->bytes_max);
        if (EVP_DigestUpdate(stream->digest, slot->bytes, slot->size) != 1)
                return error_set(err, -EIO, "compute its digest: the library failed");
        *ret_bytes = slot->bytes;
        *ret_size = slot->size;
        return 0;
}

int layer_stream_digest(struct layer_stream *stream, uint8_t ret_digest[LAYER_DIGEST_SIZE],
                        uint64_t *ret_bytes, struct error *err)
{
        if (!stream->finished || EVP_DigestFinal_ex(stream->digest, ret_digest, NULL) != 1)
                return error_set(err, -EIO, "compute its digest: the library failed");
        *ret_bytes = stream->bytes;
        return 0;
}
