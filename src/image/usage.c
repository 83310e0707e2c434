/* SPDX-License-Identifier: Apache-2.0 */
/* What the store takes on the disk: every file once, however many images share it. Other processes may add
 * and remove meanwhile: the sums are of one moment or another. */
#include "base/cleanup.h"
#include "image/find.h"
#include "image/prune.h"

#include <errno.h>
#include <string.h>

struct sums {
        const json_t *used;
        struct image_usage usage;
};

static int add_one(int dir_fd, const char *name, uint64_t size_bytes, void *data)
{
        struct sums *s = data;
        (void)dir_fd;
        s->usage.total_bytes += size_bytes;
        s->usage.used_bytes += json_object_get(s->used, name) != NULL ? size_bytes : 0;
        return 0;
}

/* The entries of the index whose image is in use; ids and used are sets of ids. */
static int pick(struct image_store *store, const json_t *index, image_in_use_fn in_use, void *data,
                json_t *ids, json_t *used, json_t *entries)
{
        struct index_entry entry;
        for (size_t i = 0; index_entry_at(index, i, &entry) == 0; i++) {
                cleanup_manifest struct manifest *m = NULL;
                if (entry.manifest.digest[0] == '\0')
                        continue; /* no image of ours */
                int r = manifest_load(store, entry.manifest.digest, &m, NULL);
                if (r < 0 && !document_is_bad(r))
                        return r;
                if (r < 0)
                        continue;
                if (json_object_set_new(ids, m->config.digest, json_true()) < 0)
                        return -ENOMEM;
                r = in_use(m->config.digest, data);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (json_object_set_new(used, m->config.digest, json_true()) < 0 ||
                    json_array_append(entries, json_array_get(json_object_get(index, "manifests"), i)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int image_usage(struct image_store *store, image_in_use_fn in_use, void *data, struct image_usage *ret_usage,
                struct error *err)
{
        cleanup_json json_t *index = NULL, *keep = json_object(), *ids = json_object(), *used = json_object();
        json_t *entries = json_array();
        cleanup_json json_t *part = json_pack("{s:o}", "manifests", entries);
        struct sums sums = {.used = keep};
        int r = index_read(store, &index, err);
        if (r < 0)
                return r;
        r = keep == NULL || ids == NULL || used == NULL || part == NULL
                ? -ENOMEM
                : pick(store, index, in_use, data, ids, used, entries);
        if (r == 0)
                r = store_mark(store, part, keep);
        if (r == 0)
                r = store_visit(store, add_one, &sums);
        if (r < 0)
                return error_errno(err, r, "count what images take");
        sums.usage.images = json_object_size(ids);
        sums.usage.used_images = json_object_size(used);
        *ret_usage = sums.usage;
        return 0;
}
