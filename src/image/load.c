/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading images from a docker-archive, an oci-archive or an OCI layout folder. What Docker saves today is
 * both at once: its manifest.json is preferred, because it holds the names in full.
 *
 * docker-archive: manifest.json is an array of {"Config": name, "RepoTags": [...], "Layers": [name, ...]}; a
 *      layer is a tar, plain or compressed. A manifest is made for it; the plain layers must have their
 *      diff_id as digest, compressed ones are checked when the root file system is made.
 * OCI: index.json names manifests (or indexes, one level or more) by digest, the rest is in blobs/sha256/.
 *
 * Everything is put into the store before the index names it, and the root file system is made first: an
 * image that can be listed can be run.
 */
#include "image/load.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "image/blob.h"
#include "image/find.h"
#include "image/progress.h"
#include "image/prune.h"
#include "image/rootfs_cache.h"
#include "image/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INDEX_DEPTH_MAX  4
#define ARCHIVE_JSON_MAX (16U << 20)
#define NAMES_MAX        (1U << 20)

struct load {
        struct image_store *store;
        struct source *source;
        const struct image_observer *observer;
        struct platform platform;
        struct buffer names; /* what was loaded, one a line */
        unsigned count;
};

static int missing(const char *name, struct error *err)
{
        return error_set(err, -ENOENT, "'%.200s' is missing in the archive", name);
}

/* Puts the image's manifest in, makes it bootable, and names it. names may be empty. */
static int commit(struct load *l, const char *text, size_t size, const json_t *names, struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *config = NULL;
        struct index_entry entry = {.name = NULL};
        int r = manifest_parse(text, size, &m, err);
        if (r == 0)
                r = config_load(l->store, m, &config, err);
        if (r == 0)
                r = manifest_check_config(m, config, &l->platform, err);
        if (r == 0)
                r = rootfs_ensure_foreign(l->store, m, l->observer, err);
        if (r == 0)
                r = blob_put(l->store, text, size, entry.manifest.digest, err);
        if (r < 0)
                return r;
        entry.manifest.size = (int64_t)size;
        (void)snprintf(entry.manifest.media_type, sizeof(entry.manifest.media_type), "%s", m->media_type);
        size_t count = json_array_size(names);
        for (size_t i = 0; i < (count > 0 ? count : 1); i++) {
                entry.name = count > 0 ? json_string_value(json_array_get(names, i)) : NULL;
                r = index_add(l->store, &entry, err);
                if (r == 0)
                        r = buffer_printf(&l->names, "%s\n",
                                          entry.name != NULL ? entry.name : m->config.digest);
                if (r < 0)
                        return r;
        }
        l->count++;
        return 0;
}

/* ---- docker-archive ---- */

static const char *sniff_media_type(const unsigned char magic[4])
{
        static const unsigned char zstd[4] = {0x28, 0xb5, 0x2f, 0xfd};
        if (magic[0] == 0x1f && magic[1] == 0x8b)
                return MEDIA_OCI_LAYER "+gzip";
        return memcmp(magic, zstd, sizeof(zstd)) == 0 ? MEDIA_OCI_LAYER "+zstd" : MEDIA_OCI_LAYER;
}

