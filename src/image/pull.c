/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling: name -> manifest -> blobs and, meanwhile, the root file system -> an entry in the index.
 *
 * Order, which makes every interruption harmless: blobs first, then the root file system, then the manifest,
 * and last the entry in index.json; what the entry needs is there before it. An image that is there and
 * unchanged costs one request (HEAD of its manifest).
 *
 * Two pulls of the same image: the second waits for the work lock named after the manifest, then finds all
 * done.
 *
 * One loop on the caller's thread drives all transfers and tells the observer; the converter's thread only
 * reads complete blobs.
 */
#include "image/blob.h"
#include "image/converter.h"
#include "image/download.h"
#include "image/find.h"
#include "image/progress.h"
#include "image/prune.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS     50
#define PROGRESS_MS 100

static const char accept_all[] =
    MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST;

struct pull {
        struct image_store *store;
        const struct image_observer *observer;
        struct reference reference;
        struct platform platform;
        struct session session;
        char *name; /* under which the store will keep it */
        char *repository;
        size_t endpoint; /* where the manifest came from */
        char remote_digest[DIGEST_TEXT_SIZE];
        char *manifest_text;
        size_t manifest_size;
        char digest[DIGEST_TEXT_SIZE]; /* of the manifest */
        struct manifest *manifest;
        struct download *
            *downloads; /* the configuration, then one a layer; NULL when done or not yet begun */
        bool *done;
        size_t count;
        size_t next; /* the first that is not begun */
        struct converter *converter;
        int64_t told_ms;
        bool told_wait;
};

static void pull_done(struct pull *p)
{
        converter_free(p->converter);
        for (size_t i = 0; i < p->count; i++)
                download_free(p->downloads[i]);
        free(p->downloads);
        free(p->done);
        manifest_free(p->manifest);
        free(p->manifest_text);
        free(p->name);
        free(p->repository);
        session_close(&p->session);
        reference_done(&p->reference);
}

static int pull_init(struct pull *p, const char *reference, const char *platform, struct error *err)
{
        int r = reference_parse(reference, &p->reference, err);
        if (r == 0)
                r = platform_parse(platform, &p->platform, err);
        if (r < 0)
                return r;
        p->name = reference_store_name(&p->reference);
        if (p->name == NULL || asprintf(&p->repository, "%s/%s", p->reference.domain, p->reference.path) < 0)
                return error_set(err, -ENOMEM, "out of memory");
        return session_open(p->store->config_path, &p->reference, p->observer, &p->session, err);
}

/* ---- What is there already ---- */

/* Whether the entry's image is whole, for this platform. */
static bool is_complete(struct pull *p, const struct index_entry *entry)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *config = NULL;
        if (manifest_load(p->store, entry->manifest.digest, &m, NULL) < 0 ||
            config_load(p->store, m, &config, NULL) < 0 ||
            manifest_check_config(m, config, &p->platform, NULL) < 0)
                return false;
        const char *variant = json_string_value(json_object_get(config, "variant"));
        if (p->platform.variant[0] != '\0' && variant != NULL && strcmp(variant, p->platform.variant) != 0)
                return false;
        for (size_t i = 0; i < m->count; i++) {
                if (!blob_exists(p->store, m->layers[i].blob.digest, m->layers[i].blob.size))
                        return false;
        }
        return true;
}

/* Makes the root file system of an image whose blobs are there, if it is missing; opens the image. */
static int use_entry(struct pull *p, const struct index_entry *entry, struct image **ret_image,
                     struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *config = NULL;
        int r = manifest_load(p->store, entry->manifest.digest, &m, err);
        if (r == 0)
                r = config_load(p->store, m, &config, err);
        if (r == 0)
                r = rootfs_ensure_foreign(p->store, m, p->observer, err);
        return r < 0 ? r : image_open_entry(p->store, entry, ret_image, err);
}

static int path_of_manifest(const struct pull *p, char *path, size_t size)
{
        (void)snprintf(path, size, "manifests/%s",
                       p->reference.digest != NULL ? p->reference.digest
                                                   : p->reference.tag); /* at most 128 bytes */
        return 0;
}

