/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving images as one archive to a descriptor that is only ever written forward.
 *
 * docker-archive: manifest.json, each configuration as <hex>.json, each layer once as <diff_id>.tar, plain. A
 * tar's header says how long its member is, so a compressed layer is unpacked twice: to measure, and to
 * write. That costs time but neither memory nor disk. oci-archive: oci-layout, index.json, and the blobs as
 * they are.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "image/blob.h"
#include "image/find.h"
#include "image/layer-stream.h"
#include "image/progress.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAYER_BYTES_MAX (UINT64_C(1) << 40)
#define READ_SIZE       (256U << 10)
#define REF_NAME        "org.opencontainers.image.ref.name"

struct save {
        struct image_store *store;
        const struct image_observer *observer;
        struct archive *tar;
        json_t *written; /* names of members, an object used as a set */
        char *room;
        int fd;
        bool stopped; /* nothing may be written any more */
};

/* One image to save. */
struct saved {
        struct descriptor descriptor;
        char *name; /* NULL: given by id */
        struct manifest *manifest;
        char *config;
        size_t config_size;
};

static int tar_error(struct save *s, struct error *err)
{
        const char *why = archive_error_string(s->tar);
        return error_set(err, archive_errno(s->tar) > 0 ? -archive_errno(s->tar) : -EIO,
                         "write the archive: %.300s", why != NULL ? why : "failed");
}

/* 1 when a member of that name has been written; notes it otherwise. */
static int is_written(struct save *s, const char *name, struct error *err)
{
        if (json_object_get(s->written, name) != NULL)
                return 1;
        return json_object_set_new(s->written, name, json_true()) < 0
                   ? error_set(err, -ENOMEM, "write the archive: out of memory")
                   : 0;
}

static int begin_member(struct save *s, const char *name, uint64_t size, struct error *err)
{
        struct archive_entry *entry = archive_entry_new();
        if (entry == NULL)
                return error_set(err, -ENOMEM, "write the archive: out of memory");
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)size);
        archive_entry_set_mtime(entry, 0, 0); /* the same images give the same archive */
        int r = archive_write_header(s->tar, entry);
        archive_entry_free(entry);
        return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : tar_error(s, err);
}

static int write_bytes(struct save *s, const void *bytes, size_t size, struct error *err)
{
        for (size_t done = 0; done < size;) {
                la_ssize_t n = archive_write_data(s->tar, (const char *)bytes + done, size - done);
                if (n <= 0)
                        return tar_error(s, err);
                done += (size_t)n;
        }
        return 0;
}

