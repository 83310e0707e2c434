/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blob: taken from the store if it is there, waited for if another process is fetching it, fetched
 * otherwise. Its work lock is held only while bytes flow, whatever the other blobs of the image do: so two
 * processes that fetch images with common layers cannot wait for each other in a circle.
 */
#include "image/download.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "image/blob.h"
#include "image/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_INTERVAL_MS 200

struct download {
        struct session *session;
        struct image_store *store;
        struct descriptor blob;
        size_t endpoint;
        int lock;
        int64_t next_try_ms;
        bool told;
        struct blob_writer *writer;
        struct fetch *fetch;
        uint64_t present; /* bytes, when it was there already */
};

static int write_blob(void *data, const void *bytes, size_t size, struct error *err)
{
        struct download *d = data;
        uint64_t left = (uint64_t)d->blob.size - blob_writer_size(d->writer);
        if (size > left)
                return error_set(err, -EBADMSG,
                                 "blob '%s': the registry sends more than the %" PRId64 " bytes announced",
                                 d->blob.digest, d->blob.size);
        return blob_writer_write(d->writer, bytes, size, err);
}

static int restart_blob(void *data, struct error *err)
{
        struct download *d = data;
        return blob_writer_restart(d->writer, err);
}

static uint64_t blob_position(void *data)
{
        const struct download *d = data;
        return blob_writer_size(d->writer);
}

int download_new(struct session *s, struct image_store *store, const struct descriptor *blob, size_t endpoint,
                 struct download **ret_download, struct error *err)
{
        struct download *d = calloc(1, sizeof(*d));
        if (d == NULL)
                return error_set(err, -ENOMEM, "blob '%s': out of memory", blob->digest);
        d->session = s;
        d->store = store;
        d->blob = *blob;
        d->endpoint = endpoint;
        d->lock = -1;
        *ret_download = d;
        return 0;
}

void download_free(struct download *d)
{
        if (d == NULL)
                return;
        fetch_free(d->fetch);
        blob_writer_free(d->writer);
        close_fd(&d->lock);
        free(d);
}

static int begin_fetch(struct download *d, struct error *err)
{
        char path[128];
        (void)snprintf(path, sizeof(path), "blobs/%s",
                       d->blob.digest); /* fits: the digest has been checked */
        struct fetch_plan plan = {.session = d->session,
                                  .endpoint = d->endpoint,
                                  .path = path,
                                  .write = write_blob,
                                  .restart = restart_blob,
                                  .position = blob_position,
                                  .data = d};
        int r = blob_writer_new(d->store, &d->writer, err);
        if (r == 0)
                r = fetch_new(&plan, &d->fetch, err);
        return r < 0 ? r : 1;
}

/* 0 when it is there (now); 1 while somebody else fetches it, or when it has begun. */
static int begin(struct download *d, struct error *err)
{
        if (blob_exists(d->store, d->blob.digest, d->blob.size)) {
                close_fd(&d->lock);
                d->present = (uint64_t)d->blob.size;
                return 0;
        }
        if (d->lock >= 0)
                return begin_fetch(d, err);
        if (clock_monotonic_ms() < d->next_try_ms)
                return 1;
        int r = store_try_lock_work(d->store, digest_hex(d->blob.digest), &d->lock, err);
        if (r == 0)
                return begin(d, err); /* once more at most: it holds the lock now */
        if (r != -EAGAIN)
                return r;
        d->next_try_ms = clock_monotonic_ms() + LOCK_INTERVAL_MS;
        if (!d->told)
                r = progress_message(d->session->observer, err,
                                     "waiting for layer %.12s, which another process pulls",
                                     digest_hex(d->blob.digest));
        d->told = true;
        return r < 0 && r != -EAGAIN ? r : 1;
}

static int finish(struct download *d, struct error *err)
{
        char digest[DIGEST_TEXT_SIZE];
        int r = blob_writer_finish(d->writer, d->blob.digest, d->blob.size, digest, err);
        if (r < 0)
                return error_wrap(err, "registry '%s'", d->session->endpoints[fetch_endpoint(d->fetch)].name);
        d->present = (uint64_t)d->blob.size;
        fetch_free(d->fetch);
        d->fetch = NULL;
        blob_writer_free(d->writer);
        d->writer = NULL;
        close_fd(&d->lock);
        return 0;
}

int download_advance(struct download *d, struct error *err)
{
        if (d->fetch == NULL)
                return begin(d, err);
        int r = fetch_advance(d->fetch, err);
        return r != 0 ? r : finish(d, err);
}

uint64_t download_position(const struct download *d)
{
        return d->writer != NULL ? blob_writer_size(d->writer) : d->present;
}