/* 1 with the image when the store's is what the registry has; 0 when it has to be asked for. */
static int try_present(struct pull *p, const struct index_entry *entry, struct image **ret_image,
                       struct error *err)
{
        char path[256];
        cleanup_free struct http_response *response = calloc(1, sizeof(*response));
        if (response == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        if (p->reference.digest == NULL) {
                (void)path_of_manifest(p, path, sizeof(path));
                int r = fetch_head(&p->session, path, accept_all, response, err);
                if (r == -ECANCELED || r == -EACCES || fetch_is_connection_error(r))
                        return r;
                if (r < 0 || (strcmp(response->content_digest, entry->remote_digest) != 0 &&
                              strcmp(response->content_digest, entry->manifest.digest) != 0))
                        return 0; /* the GET that follows says what is wrong */
        }
        int r = use_entry(p, entry, ret_image, err);
        return r < 0 ? r : 1;
}

/* As try_present(), looking for the entry first. */
static int find_present(struct pull *p, struct image **ret_image, struct error *err)
{
        cleanup_json json_t *index = NULL;
        struct index_entry entry;
        int r = index_read(p->store, &index, err);
        if (r < 0)
                return r;
        r = index_find_reference(index, &p->reference, &entry, err);
        if (r == -ENOENT || (r == 0 && !is_complete(p, &entry)))
                return 0;
        return r < 0 ? r : try_present(p, &entry, ret_image, err);
}

/* ---- The manifest ---- */

/* Fetches a document of the repository; digest NULL: whatever it is called there. */
static int get_document(struct pull *p, const char *path, const char *digest, json_t **ret_json,
                        enum document *ret_kind, struct error *err)
{
        cleanup_free struct http_response *response = calloc(1, sizeof(*response));
        cleanup_free char *text = NULL;
        size_t size;
        if (response == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        int r = fetch_document(&p->session, p->endpoint, path, accept_all, MANIFEST_SIZE_MAX, &text, &size,
                               response, &p->endpoint, err);
        if (r < 0)
                return r;
        if (digest_of(text, size, p->digest) < 0 || (digest != NULL && strcmp(p->digest, digest) != 0))
                return error_set(err, -EBADMSG, "registry '%s': wrong content for '%s', its digest is '%s'",
                                 p->session.endpoints[p->endpoint].name, digest, p->digest);
        cleanup_json json_t *json = NULL;
        r = json_parse(text, size, "manifest", &json, err);
        if (r == 0)
                r = document_kind(json, response->content_type, ret_kind, err);
        if (r < 0)
                return r;
        free(p->manifest_text);
        p->manifest_text = take_ptr(&text);
        p->manifest_size = size;
        *ret_json = json_incref(json);
        return 0;
}

static int get_manifest(struct pull *p, struct error *err)
{
        char path[256];
        cleanup_json json_t *json = NULL, *inner = NULL;
        enum document kind;
        struct descriptor d;
        (void)path_of_manifest(p, path, sizeof(path));
        int r = get_document(p, path, p->reference.digest, &json, &kind, err);
        if (r < 0)
                return r;
        memcpy(p->remote_digest, p->digest, sizeof(p->remote_digest));
        if (kind == DOCUMENT_INDEX) {
                r = index_select(json, &p->platform, &d, err);
                if (r < 0)
                        return r;
                (void)snprintf(path, sizeof(path), "manifests/%s", d.digest); /* fits */
                r = get_document(p, path, d.digest, &inner, &kind, err);
                if (r == 0 && kind == DOCUMENT_INDEX)
                        r = error_set(err, -EPROTONOSUPPORT, "an index inside an index is not supported");
        }
        return r < 0 ? r : manifest_parse(p->manifest_text, p->manifest_size, &p->manifest, err);
}

/* ---- The blobs ---- */

static const struct descriptor *blob_number(const struct pull *p, size_t i)
{
        return i == 0 ? &p->manifest->config : &p->manifest->layers[i - 1].blob;
}

/* Whether an earlier one fetches the same. */
static bool is_repeated(const struct pull *p, size_t i)
{
        for (size_t k = 0; k < i; k++) {
                if (strcmp(blob_number(p, k)->digest, blob_number(p, i)->digest) == 0)
                        return true;
        }
        return false;
}

static int begin_downloads(struct pull *p, struct error *err)
{
        p->downloads = calloc(p->manifest->count + 1, sizeof(*p->downloads));
        p->done = calloc(p->manifest->count + 1, sizeof(*p->done));
        if (p->downloads == NULL || p->done == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        p->count = p->manifest->count + 1;
        return 0;
}

/* The configuration is there: it says what the layers must be, and the converter can begin. */
static int begin_converter(struct pull *p, struct error *err)
{
        cleanup_json json_t *config = NULL;
        int r = config_load(p->store, p->manifest, &config, err);
        if (r == 0)
                r = manifest_check_config(p->manifest, config, &p->platform, err);
        if (r == 0)
                r = converter_start(p->store, p->manifest, p->session.http, &p->converter, err);
        if (r < 0)
                return r;
        for (size_t i = 1; i < p->count; i++) {
                if (p->done[i])
                        converter_layer_ready(p->converter, i - 1);
        }
        return 0;
}

/* Blob i has arrived; so have its repetitions. */
static int note_arrival(struct pull *p, size_t i, struct error *err)
{
        download_free(p->downloads[i]);
        p->downloads[i] = NULL;
        for (size_t k = i; k < p->count; k++) {
                const struct descriptor *d = blob_number(p, k);
                if (k != i && strcmp(d->digest, blob_number(p, i)->digest) != 0)
                        continue;
                p->done[k] = true;
                int r = k > 0 ? progress_bytes(p->observer, IMAGE_PROGRESS_LAYER, d->digest,
                                               (uint64_t)d->size, (uint64_t)d->size, err)
                              : 0;
                if (r < 0)
                        return r;
                if (k > 0 && p->converter != NULL)
                        converter_layer_ready(p->converter, k - 1);
        }
        return i == 0 ? begin_converter(p, err) : 0;
}

static int begin_more(struct pull *p, size_t running, struct error *err)
{
        for (; p->next < p->count && running < (size_t)p->session.settings.parallel; p->next++) {
                if (p->done[p->next] || is_repeated(p, p->next))
                        continue;
                int r = download_new(&p->session, p->store, blob_number(p, p->next), p->endpoint,
                                     &p->downloads[p->next], err);
                if (r < 0)
                        return r;
                running++;
        }
        return 0;
}

/* Moves all downloads on. Returns how many are under way. */
static int advance_downloads(struct pull *p, struct error *err)
{
        int running = 0;
        for (size_t i = 0; i < p->next; i++) {
                if (p->downloads[i] == NULL)
                        continue;
                int r = download_advance(p->downloads[i], err);
                if (r == 0)
                        r = note_arrival(p, i, err);
                else if (r > 0)
                        running++;
                if (r < 0)
                        return r;
        }
        return running;
}

static int tell_progress(struct pull *p, struct error *err)
{
        int64_t now = clock_monotonic_ms();
        bool waits = false;
        uint64_t total = 0;
        if (now - p->told_ms < PROGRESS_MS)
                return 0;
        p->told_ms = now;
        int r = progress_idle(p->observer, err);
        for (size_t i = 1; r == 0 && i < p->count; i++) {
                const struct descriptor *d = blob_number(p, i);
                total += (uint64_t)d->size;
                if (p->downloads[i] != NULL)
                        r = progress_bytes(p->observer, IMAGE_PROGRESS_LAYER, d->digest,
                                           download_position(p->downloads[i]), (uint64_t)d->size, err);
        }
        if (r < 0 || p->converter == NULL)
                return r;
        uint64_t converted = converter_progress(p->converter, &waits);
        if (waits && !p->told_wait) {
                p->told_wait = true;
                return progress_message(p->observer, err,
                                        "waiting for its root file system, which another process makes");
        }
        return progress_bytes(p->observer, IMAGE_PROGRESS_CONVERT, NULL, converted, total, err);
}

static int transfer_and_convert(struct pull *p, struct error *err)
{
        int r = begin_downloads(p, err);
        while (r == 0) {
                int running = advance_downloads(p, err);
                if (running < 0)
                        return running;
                r = begin_more(p, (size_t)running, err);
                int converting = p->converter != NULL ? converter_result(p->converter, err) : 1;
                if (r == 0 && converting < 0)
                        return error_wrap(err, "make it bootable");
                if (r == 0 && running == 0 && p->next == p->count && converting == 0)
                        return 0;
                if (r == 0)
                        r = tell_progress(p, err);
                if (r == 0)
                        r = http_step(p->session.http, STEP_MS, err);
        }
        return r;
}

/* ---- All of it ---- */

static int commit(struct pull *p, struct image **ret_image, struct error *err)
{
        struct index_entry entry = {.name = p->name,
                                    .remote_digest = p->remote_digest,
                                    .remote_name = p->repository};
        int r = blob_put(p->store, p->manifest_text, p->manifest_size, entry.manifest.digest, err);
        if (r < 0)
                return r;
        entry.manifest.size = (int64_t)p->manifest_size;
        (void)snprintf(entry.manifest.media_type, sizeof(entry.manifest.media_type), "%s",
                       p->manifest->media_type);
        r = index_add(p->store, &entry, err);
        return r < 0 ? r : image_open_entry(p->store, &entry, ret_image, err);
}

static int pull_locked(struct pull *p, struct image **ret_image, struct error *err)
{
        cleanup_fd int work = -1;
        char lock_name[128];
        int r = find_present(p, ret_image, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = progress_message(p->observer, err, "pulling %s", p->name);
        if (r == 0)
                r = get_manifest(p, err);
        if (r < 0)
                return r;
        (void)snprintf(lock_name, sizeof(lock_name), "image-%s", digest_hex(p->digest)); /* fits */
        r = store_lock_work(p->store, lock_name, p->observer, "this image, which another process pulls",
                            &work, err);
        if (r == 0)
                r = transfer_and_convert(p, err);
        return r < 0 ? r : commit(p, ret_image, err);
}

/* After a failure that another try would not mend cheaply: nothing of it stays. */
static bool should_clean(int r)
{
        return r == -ENOSPC || r == -EDQUOT || r == -EFBIG || r == -EIO || r == -EBADMSG ||
               r == -EPROTONOSUPPORT || r == -ENOEXEC;
}

int image_pull(struct image_store *store, const char *reference, const char *platform,
               const struct image_observer *observer, struct image **ret_image, struct error *err)
{
        struct pull p = {.store = store, .observer = observer};
        struct error problem = ERROR_INIT;
        int lock = -1;
        int r = pull_init(&p, reference, platform, &problem);
        if (r == 0)
                r = store_lock_in_use(store, &lock, &problem);
        if (r == 0)
                r = pull_locked(&p, ret_image, &problem);
        pull_done(&p);
        close_fd(&lock);
        if (r < 0 && should_clean(r))
                (void)store_sweep(store, NULL, NULL); /* when others are at work, a later removal does it */
        return r < 0 ? error_set(err, r, "pull '%.300s': %s", reference, problem.text) : 0;
}
