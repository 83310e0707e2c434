/* SPDX-License-Identifier: Apache-2.0 */
/* The tar host and agent exchange: what is written is read again, and what is damaged is refused. */
#include "harness.h"

#include "base/cleanup.h"
#include "wire/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream {
        const char *bytes;
        size_t size, at;
};

static int read_stream(void *data, void *bytes, size_t size, struct error *err)
{
        struct stream *s = data;
        if (size > s->size - s->at)
                return error_set(err, -EPIPE, "the end");
        memcpy(bytes, s->bytes + s->at, size);
        s->at += size;
        return 0;
}

static struct tar_reader *reader_of(struct stream *s)
{
        struct tar_source source = {read_stream, s};
        struct tar_reader *reader;
        assert_int_equal(tar_reader_new(&source, &reader), 0);
        return reader;
}

static void add(struct buffer *b, const struct tar_entry *e, const char *content)
{
        static const char zeros[TAR_BLOCK];
        assert_int_equal(tar_encode(e, b), 0);
        if (e->size > 0) {
                assert_int_equal(buffer_append(b, content, e->size), 0);
                assert_int_equal(buffer_append(b, zeros, tar_padding(e->size)), 0);
        }
}

/* Reads all of it; the first failure, or 0. */
static int read_all(const char *bytes, size_t size)
{
        struct stream s = {bytes, size, 0};
        cleanup_tar_reader struct tar_reader *reader = reader_of(&s);
        struct error err = ERROR_INIT;
        struct tar_entry e;
        int r;
        while ((r = tar_reader_next(reader, &e, &err)) > 0)
                assert_true(e.name[0] != '\0' && strlen(e.name) < TAR_NAME_MAX);
        if (r < 0)
                assert_int_equal(err.code, r);
        return r;
}

static void check_same(const struct tar_entry *e)
{
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        struct error err = ERROR_INIT;
        struct tar_entry got;
        add(&b, e, "content");
        assert_int_equal(tar_encode_end(&b), 0);
        struct stream s = {buffer_content(&b), b.length, 0};
        cleanup_tar_reader struct tar_reader *reader = reader_of(&s);
        if (tar_reader_next(reader, &got, &err) != 1)
                fail_msg("%s", err.text);
        assert_int_equal(got.type, e->type);
        assert_string_equal(got.name, e->name);
        assert_string_equal(got.link, e->link);
        assert_int_equal(got.mode, e->mode);
        assert_int_equal(got.uid, e->uid);
        assert_int_equal(got.gid, e->gid);
        assert_int_equal(got.size, e->size);
        assert_int_equal(got.mtime, e->mtime);
        assert_int_equal(got.mtime_nsec, e->mtime_nsec);
        assert_int_equal(got.device_major, e->device_major);
        assert_int_equal(got.device_minor, e->device_minor);
        assert_int_equal(got.xattr_count, e->xattr_count);
        for (size_t i = 0; i < got.xattr_count; i++) {
                assert_string_equal(got.xattrs[i].name, e->xattrs[i].name);
                assert_int_equal(got.xattrs[i].size, e->xattrs[i].size);
                assert_memory_equal(got.xattrs[i].value, e->xattrs[i].value, got.xattrs[i].size);
        }
        assert_int_equal(tar_reader_next(reader, &got, &err), 0);
        assert_int_equal(tar_reader_next(reader, &got, &err), 0); /* and stays so */
}

static void what_is_written_is_read(void **state)
{
        (void)state;
        char name[TAR_NAME_MAX];
        struct tar_xattr xattrs[] = {{"user.a", "x\0y\nz", 5}, {"security.capability", "", 0}};
        struct tar_entry e = {.type = TAR_FILE, .name = "a", .link = "", .mode = 04755, .size = 7};
        check_same(&e);
        for (size_t length = 98; length < 112;
             length++) { /* around what a block holds, and a record's digits */
                memset(name, 'n', length);
                name[length] = '\0';
                e.name = name;
                check_same(&e);
        }
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        check_same(&e);
        e = (struct tar_entry){
            .type = TAR_SYMLINK, .name = "l", .link = name, .uid = 4294967294, .gid = 2097152};
        check_same(&e);
        e = (struct tar_entry){.type = TAR_FOLDER,
                               .name = "d",
                               .link = "",
                               .mode = 07777,
                               .mtime = 1700000000,
                               .mtime_nsec = 123456789,
                               .xattrs = xattrs,
                               .xattr_count = 2};
        check_same(&e);
        e = (struct tar_entry){
            .type = TAR_CHARACTER, .name = "c", .link = "", .device_major = 259, .device_minor = 1048575};
        check_same(&e);
        for (int64_t t = -2; t < 2; t++) {
                e = (struct tar_entry){
                    .type = TAR_FIFO, .name = "f", .link = "", .mtime = t, .mtime_nsec = 1};
                check_same(&e);
                e.mtime_nsec = 0;
                check_same(&e);
        }
}

