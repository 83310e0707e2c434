/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs of the store. A writer's file lies in tmp/ until its size and digest are right; then it is fsync'd
 * and renamed to blobs/sha256/<hex>. Writing starts the disk early (sync_file_range), so that the fsync at
 * the end has little left to wait for.
 */
#include "image/blob.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SIZE  (256U << 10)
#define FLUSH_SIZE (8U << 20)

struct blob_writer {
        struct image_store *store;
        struct digest *digest;
        int fd;
        char name[NAME_MAX + 1]; /* in tmp/; "" once it has been renamed */
        uint64_t size;
        uint64_t flushed;
};

int blob_writer_new(struct image_store *store, struct blob_writer **ret_writer, struct error *err)
{
        struct blob_writer *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return error_set(err, -ENOMEM, "write a blob: out of memory");
        w->store = store;
        w->fd = -1;
        int r = digest_new(&w->digest);
        if (r < 0)
                (void)error_set(err, r, "write a blob: out of memory");
        else
                r = store_temporary(store, w->name, &w->fd, err);
        if (r < 0) {
                blob_writer_free(w);
                return r;
        }
        *ret_writer = w;
        return 0;
}

int blob_writer_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err)
{
        int r = fd_write_full(w->fd, bytes, size);
        if (r < 0)
                return error_errno(err, r, "write to the image store");
        if (digest_update(w->digest, bytes, size) < 0)
                return error_set(err, -EIO, "write a blob: the sha256 function fails");
        w->size += size;
        if (w->size - w->flushed >= FLUSH_SIZE) {
                /* only a hint: whether the bytes arrived is found out by fsync */
                (void)sync_file_range(w->fd, (off_t)w->flushed, (off_t)(w->size - w->flushed),
                                      SYNC_FILE_RANGE_WRITE);
                w->flushed = w->size;
        }
        return 0;
}

uint64_t blob_writer_size(const struct blob_writer *w)
{
        return w->size;
}

int blob_writer_restart(struct blob_writer *w, struct error *err)
{
        if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
                return error_errno(err, -errno, "write to the image store");
        if (digest_restart(w->digest) < 0)
                return error_set(err, -EIO, "write a blob: the sha256 function fails");
        w->size = w->flushed = 0;
        return 0;
}

static int publish(struct blob_writer *w, const char *digest, struct error *err)
{
        struct image_store *store = w->store;
        if (fchmod(w->fd, 0644) < 0 || fsync(w->fd) < 0)
                return error_errno(err, -errno, "write '%s' to the image store", digest);
        if (renameat(store->tmp_fd, w->name, store->blobs_fd, digest_hex(digest)) < 0)
                return error_errno(err, -errno, "put '%s' into the image store", digest);
        w->name[0] = '\0';
        if (fsync(store->blobs_fd) < 0)
                return error_errno(err, -errno, "put '%s' into the image store", digest);
        return 0;
}

int blob_writer_finish(struct blob_writer *w, const char *expected_digest, int64_t expected_size,
                       char ret_digest[DIGEST_TEXT_SIZE], struct error *err)
{
        char digest[DIGEST_TEXT_SIZE];
        if (digest_finish(w->digest, digest) < 0)
                return error_set(err, -EIO, "write a blob: the sha256 function fails");
        if (expected_size >= 0 && (uint64_t)expected_size != w->size)
                return error_set(err, -EBADMSG,
                                 "blob '%s': it has %" PRIu64 " bytes, not %" PRId64 " as announced",
                                 expected_digest != NULL ? expected_digest : digest, w->size, expected_size);
        if (expected_digest != NULL && strcmp(expected_digest, digest) != 0)
                return error_set(err, -EBADMSG, "blob '%s': wrong content, its digest is '%s'",
                                 expected_digest, digest);
        int r = publish(w, digest, err);
        if (r < 0)
                return r;
        memcpy(ret_digest, digest, sizeof(digest));
        return 0;
}

void blob_writer_free(struct blob_writer *w)
{
        if (w == NULL)
                return;
        if (w->fd >= 0 && w->name[0] != '\0')
                (void)unlinkat(w->store->tmp_fd, w->name, 0); /* if it stays, the next cleaning takes it */
        close_fd(&w->fd);
        digest_free(w->digest);
        free(w);
}

int blob_look(struct image_store *store, const char *digest, int64_t size)
{
        struct stat st;
        if (!digest_valid(digest))
                return 0;
        if (fstatat(store->blobs_fd, digest_hex(digest), &st, AT_SYMLINK_NOFOLLOW) < 0)
                return path_is_absent(errno) ? 0 : -errno;
        return S_ISREG(st.st_mode) && (size < 0 || st.st_size == size);
}

bool blob_exists(struct image_store *store, const char *digest, int64_t size)
{
        return blob_look(store, digest, size) > 0;
}

int blob_open(struct image_store *store, const char *digest, int *ret_fd, struct error *err)
{
        int r = digest_check(digest, err);
        if (r < 0)
                return r;
        int fd = openat(store->blobs_fd, digest_hex(digest), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return error_errno(err, -errno, "open '%s' of the image store", digest);
        *ret_fd = fd;
        return 0;
}

int blob_read(struct image_store *store, const char *digest, size_t maximum, char **ret_text,
              size_t *ret_size, struct error *err)
{
        char found[DIGEST_TEXT_SIZE];
        cleanup_free char *text = NULL;
        size_t size;
        int r = digest_check(digest, err);
        if (r < 0)
                return r;
        r = path_read_at(store->blobs_fd, digest_hex(digest), maximum, &text, &size);
        if (r < 0)
                return error_errno(err, r, "read '%s' of the image store", digest);
        r = digest_of(text, size, found);
        if (r < 0)
                return error_errno(err, r, "check '%s' of the image store", digest);
        if (strcmp(found, digest) != 0)
                return error_set(
                    err, -EBADMSG,
                    "read '%s' of the image store: the file is damaged; remove the image and pull it again",
                    digest);
        *ret_text = take_ptr(&text);
        *ret_size = size;
        return 0;
}

int blob_put(struct image_store *store, const void *bytes, size_t size, char ret_digest[DIGEST_TEXT_SIZE],
             struct error *err)
{
        cleanup_blob_writer struct blob_writer *w = NULL;
        int r = blob_writer_new(store, &w, err);
        if (r == 0)
                r = blob_writer_write(w, bytes, size, err);
        return r < 0 ? r : blob_writer_finish(w, NULL, -1, ret_digest, err);
}

int blob_copy(struct image_store *store, int fd, uint64_t offset, uint64_t size, const char *expected_digest,
              char ret_digest[DIGEST_TEXT_SIZE], struct error *err)
{
        cleanup_blob_writer struct blob_writer *w = NULL;
        cleanup_free char *bytes = malloc(COPY_SIZE);
        if (bytes == NULL)
                return error_set(err, -ENOMEM, "copy a blob: out of memory");
        int r = blob_writer_new(store, &w, err);
        for (uint64_t done = 0; r == 0 && done < size;) {
                size_t step = size - done < COPY_SIZE ? (size_t)(size - done) : COPY_SIZE;
                ssize_t n = pread(fd, bytes, step, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(err, n < 0 ? -errno : -ENODATA, "copy a blob: read");
                r = blob_writer_write(w, bytes, (size_t)n, err);
                done += (uint64_t)n;
        }
        return r < 0 ? r : blob_writer_finish(w, expected_digest, (int64_t)size, ret_digest, err);
}
