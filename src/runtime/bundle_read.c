/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a box's file (bundle.h). libarchive reads the tar out of blocks that are filled here; a block is
 * hashed when the next one is asked for, so that what comes before the sum can be told from the sum.
 *
 *     DOCUMENT -> IMAGE, DISK   [take_entry]   the only names, in the only order, each once
 *     IMAGE    -> DISK
 *     DISK     -> SUM -> (end)  [check_end]    libarchive has done its part: the last 1536 bytes are looked
 * at here
 *
 * Hostile: all of it; who made the file can make its sum as well, which is there against accidents only.
 *
 * Invariants:
 * 1. A name is compared, never used: no path of the file becomes one of ours.
 * 2. Content is handed on in order, each byte at most once, and within the size its header has.
 * 3. Memory: libarchive keeps headers and sparse maps whole; a header that asks for more than HEADER_MAX is
 *    refused.
 */
#include "runtime/bundle.h"

#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK      (64U << 10) /* whole tar blocks: no header lies in two of ours */
#define TAR_BLOCK  512
#define HEADER_MAX (16U << 20)

enum member { DOCUMENT, IMAGE, DISK, SUM, MEMBERS };

static const char *const names[MEMBERS] = {BUNDLE_DOCUMENT, BUNDLE_IMAGE, BUNDLE_DISK, BUNDLE_SUM};

struct reader {
        const struct bundle_source *source;
        const struct bundle_sink *sink;
        struct archive *tar;
        EVP_MD_CTX *sum;
        char *block;
        size_t size;      /* of what is in block */
        uint64_t start;   /* where in the file it begins */
        size_t in_header; /* bytes asked for since the header began */
        bool reading_header;
        struct error error; /* of the source, on its way through libarchive */
        char *document;
        size_t document_size;
};

static int damaged(struct error *err, const char *why)
{
        return error_set(err, -EBADMSG, "the file is damaged: %s", why);
}

