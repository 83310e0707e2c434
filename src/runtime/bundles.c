/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exported functions about boxes as files. Saving: the disk is read under the box's lock, or, when the
 * box runs, copied first to a file without a name, so that the box is held still for the copy only and not
 * for as long as the reader of the file takes.
 *
 * Loading: what is read goes into the folder of a new box without a record (adopt.h), and an image into a
 * file without a name. When the whole file has been read and its sum is right, the image goes to the store,
 * and then the record makes the box. Until then there is nothing that is not collected.
 */
#include "runtime/adopt.h"
#include "runtime/bundle.h"
#include "runtime/collect.h"
#include "runtime/disk.h"
#include "runtime/still.h"

#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- saving ---- */

struct saved {
        struct state_box record;
        struct still *still; /* of a box that does not run: its lock */
        int box_fd, disk_fd, image_fd;
};

static void saved_done(struct saved *s)
{
        state_box_done(&s->record);
        still_free(s->still);
        close_fd(&s->image_fd);
        close_fd(&s->disk_fd);
        close_fd(&s->box_fd);
}

/* The disk of a box that runs, as it is now. Replaces disk_fd. */
static int copy_disk(struct saved *s, struct error *err)
{
        struct still *still = s->still;
        s->still = NULL;
        cleanup_fd int copy = path_open_anonymous_at(s->box_fd, O_RDWR);
        int r = copy < 0 ? error_errno(err, copy, "make a copy of the disk")
                         : disk_copy_sparse(s->disk_fd, copy, err);
        if (r < 0) {
                still_free(still);
                return r;
        }
        r = still_end(still, err);
        close_fd(&s->disk_fd);
        s->disk_fd = take_fd(&copy);
        return r;
}

