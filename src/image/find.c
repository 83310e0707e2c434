/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From names and ids to images of the store. Reading takes no lock: index.json is replaced in one step, and a
 * manifest that disappears between the index and its reading means that the image was removed just now.
 */
#include "image/find.h"

#include "base/cleanup.h"
#include "image/blob.h"
#include "image/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID_PREFIX_MIN 4

void image_free(struct image *image)
{
        if (image == NULL)
                return;
        free(image->reference);
        free(image->id);
        free(image->digest);
        json_decref(image->config);
        json_decref(image->manifest);
        free(image);
}

void image_list_free(struct image **images)
{
        if (images == NULL)
                return;
        for (struct image **i = images; *i != NULL; i++)
                image_free(*i);
        free(images);
}

int manifest_load(struct image_store *store, const char *digest, struct manifest **ret_manifest,
                  struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = blob_read(store, digest, MANIFEST_SIZE_MAX, &text, &size, err);
        return r < 0 ? r : manifest_parse(text, size, ret_manifest, err);
}

bool document_is_bad(int r)
{
        switch (r) {
        case -ENOENT:
        case -EBADMSG:
        case -EFBIG:
        case -EINVAL:
        case -EISDIR:
        case -ENOEXEC:
        case -EPROTONOSUPPORT:
                return true;
        default:
                return false;
        }
}

int config_load(struct image_store *store, struct manifest *m, json_t **ret_config, struct error *err)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *config = NULL;
        size_t size;
        int r = blob_read(store, m->config.digest, CONFIG_SIZE_MAX, &text, &size, err);
        if (r == 0)
                r = json_parse(text, size, "image configuration", &config, err);
        if (r == 0)
                r = manifest_check_config(m, config, NULL, err);
        if (r < 0)
                return r;
        *ret_config = json_incref(config);
        return 0;
}

/* RFC 3339 to seconds since 1970; 0 if it is no time. The fraction does not matter; an offset does. */
static int64_t read_time(const char *text)
{
        struct tm tm = {0};
        int hours = 0, minutes = 0;
        char sign = '+';
        const char *p = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
        if (p == NULL)
                return 0;
        if (*p == '.')
                p += 1 + strspn(p + 1, "0123456789");
        if (*p == '+' || *p == '-') {
                sign = *p;
                if (sscanf(p + 1, "%2d:%2d", &hours, &minutes) != 2)
                        return 0;
        }
        int64_t offset = hours * 3600 + minutes * 60;
        int64_t time = (int64_t)timegm(&tm) - (sign == '-' ? -offset : offset);
        return time > 0 ? time : 0;
}

int image_open_entry(struct image_store *store, const struct index_entry *entry, struct image **ret_image,
                     struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_image struct image *image = calloc(1, sizeof(*image));
        if (image == NULL)
                return error_set(err, -ENOMEM, "read an image: out of memory");
        int r = manifest_load(store, entry->manifest.digest, &m, err);
        if (r == 0)
                r = config_load(store, m, &image->config, err);
        if (r < 0)
                return r;
        image->reference = strdup(entry->name);
        image->id = strdup(m->config.digest);
        image->digest = strdup(entry->manifest.digest);
        if (image->reference == NULL || image->id == NULL || image->digest == NULL)
                return error_set(err, -ENOMEM, "read an image: out of memory");
        image->manifest = json_incref(m->json);
        image->created = read_time(json_string_value(json_object_get(image->config, "created")));
        for (size_t i = 0; i < m->count; i++)
                image->size_bytes += (uint64_t)m->layers[i].blob.size; /* at most 512 times 1 TiB */
        *ret_image = take_ptr(&image);
        return 0;
}

/* The hexadecimal prefix that name may be, without "sha256:"; NULL if it is none. */
static const char *id_prefix(const char *name)
{
        if (strncmp(name, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) == 0)
                name += sizeof(DIGEST_PREFIX) - 1;
        size_t length = strlen(name);
        bool hex = length >= ID_PREFIX_MIN && length <= DIGEST_HEX_SIZE &&
                   strspn(name, "0123456789abcdef") == length;
        return hex ? name : NULL;
}

static bool matches_reference(const struct index_entry *entry, const struct reference *r, const char *name,
                              const char *repository)
{
        if (strcmp(entry->name, name) == 0)
                return true;
        if (r->digest == NULL)
                return false;
        size_t length = strlen(repository);
        bool same_repository =
            strcmp(entry->remote_name, repository) == 0 ||
            (strncmp(entry->name, repository, length) == 0 && strchr(":@", entry->name[length]) != NULL);
        return same_repository && (strcmp(entry->manifest.digest, r->digest) == 0 ||
                                   strcmp(entry->remote_digest, r->digest) == 0);
}

