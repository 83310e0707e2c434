/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting what nothing refers to. Marking starts at index.json and follows every descriptor of every
 * document it can read, also of documents that are no image of ours, so that what other tools put into the
 * layout stays. It happens under the sweeping lock and the index lock: nobody is adding blobs, and no name
 * comes or goes. A document that cannot be read now ends it: what that one needs is not known.
 */
#include "image/prune.h"

#include "base/cleanup.h"
#include "image/blob.h"
#include "image/find.h"
#include "image/rootfs_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MARKS_MAX 1000000

/* Names of files to keep: "<hex>" in blobs, "<hex>.erofs" in rootfs; an object used as a set. */
static int mark(json_t *keep, const char *name)
{
        if (json_object_size(keep) >= MARKS_MAX)
                return -E2BIG;
        return json_object_set_new(keep, name, json_true()) < 0 ? -ENOMEM : 0;
}

/* Marks the descriptor's blob; 1 if it was not marked before. */
static int mark_descriptor(json_t *keep, const json_t *descriptor)
{
        const char *digest = json_string_value(json_object_get(descriptor, "digest"));
        if (digest == NULL || !digest_valid(digest) || json_object_get(keep, digest_hex(digest)) != NULL)
                return 0;
        int r = mark(keep, digest_hex(digest));
        return r < 0 ? r : 1;
}

/* A document's own descriptors; those of further documents are added to todo. */
static int mark_document(json_t *keep, json_t *todo, const json_t *document)
{
        static const char *const lists[] = {"manifests", "layers"};
        int r = mark_descriptor(keep, json_object_get(document, "config"));
        for (size_t l = 0; r >= 0 && l < sizeof(lists) / sizeof(lists[0]); l++) {
                const json_t *list = json_object_get(document, lists[l]);
                for (size_t i = 0; r >= 0 && i < json_array_size(list); i++) {
                        const json_t *descriptor = json_array_get(list, i);
                        r = mark_descriptor(keep, descriptor);
                        if (r > 0 && l == 0 &&
                            json_array_append(todo, json_object_get(descriptor, "digest")) < 0)
                                r = -ENOMEM;
                }
        }
        return r < 0 ? r : 0;
}

static int mark_rootfs(struct image_store *store, json_t *keep, const char *digest)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *config = NULL;
        char name[NAME_MAX + 1];
        int r = manifest_load(store, digest, &m, NULL);
        if (r == 0)
                r = config_load(store, m, &config, NULL);
        if (r == 0)
                r = rootfs_file_name(m, name);
        if (r < 0)
                return document_is_bad(r) ? 0
                                          : r; /* no image of ours, or damaged: no root file system to keep */
        return mark(keep, name);
}

int store_mark(struct image_store *store, const json_t *index, json_t *keep)
{
        cleanup_json json_t *todo = json_array();
        int r = todo == NULL ? -ENOMEM : mark_document(keep, todo, index);
        while (r >= 0 && json_array_size(todo) > 0) {
                cleanup_json json_t *document = NULL;
                cleanup_free char *text = NULL;
                size_t size, last = json_array_size(todo) - 1;
                cleanup_json json_t *digest = json_incref(json_array_get(todo, last));
                (void)json_array_remove(todo, last); /* last is valid */
                r = blob_read(store, json_string_value(digest), MANIFEST_SIZE_MAX, &text, &size, NULL);
                if (r == 0)
                        r = json_parse(text, size, "document", &document, NULL);
                if (r < 0 && document_is_bad(r)) {
                        r = 0; /* no document, or damaged: nothing to follow */
                        continue;
                }
                if (r == 0)
                        r = mark_document(keep, todo, document);
                if (r >= 0)
                        r = mark_rootfs(store, keep, json_string_value(digest));
        }
        return r;
}

/* Whether a file's name is one that we give: 64 digits and the suffix. */
static bool is_ours(const char *name, const char *suffix)
{
        return strspn(name, "0123456789abcdef") == DIGEST_HEX_SIZE &&
               strcmp(name + DIGEST_HEX_SIZE, suffix) == 0;
}

static int visit(int dir_fd, const char *suffix, store_visit_fn fn, void *data)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        struct stat st;
        if (dir == NULL) {
                int r = -errno;
                close_fd(&fd);
                return r;
        }
        while ((errno = 0, entry = readdir(dir)) != NULL) {
                const char *name = entry->d_name;
                if (!is_ours(name, suffix))
                        continue;
                if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT)
                                continue; /* removed this moment */
                        return -errno;
                }
                int r = fn(dir_fd, name, (uint64_t)st.st_blocks * 512, data);
                if (r < 0)
                        return r;
        }
        return -errno;
}

int store_visit(struct image_store *store, store_visit_fn fn, void *data)
{
        int r = visit(store->blobs_fd, "", fn, data);
        return r < 0 ? r : visit(store->rootfs_fd, ".erofs", fn, data);
}

struct sweeping {
        const json_t *keep;
        uint64_t freed;
};

static int sweep_one(int dir_fd, const char *name, uint64_t size_bytes, void *data)
{
        struct sweeping *s = data;
        if (json_object_get(s->keep, name) != NULL)
                return 0;
        if (unlinkat(dir_fd, name, 0) < 0)
                return -errno;
        s->freed += size_bytes;
        return 0;
}

int store_sweep(struct image_store *store, uint64_t *ret_freed, struct error *err)
{
        cleanup_fd int sweeping = -1, index_lock = -1;
        cleanup_json json_t *index = NULL, *keep = json_object();
        struct sweeping sweep = {.keep = keep};
        int r = store_lock_sweeping(store, &sweeping, err);
        if (r == 0)
                r = store_lock_index(store, &index_lock, err);
        if (r == 0)
                r = index_read(store, &index, err);
        if (r < 0)
                return r;
        store_clean_leftovers(store);
        r = keep == NULL ? -ENOMEM : store_mark(store, index, keep);
        if (r == 0)
                r = store_visit(store, sweep_one, &sweep);
        if (r < 0)
                return error_errno(err, r, "delete what no image needs");
        if (ret_freed != NULL)
                *ret_freed = sweep.freed;
        return 0;
}
