/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of images: given, taken away, and the image with the last one. All decisions are made inside one edit
 * of the index; what then nothing refers to is swept at once, or, while others are at work, by a later
 * removal.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "image/find.h"
#include "image/prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_MAX (16U << 20)

struct removal {
        struct image_store *store;
        const char *name;
        bool force, all;
        image_in_use_fn in_use;
        void *data;
        struct buffer report;
};

/* ---- tag ---- */

struct tagging {
        struct image_store *store;
        const char *source, *target;
};

static json_t *as_index(json_t *manifests)
{
        return json_pack("{s:O}", "manifests", manifests);
}

static int tag(json_t *manifests, void *data, struct error *err)
{
        const struct tagging *t = data;
        cleanup_json json_t *index = as_index(manifests);
        struct index_entry entry;
        bool by_id;
        if (index == NULL)
                return error_set(err, -ENOMEM, "tag: out of memory");
        int r = index_find(t->store, index, t->source, &entry, &by_id, err);
        if (r < 0)
                return r;
        /* index_put() may take away what the entry's texts are lent by */
        cleanup_free char *digest = strdup(entry.remote_digest), *name = strdup(entry.remote_name);
        entry.name = t->target;
        entry.remote_digest = digest;
        entry.remote_name = name;
        if (digest == NULL || name == NULL)
                return error_set(err, -ENOMEM, "tag: out of memory");
        return index_put(manifests, &entry, err);
}

int image_tag(struct image_store *store, const char *source, const char *target, struct error *err)
{
        cleanup_reference struct reference reference = REFERENCE_INIT;
        int r = reference_parse(target, &reference, err);
        if (r < 0)
                return r;
        if (reference.digest != NULL)
                return error_set(err, -EINVAL, "tag '%s': a name with a digest cannot be given", target);
        cleanup_free char *name = reference_store_name(&reference);
        if (name == NULL)
                return error_set(err, -ENOMEM, "tag '%s': out of memory", target);
        struct tagging t = {.store = store, .source = source, .target = name};
        return index_edit(store, tag, &t, err);
}

/* ---- remove ---- */

/* The image id of an entry, "" if it is damaged, or no image of ours. */
static int entry_id(struct image_store *store, const struct index_entry *entry, char ret_id[DIGEST_TEXT_SIZE],
                    struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        ret_id[0] = '\0';
        if (entry->manifest.digest[0] == '\0')
                return 0;
        int r = manifest_load(store, entry->manifest.digest, &m, err);
        if (r == 0)
                memcpy(ret_id, m->config.digest, DIGEST_TEXT_SIZE);
        if (r == 0 || document_is_bad(r))
                return 0;
        return error_wrap(err, "image '%s'", *entry->name != '\0' ? entry->name : entry->manifest.digest);
}

/* 1 if it has, 0, or -errno. */
static int has_id(struct removal *v, const json_t *manifests, size_t i, const char *id,
                  struct index_entry *ret, struct error *err)
{
        char other[DIGEST_TEXT_SIZE];
        index_entry_read(json_array_get(manifests, i), ret);
        int r = entry_id(v->store, ret, other, err);
        return r < 0 ? r : strcmp(other, id) == 0;
}

/* How many names an image id has. */
static int count_names(struct removal *v, const json_t *manifests, const char *id, size_t *ret_names,
                       struct error *err)
{
        size_t names = 0;
        struct index_entry entry;
        for (size_t i = 0; i < json_array_size(manifests); i++) {
                int r = has_id(v, manifests, i, id, &entry, err);
                if (r < 0)
                        return r;
                names += r > 0 && *entry.name != '\0';
        }
        *ret_names = names;
        return 0;
}

static int report(struct removal *v, const char *what, const char *text, struct error *err)
{
        int r = buffer_printf(&v->report, "%s: %s\n", what, text);
        return r < 0 ? error_errno(err, r, "remove an image") : 0;
}

