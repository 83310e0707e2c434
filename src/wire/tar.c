/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar as host and agent speak it, encoded and decoded. libarchive does not fit the agent, which is to stay
 * below 1 MiB, so both ends have this: one small dialect that is written in one way, and anything else is
 * refused. Tars that come from elsewhere (a user's, on stdin) are libarchive's.
 *
 * Hostile: every byte that is read, on the host's side; a guest can send what it likes. Invariants:
 * 1. Nothing is kept of a stream but one header: records of at most TAR_RECORDS_MAX, names below
 * TAR_NAME_MAX.
 * 2. A number is octal digits (in a block) or decimal ones (in a record), complete and in range, or refused.
 * 3. Each record's length is its own line's: "LENGTH key=value\n", checked against what is left before use.
 * 4. Names and targets hold no NUL and are not empty where they count; whether a name stays inside of
 *    something is tar_name_is_plain()'s question, asked by whoever makes files.
 */
#include "wire/tar.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
            version[2], uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct block) == TAR_BLOCK, "a tar block is 512 bytes");

#define TYPE_RECORDS 'x'
#define NSEC         1000000000

size_t tar_padding(uint64_t size)
{
        return (size_t)(-size & (TAR_BLOCK - 1));
}

bool tar_name_is_plain(const char *name)
{
        for (;;) {
                size_t length = strcspn(name, "/");
                if (length == 0 || (length == 1 && name[0] == '.') ||
                    (length == 2 && name[0] == '.' && name[1] == '.'))
                        return false;
                if (name[length] == '\0')
                        return true;
                name += length + 1;
        }
}

/* ---- writing ---- */

/* width - 1 digits and a NUL; false when the number needs more. */
static bool put_octal(char *field, size_t width, uint64_t number)
{
        uint64_t left = number;
        for (size_t i = width - 1; i-- > 0; left >>= 3)
                field[i] = (char)('0' + (left & 7));
        field[width - 1] = '\0';
        return left == 0;
}

static unsigned block_sum(const struct block *block)
{
        const unsigned char *bytes = (const unsigned char *)block;
        unsigned sum = 0;
        for (size_t i = 0; i < sizeof(*block); i++)
                sum += i >= offsetof(struct block, checksum) && i < offsetof(struct block, type) ? ' '
                                                                                                 : bytes[i];
        return sum;
}

/* "LENGTH key=value\n", where LENGTH counts its own digits. */
static int put_record(struct buffer *b, const char *key, const char *suffix, const void *value, size_t size)
{
        size_t body = strlen(key) + strlen(suffix) + size + 3; /* blank, '=', newline */
        size_t length = body + 1;
        char digits[24];
        while ((size_t)snprintf(digits, sizeof(digits), "%zu", length) + body != length)
                length = body + strlen(digits);
        int r = buffer_printf(b, "%zu %s%s=", length, key, suffix);
        if (r == 0)
                r = buffer_append(b, value, size);
        return r < 0 ? r : buffer_append(b, "\n", 1);
}

static int put_number(struct buffer *b, const char *key, int64_t number)
{
        char text[24];
        (void)snprintf(text, sizeof(text), "%lld", (long long)number); /* 20 characters at most */
        return put_record(b, key, "", text, strlen(text));
}

static int put_mtime(struct buffer *b, int64_t seconds, uint32_t nsec)
{
        char text[40];
        if (seconds < 0 && nsec > 0) /* POSIX writes -1.5 for a second and a half before */
                (void)snprintf(text, sizeof(text), "-%lld.%09u", (long long)-(seconds + 1), NSEC - nsec);
        else
                (void)snprintf(text, sizeof(text), "%lld.%09u", (long long)seconds, nsec);
        return put_record(b, "mtime", "", text, strlen(text));
}