/* One layer as a descriptor; diff_id is what the configuration says its plain tar has. */
static int load_docker_layer(struct load *l, const char *name, const char *diff_id, json_t **ret,
                             struct error *err)
{
        cleanup_fd int fd = -1;
        uint64_t offset, size;
        unsigned char magic[4] = {0};
        char digest[DIGEST_TEXT_SIZE];
        int r = source_find(l->source, name, &fd, &offset, &size, err);
        if (r < 0)
                return r == -ENOENT ? missing(name, err) : r;
        if (size > LAYER_SIZE_MAX)
                return error_set(err, -EFBIG, "layer '%.200s': too large", name);
        if (size >= sizeof(magic) && pread(fd, magic, sizeof(magic), (off_t)offset) < 0)
                return error_errno(err, -errno, "read layer '%.200s'", name);
        const char *type = sniff_media_type(magic);
        bool plain = strcmp(type, MEDIA_OCI_LAYER) == 0;
        r = progress_message(l->observer, err, "loading layer %.12s", digest_hex(diff_id));
        if (r < 0)
                return r;
        if (plain && blob_exists(l->store, diff_id, (int64_t)size))
                memcpy(digest, diff_id, sizeof(digest));
        else if ((r = blob_copy(l->store, fd, offset, size, plain ? diff_id : NULL, digest, err)) < 0)
                return error_wrap(err, "layer '%.200s'", name);
        *ret = json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size", (json_int_t)size);
        return *ret != NULL ? 0 : error_set(err, -ENOMEM, "load: out of memory");
}

static int load_docker_layers(struct load *l, const json_t *image, const json_t *config, json_t *descriptors,
                              struct error *err)
{
        const json_t *names = json_object_get(image, "Layers");
        const json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
        size_t count = json_array_size(names);
        if (count != json_array_size(ids) || count > MANIFEST_LAYERS_MAX)
                return error_set(err, -EBADMSG, "%zu layers, but %zu diff_ids in the configuration", count,
                                 json_array_size(ids));
        for (size_t i = 0; i < count; i++) {
                const char *name = json_string_value(json_array_get(names, i));
                const char *id = json_string_value(json_array_get(ids, i));
                json_t *descriptor;
                if (name == NULL || id == NULL)
                        return error_set(err, -EBADMSG, "a layer's name or diff_id is not a string");
                int r = digest_check(id, err);
                if (r == 0)
                        r = load_docker_layer(l, name, id, &descriptor, err);
                if (r < 0)
                        return r;
                if (json_array_append_new(descriptors, descriptor) < 0)
                        return error_set(err, -ENOMEM, "load: out of memory");
        }
        return 0;
}

/* The names in canonical form; one that is none is an error. */
static int read_names(const json_t *tags, json_t *ret_names, struct error *err)
{
        size_t i;
        const json_t *tag;
        json_array_foreach (tags, i, tag) {
                cleanup_reference struct reference r = REFERENCE_INIT;
                const char *text = json_string_value(tag);
                int result = reference_parse(text != NULL ? text : "", &r, err);
                if (result < 0)
                        return result;
                cleanup_free char *name = reference_store_name(&r);
                if (name == NULL || json_array_append_new(ret_names, json_string(name)) < 0)
                        return error_set(err, -ENOMEM, "load: out of memory");
        }
        return 0;
}

static int load_docker_image(struct load *l, const json_t *image, struct error *err)
{
        const char *config_name;
        cleanup_free char *text = NULL, *manifest_text = NULL;
        cleanup_json json_t *config = NULL, *layers = json_array(), *names = json_array(), *manifest = NULL;
        char digest[DIGEST_TEXT_SIZE];
        size_t size;
        int r = json_get_string(image, "Config", &config_name, err);
        if (r == 0)
                r = read_names(json_object_get(image, "RepoTags"), names, err);
        if (r == 0 &&
            (r = source_read(l->source, config_name, CONFIG_SIZE_MAX, &text, &size, err)) == -ENOENT)
                r = missing(config_name, err);
        if (r == 0)
                r = json_parse(text, size, "image configuration", &config, err);
        if (r == 0)
                r = load_docker_layers(l, image, config, layers, err);
        if (r == 0)
                r = blob_put(l->store, text, size, digest, err);
        if (r < 0)
                return r;
        manifest = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType",
                             MEDIA_OCI_MANIFEST, "config", "mediaType", MEDIA_OCI_CONFIG, "digest", digest,
                             "size", (json_int_t)size, "layers", layers);
        manifest_text = manifest != NULL ? json_print(manifest, &size) : NULL;
        if (manifest_text == NULL)
                return error_set(err, -ENOMEM, "load: out of memory");
        return commit(l, manifest_text, size, names, err);
}