/* Takes every entry of the image out. */
static int remove_image(struct removal *v, json_t *manifests, const char *id, struct error *err)
{
        struct index_entry entry;
        for (size_t i = json_array_size(manifests); i-- > 0;) {
                int r = has_id(v, manifests, i, id, &entry, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                r = *entry.name != '\0' ? report(v, "Untagged", reference_familiar(entry.name), err) : 0;
                if (r < 0)
                        return r;
                (void)json_array_remove(manifests, i); /* i is valid */
        }
        return report(v, "Deleted", id, err);
}

static int remove_name(struct removal *v, json_t *manifests, const char *name, struct error *err)
{
        struct index_entry entry;
        for (size_t i = 0; i < json_array_size(manifests); i++) {
                index_entry_read(json_array_get(manifests, i), &entry);
                if (strcmp(entry.name, name) != 0)
                        continue;
                int r = report(v, "Untagged", reference_familiar(name), err);
                (void)json_array_remove(manifests, i); /* i is valid */
                return r;
        }
        return error_set(err, -ENOENT, "remove image '%s': it is not in the store", v->name);
}

static int remove_damaged(struct removal *v, json_t *manifests, const struct index_entry *entry,
                          struct error *err)
{
        cleanup_free char *name = strdup(entry->name);
        char digest[DIGEST_TEXT_SIZE];
        memcpy(digest, entry->manifest.digest, sizeof(digest));
        if (name == NULL)
                return error_set(err, -ENOMEM, "remove image '%s': out of memory", v->name);
        int r = remove_name(v, manifests, name, err);
        return r < 0 ? r : report(v, "Deleted", digest, err);
}

/* 1, 0, or -errno. */
static int is_in_use(struct removal *v, const char *id, struct error *err)
{
        int r = v->in_use == NULL ? 0 : v->in_use(id, v->data);
        return r < 0 ? error_errno(err, r, "look for users of image '%s'", id) : r;
}

static int remove_one(json_t *manifests, void *data, struct error *err)
{
        struct removal *v = data;
        cleanup_json json_t *index = as_index(manifests);
        struct index_entry entry;
        char id[DIGEST_TEXT_SIZE];
        bool by_id;
        size_t names;
        if (index == NULL)
                return error_set(err, -ENOMEM, "remove image '%s': out of memory", v->name);
        int r = index_find(v->store, index, v->name, &entry, &by_id, err);
        if (r < 0)
                return r;
        r = entry_id(v->store, &entry, id, err);
        if ((r < 0 && v->force) || (r == 0 && id[0] == '\0'))
                return remove_damaged(v, manifests, &entry, err);
        if (r == 0)
                r = count_names(v, manifests, id, &names, err);
        if (r < 0)
                return r;
        if (by_id && names > 1 && !v->force)
                return error_set(err, -EEXIST,
                                 "remove image '%s': it has %zu names; remove them one by one, or use force",
                                 v->name, names);
        if (!by_id && names > 1) {
                cleanup_free char *name = strdup(entry.name);
                return name == NULL ? error_set(err, -ENOMEM, "remove image '%s': out of memory", v->name)
                                    : remove_name(v, manifests, name, err);
        }
        r = v->force ? 0 : is_in_use(v, id, err);
        if (r < 0)
                return r;
        if (r > 0)
                return error_set(err, -EBUSY,
                                 "remove image '%s': a box uses it; remove the box first, or use force",
                                 v->name);
        return remove_image(v, manifests, id, err);
}

static int take_report(struct removal *v, int r, char **ret_report, struct error *err)
{
        char *text = r == 0 ? buffer_take(&v->report) : NULL;
        buffer_done(&v->report);
        if (r < 0)
                return r;
        if (text == NULL)
                return error_set(err, -ENOMEM, "remove images: out of memory");
        *ret_report = text;
        return 0;
}

int image_remove(struct image_store *store, const char *name, bool force, image_in_use_fn in_use, void *data,
                 char **ret_report, struct error *err)
{
        struct removal v = {.store = store,
                            .name = name,
                            .force = force,
                            .in_use = in_use,
                            .data = data,
                            .report = BUFFER_INIT(REPORT_MAX)};
        int r = index_edit(store, remove_one, &v, err);
        if (r == 0 && (r = store_sweep(store, NULL, err)) == -EAGAIN)
                r = 0; /* somebody pulls: the next removal frees the space */
        return take_report(&v, r, ret_report, err);
}

/* ---- prune ---- */

static int prune(json_t *manifests, void *data, struct error *err)
{
        struct removal *v = data;
        struct index_entry entry;
        char id[DIGEST_TEXT_SIZE];
        for (size_t i = json_array_size(manifests); i-- > 0;) {
                if (i >= json_array_size(manifests))
                        continue; /* several entries of one image have gone at once */
                index_entry_read(json_array_get(manifests, i), &entry);
                size_t names = 0;
                int r = entry_id(v->store, &entry, id, err);
                if (r < 0)
                        return r;
                if (id[0] == '\0' || (!v->all && *entry.name != '\0'))
                        continue;
                r = is_in_use(v, id, err);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (!v->all)
                        r = count_names(v, manifests, id, &names, err);
                if (r == 0 && names == 0)
                        r = remove_image(v, manifests, id, err);
                else if (r == 0)
                        (void)json_array_remove(manifests, i); /* nameless, the same under a name elsewhere */
                if (r < 0)
                        return r;
        }
        return 0;
}

int image_prune(struct image_store *store, bool all, image_in_use_fn in_use, void *data, uint64_t *ret_freed,
                char **ret_report, struct error *err)
{
        struct removal v = {
            .store = store, .all = all, .in_use = in_use, .data = data, .report = BUFFER_INIT(REPORT_MAX)};
        uint64_t freed = 0;
        int r = index_edit(store, prune, &v, err);
        if (r == 0 && (r = store_sweep(store, &freed, err)) == -EAGAIN)
                r = report(&v, "Not freed yet", "another process pulls or loads; prune again later", err);
        r = take_report(&v, r, ret_report, err);
        if (r == 0)
                *ret_freed = freed;
        return r;
}
