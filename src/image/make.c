/* SPDX-License-Identifier: Apache-2.0 */
/* From layers and a configuration to an image of the store: what import and commit end with. */
#include "image/make.h"

#include "base/cleanup.h"
#include "image/find.h"
#include "image/reference.h"
#include "image/rootfs_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "make an image: out of memory");
}

json_t *make_layer(const struct packed *packed)
{
        return json_pack("{s:s, s:s, s:I}", "mediaType", MEDIA_OCI_LAYER "+zstd", "digest", packed->digest,
                         "size", (json_int_t)packed->size);
}

static int put_json(struct image_store *store, const json_t *json, char ret_digest[DIGEST_TEXT_SIZE],
                    size_t *ret_size, struct error *err)
{
        cleanup_free char *text = json == NULL ? NULL : json_print(json, ret_size);
        return text == NULL ? out_of_memory(err) : blob_put(store, text, *ret_size, ret_digest, err);
}

int make_image(struct image_store *store, const json_t *config, json_t *layers, const char *name,
               const struct image_observer *observer, char ret_id[DIGEST_TEXT_SIZE], struct error *err)
{
        struct index_entry entry = {.name = name};
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *json = NULL, *stored = NULL;
        size_t size;
        int r = put_json(store, config, ret_id, &size, err);
        if (r < 0)
                return r;
        json = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType",
                         MEDIA_OCI_MANIFEST, "config", "mediaType", MEDIA_OCI_CONFIG, "digest", ret_id,
                         "size", (json_int_t)size, "layers", layers);
        r = put_json(store, json, entry.manifest.digest, &size, err);
        if (r == 0)
                r = manifest_load(store, entry.manifest.digest, &m, err);
        if (r == 0)
                r = config_load(store, m, &stored, err);
        if (r == 0)
                r = rootfs_ensure(store, m, observer, err);
        if (r < 0)
                return r;
        entry.manifest.size = (int64_t)size;
        (void)strcpy(entry.manifest.media_type, MEDIA_OCI_MANIFEST); /* fits */
        return index_add(store, &entry, err);
}

int make_time(char ret_text[32], struct error *err)
{
        time_t seconds = time(NULL);
        struct tm tm;
        if (gmtime_r(&seconds, &tm) == NULL || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return error_set(err, -EINVAL, "make an image: the clock is wrong");
        return 0;
}

int make_name(const char *reference, char **ret_name, struct error *err)
{
        cleanup_reference struct reference parsed = REFERENCE_INIT;
        *ret_name = NULL;
        if (reference == NULL)
                return 0;
        int r = reference_parse(reference, &parsed, err);
        if (r == 0 && parsed.digest != NULL)
                return error_set(err, -EINVAL, "the name '%s' has a digest, which cannot be chosen",
                                 reference);
        if (r == 0 && (*ret_name = reference_store_name(&parsed)) == NULL)
                return out_of_memory(err);
        return r;
}