static void what_no_tar_holds_is_refused(void **state)
{
        (void)state;
        static char name[TAR_NAME_MAX + 1];
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        struct tar_entry e = {.type = TAR_FILE, .name = "", .link = ""};
        assert_int_equal(tar_encode(&e, &b), -EINVAL);
        memset(name, 'n', TAR_NAME_MAX);
        e.name = name;
        assert_int_equal(tar_encode(&e, &b), -EINVAL);
        e.name = "a";
        e.size = (uint64_t)TAR_CONTENT_MAX + 1;
        assert_int_equal(tar_encode(&e, &b), -EINVAL);
        assert_int_equal(b.length, 0);
}

static void content_can_be_read_in_part_or_not_at_all(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        struct error err = ERROR_INIT;
        struct tar_entry e = {.type = TAR_FILE, .name = "a", .link = "", .size = 1000};
        char content[1000], got[600];
        memset(content, 'c', sizeof(content));
        for (int i = 0; i < 3; i++)
                add(&b, &e, content);
        assert_int_equal(tar_encode_end(&b), 0);
        struct stream s = {buffer_content(&b), b.length, 0};
        cleanup_tar_reader struct tar_reader *reader = reader_of(&s);
        assert_int_equal(tar_reader_next(reader, &e, &err), 1);
        assert_int_equal(tar_reader_next(reader, &e, &err), 1);
        assert_int_equal(tar_reader_content(reader, got, sizeof(got), &err), 600);
        assert_int_equal(tar_reader_next(reader, &e, &err), 1);
        assert_int_equal(tar_reader_content(reader, got, sizeof(got), &err), 600);
        assert_int_equal(tar_reader_content(reader, got, sizeof(got), &err), 400);
        assert_int_equal(tar_reader_content(reader, got, sizeof(got), &err), 0);
        assert_int_equal(tar_reader_next(reader, &e, &err), 0);
        assert_int_equal(s.at, s.size);
}

/* One of everything, for damage. */
static void sample(struct buffer *b)
{
        char name[300];
        struct tar_xattr xattr = {"user.key", "value", 5};
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        struct tar_entry e = {
            .type = TAR_FOLDER, .name = "d", .link = "", .mode = 0755, .xattrs = &xattr, .xattr_count = 1};
        add(b, &e, NULL);
        e = (struct tar_entry){.type = TAR_FILE, .name = name, .link = "", .size = 9, .mtime_nsec = 5};
        add(b, &e, "something");
        e = (struct tar_entry){.type = TAR_HARD_LINK, .name = "h", .link = "d/f"};
        add(b, &e, NULL);
        assert_int_equal(tar_encode_end(b), 0);
}

static void cut_off_anywhere_is_an_error(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        sample(&b);
        assert_int_equal(read_all(buffer_content(&b), b.length), 0);
        for (size_t size = 0; size < b.length; size++) {
                cleanup_free char *copy = malloc(size + 1); /* exactly that long: reading past it is found */
                memcpy(copy, buffer_content(&b), size);
                assert_true(read_all(copy, size) < 0);
        }
}

static void a_bit_wrong_in_a_header_is_an_error(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        struct tar_entry e = {.type = TAR_FILE, .name = "a", .link = "b", .mode = 0644};
        add(&b, &e, NULL);
        assert_int_equal(tar_encode_end(&b), 0);
        for (size_t bit = 0; bit < 8 * (size_t)TAR_BLOCK; bit++) {
                char copy[3 * TAR_BLOCK];
                assert_int_equal(b.length, sizeof(copy));
                memcpy(copy, buffer_content(&b), sizeof(copy));
                copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
                int r = read_all(copy, sizeof(copy));
                /* the checksum is in the clear: only its own blank and NUL may differ without consequence */
                if (bit / 8 < 154 || bit / 8 > 155)
                        assert_int_equal(r, -EBADMSG);
        }
}