static int put_records(const struct tar_entry *e, struct block *block, struct buffer *b)
{
        int r = 0;
        if (strlen(e->name) > sizeof(block->name))
                r = put_record(b, "path", "", e->name, strlen(e->name));
        if (r == 0 && strlen(e->link) > sizeof(block->link))
                r = put_record(b, "linkpath", "", e->link, strlen(e->link));
        if (!put_octal(block->uid, sizeof(block->uid), e->uid) && r == 0)
                r = put_number(b, "uid", e->uid);
        if (!put_octal(block->gid, sizeof(block->gid), e->gid) && r == 0)
                r = put_number(b, "gid", e->gid);
        if (!put_octal(block->size, sizeof(block->size), e->size) && r == 0)
                r = put_number(b, "size", (int64_t)e->size);
        bool whole = e->mtime >= 0 && e->mtime_nsec == 0;
        if (!put_octal(block->mtime, sizeof(block->mtime), whole ? (uint64_t)e->mtime : 0))
                whole = false;
        if (!whole && r == 0)
                r = put_mtime(b, e->mtime, e->mtime_nsec);
        for (size_t i = 0; r == 0 && i < e->xattr_count; i++)
                r = put_record(b, TAR_XATTR_PREFIX, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].size);
        return r;
}

static void fill_text(char *field, size_t width, const char *text)
{
        size_t length = strnlen(text, width);
        memcpy(field, text, length); /* no NUL where it fills the field; cut where a record has all of it */
}

static int put_block(struct block *block, struct buffer *b)
{
        memcpy(block->magic, "ustar", sizeof(block->magic));
        memcpy(block->version, "00", sizeof(block->version));
        (void)put_octal(block->checksum, sizeof(block->checksum) - 1, block_sum(block)); /* 6 digits do */
        block->checksum[7] = ' ';
        return buffer_append(b, block, sizeof(*block));
}

static int put_zeros(struct buffer *b, size_t size)
{
        static const char zeros[2 * TAR_BLOCK];
        return buffer_append(b, zeros, size);
}

static bool can_be_encoded(const struct tar_entry *e)
{
        return e->name[0] != '\0' && strlen(e->name) < TAR_NAME_MAX && strlen(e->link) < TAR_NAME_MAX &&
               e->size <= TAR_CONTENT_MAX && e->mtime_nsec < NSEC && e->xattr_count <= TAR_XATTRS_MAX &&
               e->mtime > INT64_MIN / 2 && e->mtime < INT64_MAX / 2;
}

int tar_encode(const struct tar_entry *e, struct buffer *b)
{
        struct block block = {.type = (char)e->type};
        struct block extension = {.name = "PaxHeaders/records", .type = TYPE_RECORDS};
        cleanup_buffer struct buffer records = BUFFER_INIT(TAR_RECORDS_MAX);
        if (!can_be_encoded(e))
                return -EINVAL;
        fill_text(block.name, sizeof(block.name), e->name);
        fill_text(block.link, sizeof(block.link), e->link);
        (void)put_octal(block.mode, sizeof(block.mode), e->mode & 07777); /* fits */
        if (!put_octal(block.major, sizeof(block.major), e->device_major) ||
            !put_octal(block.minor, sizeof(block.minor), e->device_minor))
                return -EINVAL;
        int r = put_records(e, &block, &records);
        if (r == 0 && records.length > 0) {
                (void)put_octal(extension.mode, sizeof(extension.mode), 0644);
                (void)put_octal(extension.uid, sizeof(extension.uid), 0);
                (void)put_octal(extension.gid, sizeof(extension.gid), 0);
                (void)put_octal(extension.size, sizeof(extension.size), records.length);
                (void)put_octal(extension.mtime, sizeof(extension.mtime), 0);
                r = put_block(&extension, b);
                if (r == 0)
                        r = buffer_append(b, buffer_content(&records), records.length);
                if (r == 0)
                        r = put_zeros(b, tar_padding(records.length));
        }
        return r < 0 ? r : put_block(&block, b);
}

int tar_encode_end(struct buffer *b)
{
        return put_zeros(b, 2 * (size_t)TAR_BLOCK);
}

/* ---- reading ---- */

struct tar_reader {
        struct tar_source source;
        uint64_t content, padding; /* what of the present entry is still in the stream */
        bool ended;
        char name[TAR_NAME_MAX], link[TAR_NAME_MAX];
        char *records;
        struct tar_xattr xattrs[TAR_XATTRS_MAX];
};