static int take_disk(struct saved *s, int64_t timeout_ms, struct error *err)
{
        int r = still_begin(s->box_fd, timeout_ms == 0 ? STILL_DEFAULT_MS : timeout_ms, &s->still, err);
        if (r < 0)
                return r;
        s->disk_fd = openat(s->box_fd, DISK_OF_BOX, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (s->disk_fd < 0)
                return error_errno(err, -errno, "open its disk");
        return still_is_running(s->still) ? copy_disk(s, err) : 0;
}

/* A tar's header says how long a member is: so the image is written to a file without a name first. */
static int take_image(struct boxlet *b, struct saved *s, const struct image_observer *observer,
                      struct error *err)
{
        struct image_store *store;
        const char *const names[] = {s->record.image_id};
        s->image_fd = path_open_anonymous_at(b->home_fd, O_RDWR);
        if (s->image_fd < 0)
                return error_errno(err, s->image_fd, "make a file for its image");
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = boxlet_store(b, &store, err);
        if (r == 0)
                r = image_save(store, names, 1, "oci-archive", s->image_fd, observer, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

static int save(struct boxlet_box *box, int fd, const struct boxlet_box_save_options *o, struct error *err)
{
        struct boxlet *b = box->boxlet;
        __attribute__((cleanup(saved_done))) struct saved s = {.box_fd = -1, .disk_fd = -1, .image_fd = -1};
        struct api_progress progress;
        struct stat st;
        size_t size;
        int r = box_open_folder(b, box->id, &s.box_fd, err);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = state_find(b->state, box->id, &s.record, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r == 0 && o->with_image)
                r = take_image(b, &s, api_observer(&progress, o->progress, o->progress_data), err);
        if (r == 0)
                r = take_disk(&s, o->timeout_ms, err);
        if (r < 0)
                return r;
        if (fstat(s.disk_fd, &st) < 0)
                return error_errno(err, -errno, "look at its disk");
        cleanup_free char *document = bundle_document_make(&s.record, (uint64_t)st.st_size, &size, err);
        return document == NULL ? err->code : bundle_write(fd, document, size, s.image_fd, s.disk_fd, err);
}

int boxlet_box_save(struct boxlet_box *box, int fd, const struct boxlet_box_save_options *options,
                    struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_box_save_options defaults = BOXLET_BOX_SAVE_OPTIONS_INIT, o = defaults;
        int r =
            options == NULL ? 0 : api_options(&o, sizeof(o), options, "struct boxlet_box_save_options", &err);
        if (r == 0) {
                r = save(box, fd, &o, &err);
                if (r < 0)
                        (void)error_wrap(&err, "export box '%s'", box->name);
        }
        return api_result(error, &err, r);
}

/* ---- loading ---- */

struct loading {
        struct boxlet *boxlet;
        const struct boxlet_box_load_options *options;
        struct bundle_document document;
        struct adoption adoption;
        int source_fd, image_fd, disk_fd;
};

static void loading_done(struct loading *l)
{
        bundle_document_done(&l->document);
        adopt_end(&l->adoption);
        close_fd(&l->image_fd);
        close_fd(&l->disk_fd);
}

static ssize_t read_source(void *bytes, size_t size, void *data)
{
        const struct loading *l = data;
        ssize_t n;
        do {
                n = read(l->source_fd, bytes, size);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static const char *name_of(const struct loading *l)
{
        return l->options->name != NULL ? l->options->name : l->document.box.name;
}

static int take_document(const char *text, size_t size, void *data, struct error *err)
{
        struct loading *l = data;
        int r = bundle_document_parse(text, size, &l->document, err);
        if (r < 0)
                return r;
        if (l->document.refers_to_host && !l->options->trusted)
                return error_set(
                    err, -EPERM,
                    "the box refers to things of the host it runs on (%s): if you trust the file, say "
                    "so (--trust)",
                    l->document.what);
        return adopt_begin(l->boxlet, name_of(l), &l->adoption, err);
}

static int take_image_bytes(const void *bytes, size_t size, void *data, struct error *err)
{
        struct loading *l = data;
        if (l->image_fd < 0)
                l->image_fd = path_open_anonymous_at(l->boxlet->home_fd, O_RDWR);
        int r = l->image_fd < 0 ? l->image_fd : fd_write_full(l->image_fd, bytes, size);
        return r < 0 ? error_errno(err, r, "write its image") : 0;
}

static int find_image(struct loading *l, struct image **ret_image, struct error *err)
{
        struct image_store *store;
        const struct state_box *box = &l->document.box;
        int r = boxlet_store(l->boxlet, &store, err);
        if (r == 0)
                r = image_find(store, box->image_id, ret_image, err);
        return r == -ENOENT
                   ? error_set(err, r,
                               "its image '%.200s' (%.19s) is not in the store: pull it first, or export the "
                               "box with its image",
                               box->image_reference, box->image_id)
                   : r;
}

static int begin_disk(uint64_t size, void *data, struct error *err)
{
        struct loading *l = data;
        cleanup_image struct image *image = NULL;
        if (size != l->document.disk_bytes)
                return error_set(err, -EBADMSG,
                                 "the file is damaged: its disk is of another size than it says");
        if (l->image_fd < 0) {                              /* else it is looked for when it is there */
                (void)pthread_mutex_lock(&l->boxlet->lock); /* as above */
                int r = find_image(l, &image, err);
                (void)pthread_mutex_unlock(&l->boxlet->lock);
                if (r < 0)
                        return r;
        }
        l->disk_fd =
            openat(l->adoption.box_fd, DISK_OF_BOX, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (l->disk_fd < 0 || ftruncate(l->disk_fd, (off_t)size) < 0)
                return error_errno(err, -errno, "make its disk");
        return 0;
}

static int take_disk_bytes(uint64_t offset, const void *bytes, size_t size, void *data, struct error *err)
{
        const struct loading *l = data;
        for (size_t done = 0; done < size;) {
                ssize_t n =
                    pwrite(l->disk_fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
                if (n < 0 && errno != EINTR)
                        return error_errno(err, -errno, "write its disk");
                done += n < 0 ? 0 : (size_t)n;
        }
        return 0;
}

/* All of it has been read and is right. */
static int settle_image(struct loading *l, struct error *err)
{
        cleanup_image struct image *image = NULL;
        cleanup_fd int rootfs = -1;
        struct image_store *store;
        struct api_progress progress;
        const struct image_observer *observer =
            api_observer(&progress, l->options->progress, l->options->progress_data);
        char *names = NULL;
        int r = boxlet_store(l->boxlet, &store, err);
        if (r == 0 && l->image_fd >= 0) {
                r = lseek(l->image_fd, 0, SEEK_SET) < 0
                        ? error_errno(err, -errno, "read its image")
                        : image_load(store, l->image_fd, NULL, NULL, observer, &names, err);
                free(names);
        }
        if (r == 0)
                r = find_image(l, &image, err);
        return r < 0 ? r : image_open_rootfs(store, image, observer, &rootfs, err);
}

static int load(struct loading *l, struct boxlet_box **ret_box, struct error *err)
{
        const struct bundle_source source = {read_source, l};
        const struct bundle_sink sink = {.document = take_document,
                                         .image = take_image_bytes,
                                         .disk_begin = begin_disk,
                                         .disk = take_disk_bytes,
                                         .data = l};
        struct boxlet *b = l->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        (void)pthread_mutex_unlock(&b->lock);
        int r = bundle_read(&source, &sink, err);
        if (r < 0)
                return r;
        if (fsync(l->disk_fd) < 0)
                return error_errno(err, -errno, "write its disk");
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = settle_image(l, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r < 0 ? r : adopt_finish(&l->adoption, &l->document.box, name_of(l), ret_box, err);
}

int boxlet_box_load(struct boxlet *b, int fd, const struct boxlet_box_load_options *options,
                    struct boxlet_box **ret_box, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_box_load_options defaults = BOXLET_BOX_LOAD_OPTIONS_INIT, o = defaults;
        int r =
            options == NULL ? 0 : api_options(&o, sizeof(o), options, "struct boxlet_box_load_options", &err);
        if (r == 0) {
                __attribute__((cleanup(loading_done))) struct loading l = {
                    .boxlet = b, .options = &o, .source_fd = fd, .image_fd = -1, .disk_fd = -1};
                r = load(&l, ret_box, &err);
                if (r < 0)
                        (void)error_wrap(&err, "import box");
        }
        return api_result(error, &err, r);
}