/* A tar whose first entry has these records. */
static int read_records(const char *records, size_t size)
{
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        static const char zeros[TAR_BLOCK];
        struct tar_entry x = {.type = TAR_FILE, .name = "x", .link = "", .size = size};
        struct tar_entry e = {.type = TAR_FILE, .name = "a", .link = ""};
        assert_int_equal(tar_encode(&x, &b), 0);
        char *block = b.data + b.start; /* made into a records block, with its sum put right */
        unsigned sum = 0;
        block[156] = 'x';
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += (unsigned char)block[i];
        (void)snprintf(block + 148, 8, "%06o", sum);
        assert_int_equal(buffer_append(&b, records, size), 0);
        assert_int_equal(buffer_append(&b, zeros, tar_padding(size)), 0);
        add(&b, &e, NULL);
        assert_int_equal(tar_encode_end(&b), 0);
        return read_all(buffer_content(&b), b.length);
}

static void records_that_lie_are_refused(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                bool good;
        } cases[] = {
            {"8 uid=1\n", true},
            {"8 uid=1\n13 unknown=1\n", true},
            {"13 path=abcd\n", true},
            {"7 uid=1\n", false},                    /* too short */
            {"9 uid=1\n", false},                    /* too long */
            {"0 uid=1\n", false},                    /* nothing */
            {"-8 uid=1\n", false},                   /* a sign */
            {"99999999999999999999 uid=1\n", false}, /* past 64 bits */
            {"18446744073709551615 uid=1\n", false},
            {"8 uid:1\n", false},           /* no '=' */
            {"5 =1\n", false},              /* no key */
            {"8 uid=1x", false},            /* no newline */
            {"8uid=1\n", false},            /* no blank */
            {"8 uid=a\n", false},           /* no number */
            {"18 uid=4294967295\n", false}, /* none: -1 */
            {"8 path=\n", false},
            {"27 size=9223372036854775807\n", false},
            {"11 mtime=x\n", false},
            {"12 mtime=1.\n", true},
            {"20 SCHILY.xattr.a=b\n", true},
            {"19 SCHILY.xattr.=b\n", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int r = read_records(cases[i].text, strlen(cases[i].text));
                if ((r == 0) != cases[i].good)
                        fail_msg("'%s' gives %d", cases[i].text, r);
        }
        assert_int_equal(read_records("12 path=a\0b\n", 12), -EBADMSG);
}

static void headers_that_are_too_large_are_refused(void **state)
{
        (void)state;
        cleanup_free char *big = calloc(1, TAR_RECORDS_MAX + 1);
        assert_int_equal(read_records(big, TAR_RECORDS_MAX + 1), -EBADMSG);
        cleanup_buffer struct buffer many = BUFFER_INIT(1 << 20);
        for (int i = 0; i <= TAR_XATTRS_MAX; i++)
                assert_int_equal(buffer_append_text(&many, "20 SCHILY.xattr.a=b\n"), 0);
        assert_int_equal(read_records(buffer_content(&many), many.length), -EBADMSG);
}

static void names_that_lead_somewhere_else_are_known(void **state)
{
        (void)state;
        static const char *const plain[] = {"a", "a/b", "..a", "a..", "...", "a/.b", " ", "\n"};
        static const char *const others[] = {"",    "/",  "/a",   "a/",   "a//b",   ".", "./a",
                                             "a/.", "..", "../a", "a/..", "a/../b", "//"};
        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
                assert_true(tar_name_is_plain(plain[i]));
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                assert_false(tar_name_is_plain(others[i]));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(what_is_written_is_read),
    cmocka_unit_test(what_no_tar_holds_is_refused),
    cmocka_unit_test(content_can_be_read_in_part_or_not_at_all),
    cmocka_unit_test(cut_off_anywhere_is_an_error),
    cmocka_unit_test(a_bit_wrong_in_a_header_is_an_error),
    cmocka_unit_test(records_that_lie_are_refused),
    cmocka_unit_test(headers_that_are_too_large_are_refused),
    cmocka_unit_test(names_that_lead_somewhere_else_are_known),
};
UNIT_TEST_MAIN(cases)