/* What the records before an entry say. */
struct overrides {
        const char *path, *link;
        bool has_size, has_uid, has_gid, has_mtime;
        uint64_t size, uid, gid;
        int64_t mtime;
        uint32_t mtime_nsec;
        size_t xattr_count;
};

int tar_reader_new(const struct tar_source *source, struct tar_reader **ret_reader)
{
        struct tar_reader *reader = calloc(1, sizeof(*reader));
        if (reader == NULL)
                return -ENOMEM;
        reader->source = *source;
        *ret_reader = reader;
        return 0;
}

void tar_reader_free(struct tar_reader *reader)
{
        if (reader == NULL)
                return;
        free(reader->records);
        free(reader);
}

static int damaged(struct error *err, const char *what)
{
        return error_set(err, -EBADMSG, "the tar is damaged: %s", what);
}

/* Digits up to a NUL or a blank, or to the field's end. */
static int get_octal(const char *field, size_t width, uint64_t *ret_number)
{
        uint64_t number = 0;
        size_t i = 0;
        for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
                number = number << 3 | (uint64_t)(field[i] - '0'); /* 12 digits at most */
        if (i == 0 || (i < width && field[i] != '\0' && field[i] != ' '))
                return -EBADMSG;
        *ret_number = number;
        return 0;
}

/* All of text, decimal. */
static int get_decimal(const char *text, size_t size, uint64_t *ret_number)
{
        uint64_t number = 0;
        if (size == 0)
                return -EBADMSG;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
                        return -EBADMSG;
        }
        *ret_number = number;
        return 0;
}

/* "[-]SECONDS[.FRACTION]" */
static int get_time(const char *text, size_t size, struct overrides *o)
{
        bool negative = size > 0 && text[0] == '-';
        const char *at = text + negative, *end = text + size;
        const char *dot = memchr(at, '.', (size_t)(end - at));
        uint64_t seconds;
        uint32_t nsec = 0, unit = NSEC / 10;
        if (get_decimal(at, (size_t)((dot != NULL ? dot : end) - at), &seconds) < 0 ||
            seconds >= INT64_MAX / 2)
                return -EBADMSG;
        for (const char *p = dot != NULL ? dot + 1 : end; p < end; p++, unit /= 10) {
                if (*p < '0' || *p > '9')
                        return -EBADMSG;
                nsec += (uint32_t)(*p - '0') * unit;
        }
        o->mtime = negative ? -(int64_t)seconds - (nsec > 0) : (int64_t)seconds;
        o->mtime_nsec = negative && nsec > 0 ? NSEC - nsec : nsec;
        o->has_mtime = true;
        return 0;
}

static bool is_text(const char *value, size_t size)
{
        return size > 0 && size < TAR_NAME_MAX && memchr(value, '\0', size) == NULL;
}

static int get_xattr(struct tar_reader *reader, const char *name, const char *value, size_t size,
                     struct overrides *o)
{
        if (name[0] == '\0' || o->xattr_count == TAR_XATTRS_MAX)
                return -EBADMSG;
        reader->xattrs[o->xattr_count++] = (struct tar_xattr){name, value, size};
        return 0;
}

/* value has a NUL behind it, where the record's newline was. */
static int get_record(struct tar_reader *reader, const char *key, const char *value, size_t size,
                      struct overrides *o)
{
        static const char prefix[] = TAR_XATTR_PREFIX;
        if (strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0) {
                *(key[0] == 'p' ? &o->path : &o->link) = value;
                return is_text(value, size) ? 0 : -EBADMSG;
        }
        if (strcmp(key, "size") == 0) {
                o->has_size = true;
                return get_decimal(value, size, &o->size);
        }
        if (strcmp(key, "uid") == 0) {
                o->has_uid = true;
                return get_decimal(value, size, &o->uid);
        }
        if (strcmp(key, "gid") == 0) {
                o->has_gid = true;
                return get_decimal(value, size, &o->gid);
        }
        if (strcmp(key, "mtime") == 0)
                return get_time(value, size, o);
        if (strncmp(key, prefix, sizeof(prefix) - 1) == 0)
                return get_xattr(reader, key + sizeof(prefix) - 1, value, size, o);
        return 0; /* others say nothing that is used */
}

