/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EROFS files of the store: made once for each list of layers, in tmp/, under a work lock, and renamed to
 * rootfs/<hash of the diff_ids>.erofs when the builder has checked and fsync'd everything.
 *
 * Hostile: how much foreign layers unpack to. A limit that relates to their compressed size ends a bomb
 * before it has filled the disk: 10 GB in 10 MB are ended after 3 GB, while a Debian image unpacks to 3 times
 * its size.
 */
#include "image/rootfs_cache.h"

#include "base/cleanup.h"
#include "image/blob.h"
#include "image/find.h"
#include "image/progress.h"
#include "image/registries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct conversion {
        struct image_store *store;
        const struct manifest *manifest;
        struct rootfs_builder *builder;
        bool foreign;
        int lock;
        int out_fd;
        char temporary[NAME_MAX + 1]; /* in tmp/; "" once it has been renamed */
        char name[NAME_MAX + 1];
};

int rootfs_file_name(const struct manifest *m, char ret_name[NAME_MAX + 1])
{
        char digest[DIGEST_TEXT_SIZE];
        int r = manifest_chain(m, digest);
        if (r == 0)
                (void)snprintf(ret_name, NAME_MAX + 1, "%s.erofs", digest_hex(digest)); /* fits */
        return r;
}

static bool is_there(struct image_store *store, const char *name)
{
        return faccessat(store->rootfs_fd, name, R_OK, 0) == 0;
}

/* The default of the builder stays the most. */
static int limit_foreign(const struct conversion *c, struct rootfs_limits *ret_limits, struct error *err)
{
        struct registries settings;
        uint64_t bytes = 0;
        bool over = false;
        int r = registries_read(c->store->config_path, &settings, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->manifest->count; i++)
                over |= __builtin_add_overflow(bytes, (uint64_t)c->manifest->layers[i].blob.size, &bytes);
        over |= __builtin_mul_overflow(bytes, (uint64_t)settings.unpack_ratio, &bytes);
        over |= __builtin_add_overflow(bytes, UNPACK_FLOOR, &bytes);
        registries_done(&settings);
        ret_limits->bytes = over || bytes > ROOTFS_BYTES_DEFAULT ? ROOTFS_BYTES_DEFAULT : bytes;
        return 0;
}

static int begin(struct conversion *c, const struct image_observer *observer, rootfs_progress_fn progress,
                 void *data, struct error *err)
{
        int r = store_lock_work(c->store, c->name, observer,
                                "its root file system, which another process makes", &c->lock, err);
        if (r < 0 || is_there(c->store, c->name))
                return r;
        struct rootfs_limits limits = {0};
        if (c->foreign)
                r = limit_foreign(c, &limits, err);
        if (r == 0)
                r = store_temporary(c->store, c->temporary, &c->out_fd, err);
        if (r == 0)
                r = rootfs_builder_new(c->out_fd, c->store->tmp_fd, &limits, progress, data, &c->builder,
                                       err);
        return r;
}

int conversion_begin(struct image_store *store, const struct manifest *m, bool foreign,
                     const struct image_observer *observer, rootfs_progress_fn progress, void *data,
                     struct conversion **ret, struct error *err)
{
        cleanup_conversion struct conversion *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_set(err, -ENOMEM, "make the root file system: out of memory");
        c->store = store;
        c->manifest = m;
        c->foreign = foreign;
        c->lock = c->out_fd = -1;
        int r = rootfs_file_name(m, c->name);
        if (r < 0)
                return error_errno(err, r, "make the root file system");
        if (!is_there(store, c->name)) {
                r = begin(c, observer, progress, data, err);
                if (r < 0)
                        return r;
        }
        *ret = c->builder != NULL ? take_ptr(&c) : NULL;
        return 0;
}

