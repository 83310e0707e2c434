/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking the store, in three passes:
 *
 *     content   every blob's digest, every root file system's superblock; the store is "in use" meanwhile, so
 * that nobody deletes, and pulls go on images    every entry of the index: the blobs it needs are there sweep
 * what is damaged and what nobody refers to, deleted under the sweeping lock; when somebody pulls, it is told
 * and left
 *
 * A damaged blob of the right size would be taken for a good one by the next pull: deleting it is what makes
 * the pull fetch it again. A root file system is made again at the next start.
 *
 * What cannot be read, for want of memory or because the disk fails, is told and left: it may be right. And
 * as long as what an image needs cannot be read, nothing is known to be a leftover.
 */
#include "base/cleanup.h"
#include "base/path.h"
#include "image/blob.h"
#include "image/erofs-format.h"
#include "image/find.h"
#include "image/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE        (256U << 10)
#define SUPER_OFFSET 1024
#define BLOCK_SIZE   4096U

struct verify {
        struct image_store *store;
        image_problem_fn fn;
        void *data;
        char *room;
        json_t *damaged; /* names of files, with what is wrong */
        const json_t *keep;
        bool repair, incomplete; /* incomplete: an image cannot be followed to all that it needs */
};

static void tell(const struct verify *v, const char *kind, const char *item, const char *text, bool repaired)
{
        const struct image_problem problem = {kind, item, text, repaired};
        v->fn(&problem, v->data);
}

static void tell_unknown(const struct verify *v, const char *kind, const char *item, int r)
{
        char text[128];
        (void)snprintf(text, sizeof(text), "it cannot be read: %s", strerror(-r)); /* fits */
        tell(v, kind, item, text, false);
}

/* Removes dir_fd/name if it is to be, and tells. */
static void put_right(const struct verify *v, int dir_fd, const char *name, const char *kind,
                      const char *text)
{
        char words[256];
        if (!v->repair || unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
                tell(v, kind, name, text, v->repair);
                return;
        }
        (void)snprintf(words, sizeof(words), "%s: it cannot be removed: %s", text,
                       strerror(errno)); /* fits */
        tell(v, kind, name, words, false);
}

static bool is_blob(const char *name)
{
        return strlen(name) == DIGEST_HEX_SIZE;
}

/* *ret_wrong: NULL, or what is wrong. -errno when that cannot be found out. */
static int check_blob(const struct verify *v, int fd, const char *name, const char **ret_wrong)
{
        char text[DIGEST_TEXT_SIZE];
        struct digest *digest;
        ssize_t n = 0;
        off_t at = 0;
        int r = digest_new(&digest);
        if (r < 0)
                return r;
        while (r == 0 && ((n = pread(fd, v->room, PIECE, at)) > 0 || (n < 0 && errno == EINTR))) {
                if (n > 0)
                        r = digest_update(digest, v->room, (size_t)n);
                at += n > 0 ? n : 0;
        }
        if (r == 0)
                r = n < 0 ? -errno : digest_finish(digest, text);
        if (r == 0)
                *ret_wrong =
                    strcmp(digest_hex(text), name) == 0 ? NULL : "its content is not that of its digest";
        digest_free(digest);
        return r;
}

static int check_rootfs(int fd, const char **ret_wrong)
{
        struct erofs_super super = {0};
        struct stat st;
        ssize_t n = fstat(fd, &st) < 0 ? -1 : pread(fd, &super, sizeof(super), SUPER_OFFSET);
        if (n < 0)
                return -errno;
        bool whole = n == (ssize_t)sizeof(super);
        if (whole && super.magic != EROFS_MAGIC)
                *ret_wrong = "it is no EROFS";
        else if (!whole || (uint64_t)st.st_size < (uint64_t)super.blocks * BLOCK_SIZE)
                *ret_wrong = "it is cut off";
        return 0;
}

static int check_file(const struct verify *v, int dir_fd, const char *name, const char **ret_wrong)
{
        cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0)
                return is_blob(name) ? check_blob(v, fd, name, ret_wrong) : check_rootfs(fd, ret_wrong);
        if (errno == ELOOP)
                *ret_wrong = "it is a link";
        return errno == ELOOP || errno == ENOENT ? 0 : -errno; /* ENOENT: a root file system that goes now */
}

static int check_one(int dir_fd, const char *name, uint64_t size_bytes, void *data)
{
        struct verify *v = data;
        const char *wrong = NULL;
        (void)size_bytes;
        int r = check_file(v, dir_fd, name, &wrong);
        if (r < 0)
                tell_unknown(v, is_blob(name) ? "blob" : "rootfs", name, r);
        if (wrong != NULL && json_object_set_new(v->damaged, name, json_string(wrong)) < 0)
                return -ENOMEM;
        return 0;
}

