/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: an image of the store with one more layer. Its configuration is the base's with the changes laid
 * over it and one more entry of history. The layer's bytes come from the caller, as a plain tar; what they
 * are is found out when the root file system is made of them, as with any layer.
 */
#include "base/cleanup.h"
#include "image/changes.h"
#include "image/find.h"
#include "image/make.h"
#include "image/prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "commit: out of memory");
}

static int put(void *data, const void *bytes, size_t size, struct error *err)
{
        return packer_add(data, bytes, size, err);
}

static int pack_layer(struct image_store *store, const struct image_commit *commit,
                      const struct image_observer *observer, struct packed *ret, struct error *err)
{
        struct packer p = {.observer = observer};
        int r = packer_init(&p, store, err);
        if (r == 0)
                r = commit->produce(put, &p, commit->data, err);
        if (r == 0)
                r = packer_finish(&p, ret, err);
        packer_done(&p);
        return r;
}

/* The member of that kind, made if it is not there or something else. */
static json_t *member(json_t *object, const char *key, json_t *(*make)(void))
{
        json_t *value = json_object_get(object, key);
        if (value != NULL && json_typeof(value) == (make == json_array ? JSON_ARRAY : JSON_OBJECT))
                return value;
        (void)json_object_set_new(object, key, make()); /* NULL below if it failed */
        return json_object_get(object, key);
}

static int set_text(json_t *object, const char *key, const char *text, struct error *err)
{
        if (text == NULL)
                return 0;
        json_t *value = json_string(text);
        if (value == NULL)
                return error_set(err, -EINVAL, "commit: %s is not UTF-8", key);
        return json_object_set_new(object, key, value) < 0 ? out_of_memory(err) : 0;
}

/* Everything of the new configuration but the layer's digest. */
static int make_config(const json_t *base, const struct image_commit *commit, json_t **ret_config,
                       struct error *err)
{
        char now[32];
        cleanup_json json_t *config = json_deep_copy(base);
        cleanup_json json_t *entry = json_object();
        int r = make_time(now, err);
        if (r < 0)
                return r;
        json_t *inner = config == NULL ? NULL : member(config, "config", json_object);
        json_t *history = config == NULL ? NULL : member(config, "history", json_array);
        if (entry == NULL || inner == NULL || history == NULL)
                return out_of_memory(err);
        (void)json_object_del(config, "container"); /* docker's: not this one's, if they are there */
        (void)json_object_del(config, "container_config");
        for (const char *const *c = commit->changes; r == 0 && c != NULL && *c != NULL; c++)
                r = changes_apply(*c, inner, err);
        if (r == 0)
                r = set_text(config, "created", now, err);
        if (r == 0)
                r = set_text(config, "author", commit->author, err);
        if (r == 0)
                r = set_text(entry, "created", now, err);
        if (r == 0)
                r = set_text(entry, "author", commit->author, err);
        if (r == 0)
                r = set_text(entry, "created_by", commit->created_by, err);
        if (r == 0)
                r = set_text(entry, "comment", commit->message, err);
        if (r < 0)
                return r;
        if (json_array_append(history, entry) < 0)
                return out_of_memory(err);
        *ret_config = json_incref(config);
        return 0;
}

/* Docker's names of layer types are none of an OCI manifest. */
static const char *oci_type(const char *type)
{
        if (strstr(type, "zstd") != NULL)
                return MEDIA_OCI_LAYER "+zstd";
        return strstr(type, "gzip") != NULL ? MEDIA_OCI_LAYER "+gzip" : MEDIA_OCI_LAYER;
}

static int make_layers(const json_t *manifest, const struct packed *packed, json_t **ret_layers,
                       struct error *err)
{
        cleanup_json json_t *layers = json_deep_copy(json_object_get(manifest, "layers"));
        json_t *layer;
        size_t i;
        json_array_foreach (layers, i, layer) {
                const char *type = json_string_value(json_object_get(layer, "mediaType"));
                if (type == NULL || json_object_set_new(layer, "mediaType", json_string(oci_type(type))) < 0)
                        return error_set(err, -EBADMSG, "commit: the image's manifest is damaged");
        }
        if (layers == NULL || json_array_append_new(layers, make_layer(packed)) < 0)
                return out_of_memory(err);
        *ret_layers = json_incref(layers);
        return 0;
}

static int commit_locked(struct image_store *store, const struct image_commit *commit, const char *name,
                         const struct image_observer *observer, char ret_id[DIGEST_TEXT_SIZE],
                         struct error *err)
{
        cleanup_image struct image *base = NULL;
        cleanup_json json_t *config = NULL, *layers = NULL;
        struct packed packed;
        int r = image_find(store, commit->base, &base, err);
        if (r == 0)
                r = make_config(base->config, commit, &config, err); /* mistakes are told before the work */
        if (r == 0)
                r = pack_layer(store, commit, observer, &packed, err);
        if (r == 0)
                r = make_layers(base->manifest, &packed, &layers, err);
        if (r < 0)
                return r;
        json_t *diff_ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
        if (json_array_append_new(diff_ids, json_string(packed.diff_id)) < 0)
                return error_set(err, -EBADMSG, "commit: the image's configuration is damaged");
        return make_image(store, config, layers, name, observer, ret_id, err);
}

int image_commit(struct image_store *store, const struct image_commit *commit,
                 const struct image_observer *observer, char **ret_id, struct error *err)
{
        struct error problem = ERROR_INIT; /* never NULL below */
        cleanup_free char *name = NULL;
        cleanup_fd int lock = -1;
        char id[DIGEST_TEXT_SIZE];
        int r = make_name(commit->reference, &name, &problem);
        if (r == 0)
                r = store_lock_in_use(store, &lock, &problem);
        if (r == 0)
                r = commit_locked(store, commit, name, observer, id, &problem);
        close_fd(&lock);
        if (r < 0) {
                (void)store_sweep(
                    store, NULL, NULL); /* nothing of it stays; if others are at work, a removal sees to it */
                return error_set(err, r, "%s", problem.text);
        }
        *ret_id = strdup(id);
        return *ret_id == NULL ? out_of_memory(err) : 0;
}