int conversion_add_layer(struct conversion *c, size_t number, struct error *err)
{
        const struct layer *layer = &c->manifest->layers[number];
        cleanup_fd int fd = -1;
        int r = blob_open(c->store, layer->blob.digest, &fd, err);
        if (r == 0)
                r = rootfs_builder_add_layer(c->builder, fd, layer->blob.digest, layer->diff_id, err);
        if (r != -EFBIG || !c->foreign)
                return r;
        struct error cause = *err;
        return error_set(
            err, r,
            "%s: it unpacks to far more than its size; if you trust it, raise 'unpack_ratio' in the "
            "registries file",
            cause.text);
}

int conversion_finish(struct conversion *c, struct error *err)
{
        struct image_store *store = c->store;
        struct rootfs_statistics statistics;
        int r = rootfs_builder_finish(c->builder, &statistics, err);
        if (r < 0)
                return r;
        if (fchmod(c->out_fd, 0644) < 0 ||
            renameat(store->tmp_fd, c->temporary, store->rootfs_fd, c->name) < 0)
                return error_errno(err, -errno, "put the root file system into the image store");
        c->temporary[0] = '\0';
        if (fsync(store->rootfs_fd) < 0)
                return error_errno(err, -errno, "put the root file system into the image store");
        return 0;
}

void conversion_free(struct conversion *c)
{
        if (c == NULL)
                return;
        rootfs_builder_free(c->builder);
        if (c->temporary[0] != '\0')
                (void)unlinkat(c->store->tmp_fd, c->temporary,
                               0); /* if it stays, the next cleaning takes it */
        close_fd(&c->out_fd);
        close_fd(&c->lock);
        free(c);
}

struct serial {
        const struct image_observer *observer;
        uint64_t done, total, layer;
        struct error error;
};

static int serial_progress(uint64_t compressed_bytes, void *data)
{
        struct serial *s = data;
        s->layer = compressed_bytes;
        return progress_bytes(s->observer, IMAGE_PROGRESS_CONVERT, NULL, s->done + compressed_bytes, s->total,
                              &s->error);
}

static int ensure(struct image_store *store, const struct manifest *m, bool foreign,
                  const struct image_observer *observer, struct error *err)
{
        struct serial s = {.observer = observer, .error = ERROR_INIT};
        cleanup_conversion struct conversion *c = NULL;
        for (size_t i = 0; i < m->count; i++)
                s.total += (uint64_t)m->layers[i].blob.size;
        int r = conversion_begin(store, m, foreign, observer, serial_progress, &s, &c, err);
        if (r < 0 || c == NULL)
                return r;
        for (size_t i = 0; r == 0 && i < m->count; i++) {
                r = conversion_add_layer(c, i, err);
                s.done += (uint64_t)m->layers[i].blob.size;
        }
        return r < 0 ? r : conversion_finish(c, err);
}

int rootfs_ensure(struct image_store *store, const struct manifest *m, const struct image_observer *observer,
                  struct error *err)
{
        return ensure(store, m, false, observer, err);
}

int rootfs_ensure_foreign(struct image_store *store, const struct manifest *m,
                          const struct image_observer *observer, struct error *err)
{
        return ensure(store, m, true, observer, err);
}

int image_open_rootfs(struct image_store *store, const struct image *image,
                      const struct image_observer *observer, int *ret_fd, struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        cleanup_json json_t *config = NULL;
        cleanup_fd int lock = -1;
        char name[NAME_MAX + 1];
        int r = manifest_load(store, image->digest, &m, err);
        if (r == 0)
                r = config_load(store, m, &config, err);
        if (r == 0)
                r = rootfs_file_name(m, name);
        if (r < 0)
                return r;
        int fd = openat(store->rootfs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
                r = store_lock_in_use(store, &lock, err);
                if (r == 0)
                        r = rootfs_ensure(store, m, observer, err);
                if (r < 0)
                        return error_wrap(err, "make image '%s' bootable",
                                          image->reference[0] != '\0' ? image->reference : image->id);
                fd = openat(store->rootfs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        if (fd < 0)
                return error_errno(err, -errno, "open the root file system of image '%s'", image->id);
        *ret_fd = fd;
        return 0;
}
