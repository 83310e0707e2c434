/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar (ustar, pax, GNU, v7), read by libarchive, entry by entry into the merge.
 *
 * What is asked of libarchive:
 * - Names as the bytes they are. In the "C" locale it cannot convert pax's UTF-8, keeps the bytes and warns;
 * in a UTF-8 locale it would normalize them. So the thread has the "C" locale while it reads, and that one
 *   warning means nothing.
 * - Any other warning is damage: pax records it could not read, say.
 * - ACLs come as system.posix_acl_* attributes or not at all: pax's own text form (SCHILY.acl) is ignored, as
 *   container engines do.
 * - The end: two blocks of zeros, or simply the end of the stream, as tar programs accept. Inside of an entry
 *   the end of the stream is damage. What follows the end is read for the digest only.
 * - Memory: between two entries it may ask for HEADER_MAX bytes; pax headers and sparse maps are kept whole
 *   in memory.
 */
#include "image/layer.h"

#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER_MAX (UINT64_C(5) << 19)

struct tar_reader {
        struct layer_stream *stream;
        struct merge *merge;
        struct archive *archive;
        uint64_t in_header; /* bytes asked for since the header began */
        bool reading_header;
        uint64_t fed;     /* bytes given to libarchive */
        uint64_t content; /* where the present entry's content ends, of these */
        bool ended;
        struct error error; /* of the stream, on its way through libarchive */
};

static la_ssize_t feed(struct archive *archive, void *data, const void **ret_bytes)
{
        struct tar_reader *reader = data;
        size_t size = 0;
        int r = layer_stream_next(reader->stream, ret_bytes, &size, &reader->error);
        if (r == 0 && reader->reading_header && (reader->in_header += size) > HEADER_MAX)
                r = error_set(&reader->error, -EBADMSG, "the header of an entry is too large");
        if (r < 0) {
                archive_set_error(archive, EIO, "%s", reader->error.text);
                return -1;
        }
        reader->fed += size;
        reader->ended = size == 0;
        return (la_ssize_t)size;
}

static int archive_failure(struct tar_reader *reader, const char *path, struct error *err)
{
        int code = archive_errno(reader->archive) == ENOMEM ? -ENOMEM : -EBADMSG;
        const char *text = archive_error_string(reader->archive);
        if (reader->error.code != 0) {
                if (err != NULL)
                        *err = reader->error;
                return reader->error.code;
        }
        if (text == NULL)
                text = "unknown damage";
        if (path != NULL)
                return error_set(err, code, "'%s': the tar is damaged: %s", path, text);
        return error_set(err, code, "the tar is damaged: %s", text);
}

/* The warning that is none, see above. */
static bool is_harmless(struct archive *archive)
{
        const char *text = archive_error_string(archive);
        return text != NULL && strstr(text, "can't be converted from") != NULL;
}

/* Some writers (umoci insert) end a layer right after the last content: without what fills its block, and
 * without the end. Others take that, and the digest says that nothing is missing. */
static bool ends_after_content(const struct tar_reader *reader)
{
        return reader->ended && reader->fed == reader->content && reader->content > 0;
}

static int read_content(struct merge *merge, void *data, struct error *err)
{
        struct tar_reader *reader = data;
        const void *bytes;
        size_t size;
        la_int64_t offset;
        int r;
        while ((r = archive_read_data_block(reader->archive, &bytes, &size, &offset)) == ARCHIVE_OK) {
                if (offset < 0)
                        return error_set(err, -EBADMSG, "the tar is damaged: content before its file");
                int written = merge_write(merge, (uint64_t)offset, bytes, size, err);
                if (written < 0)
                        return written;
        }
        return r == ARCHIVE_EOF || ends_after_content(reader) ? 0 : archive_failure(reader, NULL, err);
}

static int read_xattrs(struct archive_entry *from, struct merge_entry *entry, uint8_t **ret_bytes,
                       struct error *err)
{
        int count = archive_entry_xattr_reset(from);
        if (count == 0)
                return 0;
        if (count > EROFS_XATTR_COUNT_MAX)
                return error_set(err, -E2BIG, "'%s': more than %d extended attributes", entry->path,
                                 EROFS_XATTR_COUNT_MAX);
        cleanup_free struct erofs_named_value *values = calloc((size_t)count, sizeof(*values));
        if (values == NULL)
                return error_errno(err, -ENOMEM, "'%s'", entry->path);
        int used = 0;
        while (used < count && archive_entry_xattr_next(from, &values[used].name, &values[used].value,
                                                        &values[used].size) == ARCHIVE_OK)
                used++;
        int r = erofs_xattrs_encode(values, (size_t)used, ret_bytes, &entry->attributes.xattr_size);
        if (r < 0)
                return error_errno(err, r, "'%s': extended attributes", entry->path);
        entry->attributes.xattrs = *ret_bytes;
        return 0;
}