static int write_member(struct save *s, const char *name, const char *text, size_t size, struct error *err)
{
        int r = is_written(s, name, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = begin_member(s, name, size, err);
        return r < 0 ? r : write_bytes(s, text, size, err);
}

static int write_json(struct save *s, const char *name, const json_t *json, struct error *err)
{
        size_t size;
        cleanup_free char *text = json != NULL ? json_print(json, &size) : NULL;
        return text == NULL ? error_set(err, -ENOMEM, "write the archive: out of memory")
                            : write_member(s, name, text, size, err);
}

/* ---- docker-archive ---- */

/* The layer's plain bytes: counted, or written too. */
static int walk_layer(struct save *s, const struct layer *layer, bool write, uint64_t *ret_size,
                      struct error *err)
{
        cleanup_fd int fd = -1;
        struct layer_stream *stream;
        uint8_t digest[LAYER_DIGEST_SIZE];
        int r = blob_open(s->store, layer->blob.digest, &fd, err);
        if (r == 0)
                r = layer_stream_new(fd, LAYER_BYTES_MAX, NULL, NULL, &stream, err);
        if (r < 0)
                return r;
        for (;;) {
                const void *bytes;
                size_t size;
                r = layer_stream_next(stream, &bytes, &size, err);
                if (r < 0 || size == 0)
                        break;
                r = progress_idle(s->observer, err);
                if (r == 0 && write)
                        r = write_bytes(s, bytes, size, err);
                if (r < 0)
                        break;
        }
        if (r == 0)
                r = layer_stream_digest(stream, digest, ret_size, err);
        layer_stream_free(stream);
        return r;
}

static int write_docker_layer(struct save *s, const struct layer *layer, struct error *err)
{
        char name[128];
        uint64_t size, again;
        (void)snprintf(name, sizeof(name), "%s.tar", digest_hex(layer->diff_id)); /* fits */
        int r = is_written(s, name, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = progress_message(s->observer, err, "saving layer %.12s", digest_hex(layer->diff_id));
        if (r == 0)
                r = walk_layer(s, layer, false, &size, err);
        if (r == 0)
                r = begin_member(s, name, size, err);
        return r < 0 ? r : walk_layer(s, layer, true, &again, err);
}

/* {"Config", "RepoTags", "Layers"} of one image. */
static json_t *docker_entry(const struct saved *image)
{
        json_t *layers = json_array();
        json_t *tags = image->name != NULL ? json_pack("[s]", image->name) : json_null();
        for (size_t i = 0; i < image->manifest->count; i++) {
                if (json_array_append_new(layers,
                                          json_sprintf("%s.tar",
                                                       digest_hex(image->manifest->layers[i].diff_id))) < 0) {
                        json_decref(layers);
                        json_decref(tags);
                        return NULL;
                }
        }
        return json_pack("{s:o, s:o, s:o}", "Config",
                         json_sprintf("%s.json", digest_hex(image->manifest->config.digest)), "RepoTags",
                         tags, "Layers", layers);
}

/* Names of the same image are put together, as docker load expects. */
static int add_docker_entry(json_t *list, const struct saved *image)
{
        cleanup_json json_t *entry = docker_entry(image);
        if (entry == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < json_array_size(list); i++) {
                json_t *other = json_array_get(list, i);
                if (!json_equal(json_object_get(other, "Config"), json_object_get(entry, "Config")) ||
                    !json_equal(json_object_get(other, "Layers"), json_object_get(entry, "Layers")))
                        continue;
                json_t *tags = json_object_get(other, "RepoTags");
                if (image->name == NULL)
                        return 0;
                if (json_is_array(tags))
                        return json_array_append_new(tags, json_string(image->name)) < 0 ? -ENOMEM : 0;
                return json_object_set(other, "RepoTags", json_object_get(entry, "RepoTags")) < 0 ? -ENOMEM
                                                                                                  : 0;
        }
        return json_array_append(list, entry) < 0 ? -ENOMEM : 0;
}

static int save_docker(struct save *s, const struct saved *images, size_t count, struct error *err)
{
        cleanup_json json_t *list = json_array();
        int r = 0;
        for (size_t i = 0; r == 0 && i < count; i++) {
                if (add_docker_entry(list, &images[i]) < 0)
                        r = error_set(err, -ENOMEM, "write the archive: out of memory");
        }
        if (r == 0)
                r = write_json(s, "manifest.json", list, err);
        for (size_t i = 0; r == 0 && i < count; i++) {
                const struct manifest *m = images[i].manifest;
                char name[128];
                (void)snprintf(name, sizeof(name), "%s.json", digest_hex(m->config.digest)); /* fits */
                r = write_member(s, name, images[i].config, images[i].config_size, err);
                for (size_t k = 0; r == 0 && k < m->count; k++)
                        r = write_docker_layer(s, &m->layers[k], err);
        }
        return r;
}

/* ---- oci-archive ---- */

static int copy_blob(struct save *s, const struct descriptor *d, struct error *err)
{
        char name[128];
        cleanup_fd int fd = -1;
        struct stat st;
        (void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(d->digest)); /* fits */
        int r = is_written(s, name, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = progress_message(s->observer, err, "saving %.12s", digest_hex(d->digest));
        if (r == 0)
                r = blob_open(s->store, d->digest, &fd, err);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0 || st.st_size != d->size)
                return error_set(err, -EBADMSG,
                                 "blob '%s' of the image store: it has another size than it should",
                                 d->digest);
        r = begin_member(s, name, (uint64_t)d->size, err);
        for (int64_t done = 0; r == 0 && done < d->size;) {
                ssize_t n = pread(fd, s->room, READ_SIZE, (off_t)done);
                if (n <= 0)
                        return error_errno(err, n < 0 ? -errno : -ENODATA,
                                           "read blob '%s' of the image store", d->digest);
                r = write_bytes(s, s->room, (size_t)n, err);
                done += n;
        }
        return r;
}

static json_t *oci_index(const struct saved *images, size_t count)
{
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
                const struct descriptor *d = &images[i].descriptor;
                json_t *entry = json_pack("{s:s, s:s, s:I}", "mediaType", d->media_type, "digest", d->digest,
                                          "size", (json_int_t)d->size);
                if (entry != NULL && images[i].name != NULL)
                        (void)json_object_set_new(entry, "annotations",
                                                  json_pack("{s:s}", REF_NAME, images[i].name));
                if (json_array_append_new(list, entry) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return json_pack("{s:i, s:o}", "schemaVersion", 2, "manifests", list);
}

static int save_oci(struct save *s, const struct saved *images, size_t count, struct error *err)
{
        static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
        cleanup_json json_t *index = oci_index(images, count);
        int r = write_member(s, "oci-layout", layout, sizeof(layout) - 1, err);
        if (r == 0)
                r = write_json(s, "index.json", index, err);
        for (size_t i = 0; r == 0 && i < count; i++) {
                const struct manifest *m = images[i].manifest;
                r = copy_blob(s, &images[i].descriptor, err);
                if (r == 0)
                        r = copy_blob(s, &m->config, err);
                for (size_t k = 0; r == 0 && k < m->count; k++)
                        r = copy_blob(s, &m->layers[k].blob, err);
        }
        return r;
}

/* ---- both ---- */

static int find_image(struct save *s, const json_t *index, const char *reference, struct saved *image,
                      struct error *err)
{
        struct index_entry entry;
        cleanup_json json_t *config = NULL;
        bool by_id;
        int r = index_find(s->store, index, reference, &entry, &by_id, err);
        if (r == 0)
                r = manifest_load(s->store, entry.manifest.digest, &image->manifest, err);
        if (r == 0)
                r = config_load(s->store, image->manifest, &config, err);
        if (r == 0)
                r = blob_read(s->store, image->manifest->config.digest, CONFIG_SIZE_MAX, &image->config,
                              &image->config_size, err);
        if (r < 0)
                return r;
        image->descriptor = entry.manifest;
        if (!by_id && *entry.name != '\0' && strchr(entry.name, '@') == NULL &&
            (image->name = strdup(entry.name)) == NULL)
                return error_set(err, -ENOMEM, "save: out of memory");
        return 0;
}

static la_ssize_t on_tar_bytes(struct archive *a, void *data, const void *bytes, size_t size)
{
        struct save *s = data;
        int r = s->stopped ? -EPIPE : fd_write_full(s->fd, bytes, size);
        if (r == 0)
                return (la_ssize_t)size;
        archive_set_error(a, -r, "%s", strerror(-r));
        return -1;
}

static int open_tar(struct save *s, int fd, struct error *err)
{
        s->fd = fd;
        s->tar = archive_write_new();
        s->written = json_object();
        s->room = malloc(READ_SIZE);
        if (s->tar == NULL || s->written == NULL || s->room == NULL)
                return error_set(err, -ENOMEM, "save: out of memory");
        if (archive_write_set_format_pax_restricted(s->tar) != ARCHIVE_OK ||
            archive_write_set_bytes_in_last_block(s->tar, 1) != ARCHIVE_OK ||
            archive_write_open(s->tar, s, NULL, on_tar_bytes, NULL) != ARCHIVE_OK)
                return tar_error(s, err);
        return 0;
}

static int save_all(struct save *s, const char *const *references, size_t count, bool docker, int fd,
                    struct saved *images, struct error *err)
{
        cleanup_json json_t *index = NULL;
        int r = index_read(s->store, &index, err);
        for (size_t i = 0; r == 0 && i < count; i++)
                r = find_image(s, index, references[i], &images[i], err);
        if (r == 0)
                r = open_tar(s, fd, err);
        if (r == 0)
                r = docker ? save_docker(s, images, count, err) : save_oci(s, images, count, err);
        if (r == 0 && archive_write_close(s->tar) != ARCHIVE_OK)
                r = tar_error(s, err);
        return r;
}

int image_save(struct image_store *store, const char *const *references, size_t count, const char *format,
               int fd, const struct image_observer *observer, struct error *err)
{
        struct save s = {.store = store, .observer = observer};
        bool docker = format == NULL || strcmp(format, "docker-archive") == 0;
        cleanup_fd int lock = -1;
        if (!docker && strcmp(format, "oci-archive") != 0)
                return error_set(err, -EINVAL,
                                 "save: unknown format '%.100s'; known are docker-archive and oci-archive",
                                 format);
        if (count == 0)
                return error_set(err, -EINVAL, "save: no image named");
        struct saved *images = calloc(count, sizeof(*images));
        if (images == NULL)
                return error_set(err, -ENOMEM, "save: out of memory");
        int r = store_lock_in_use(store, &lock, err);
        if (r == 0)
                r = save_all(&s, references, count, docker, fd, images, err);
        for (size_t i = 0; i < count; i++) {
                manifest_free(images[i].manifest);
                free(images[i].name);
                free(images[i].config);
        }
        free(images);
        if (s.tar != NULL) {
                s.stopped = true; /* closing gives the buffers back; nothing more is to go out */
                (void)archive_write_close(s.tar);
                (void)archive_write_free(s.tar);
        }
        json_decref(s.written);
        free(s.room);
        return r;
}
