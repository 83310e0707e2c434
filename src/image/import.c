/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: a tar or a folder becomes an image of one layer. The layer is stored as a tar compressed by zstd at
 * its fastest; the plain tar's digest, which the configuration needs, is taken on the way.
 *
 *      tar: fd -> layer_stream (unpacks, hashes) -> pack() -> blob
 *      folder: libarchive walks it (never following links) and writes a pax tar -> hash, pack() -> blob
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "image/manifest.h"
#include "image/changes.h"
#include "image/layer-stream.h"
#include "image/make.h"
#include "image/prune.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYER_BYTES_MAX (UINT64_C(1) << 40)

/* ---- a tar ---- */

static int pack_tar(struct packer *p, int fd, struct error *err)
{
        struct layer_stream *stream;
        int r = layer_stream_new(fd, LAYER_BYTES_MAX, NULL, NULL, &stream, err);
        if (r < 0)
                return r;
        for (;;) {
                const void *bytes;
                size_t size;
                r = layer_stream_next(stream, &bytes, &size, err);
                if (r < 0 || size == 0)
                        break;
                r = packer_add(p, bytes, size, err);
                if (r < 0)
                        break;
        }
        layer_stream_free(stream);
        if (r == 0 && p->plain == 0)
                return error_set(err, -ENODATA, "import: nothing came in");
        return r < 0 ? r : 0;
}

/* ---- a folder ---- */

struct walk {
        struct archive *disk;
        struct archive *tar;
        struct archive_entry_linkresolver *links;
        const char *path;
};

static la_ssize_t on_tar_bytes(struct archive *a, void *data, const void *bytes, size_t size)
{
        struct packer *p = data;
        int r = packer_add(p, bytes, size, p->err);
        if (r == 0)
                return (la_ssize_t)size;
        archive_set_error(a, -r, "%s", p->err != NULL ? p->err->text : "");
        return -1;
}

static int walk_error(struct archive *a, const char *path, struct error *err)
{
        const char *why = archive_error_string(a);
        if (err != NULL && err->code < 0)
                return err->code; /* on_tar_bytes() has said it */
        int code = archive_errno(a) > 0 ? -archive_errno(a) : -EIO;
        int r = error_set(err, code, "import '%.300s': %.300s", path, why != NULL ? why : "cannot be read");
        if (err != NULL && archive_errno(a) > 0 && strstr(err->text, strerror(-code)) == NULL) {
                struct error half = *err; /* libarchive often says what it could not do, and not why */
                (void)error_errno(err, code, "%s", half.text);
        }
        return r;
}

static int walk_open(struct walk *w, struct packer *p, struct error *err)
{
        w->disk = archive_read_disk_new();
        w->tar = archive_write_new();
        w->links = archive_entry_linkresolver_new();
        if (w->disk == NULL || w->tar == NULL || w->links == NULL)
                return error_set(err, -ENOMEM, "import: out of memory");
        (void)archive_read_disk_set_symlink_physical(w->disk); /* cannot fail on a new one */
        if (archive_read_disk_set_behavior(w->disk, ARCHIVE_READDISK_NO_FFLAGS) != ARCHIVE_OK ||
            archive_write_set_format_pax_restricted(w->tar) != ARCHIVE_OK ||
            archive_write_set_bytes_in_last_block(w->tar, 1) != ARCHIVE_OK ||
            archive_write_open(w->tar, p, NULL, on_tar_bytes, NULL) != ARCHIVE_OK)
                return walk_error(w->tar, w->path, err);
        archive_entry_linkresolver_set_strategy(w->links, archive_format(w->tar));
        return archive_read_disk_open(w->disk, w->path) == ARCHIVE_OK ? 0 : walk_error(w->disk, w->path, err);
}

static void walk_close(struct walk *w)
{
        if (w->disk != NULL)
                (void)archive_read_free(w->disk); /* only frees */
        if (w->tar != NULL) {
                (void)archive_write_close(
                    w->tar); /* not _free but this gives the buffers back after a failure */
                (void)archive_write_free(w->tar);
        }
        if (w->links != NULL)
                archive_entry_linkresolver_free(w->links);
}

/* Content with the holes written as zeros; the compressor makes little of them. */
static int copy_content(struct walk *w, struct archive_entry *entry, struct error *err)
{
        static const char zeros[64 << 10];
        int64_t done = 0, size = archive_entry_size(entry);
        for (;;) {
                const void *bytes;
                size_t length;
                la_int64_t offset;
                int r = archive_read_data_block(w->disk, &bytes, &length, &offset);
                if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
                        return walk_error(w->disk, archive_entry_pathname(entry), err);
                if (r == ARCHIVE_EOF) {
                        offset = size;
                        length = 0;
                }
                while (done < offset) {
                        size_t gap = (uint64_t)(offset - done) < sizeof(zeros) ? (size_t)(offset - done)
                                                                               : sizeof(zeros);
                        if (archive_write_data(w->tar, zeros, gap) < 0)
                                return walk_error(w->tar, archive_entry_pathname(entry), err);
                        done += (int64_t)gap;
                }
                if (length > 0 && archive_write_data(w->tar, bytes, length) < 0)
                        return walk_error(w->tar, archive_entry_pathname(entry), err);
                done += (int64_t)length;
                if (r == ARCHIVE_EOF)
                        return 0;
        }
}