static int check_content(struct verify *v, struct error *err)
{
        cleanup_fd int in_use = -1;
        int r = store_lock_in_use(v->store, &in_use, err);
        if (r < 0)
                return r;
        r = store_visit(v->store, check_one, v);
        return r < 0 ? error_errno(err, r, "check the image store") : 0;
}

/* 1, 0, or -errno. */
static int has_blob(const struct verify *v, const struct descriptor *d)
{
        int r = blob_look(v->store, d->digest, d->size);
        return r > 0 ? json_object_get(v->damaged, digest_hex(d->digest)) == NULL : r;
}

static void check_image(struct verify *v, const struct index_entry *entry)
{
        cleanup_manifest struct manifest *m = NULL;
        const char *item = entry->name[0] != '\0' ? entry->name : entry->manifest.digest;
        int r = manifest_load(v->store, entry->manifest.digest, &m, NULL);
        r = r == 0 ? has_blob(v, &m->config) : document_is_bad(r) ? 0 : r;
        for (size_t i = 0; r > 0 && i < m->count; i++)
                r = has_blob(v, &m->layers[i].blob);
        v->incomplete |= r <= 0;
        if (r < 0)
                tell_unknown(v, "image", item, r);
        if (r == 0)
                tell(v, "image", item, "parts of it are missing or damaged: pull or load it again", false);
}

static void check_images(struct verify *v, const json_t *index)
{
        struct index_entry entry;
        for (size_t i = 0; index_entry_at(index, i, &entry) == 0; i++) {
                if (entry.manifest.digest[0] != '\0') /* else it is what other tools put there */
                        check_image(v, &entry);
        }
}

static int sweep_one(int dir_fd, const char *name, uint64_t size_bytes, void *data)
{
        struct verify *v = data;
        const char *wrong = json_string_value(json_object_get(v->damaged, name));
        (void)size_bytes;
        if (wrong == NULL && (v->keep == NULL || v->incomplete || json_object_get(v->keep, name) != NULL))
                return 0; /* what an incomplete image needs is not known: nothing is a leftover then */
        put_right(v, dir_fd, name,
                  wrong == NULL   ? "leftover"
                  : is_blob(name) ? "blob"
                                  : "rootfs",
                  wrong == NULL ? "no image needs it" : wrong);
        return 0;
}

/* What a killed process left beside index.json, under the index lock. */
static int sweep_drafts(const struct verify *v)
{
        int fd = openat(v->store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (dir == NULL) {
                int r = -errno;
                close_fd(&fd);
                return r;
        }
        for (const struct dirent *entry; (errno = 0, entry = readdir(dir)) != NULL;) {
                if (path_is_draft(entry->d_name))
                        put_right(v, v->store->fd, entry->d_name, "leftover",
                                  "a process was killed while it wrote it");
        }
        return -errno;
}

/* With what the index names marked. */
static int sweep(struct verify *v, const json_t *index)
{
        cleanup_json json_t *keep = json_object();
        if (keep == NULL)
                return -ENOMEM;
        int r = v->incomplete ? 0 : store_mark(v->store, index, keep);
        if (r < 0)
                tell_unknown(v, "image", "index.json", r); /* it, or what it leads to */
        v->incomplete |= r < 0;
        v->keep = keep;
        r = store_visit(v->store, sweep_one, v);
        v->keep = NULL;
        return r < 0 ? r : sweep_drafts(v);
}

static int conclude(struct verify *v, struct error *err)
{
        cleanup_fd int sweeping = -1, index_lock = -1;
        cleanup_json json_t *index = NULL;
        int r = store_lock_sweeping(v->store, &sweeping, err);
        bool busy = r == -EAGAIN;
        if (r == 0)
                r = store_lock_index(v->store, &index_lock, err);
        if (r == 0 || busy)
                r = index_read(v->store, &index, err);
        if (r < 0)
                return r;
        check_images(v, index);
        if (busy) { /* what a pull has brought so far is not to be told from what nobody needs */
                v->repair = false;
                r = store_visit(v->store, sweep_one, v);
        } else {
                r = sweep(v, index);
        }
        return r < 0 ? error_errno(err, r, "check the image store") : 0;
}

int image_verify(struct image_store *store, bool repair, image_problem_fn fn, void *data, struct error *err)
{
        cleanup_json json_t *damaged = json_object();
        cleanup_free char *room = malloc(PIECE);
        struct verify v = {
            .store = store, .fn = fn, .data = data, .room = room, .damaged = damaged, .repair = repair};
        if (damaged == NULL || room == NULL)
                return error_set(err, -ENOMEM, "check the image store: out of memory");
        int r = check_content(&v, err);
        return r < 0 ? r : conclude(&v, err);
}
