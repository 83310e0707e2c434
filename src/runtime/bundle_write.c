/* SPDX-License-Identifier: Apache-2.0 */
/* See bundle.h. libarchive writes the tar, unbuffered, so that all bytes before the sum have been counted
 * when it is written. Numbers that say nothing (owner, time) are zero: the same box gives the same file.
 *
 * A descriptor that cannot be written to is not told to libarchive, which would lose its own memory over it:
 * the failure is kept, what follows goes nowhere, and every step looks whether there was one. */
#include "runtime/bundle.h"

#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (256U << 10)

struct writer {
        int fd;
        struct archive *tar;
        EVP_MD_CTX *sum;
        char *room;
        int failure; /* of the descriptor */
};

static la_ssize_t put(struct archive *tar, void *data, const void *bytes, size_t size)
{
        struct writer *w = data;
        (void)tar;
        for (size_t done = 0; done < size && w->failure == 0;) {
                ssize_t n = write(w->fd, (const char *)bytes + done, size - done);
                if (n < 0 && errno != EINTR)
                        w->failure = -errno;
                done += n < 0 ? 0 : (size_t)n;
        }
        if (w->failure == 0 && EVP_DigestUpdate(w->sum, bytes, size) != 1)
                w->failure = -ENOMEM;
        return (la_ssize_t)size;
}

/* How a step went, from what libarchive returned. */
static int step(const struct writer *w, bool is_done, struct error *err)
{
        const char *why = archive_error_string(w->tar);
        if (w->failure != 0)
                return error_errno(err, w->failure, "write the file");
        if (is_done)
                return 0;
        return error_set(err, archive_errno(w->tar) > 0 ? -archive_errno(w->tar) : -EIO,
                         "write the file: %.300s", why != NULL ? why : "failed");
}

static struct archive_entry *make_entry(const char *name, uint64_t size)
{
        struct archive_entry *entry = archive_entry_new();
        if (entry == NULL)
                return NULL;
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0600);
        archive_entry_set_size(entry, (la_int64_t)size);
        archive_entry_set_mtime(entry, 0, 0);
        return entry;
}

/* Takes the entry. */
static int begin(struct writer *w, struct archive_entry *entry, struct error *err)
{
        if (entry == NULL)
                return error_set(err, -ENOMEM, "write the file: out of memory");
        int r = archive_write_header(w->tar, entry);
        archive_entry_free(entry);
        return step(w, r == ARCHIVE_OK, err);
}

static int write_bytes(struct writer *w, const void *bytes, size_t size, struct error *err)
{
        for (size_t done = 0; done < size;) {
                la_ssize_t n = archive_write_data(w->tar, (const char *)bytes + done, size - done);
                int r = step(w, n > 0, err);
                if (r < 0)
                        return r;
                done += (size_t)n;
        }
        return 0;
}

static int end(struct writer *w, struct error *err)
{
        return step(w, archive_write_finish_entry(w->tar) == ARCHIVE_OK, err);
}

/* Bytes [from, to) of a file. */
static int write_data(struct writer *w, int fd, off_t from, off_t to, struct error *err)
{
        while (from < to) {
                ssize_t n = pread(fd, w->room, to - from < (off_t)PIECE ? (size_t)(to - from) : PIECE, from);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(err, n < 0 ? -errno : -EIO, "read what is to be written");
                int r = write_bytes(w, w->room, (size_t)n, err);
                if (r < 0)
                        return r;
                from += n;
        }
        return 0;
}

/* What libarchive is given for a hole is not written, only counted. */
static int write_hole(struct writer *w, off_t from, off_t to, struct error *err)
{
        int r = 0;
        if (from < to)
                memset(w->room, 0, PIECE);
        while (r == 0 && from < to) {
                size_t size = to - from < (off_t)PIECE ? (size_t)(to - from) : PIECE;
                r = write_bytes(w, w->room, size, err);
                from += (off_t)size;
        }
        return r;
}

/* The next range of data at or after `at`; both are `size` when there is none. */
static int next_data(int fd, off_t at, off_t size, off_t *ret_data, off_t *ret_hole)
{
        off_t data = at < size ? lseek(fd, at, SEEK_DATA) : size;
        if (data < 0 && errno == ENXIO)
                data = size;
        if (data < 0)
                return -errno;
        off_t hole = data < size ? lseek(fd, data, SEEK_HOLE) : size;
        if (hole < 0)
                return -errno;
        *ret_data = data;
        *ret_hole = hole < size ? hole : size;
        return 0;
}