static int write_entry(struct walk *w, struct archive_entry *entry, struct error *err)
{
        struct archive_entry *spare = NULL;
        const char *name = archive_entry_pathname(entry) + strlen(w->path);
        while (*name == '/')
                name++;
        if (archive_entry_filetype(entry) == AE_IFSOCK)
                return 0; /* a tar cannot hold it, and it means nothing elsewhere */
        cleanup_free char *copy =
            strdup(*name != '\0' ? name : "./"); /* lent by the entry that is to be changed */
        if (copy == NULL)
                return error_set(err, -ENOMEM, "import: out of memory");
        archive_entry_set_pathname(entry, copy);
        archive_entry_sparse_clear(entry);
        archive_entry_linkify(w->links, &entry, &spare);
        int r = archive_write_header(w->tar, entry);
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                return walk_error(w->tar, copy, err);
        return archive_entry_size(entry) > 0 ? copy_content(w, entry, err) : 0;
}

static int walk_all(struct walk *w, struct error *err)
{
        struct archive_entry *entry = archive_entry_new();
        int r = entry != NULL ? 0 : error_set(err, -ENOMEM, "import: out of memory");
        while (r == 0) {
                archive_entry_clear(entry);
                int found = archive_read_next_header2(w->disk, entry);
                if (found == ARCHIVE_EOF)
                        break;
                if (found != ARCHIVE_OK && found != ARCHIVE_WARN)
                        r = walk_error(w->disk, w->path, err);
                else
                        r = write_entry(w, entry, err);
                if (r == 0)
                        (void)archive_read_disk_descend(w->disk); /* a no to what is no folder */
        }
        archive_entry_free(entry);
        if (r == 0 && archive_write_close(w->tar) != ARCHIVE_OK)
                r = walk_error(w->tar, w->path, err);
        return r;
}

static int pack_folder(struct packer *p, const char *path, struct error *err)
{
        struct walk w = {.path = path};
        int r = walk_open(&w, p, err);
        if (r == 0)
                r = walk_all(&w, err);
        walk_close(&w);
        return r;
}

/* ---- the image ---- */

static int make_config(const struct platform *platform, const char *diff_id, const char *const *changes,
                       json_t **ret_config, struct error *err)
{
        char now[32];
        int r = make_time(now, err);
        if (r < 0)
                return r;
        cleanup_json json_t *config =
            json_pack("{s:s, s:s, s:s, s:{}, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "created", now, "architecture",
                      platform->architecture, "os", platform->os, "config", "rootfs", "type", "layers",
                      "diff_ids", diff_id, "history", "created", now, "comment", "imported");
        if (config == NULL || (platform->variant[0] != '\0' &&
                               json_object_set_new(config, "variant", json_string(platform->variant)) < 0))
                return error_set(err, -ENOMEM, "import: out of memory");
        for (; changes != NULL && *changes != NULL; changes++) {
                r = changes_apply(*changes, json_object_get(config, "config"), err);
                if (r < 0)
                        return r;
        }
        *ret_config = json_incref(config);
        return 0;
}

static int import_locked(struct image_store *store, int fd, const char *path, const char *name,
                         const struct platform *platform, const char *const *changes,
                         const struct image_observer *observer, char ret_id[DIGEST_TEXT_SIZE],
                         struct error *err)
{
        struct packer p = {.observer = observer};
        struct packed layer;
        cleanup_json json_t *config = NULL;
        int r = make_config(platform, "", changes, &config,
                            err); /* mistakes in changes are told before the work */
        json_decref(config);
        config = NULL;
        if (r == 0)
                r = packer_init(&p, store, err);
        if (r == 0)
                r = path != NULL ? pack_folder(&p, path, err) : pack_tar(&p, fd, err);
        if (r == 0)
                r = packer_finish(&p, &layer, err);
        packer_done(&p);
        if (r == 0)
                r = make_config(platform, layer.diff_id, changes, &config, err);
        if (r < 0)
                return r;
        cleanup_json json_t *layers = json_pack("[o]", make_layer(&layer));
        if (layers == NULL)
                return error_set(err, -ENOMEM, "import: out of memory");
        return make_image(store, config, layers, name, observer, ret_id, err);
}

int image_import(struct image_store *store, int fd, const char *path, const char *reference,
                 const char *platform, const char *const *changes, const struct image_observer *observer,
                 char **ret_id, struct error *err)
{
        struct error problem = ERROR_INIT; /* never NULL below */
        cleanup_free char *name = NULL;
        cleanup_fd int lock = -1;
        char id[DIGEST_TEXT_SIZE];
        struct platform of;
        if ((fd < 0) == (path == NULL))
                return error_set(err, -EINVAL, "import: give either a descriptor or a folder");
        int r = make_name(reference, &name, &problem);
        if (r == 0)
                r = platform_parse(platform, &of, &problem);
        if (r == 0)
                r = store_lock_in_use(store, &lock, &problem);
        if (r == 0)
                r = import_locked(store, fd, path, name, &of, changes, observer, id, &problem);
        close_fd(&lock);
        if (r < 0) {
                (void)store_sweep(
                    store, NULL, NULL); /* nothing of it stays; if others are at work, a removal sees to it */
                return error_set(err, r, "%s", problem.text);
        }
        char *copy = strdup(id);
        if (copy == NULL)
                return error_set(err, -ENOMEM, "import: out of memory");
        *ret_id = copy;
        return 0;
}
