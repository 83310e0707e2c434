/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.json, the table of contents. One descriptor a name, the name in the annotation that other tools read
 * (org.opencontainers.image.ref.name); an image that lost its last name keeps one descriptor without it. What
 * other tools wrote there is kept, also what is no image for us.
 */
#include "image/index.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define REF_NAME      "org.opencontainers.image.ref.name"
#define REMOTE_DIGEST "boxlet.remote.digest"
#define REMOTE_NAME   "boxlet.remote.name"

int index_read(struct image_store *store, json_t **ret_index, struct error *err)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *index = NULL;
        size_t size;
        int r = path_read_at(store->fd, "index.json", INDEX_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                index = json_pack("{s:i, s:[]}", "schemaVersion", 2, "manifests");
        else if (r < 0)
                return error_errno(err, r, "read the image store's index.json");
        else if ((r = json_parse(text, size, "the image store's index.json", &index, err)) < 0)
                return r;
        if (index == NULL)
                return error_set(err, -ENOMEM, "read the image store's index.json: out of memory");
        if (!json_is_array(json_object_get(index, "manifests")))
                return error_set(err, -EBADMSG,
                                 "read the image store's index.json: 'manifests' is not an array");
        *ret_index = json_incref(index);
        return 0;
}

static const char *annotation(const json_t *descriptor, const char *key)
{
        const char *text =
            json_string_value(json_object_get(json_object_get(descriptor, "annotations"), key));
        return text != NULL ? text : "";
}

void index_entry_read(const json_t *json, struct index_entry *ret)
{
        struct index_entry entry = {.name = annotation(json, REF_NAME),
                                    .remote_digest = annotation(json, REMOTE_DIGEST),
                                    .remote_name = annotation(json, REMOTE_NAME)};
        const char *type;
        if (descriptor_read(json, MANIFEST_SIZE_MAX, &entry.manifest, NULL) < 0)
                entry.manifest.digest[0] = '\0';
        type = entry.manifest.media_type;
        if (strcmp(type, MEDIA_OCI_MANIFEST) != 0 && strcmp(type, MEDIA_DOCKER_MANIFEST) != 0)
                entry.manifest.digest[0] = '\0';
        *ret = entry;
}

int index_entry_at(const json_t *index, size_t i, struct index_entry *ret)
{
        const json_t *json = json_array_get(json_object_get(index, "manifests"), i);
        if (json == NULL)
                return -ENOENT;
        index_entry_read(json, ret);
        return 0;
}

static int write_index(struct image_store *store, const json_t *index, struct error *err)
{
        size_t size;
        cleanup_free char *text = json_print(index, &size);
        if (text == NULL)
                return error_set(err, -ENOMEM, "write the image store's index.json: out of memory");
        int r = path_write_atomic_at(store->fd, "index.json", text, size, 0644);
        return r < 0 ? error_errno(err, r, "write the image store's index.json") : 0;
}

/* What a crash left beside index.json; whoever holds the index lock is the only one to write there. */
static void remove_leftovers(struct image_store *store)
{
        int fd = openat(store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        if (dir == NULL) {
                close_fd(&fd);
                return; /* the next edit tries again */
        }
        while ((entry = readdir(dir)) != NULL) {
                if (strncmp(entry->d_name, "index.json.", 11) == 0)
                        (void)unlinkat(store->fd, entry->d_name, 0); /* as above */
        }
}

int index_edit(struct image_store *store, index_edit_fn fn, void *data, struct error *err)
{
        cleanup_fd int lock = -1;
        cleanup_json json_t *index = NULL;
        int r = store_lock_index(store, &lock, err);
        if (r == 0)
                r = index_read(store, &index, err);
        if (r == 0)
                r = fn(json_object_get(index, "manifests"), data, err);
        if (r == 0)
                remove_leftovers(store);
        return r != 0 ? r : write_index(store, index, err);
}

void index_entry_unname(json_t *manifests, size_t i)
{
        json_t *json = json_array_get(manifests, i);
        struct index_entry entry, other;
        index_entry_read(json, &entry);
        for (size_t k = 0; k < json_array_size(manifests); k++) {
                index_entry_read(json_array_get(manifests, k), &other);
                if (k != i && strcmp(other.manifest.digest, entry.manifest.digest) == 0) {
                        (void)json_array_remove(manifests, i); /* i is valid */
                        return;
                }
        }
        (void)json_object_del(json_object_get(json, "annotations"), REF_NAME); /* missing is as good */
}

/* Sets a member of the annotations, or takes it out if text is NULL or empty. */
static int annotate(json_t *annotations, const char *key, const char *text)
{
        if (text == NULL || *text == '\0')
                return 0;
        return json_object_set_new(annotations, key, json_string(text));
}

static json_t *make_entry(const struct index_entry *entry)
{
        json_t *json = json_pack("{s:s, s:s, s:I}", "mediaType", entry->manifest.media_type, "digest",
                                 entry->manifest.digest, "size", (json_int_t)entry->manifest.size);
        json_t *annotations = json_object();
        if (json == NULL || annotations == NULL || annotate(annotations, REF_NAME, entry->name) < 0 ||
            annotate(annotations, REMOTE_DIGEST, entry->remote_digest) < 0 ||
            annotate(annotations, REMOTE_NAME, entry->remote_name) < 0) {
                json_decref(json);
                json_decref(annotations);
                return NULL;
        }
        if (json_object_set_new(json, "annotations", annotations) < 0) {
                json_decref(json);
                return NULL;
        }
        return json;
}

static bool has_name(const struct index_entry *entry)
{
        return entry->name != NULL && *entry->name != '\0';
}

int index_put(json_t *manifests, const struct index_entry *entry, struct error *err)
{
        struct index_entry other;
        for (size_t i = json_array_size(manifests); i-- > 0;) {
                index_entry_read(json_array_get(manifests, i), &other);
                bool same = strcmp(other.manifest.digest, entry->manifest.digest) == 0;
                if (has_name(entry) && strcmp(other.name, entry->name) == 0) {
                        if (same)
                                (void)json_array_remove(manifests, i); /* i is valid here and below */
                        else
                                index_entry_unname(manifests, i);
                } else if (same && *other.name == '\0') {
                        (void)json_array_remove(manifests, i);
                } else if (same && !has_name(entry)) {
                        return 0; /* it is there under a name: nothing to add */
                }
        }
        if (json_array_append_new(manifests, make_entry(entry)) < 0)
                return error_set(err, -ENOMEM, "add to the image store's index.json: out of memory");
        return 0;
}

static int add(json_t *manifests, void *data, struct error *err)
{
        return index_put(manifests, data, err);
}

int index_add(struct image_store *store, const struct index_entry *entry, struct error *err)
{
        return index_edit(store, add, (void *)entry, err);
}