int index_find_reference(const json_t *index, const struct reference *r, struct index_entry *ret,
                         struct error *err)
{
        cleanup_free char *name = reference_store_name(r);
        cleanup_free char *repository = NULL;
        if (name == NULL || asprintf(&repository, "%s/%s", r->domain, r->path) < 0)
                return error_set(err, -ENOMEM, "find an image: out of memory");
        struct index_entry entry;
        for (size_t i = 0; index_entry_at(index, i, &entry) == 0; i++) {
                if (entry.manifest.digest[0] != '\0' && matches_reference(&entry, r, name, repository)) {
                        *ret = entry;
                        return 0;
                }
        }
        return -ENOENT;
}

/* By prefix of the manifest's digest or of the id. Every entry of the image found is equally good. */
static int find_id(struct image_store *store, const json_t *index, const char *name, const char *prefix,
                   struct index_entry *ret, struct error *err)
{
        struct index_entry entry;
        char found[DIGEST_TEXT_SIZE] = "";
        size_t length = strlen(prefix);
        for (size_t i = 0; index_entry_at(index, i, &entry) == 0; i++) {
                cleanup_manifest struct manifest *m = NULL;
                if (entry.manifest.digest[0] == '\0')
                        continue;
                int r = manifest_load(store, entry.manifest.digest, &m, err);
                if (r < 0 && !document_is_bad(r)) /* it may be the one */
                        return error_wrap(err, "find image '%s'", name);
                if (r < 0)
                        continue; /* damaged: it can be found by its name, and then says why */
                if (strncmp(digest_hex(m->config.digest), prefix, length) != 0 &&
                    strncmp(digest_hex(entry.manifest.digest), prefix, length) != 0)
                        continue;
                if (found[0] != '\0' && strcmp(found, m->config.digest) != 0)
                        return error_set(err, -ENOTUNIQ,
                                         "find image '%s': several images' ids begin so; give more digits",
                                         name);
                if (found[0] == '\0')
                        *ret = entry;
                memcpy(found, m->config.digest, sizeof(found));
        }
        return found[0] != '\0' ? 0 : -ENOENT;
}

int index_find(struct image_store *store, const json_t *index, const char *name, struct index_entry *ret,
               bool *ret_by_id, struct error *err)
{
        cleanup_reference struct reference reference = REFERENCE_INIT;
        const char *prefix = id_prefix(name);
        struct error form = ERROR_INIT;
        int r = -ENOENT;
        int parsed = reference_parse(name, &reference, &form);
        if (parsed == 0)
                r = index_find_reference(index, &reference, ret, err);
        *ret_by_id = false;
        if (r == -ENOENT && prefix != NULL) {
                r = find_id(store, index, name, prefix, ret, err);
                *ret_by_id = r == 0;
        }
        if (r == -ENOENT && parsed < 0 && prefix == NULL)
                return error_set(err, parsed, "%s", form.text);
        if (r == -ENOENT)
                return error_set(err, -ENOENT, "find image '%s': it is not in the store; pull it first",
                                 name);
        return r;
}

int image_find(struct image_store *store, const char *name, struct image **ret_image, struct error *err)
{
        cleanup_json json_t *index = NULL;
        struct index_entry entry;
        bool by_id;
        int r = index_read(store, &index, err);
        if (r == 0)
                r = index_find(store, index, name, &entry, &by_id, err);
        if (r < 0)
                return r;
        r = image_open_entry(store, &entry, ret_image, err);
        return r < 0 ? error_wrap(err, "image '%s'", name) : 0;
}

int image_list(struct image_store *store, struct image ***ret_images, struct error *err)
{
        cleanup_json json_t *index = NULL;
        struct index_entry entry;
        size_t count = 0;
        int r = index_read(store, &index, err);
        if (r < 0)
                return r;
        struct image **images =
            calloc(json_array_size(json_object_get(index, "manifests")) + 1, sizeof(*images));
        if (images == NULL)
                return error_set(err, -ENOMEM, "list the images: out of memory");
        for (size_t i = 0; index_entry_at(index, i, &entry) == 0; i++) {
                if (entry.manifest.digest[0] == '\0')
                        continue;
                r = image_open_entry(store, &entry, &images[count], err);
                if (r == 0)
                        count++;
                else if (!document_is_bad(r))
                        break;
                r = 0; /* one that is damaged, or removed this moment, does not hide the others */
        }
        if (r < 0) {
                image_list_free(images);
                return error_wrap(err, "image '%s'",
                                  entry.name[0] != '\0' ? entry.name : entry.manifest.digest);
        }
        *ret_images = images;
        return 0;
}