static int load_docker(struct load *l, const char *text, size_t size, struct error *err)
{
        cleanup_json json_t *list = NULL;
        int r = docker_archive_parse(text, size, &list, err);
        for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
                r = load_docker_image(l, json_array_get(list, i), err);
        return r < 0 ? error_wrap(err, "load docker-archive") : 0;
}

int docker_archive_parse(const char *text, size_t size, json_t **ret_list, struct error *err)
{
        cleanup_json json_t *list = NULL;
        int r = json_parse(text, size, "manifest.json", &list, err);
        if (r < 0)
                return r;
        if (!json_is_array(list) || json_array_size(list) == 0)
                return error_set(err, -EBADMSG, "manifest.json: not an array of images");
        for (size_t i = 0; i < json_array_size(list); i++) {
                if (!json_is_object(json_array_get(list, i)))
                        return error_set(err, -EBADMSG, "manifest.json: image %zu is not an object", i);
        }
        *ret_list = json_incref(list);
        return 0;
}

/* ---- OCI ---- */

static int blob_name(const char *digest, char *ret, size_t size)
{
        (void)snprintf(ret, size, "blobs/sha256/%s", digest_hex(digest)); /* the digest has been checked */
        return 0;
}

static int read_document(struct load *l, const struct descriptor *d, size_t maximum, char **ret_text,
                         size_t *ret_size, struct error *err)
{
        char name[128], digest[DIGEST_TEXT_SIZE];
        cleanup_free char *text = NULL;
        (void)blob_name(d->digest, name, sizeof(name));
        int r = source_read(l->source, name, maximum, &text, ret_size, err);
        if (r < 0)
                return r == -ENOENT ? missing(name, err) : r;
        if (digest_of(text, *ret_size, digest) < 0 || strcmp(digest, d->digest) != 0)
                return error_set(err, -EBADMSG, "'%s': wrong content, its digest is '%s'", name, digest);
        *ret_text = take_ptr(&text);
        return 0;
}

static int load_oci_blob(struct load *l, const struct descriptor *d, struct error *err)
{
        char name[128], digest[DIGEST_TEXT_SIZE];
        cleanup_fd int fd = -1;
        uint64_t offset, size;
        if (blob_exists(l->store, d->digest, d->size))
                return 0;
        (void)blob_name(d->digest, name, sizeof(name));
        int r = source_find(l->source, name, &fd, &offset, &size, err);
        if (r < 0)
                return r == -ENOENT ? missing(name, err) : r;
        if (size != (uint64_t)d->size)
                return error_set(err, -EBADMSG, "'%s': it has another size than its descriptor says", name);
        r = progress_message(l->observer, err, "loading %.12s", digest_hex(d->digest));
        return r < 0 ? r : blob_copy(l->store, fd, offset, size, d->digest, digest, err);
}

static int load_oci_image(struct load *l, const char *text, size_t size, const json_t *names,
                          struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        int r = manifest_parse(text, size, &m, err);
        if (r == 0)
                r = load_oci_blob(l, &m->config, err);
        for (size_t i = 0; r == 0 && i < m->count; i++)
                r = load_oci_blob(l, &m->layers[i].blob, err);
        return r < 0 ? r : commit(l, text, size, names, err);
}

/* From a descriptor of index.json down to an image's manifest, through indexes. */
static int load_oci_entry(struct load *l, struct descriptor d, const json_t *names, struct error *err)
{
        for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
                cleanup_free char *text = NULL;
                cleanup_json json_t *json = NULL;
                enum document kind;
                size_t size;
                int r = read_document(l, &d, MANIFEST_SIZE_MAX, &text, &size, err);
                if (r == 0)
                        r = json_parse(text, size, "manifest", &json, err);
                if (r == 0)
                        r = document_kind(json, d.media_type, &kind, err);
                if (r < 0)
                        return r;
                if (kind == DOCUMENT_MANIFEST)
                        return load_oci_image(l, text, size, names, err);
                r = index_select(json, &l->platform, &d, err);
                if (r < 0)
                        return r;
        }
        return error_set(err, -ELOOP, "indexes are nested more than %d deep", INDEX_DEPTH_MAX);
}