/* As many bytes as there are, up to size. */
static ssize_t fill(struct reader *r, char *bytes, size_t size)
{
        size_t done = 0;
        while (done < size) {
                ssize_t n = r->source->read(bytes + done, size - done, r->source->data);
                if (n < 0)
                        return error_errno(&r->error, (int)n, "read the file");
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

static la_ssize_t feed(struct archive *tar, void *data, const void **ret_bytes)
{
        struct reader *r = data;
        if (EVP_DigestUpdate(r->sum, r->block, r->size) != 1)
                (void)error_set(&r->error, -ENOMEM, "read the file: out of memory");
        r->start += r->size;
        r->size = 0;
        ssize_t n = r->error.code != 0 ? -1 : fill(r, r->block, BLOCK);
        if (n > 0 && r->reading_header && (r->in_header += (size_t)n) > HEADER_MAX + BLOCK)
                (void)damaged(&r->error, "a header is too large");
        if (r->error.code != 0) {
                archive_set_error(tar, EIO, "%s", r->error.text);
                return -1;
        }
        r->size = (size_t)n;
        *ret_bytes = r->block;
        return n;
}

static int failed(const struct reader *r, struct error *err)
{
        const char *why = archive_error_string(r->tar);
        if (r->error.code != 0) {
                *err = r->error;
                return err->code;
        }
        if (archive_errno(r->tar) == ENOMEM)
                return error_set(err, -ENOMEM, "read the file: out of memory");
        return damaged(err, why != NULL ? why : "it is no tar");
}

/* The content of the present entry. */
static int for_each_piece(struct reader *r, uint64_t size,
                          int (*fn)(struct reader *r, uint64_t offset, const void *bytes, size_t size,
                                    struct error *err),
                          struct error *err)
{
        const void *bytes;
        la_int64_t offset;
        size_t piece;
        uint64_t end, at = 0;
        int result;
        while ((result = archive_read_data_block(r->tar, &bytes, &piece, &offset)) == ARCHIVE_OK) {
                if (piece == 0)
                        continue;
                if (offset < 0 || (uint64_t)offset < at ||
                    __builtin_add_overflow((uint64_t)offset, piece, &end) || end > size)
                        return damaged(err, "content outside of its member");
                int done = fn(r, (uint64_t)offset, bytes, piece, err);
                if (done < 0)
                        return done;
                at = end;
        }
        return result == ARCHIVE_EOF ? 0 : failed(r, err);
}

static int keep_text(struct reader *r, uint64_t offset, const void *bytes, size_t size, struct error *err)
{
        (void)err;
        memcpy(r->document + offset, bytes, size); /* the document's size was checked */
        return 0;
}

static int pass_image(struct reader *r, uint64_t offset, const void *bytes, size_t size, struct error *err)
{
        (void)offset;
        return r->sink->image(bytes, size, r->sink->data, err);
}

static int pass_disk(struct reader *r, uint64_t offset, const void *bytes, size_t size, struct error *err)
{
        return r->sink->disk(offset, bytes, size, r->sink->data, err);
}

static int read_document(struct reader *r, uint64_t size, struct error *err)
{
        if (size > BUNDLE_DOCUMENT_MAX)
                return damaged(err, "'" BUNDLE_DOCUMENT "' is too large");
        r->document = calloc(1, (size_t)size + 1);
        if (r->document == NULL)
                return error_set(err, -ENOMEM, "read the file: out of memory");
        int result = for_each_piece(r, size, keep_text, err);
        return result < 0 ? result : r->sink->document(r->document, (size_t)size, r->sink->data, err);
}

static int read_member(struct reader *r, enum member member, uint64_t size, struct error *err)
{
        if (member == DOCUMENT)
                return read_document(r, size, err);
        if (member == IMAGE)
                return for_each_piece(r, size, pass_image, err);
        int result = r->sink->disk_begin(size, r->sink->data, err);
        return result < 0 ? result : for_each_piece(r, size, pass_disk, err);
}

static int is_hole_free(struct archive_entry *entry)
{
        return archive_entry_sparse_count(entry) == 0;
}

/* Which member the entry is; `expected` is the first it may be. */
static int take_entry(struct archive_entry *entry, enum member expected, enum member *ret_member,
                      uint64_t *ret_size, struct error *err)
{
        const char *name = archive_entry_pathname(entry);
        enum member member = expected;
        if (name == NULL)
                return damaged(err, "a member without a name");
        while (member < MEMBERS && strcmp(name, names[member]) != 0)
                member++;
        if (member == MEMBERS || (member != expected && !(expected == IMAGE && member == DISK)))
                return error_set(err, -EBADMSG,
                                 "the file has '%.100s' where '%s' is to be: it is not of "
                                 "'boxlet export-box', or damaged",
                                 name, names[expected]);
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL ||
            archive_entry_symlink(entry) != NULL || !archive_entry_size_is_set(entry) ||
            archive_entry_size(entry) < 0 || (member != DISK && !is_hole_free(entry)))
                return error_set(err, -EBADMSG, "the file is damaged: '%s' is no plain file", names[member]);
        *ret_member = member;
        *ret_size = (uint64_t)archive_entry_size(entry);
        return 0;
}

/* From where the sum's content begins: it, the tar's end, and nothing more. */
static int check_end(struct reader *r, struct error *err)
{
        enum { LENGTH = BUNDLE_SUM_SIZE + 2 * TAR_BLOCK };
        char end[LENGTH + 1], expected[LENGTH] = {0};
        unsigned char sum[EVP_MAX_MD_SIZE];
        static const char digits[] = "0123456789abcdef";
        uint64_t at = (uint64_t)archive_filter_bytes(r->tar, 0);
        if (at < r->start || at - r->start > r->size)
                return damaged(err, "its end is not where it is to be");
        size_t here = (size_t)(at - r->start), left = r->size - here;
        if (left > LENGTH)
                return damaged(err, "something follows its end");
        memcpy(end, r->block + here, left);
        ssize_t more = fill(r, end + left, sizeof(end) - left);
        if (more < 0)
                return failed(r, err);
        if (left + (size_t)more != LENGTH)
                return damaged(err, left + (size_t)more < LENGTH ? "it ends too early"
                                                                 : "something follows its end");
        if (EVP_DigestUpdate(r->sum, r->block, here) != 1 || EVP_DigestFinal_ex(r->sum, sum, NULL) != 1)
                return error_set(err, -ENOMEM, "read the file: out of memory");
        memset(expected, '\n', BUNDLE_SUM_SIZE);
        for (int i = 0; i < 32; i++) {
                expected[2 * i] = digits[sum[i] >> 4];
                expected[2 * i + 1] = digits[sum[i] & 15];
        }
        return memcmp(end, expected, LENGTH) == 0 ? 0 : damaged(err, "its checksum is another");
}

static int read_members(struct reader *r, struct error *err)
{
        enum member expected = DOCUMENT, member = DOCUMENT;
        while (expected != MEMBERS) {
                struct archive_entry *entry;
                uint64_t size = 0;
                r->in_header = 0;
                r->reading_header = true;
                int result = archive_read_next_header(r->tar, &entry);
                r->reading_header = false;
                if (result == ARCHIVE_EOF)
                        return damaged(err, "it ends too early");
                if (result != ARCHIVE_OK)
                        return failed(r, err);
                result = take_entry(entry, expected, &member, &size, err);
                if (result == 0 && member == SUM)
                        return size == BUNDLE_SUM_SIZE ? check_end(r, err)
                                                       : damaged(err, "its checksum is none");
                if (result == 0)
                        result = read_member(r, member, size, err);
                if (result < 0)
                        return result;
                expected = member + 1;
        }
        return 0;
}

int bundle_read(const struct bundle_source *source, const struct bundle_sink *sink, struct error *err)
{
        struct reader r = {.source = source,
                           .sink = sink,
                           .tar = archive_read_new(),
                           .sum = EVP_MD_CTX_new(),
                           .block = malloc(BLOCK)};
        int result = 0;
        if (r.tar == NULL || r.sum == NULL || r.block == NULL ||
            EVP_DigestInit_ex(r.sum, EVP_sha256(), NULL) != 1)
                result = error_set(err, -ENOMEM, "read the file: out of memory");
        else if (archive_read_support_format_tar(r.tar) != ARCHIVE_OK ||
                 archive_read_open(r.tar, &r, NULL, feed, NULL) != ARCHIVE_OK)
                result = failed(&r, err);
        if (result == 0)
                result = read_members(&r, err);
        (void)archive_read_free(r.tar);
        EVP_MD_CTX_free(r.sum);
        free(r.block);
        free(r.document);
        return result;
}
