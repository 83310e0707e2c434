/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user's tar, in whatever dialect and compression libarchive knows, on its way into a box. Names are made
 * relative ("./" and "/" in front go); one with ".." is refused, as tar programs do. Read in the "C" locale,
 * where names are the bytes they are.
 */
#include "runtime/tar_input.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "wire/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_SIZE (256 << 10)

struct input {
        struct archive *archive;
        const struct pack_sink *sink;
        struct buffer header;
        char name[TAR_NAME_MAX], link[TAR_NAME_MAX];
        struct tar_xattr xattrs[TAR_XATTRS_MAX];
};

static int failure(struct input *in, struct error *err)
{
        const char *why = archive_error_string(in->archive);
        return error_set(err, archive_errno(in->archive) == ENOMEM ? -ENOMEM : -EBADMSG,
                         "read the tar: %.300s", why != NULL ? why : "it is damaged");
}

static bool is_harmless(struct archive *archive)
{
        const char *text = archive_error_string(archive);
        return text != NULL && strstr(text, "can't be converted from") != NULL;
}

/* Relative and without needless parts; "." for the top. */
static int plain_name(const char *given, char ret_name[TAR_NAME_MAX])
{
        size_t used = 0;
        if (given == NULL || strlen(given) >= TAR_NAME_MAX)
                return -EBADMSG;
        for (const char *at = given; *at != '\0';) {
                size_t length = strcspn(at, "/");
                bool dot = length == 0 || (length == 1 && at[0] == '.');
                if (length == 2 && at[0] == '.' && at[1] == '.')
                        return -EBADMSG;
                if (!dot) {
                        if (used > 0)
                                ret_name[used++] = '/';
                        memcpy(ret_name + used, at, length);
                        used += length;
                }
                at += length;
                at += *at == '/';
        }
        ret_name[used] = '\0';
        if (used == 0)
                (void)strcpy(ret_name, ".");
        return 0;
}

static int read_xattrs(struct input *in, struct archive_entry *from, struct tar_entry *e)
{
        size_t count = 0;
        (void)archive_entry_xattr_reset(from); /* the number of them; they are taken one by one */
        while (count < TAR_XATTRS_MAX && archive_entry_xattr_next(from, &in->xattrs[count].name,
                                                                  (const void **)&in->xattrs[count].value,
                                                                  &in->xattrs[count].size) == ARCHIVE_OK)
                count++;
        e->xattrs = in->xattrs;
        e->xattr_count = count;
        return 0;
}

static int type_of(struct archive_entry *from, enum tar_type *ret_type)
{
        if (archive_entry_hardlink(from) != NULL) {
                *ret_type = TAR_HARD_LINK;
                return 0;
        }
        switch (archive_entry_filetype(from)) {
        case AE_IFREG:
        case 0:
                *ret_type = TAR_FILE;
                return 0;
        case AE_IFDIR:
                *ret_type = TAR_FOLDER;
                return 0;
        case AE_IFLNK:
                *ret_type = TAR_SYMLINK;
                return 0;
        case AE_IFCHR:
                *ret_type = TAR_CHARACTER;
                return 0;
        case AE_IFBLK:
                *ret_type = TAR_BLOCK_DEVICE;
                return 0;
        case AE_IFIFO:
                *ret_type = TAR_FIFO;
                return 0;
        default:
                return -EOPNOTSUPP;
        }
}

static int make_entry(struct input *in, struct archive_entry *from, struct tar_entry *e, struct error *err)
{
        const char *given = archive_entry_pathname(from);
        la_int64_t uid = archive_entry_uid(from), gid = archive_entry_gid(from);
        *e = (struct tar_entry){.name = in->name, .link = ""};
        if (plain_name(given, in->name) < 0)
                return error_set(err, -EBADMSG, "refused the name '%s' in the tar: it leads out",
                                 given != NULL ? given : "");
        if (type_of(from, &e->type) < 0)
                return error_set(err, -EOPNOTSUPP, "read the tar: '%s' is of an unknown kind", in->name);
        if (e->type == TAR_HARD_LINK) {
                if (plain_name(archive_entry_hardlink(from), in->link) < 0)
                        return error_set(err, -EBADMSG,
                                         "refused a hard link of '%s' in the tar: it leads out", in->name);
                e->link = in->link;
        }
        if (e->type == TAR_SYMLINK)
                e->link = archive_entry_symlink(from);
        if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX || e->link == NULL)
                return error_set(err, -EBADMSG, "read the tar: '%s' has an owner out of range", in->name);
        long nsec = archive_entry_mtime_nsec(from);
        e->mode = archive_entry_perm(from) & 07777;
        e->uid = (uint32_t)uid;
        e->gid = (uint32_t)gid;
        e->size = e->type == TAR_FILE ? (uint64_t)archive_entry_size(from) : 0;
        e->mtime = archive_entry_mtime(from);
        e->mtime_nsec = nsec >= 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
        e->device_major = (uint32_t)archive_entry_rdevmajor(from);
        e->device_minor = (uint32_t)archive_entry_rdevminor(from);
        return read_xattrs(in, from, e);
}