/* The name an OCI layout's entry carries: containerd's in full, or the ref.name if that alone can be a name.
 */
static int oci_names(const json_t *entry, json_t *names, struct error *err)
{
        const json_t *annotations = json_object_get(entry, "annotations");
        const char *full = json_string_value(json_object_get(annotations, "io.containerd.image.name"));
        const char *ref =
            json_string_value(json_object_get(annotations, "org.opencontainers.image.ref.name"));
        cleanup_json json_t *one = NULL;
        if (full == NULL && (ref == NULL || strpbrk(ref, "/:") == NULL))
                return 0; /* a bare tag ("latest") says nothing about the repository */
        one = json_pack("[s]", full != NULL ? full : ref);
        if (one == NULL)
                return error_set(err, -ENOMEM, "load: out of memory");
        if (read_names(one, names, NULL) < 0)
                (void)json_array_clear(names); /* a name of another kind: it is loaded without */
        return 0;
}

static int load_oci(struct load *l, struct error *err)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *index = NULL;
        size_t size;
        int r = source_read(l->source, "index.json", ARCHIVE_JSON_MAX, &text, &size, err);
        if (r == -ENOENT)
                return error_set(err, -EBADMSG,
                                 "load: neither manifest.json nor index.json: not an image archive; for a "
                                 "root file system use 'import'");
        if (r == 0)
                r = json_parse(text, size, "index.json", &index, err);
        const json_t *manifests = json_object_get(index, "manifests");
        if (r == 0 && json_array_size(manifests) == 0)
                r = error_set(err, -EBADMSG, "index.json: no manifests");
        for (size_t i = 0; r == 0 && i < json_array_size(manifests); i++) {
                const json_t *entry = json_array_get(manifests, i);
                cleanup_json json_t *names = json_array();
                struct descriptor d;
                r = descriptor_read(entry, MANIFEST_SIZE_MAX, &d, err);
                if (r == 0)
                        r = oci_names(entry, names, err);
                if (r == 0)
                        r = load_oci_entry(l, d, names, err);
        }
        return r < 0 ? error_wrap(err, "load OCI archive") : 0;
}

static int load_all(struct load *l, struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = source_read(l->source, "manifest.json", ARCHIVE_JSON_MAX, &text, &size, err);
        if (r == 0)
                return load_docker(l, text, size, err);
        return r == -ENOENT ? load_oci(l, err) : r;
}

int image_load(struct image_store *store, int fd, const char *path, const char *platform,
               const struct image_observer *observer, char **ret_names, struct error *err)
{
        struct load l = {.store = store, .observer = observer, .names = BUFFER_INIT(NAMES_MAX)};
        cleanup_fd int lock = -1;
        cleanup_source struct source *source = NULL;
        if ((fd < 0) == (path == NULL))
                return error_set(err, -EINVAL, "load: give either a descriptor or a folder");
        int r = store_lock_in_use(store, &lock, err);
        if (r == 0)
                r = platform_parse(platform, &l.platform, err);
        if (r == 0)
                r = path != NULL ? source_open_folder(path, &source, err)
                                 : source_open_archive(store, fd, observer, &source, err);
        l.source = source;
        if (r == 0)
                r = load_all(&l, err);
        char *names = r == 0 ? buffer_take(&l.names) : NULL;
        buffer_done(&l.names);
        close_fd(&lock);
        if (r < 0)
                (void)store_sweep(
                    store, NULL, NULL); /* nothing of it stays; if others are at work, a removal sees to it */
        if (r == 0 && names == NULL)
                r = error_set(err, -ENOMEM, "load: out of memory");
        if (r == 0)
                *ret_names = names;
        return r;
}