static int map_data(int fd, off_t size, struct archive_entry *entry)
{
        off_t data = 0, hole = 0;
        int r = 0;
        for (off_t at = 0; at < size; at = hole) {
                r = next_data(fd, at, size, &data, &hole);
                if (r < 0)
                        return r;
                if (data < hole || at == 0)
                        archive_entry_sparse_add_entry(entry, data, hole - data);
        }
        return 0;
}

static int write_sparse(struct writer *w, const char *name, int fd, struct error *err)
{
        struct stat st;
        off_t data, hole, at = 0;
        struct archive_entry *entry = fstat(fd, &st) < 0 ? NULL : make_entry(name, (uint64_t)st.st_size);
        int r = entry == NULL ? -ENOMEM : map_data(fd, st.st_size, entry);
        if (r < 0) {
                archive_entry_free(entry);
                return error_errno(err, r, "find the disk's data");
        }
        r = begin(w, entry, err);
        while (r == 0 && at < st.st_size) {
                r = next_data(fd, at, st.st_size, &data, &hole);
                if (r < 0)
                        return error_errno(err, r, "find the disk's data");
                r = write_hole(w, at, data, err);
                if (r == 0)
                        r = write_data(w, fd, data, hole, err);
                at = hole;
        }
        return r == 0 ? end(w, err) : r;
}

static int write_plain(struct writer *w, const char *name, int fd, struct error *err)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "read what is to be written");
        int r = begin(w, make_entry(name, (uint64_t)st.st_size), err);
        if (r == 0)
                r = write_data(w, fd, 0, st.st_size, err);
        return r == 0 ? end(w, err) : r;
}

static int write_text(struct writer *w, const char *name, const char *text, size_t size, struct error *err)
{
        int r = begin(w, make_entry(name, size), err);
        if (r == 0)
                r = write_bytes(w, text, size, err);
        return r == 0 ? end(w, err) : r;
}

static int write_sum(struct writer *w, struct error *err)
{
        unsigned char bytes[EVP_MAX_MD_SIZE];
        char text[BUNDLE_SUM_SIZE + 1];
        int r = begin(w, make_entry(BUNDLE_SUM, BUNDLE_SUM_SIZE), err);
        if (r < 0)
                return r;
        if (EVP_DigestFinal_ex(w->sum, bytes, NULL) != 1 ||
            EVP_DigestInit_ex(w->sum, EVP_sha256(), NULL) != 1) /* what follows is counted for nothing */
                return error_set(err, -ENOMEM, "write the file: out of memory");
        memset(text, '\n', BUNDLE_SUM_SIZE);
        for (int i = 0; i < 32; i++) {
                static const char digits[] = "0123456789abcdef";
                text[2 * i] = digits[bytes[i] >> 4];
                text[2 * i + 1] = digits[bytes[i] & 15];
        }
        r = write_bytes(w, text, BUNDLE_SUM_SIZE, err);
        return r == 0 ? end(w, err) : r;
}

static int open_tar(struct writer *w, struct error *err)
{
        if (w->tar == NULL || w->sum == NULL || w->room == NULL ||
            EVP_DigestInit_ex(w->sum, EVP_sha256(), NULL) != 1)
                return error_set(err, -ENOMEM, "write the file: out of memory");
        return step(w,
                    archive_write_set_format_pax_restricted(w->tar) == ARCHIVE_OK &&
                        archive_write_set_bytes_per_block(w->tar, 0) == ARCHIVE_OK &&
                        archive_write_set_bytes_in_last_block(w->tar, 1) == ARCHIVE_OK &&
                        archive_write_open(w->tar, w, NULL, put, NULL) == ARCHIVE_OK,
                    err);
}

int bundle_write(int fd, const char *document, size_t size, int image_fd, int disk_fd, struct error *err)
{
        struct writer w = {.fd = fd,
                           .tar = archive_write_new(),
                           .sum = EVP_MD_CTX_new(),
                           .room = malloc(PIECE)};
        int r = open_tar(&w, err);
        if (r == 0)
                r = write_text(&w, BUNDLE_DOCUMENT, document, size, err);
        if (r == 0 && image_fd >= 0)
                r = write_plain(&w, BUNDLE_IMAGE, image_fd, err);
        if (r == 0)
                r = write_sparse(&w, BUNDLE_DISK, disk_fd, err);
        if (r == 0)
                r = write_sum(&w, err);
        if (r == 0)
                r = step(&w, archive_write_close(w.tar) == ARCHIVE_OK, err);
        else if (w.failure == 0)
                w.failure = r; /* nothing more is to be written */
        (void)archive_write_free(w.tar);
        EVP_MD_CTX_free(w.sum);
        free(w.room);
        return r;
}