static int get_records(struct tar_reader *reader, size_t size, struct overrides *o)
{
        char *at = reader->records;
        while (size > 0) {
                char *blank = memchr(at, ' ', size < 20 ? size : 20);
                uint64_t length;
                if (blank == NULL || get_decimal(at, (size_t)(blank - at), &length) < 0 || length > size ||
                    length < (uint64_t)(blank - at) + 4 || at[length - 1] != '\n')
                        return -EBADMSG;
                char *key = blank + 1;
                char *equals = memchr(key, '=', (size_t)(at + length - key));
                if (equals == NULL || equals == key || memchr(key, '\0', (size_t)(equals - key)) != NULL)
                        return -EBADMSG;
                *equals = '\0';
                at[length - 1] = '\0';
                int r = get_record(reader, key, equals + 1, (size_t)(at + length - 1 - (equals + 1)), o);
                if (r < 0)
                        return r;
                at += length;
                size -= length;
        }
        return 0;
}

static int read_exactly(struct tar_reader *reader, void *bytes, size_t size, struct error *err)
{
        return reader->source.read(reader->source.data, bytes, size, err);
}

static int read_records(struct tar_reader *reader, const struct block *block, struct overrides *o,
                        struct error *err)
{
        uint64_t size;
        char padding[TAR_BLOCK];
        if (get_octal(block->size, sizeof(block->size), &size) < 0 || size > TAR_RECORDS_MAX)
                return damaged(err, "a header that is too large");
        free(reader->records);
        reader->records = malloc(size + 1);
        if (reader->records == NULL)
                return error_errno(err, -ENOMEM, "read a tar");
        int r = read_exactly(reader, reader->records, size, err);
        if (r == 0)
                r = read_exactly(reader, padding, tar_padding(size), err);
        if (r < 0)
                return r;
        *o = (struct overrides){0};
        return get_records(reader, size, o) < 0 ? damaged(err, "a record that is none") : 0;
}

static bool is_zero(const struct block *block)
{
        static const struct block zero;
        return memcmp(block, &zero, sizeof(zero)) == 0;
}

/* The next block that is not all zeros: 1, or 0 at the end, which is two of those. */
static int read_block(struct tar_reader *reader, struct block *block, struct error *err)
{
        uint64_t sum;
        int r = read_exactly(reader, block, sizeof(*block), err);
        if (r < 0)
                return r;
        if (is_zero(block)) {
                r = read_exactly(reader, block, sizeof(*block), err);
                if (r < 0)
                        return r;
                return is_zero(block) ? 0 : damaged(err, "one block of zeros inside");
        }
        if (memcmp(block->magic, "ustar", 6) != 0 || memcmp(block->version, "00", 2) != 0 ||
            get_octal(block->checksum, sizeof(block->checksum), &sum) < 0 || sum != block_sum(block))
                return damaged(err, "a header that is none");
        return 1;
}

static void get_text(const char *field, size_t width, char *ret_text)
{
        size_t length = strnlen(field, width);
        memcpy(ret_text, field, length);
        ret_text[length] = '\0';
}

static int get_names(struct tar_reader *reader, const struct block *block, const struct overrides *o)
{
        char name[sizeof(block->name) + 1], prefix[sizeof(block->prefix) + 1];
        get_text(block->name, sizeof(block->name), name);
        get_text(block->prefix, sizeof(block->prefix), prefix);
        get_text(block->link, sizeof(block->link), reader->link);
        (void)snprintf(reader->name, sizeof(reader->name), "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "",
                       name); /* 257 at most */
        if (o->path != NULL)
                (void)snprintf(reader->name, sizeof(reader->name), "%s", o->path); /* checked to fit */
        if (o->link != NULL)
                (void)snprintf(reader->link, sizeof(reader->link), "%s", o->link); /* the same */
        size_t length = strlen(reader->name);
        if (block->type == TAR_FOLDER && length > 1 && reader->name[length - 1] == '/')
                reader->name[length - 1] = '\0';
        bool is_link = block->type == TAR_HARD_LINK || block->type == TAR_SYMLINK;
        return reader->name[0] == '\0' || (is_link && reader->link[0] == '\0') ? -EBADMSG : 0;
}