static int read_numbers(struct archive_entry *from, struct merge_entry *entry, struct error *err)
{
        la_int64_t uid = archive_entry_uid(from), gid = archive_entry_gid(from);
        la_int64_t size = archive_entry_size_is_set(from) ? archive_entry_size(from) : 0;
        mode_t kind = archive_entry_filetype(from);
        if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
                return error_set(err, -EBADMSG, "'%s': an owner out of range", entry->path);
        if (size < 0)
                return error_set(err, -EBADMSG, "'%s': a negative size", entry->path);
        long nsec = archive_entry_mtime_nsec(from);
        entry->attributes.mode =
            (uint16_t)((kind != 0 ? kind : S_IFREG) | (archive_entry_perm(from) & 07777));
        entry->attributes.uid = (uint32_t)uid;
        entry->attributes.gid = (uint32_t)gid;
        entry->attributes.mtime = archive_entry_mtime(from);
        entry->attributes.mtime_nsec = nsec >= 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
        entry->size = (uint64_t)size;
        if ((kind == S_IFCHR || kind == S_IFBLK) &&
            merge_device((uint64_t)archive_entry_rdevmajor(from), (uint64_t)archive_entry_rdevminor(from),
                         &entry->device) < 0)
                return error_set(err, -EBADMSG, "'%s': a device number out of range", entry->path);
        return 0;
}

static int add_entry(struct tar_reader *reader, struct archive_entry *from, struct error *err)
{
        struct merge_entry entry = {
            .path = archive_entry_pathname(from),
            .hard_link = archive_entry_hardlink(from),
            .target = archive_entry_symlink(from),
        };
        cleanup_free uint8_t *xattrs = NULL;
        if (entry.path == NULL)
                return error_set(err, -EBADMSG, "the tar is damaged: an entry without a name");
        int r = read_numbers(from, &entry, err);
        if (r == 0)
                r = read_xattrs(from, &entry, &xattrs, err);
        return r < 0 ? r : merge_add(reader->merge, &entry, read_content, reader, err);
}

static int read_entries(struct tar_reader *reader, struct error *err)
{
        struct archive_entry *entry;
        for (;;) {
                reader->in_header = 0;
                reader->reading_header = true;
                int r = archive_read_next_header(reader->archive, &entry);
                reader->reading_header = false;
                if (r == ARCHIVE_EOF || (r == ARCHIVE_FATAL && ends_after_content(reader)))
                        return 0;
                if (r != ARCHIVE_OK && !(r == ARCHIVE_WARN && is_harmless(reader->archive)))
                        return archive_failure(reader,
                                               r == ARCHIVE_WARN ? archive_entry_pathname(entry) : NULL, err);
                reader->content = (uint64_t)archive_filter_bytes(reader->archive, 0);
                if (archive_entry_sparse_count(entry) == 0 && archive_entry_size(entry) > 0)
                        reader->content += (uint64_t)archive_entry_size(entry);
                if ((r = add_entry(reader, entry, err)) < 0)
                        return r;
                /* content nobody asked for is skipped here, so that it does not count as header */
                if (archive_read_data_skip(reader->archive) != ARCHIVE_OK && !ends_after_content(reader))
                        return archive_failure(reader, archive_entry_pathname(entry), err);
        }
}

static int open_reader(struct tar_reader *reader, struct error *err)
{
        reader->archive = archive_read_new();
        if (reader->archive == NULL)
                return error_errno(err, -ENOMEM, "read tar");
        if (archive_read_support_format_tar(reader->archive) != ARCHIVE_OK ||
            archive_read_support_format_empty(reader->archive) != ARCHIVE_OK ||
            archive_read_open(reader->archive, reader, NULL, feed, NULL) != ARCHIVE_OK)
                return archive_failure(reader, NULL, err);
        return 0;
}

static int drain(struct layer_stream *stream, struct error *err)
{
        const void *bytes;
        size_t size;
        int r;
        while ((r = layer_stream_next(stream, &bytes, &size, err)) == 0 && size > 0)
                ;
        return r;
}

int layer_read_tar(struct layer_stream *stream, struct merge *merge, struct error *err)
{
        struct tar_reader reader = {.stream = stream, .merge = merge};
        locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (plain == (locale_t)0)
                return error_errno(err, -errno, "read tar");
        locale_t before = uselocale(plain);
        int r = open_reader(&reader, err);
        if (r == 0)
                r = read_entries(&reader, err);
        if (reader.archive != NULL)
                (void)archive_read_free(reader.archive);
        (void)uselocale(before);
        freelocale(plain);
        return r < 0 ? r : drain(stream, err);
}