static int put(struct input *in, const void *bytes, size_t size, struct error *err)
{
        return in->sink->write(in->sink->data, bytes, size, err);
}

static int put_zeros(struct input *in, uint64_t size, struct error *err)
{
        static const char zeros[64 << 10];
        int r = 0;
        while (r == 0 && size > 0) {
                size_t part = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);
                r = put(in, zeros, part, err);
                size -= part;
        }
        return r;
}

static int put_content(struct input *in, uint64_t size, struct error *err)
{
        uint64_t done = 0;
        for (;;) {
                const void *bytes;
                size_t length;
                la_int64_t offset;
                int r = archive_read_data_block(in->archive, &bytes, &length, &offset);
                if (r == ARCHIVE_EOF)
                        break;
                if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                        return failure(in, err);
                if (offset < 0 || (uint64_t)offset < done || (uint64_t)offset > size ||
                    length > size - (uint64_t)offset)
                        return error_set(err, -EBADMSG, "read the tar: '%s' has content out of order",
                                         in->name);
                r = put_zeros(in, (uint64_t)offset - done, err); /* a hole */
                if (r == 0)
                        r = put(in, bytes, length, err);
                if (r < 0)
                        return r;
                done = (uint64_t)offset + length;
        }
        return put_zeros(in, size - done + tar_padding(size), err);
}

static int send_entry(struct input *in, struct archive_entry *from, struct error *err)
{
        struct tar_entry e;
        int r = make_entry(in, from, &e, err);
        if (r < 0)
                return r;
        buffer_clear(&in->header);
        r = tar_encode(&e, &in->header);
        if (r < 0)
                return error_errno(err, r, "read the tar: '%s'", in->name);
        r = put(in, buffer_content(&in->header), in->header.length, err);
        return r == 0 && e.type == TAR_FILE ? put_content(in, e.size, err) : r;
}

static int send_all(struct input *in, int fd, struct error *err)
{
        struct archive_entry *entry;
        int r;
        if (archive_read_support_format_tar(in->archive) != ARCHIVE_OK ||
            archive_read_support_filter_all(in->archive) < ARCHIVE_WARN ||
            archive_read_open_fd(in->archive, fd, READ_SIZE) != ARCHIVE_OK)
                return failure(in, err);
        while ((r = archive_read_next_header(in->archive, &entry)) != ARCHIVE_EOF) {
                if (r != ARCHIVE_OK && !(r == ARCHIVE_WARN && is_harmless(in->archive)))
                        return failure(in, err);
                r = send_entry(in, entry, err);
                if (r < 0)
                        return r;
        }
        buffer_clear(&in->header);
        r = tar_encode_end(&in->header);
        return r < 0 ? error_errno(err, r, "read the tar")
                     : put(in, buffer_content(&in->header), in->header.length, err);
}

int tar_input_send(int fd, const struct pack_sink *sink, struct error *err)
{
        cleanup_free struct input *in = calloc(1, sizeof(*in));
        locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (in == NULL || plain == (locale_t)0 || (in->archive = archive_read_new()) == NULL) {
                if (plain != (locale_t)0)
                        freelocale(plain);
                return error_errno(err, -ENOMEM, "read the tar");
        }
        in->sink = sink;
        buffer_init(&in->header, 2 * (size_t)TAR_RECORDS_MAX);
        locale_t before = uselocale(plain);
        int r = send_all(in, fd, err);
        (void)archive_read_free(in->archive); /* only frees */
        (void)uselocale(before);
        freelocale(plain);
        buffer_done(&in->header);
        return r;
}