static int get_numbers(const struct block *block, const struct overrides *o, struct tar_entry *e)
{
        uint64_t mode, uid = o->uid, gid = o->gid, size = o->size, mtime, major = 0, minor = 0;
        bool is_device = block->type == TAR_CHARACTER || block->type == TAR_BLOCK_DEVICE;
        if (get_octal(block->mode, sizeof(block->mode), &mode) < 0 ||
            (!o->has_uid && get_octal(block->uid, sizeof(block->uid), &uid) < 0) ||
            (!o->has_gid && get_octal(block->gid, sizeof(block->gid), &gid) < 0) ||
            (!o->has_size && get_octal(block->size, sizeof(block->size), &size) < 0) ||
            get_octal(block->mtime, sizeof(block->mtime), &mtime) < 0 ||
            (is_device && (get_octal(block->major, sizeof(block->major), &major) < 0 ||
                           get_octal(block->minor, sizeof(block->minor), &minor) < 0)))
                return -EBADMSG;
        if (uid >= UINT32_MAX || gid >= UINT32_MAX || size > TAR_CONTENT_MAX ||
            (block->type != TAR_FILE && size != 0))
                return -EBADMSG;
        e->mode = (uint32_t)mode & 07777;
        e->uid = (uint32_t)uid;
        e->gid = (uint32_t)gid;
        e->size = size;
        e->mtime = o->has_mtime ? o->mtime : (int64_t)mtime;
        e->mtime_nsec = o->has_mtime ? o->mtime_nsec : 0;
        e->device_major = (uint32_t)major;
        e->device_minor = (uint32_t)minor;
        return 0;
}

static int make_entry(struct tar_reader *reader, const struct block *block, const struct overrides *o,
                      struct tar_entry *ret_entry, struct error *err)
{
        struct tar_entry e = {.type = (enum tar_type)block->type};
        if (block->type < TAR_FILE || block->type > TAR_FIFO)
                return damaged(err, "an entry of an unknown type");
        if (get_names(reader, block, o) < 0)
                return damaged(err, "an entry without a name");
        if (get_numbers(block, o, &e) < 0)
                return damaged(err, "a number out of range");
        e.name = reader->name;
        e.link = reader->link;
        e.xattrs = reader->xattrs;
        e.xattr_count = o->xattr_count;
        reader->content = e.size;
        reader->padding = tar_padding(e.size);
        *ret_entry = e;
        return 1;
}

static int skip(struct tar_reader *reader, struct error *err)
{
        char bytes[8 * TAR_BLOCK];
        while (reader->content > 0) {
                int64_t n = tar_reader_content(reader, bytes, sizeof(bytes), err);
                if (n < 0)
                        return (int)n;
        }
        int r = read_exactly(reader, bytes, reader->padding, err);
        reader->padding = 0;
        return r;
}

int tar_reader_next(struct tar_reader *reader, struct tar_entry *ret_entry, struct error *err)
{
        struct block block;
        struct overrides o = {0};
        if (reader->ended)
                return 0;
        int r = skip(reader, err);
        if (r == 0)
                r = read_block(reader, &block, err);
        if (r == 1 && block.type == TYPE_RECORDS) {
                r = read_records(reader, &block, &o, err);
                if (r == 0)
                        r = read_block(reader, &block, err);
                if (r == 0)
                        r = damaged(err, "records of nothing");
        }
        if (r == 0)
                reader->ended = true;
        return r <= 0 ? r : make_entry(reader, &block, &o, ret_entry, err);
}

int64_t tar_reader_content(struct tar_reader *reader, void *bytes, size_t size, struct error *err)
{
        size_t part = reader->content < size ? (size_t)reader->content : size;
        int r = read_exactly(reader, bytes, part, err);
        if (r < 0)
                return r;
        reader->content -= part;
        return (int64_t)part;
}
