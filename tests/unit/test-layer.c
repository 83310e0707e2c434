/* SPDX-License-Identifier: Apache-2.0 */
/* Layers as streams, and layers that mean harm: nothing leaves the tree, nothing damaged is accepted. */
#include "harness.h"
#include "rootfs-build.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void paths_stay_inside(void **state)
{
        (void)state;
        static const struct {
                const char *path, *becomes; /* NULL: refused */
        } table[] = {
            {"/abs", "/abs"}, {"//abs2//x", "/abs2/x"}, {"./a/./b", "/a/b"},
            {"a/../c", "/c"}, {"q/r/../../s", "/s"},    {"./../x", NULL},
            {"..", NULL},     {"a/../../x", NULL},      {"../../etc/x", NULL},
            {"/../x", NULL},  {"t/..", NULL},           {"", NULL},
            {".", NULL},

            {"...", "/..."},  {"..a/b", "/..a/b"},      {"a/b/../../../x", NULL},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct tar layer = {0};
                struct erofs_view view;
                tar_pax_text(&layer, "path", table[i].path);
                tar_file(&layer, table[i].path, "content");
                if (table[i].becomes == NULL) {
                        refuse(&layer, -EBADMSG, table[i].path);
                        continue;
                }
                int fd = build_ended(&layer, 1, &view);
                must_read(&view, table[i].becomes, "content");
                unbuild(fd, &view);
        }
}

static void planted_links_do_not_lead_out(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        tar_symlink(&layer, "out", "../../../../../../tmp");
        tar_symlink(&layer, "etc", "/proc/self/root/etc");
        tar_file(&layer, "out/planted", "x");
        tar_file(&layer, "etc/passwd", "x");
        tar_symlink(&layer, "self", ".");
        tar_file(&layer, "self/self/self/deep", "x");
        int fd = build_ended(&layer, 1, &view);
        assert_string_equal(all_names(&view),
                            "/deep /etc /out /proc /proc/self /proc/self/root /proc/self/root/etc "
                            "/proc/self/root/etc/passwd /self /tmp /tmp/planted ");
        unbuild(fd, &view);
        tar_symlink(&layer, "loop", "loop2/x");
        tar_symlink(&layer, "loop2", "loop");
        tar_file(&layer, "loop/x", "x");
        refuse(&layer, -ELOOP, "'loop/x': too many symbolic links");
        tar_file(&layer, "file", "x");
        tar_file(&layer, "file/below", "x");
        refuse(&layer, -ENOTDIR, "'file/below'");
        tar_symlink(&layer, "link", "target");
        tar_file(&layer, "target", "x");
        tar_file(&layer, "link/below", "x");
        refuse(&layer, -ENOTDIR, "'link/below'");
}

static void bad_hard_links_are_refused(void **state)
{
        (void)state;
        static const struct {
                const char *target, *part;
                int code;
        } table[] = {
            {"../../etc/passwd", "leads out", -EBADMSG},
            {"missing", "not there", -EBADMSG},
            {"no/folder/x", "No such file", -ENOENT},
            {"folder", "to the folder", -EBADMSG},
            {"/", "to the folder", -EBADMSG},
            {"h", "not there", -EBADMSG},
            {"there", "to itself", -EBADMSG},
            {".wh.there", "not there", -EBADMSG},
            {"there/x", "not a folder", -ENOTDIR},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct tar layer = {0};
                tar_folder(&layer, "folder");
                tar_file(&layer, "there", "x");
                tar_hard_link(&layer, strcmp(table[i].target, "there") == 0 ? "./there" : "h",
                              table[i].target);
                refuse(&layer, table[i].code, table[i].part);
        }
}

static void whiteout_tricks(void **state)
{
        (void)state;
        static const char *const refused[] = {".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh...", ".wh.x/y"};
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                struct tar layer = {0};
                tar_file(&layer, "a/b", "x");
                tar_file(&layer, refused[i], "");
                refuse(&layer, -EBADMSG, "whiteout");
        }
        tar_file(&layers[0], "a/b", "x");
        tar_folder(&layers[1], ".wh..wh.plnk");
        tar_file(&layers[1], ".wh..wh.plnk/1234.5", "ignored");
        tar_file(&layers[1], ".wh..wh.aufs", "ignored");
        tar_file(&layers[1], "a/.wh..wh.orph/x", "ignored");
        tar_file(&layers[1], "a/.wh.b/../b2", "cleaned away");
        tar_file(&layers[1], ".wh.a/", "");
        int fd = build_ended(layers, 2, &view);
        assert_string_equal(all_names(&view), "/a /a/b2 ");
        unbuild(fd, &view);
        tar_file(&layers[0], "a/b", "x");
        tar_file(&layers[1], ".wh..wh..opq", "");
        fd = build_ended(layers, 2, &view);
        assert_string_equal(all_names(&view), "");
        unbuild(fd, &view);
}

static void pax_overrides_are_what_counts(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        tar_pax_text(&layer, "path", "real/name");
        tar_pax_text(&layer, "size", "7");
        tar_add(&layer, &(struct tar_entry){.name = "fake", .content = "content", .size = 7});
        tar_pax_text(&layer, "linkpath", "real/name");
        tar_hard_link(&layer, "h", "../../etc/passwd");
        tar_pax_text(&layer, "linkpath", "pax-target");
        tar_symlink(&layer, "s", "ustar-target");
        int fd = build_ended(&layer, 1, &view);
        assert_string_equal(all_names(&view), "/h /real /real/name /s ");
        must_read(&view, "/h", "content");
        must_link(&view, "/s", "pax-target");
        unbuild(fd, &view);
        tar_pax_text(&layer, "path", "../../etc/passwd");
        tar_file(&layer, "innocent", "x");
        refuse(&layer, -EBADMSG, "leads out");
        tar_pax_text(&layer, "linkpath", "../../etc/passwd");
        tar_file(&layer, "a", "x");
        tar_pax_text(&layer, "linkpath", "../../etc/passwd");
        tar_hard_link(&layer, "h", "a");
        refuse(&layer, -EBADMSG, "leads out");
}

static void numbers_out_of_range(void **state)
{
        (void)state;
        static const struct {
                const char *key, *value, *part;
        } table[] = {
            {"uid", "4294967295", "owner out of range"}, {"gid", "99999999999", "owner out of range"},
            {"uid", "-1", "owner out of range"},         {"size", "-5", "damaged"},
            {"size", "9223372036854775807", ""},         {"size", "99999999999999999999999", ""},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct tar layer = {0};
                struct error err = ERROR_INIT;
                tar_pax_text(&layer, table[i].key, table[i].value);
                tar_file(&layer, "f", "x");
                tar_end(&layer);
                int r = try_build(&layer, 1, NULL, NULL, &err);
                if (r >= 0 || strstr(err.text, table[i].part) == NULL)
                        fail_msg("%s=%s: %d %s", table[i].key, table[i].value, r, err.text);
                tar_done(&layer);
        }
        struct tar layer = {0};
        tar_add(&layer, &(struct tar_entry){.name = "d", .type = '3', .major = 4096, .minor = 0});
        refuse(&layer, -EBADMSG, "device number");
        tar_add(&layer, &(struct tar_entry){.name = "d", .type = '4', .minor = 1U << 20});
        refuse(&layer, -EBADMSG, "device number");
}

static void hostile_sparse_maps(void **state)
{
        (void)state;
        static const char *const maps[] = {
            "1\n0\n99999999\n",      "2\n4096\n10\n0\n10\n",
            "1\n-5\n10\n",           "1\n9223372036854775807\n9\n",
            "3\n0\n1\n0\n1\n0\n1\n", "99999999999999999999\n",
            "2\n0\n600\n100\n600\n", "x\n",
            "1\n8000\n2000\n",
        };
        for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
                struct tar layer = {0};
                struct error err = ERROR_INIT;
                char content[2048] = {0};
                memcpy(content, maps[i], strlen(maps[i]));
                tar_pax_text(&layer, "GNU.sparse.major", "1");
                tar_pax_text(&layer, "GNU.sparse.minor", "0");
                tar_pax_text(&layer, "GNU.sparse.name", "f");
                tar_pax_text(&layer, "GNU.sparse.realsize", "8192");
                tar_add(&layer, &(struct tar_entry){.name = "x", .content = content, .size = 2048});
                tar_end(&layer);
                int r = try_build(&layer, 1, NULL, NULL, &err);
                if (r >= 0) { /* what libarchive makes sense of must still be a good image */
                        struct erofs_view view;
                        assert_true(erofs_view_open(r, &view));
                        assert_null(erofs_view_check(&view));
                        unbuild(r, &view);
                }
                tar_done(&layer);
        }
}

/* A sparse map of so many pieces, in a header that would need gigabytes to be kept. */
static void a_header_must_not_fill_memory(void **state)
{
        (void)state;
        struct tar layer = {0}, map = {0};
        for (unsigned i = 0; i < 4000000; i++)
                tar_bytes(&map, "0\n0\n", 4);
        memcpy(map.bytes, "4000000\n", 8);
        tar_pax_text(&layer, "GNU.sparse.major", "1");
        tar_pax_text(&layer, "GNU.sparse.minor", "0");
        tar_pax_text(&layer, "GNU.sparse.name", "f");
        tar_pax_text(&layer, "GNU.sparse.realsize", "8192");
        tar_add(&layer, &(struct tar_entry){.name = "x", .content = map.bytes, .size = map.size});
        tar_done(&map);
        refuse(&layer, -EBADMSG, "header of an entry is too large");
}

static void names_too_long(void **state)
{
        (void)state;
        struct tar layer = {0};
        char name[5000];
        memset(name, 'n', 256);
        name[256] = '\0';
        tar_pax_text(&layer, "path", name);
        tar_file(&layer, "x", "x");
        refuse(&layer, -ENAMETOOLONG, "255 bytes");
        for (size_t i = 0; i < sizeof(name) - 1; i++)
                name[i] = i % 2 == 0 ? 'd' : '/';
        name[4097] = '\0';
        tar_pax_text(&layer, "path", name);
        tar_file(&layer, "x", "x");
        refuse(&layer, -ENAMETOOLONG, "4095 bytes");
        memset(name, 'n', 4096);
        name[4096] = '\0';
        tar_pax_text(&layer, "linkpath", name);
        tar_symlink(&layer, "x", "x");
        refuse(&layer, -ENAMETOOLONG, "4095 bytes");
        tar_symlink(&layer, "x", "");
        refuse(&layer, -EBADMSG, "to nothing");
}

/* As deep as paths and links allow. */
static void deep_nesting_is_fine_to_the_limit(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        char path[2][4096] = {"d", "l/d"};
        for (size_t i = 0; i < 2; i++) {
                for (size_t used = strlen(path[i]); used < 4092; used += 2)
                        memcpy(path[i] + used, "/d", 3);
        }
        tar_pax_text(&layers[0], "path", path[0]);
        tar_folder(&layers[0], "x");
        tar_pax_text(&layers[0], "linkpath", path[0]);
        tar_symlink(&layers[0], "l", "x");
        tar_pax_text(&layers[0], "path", path[1]);
        tar_folder(&layers[0], "x");
        tar_end(&layers[0]);
        struct error err = ERROR_INIT;
        int fd = try_build(layers, 1, NULL, NULL, &err);
        if (fd < 0)
                fail_msg("%s", err.text);
        assert_true(erofs_view_open(fd, &view));
        assert_null(erofs_view_check(&view));
        unbuild(fd, &view);
        tar_file(&layers[1], ".wh.d", "");
        fd = try_build(layers, 2, NULL, NULL, &err);
        assert_true(fd >= 0);
        assert_true(erofs_view_open(fd, &view));
        assert_null(erofs_view_check(&view));
        must_miss(&view, "/d");
        unbuild(fd, &view);
        tar_done(&layers[0]);
        tar_pax_text(&layers[1], "linkpath", path[0]);
        tar_symlink(&layers[1], "l", "x");
        tar_pax_text(&layers[1], "linkpath", path[1]);
        tar_symlink(&layers[1], "m", "x");
        tar_pax_text(&layers[1], "path", "m/d/d/d/d/d/d/d/d");
        tar_folder(&layers[1], "x");
        refuse(&layers[1], -ENAMETOOLONG, "symbolic links make the path too long");
}

static struct tar make_layer(void)
{
        struct tar layer = {0};
        char text[3000];
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char)('a' + i * i % 26);
        text[sizeof(text) - 1] = '\0';
        tar_folder(&layer, "d");
        tar_file(&layer, "d/f", text);
        tar_symlink(&layer, "d/l", "f");
        tar_pax_text(&layer, "SCHILY.xattr.user.a", "value");
        tar_hard_link(&layer, "d/h", "d/f");
        tar_file(&layer, "e", "last");
        tar_end(&layer);
        return layer;
}

static struct tar compress(const struct tar *plain, int (*filter)(struct archive *))
{
        struct tar packed = {0};
        size_t room = plain->size + 65536, used = 0;
        uint8_t *bytes = malloc(room);
        struct archive *archive = archive_write_new();
        struct archive_entry *entry = archive_entry_new();
        assert_int_equal(filter(archive), ARCHIVE_OK);
        assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
        assert_int_equal(archive_write_set_bytes_in_last_block(archive, 1), ARCHIVE_OK);
        assert_int_equal(archive_write_open_memory(archive, bytes, room, &used), ARCHIVE_OK);
        archive_entry_set_filetype(entry, AE_IFREG);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(archive, plain->bytes, plain->size), plain->size);
        assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
        archive_entry_free(entry);
        tar_bytes(&packed, bytes, used);
        free(bytes);
        return packed;
}

static int (*const filters[])(struct archive *) = {archive_write_add_filter_gzip,
                                                   archive_write_add_filter_zstd, archive_write_add_filter_xz,
                                                   archive_write_add_filter_bzip2,
                                                   archive_write_add_filter_none};

static void check_layer(const struct tar *layer)
{
        struct erofs_view view;
        int fd = build(layer, 1, &view);
        assert_string_equal(all_names(&view), "/d /d/f /d/h /d/l /e ");
        must_read(&view, "/e", "last");
        unbuild(fd, &view);
}

static void every_compression(void **state)
{
        (void)state;
        struct tar plain = make_layer();
        for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
                struct tar packed = compress(&plain, filters[i]);
                check_layer(&packed);
                tar_done(&packed);
        }
        tar_done(&plain);
}

/* As pigz, eStargz and zstd:chunked write them. */
static void members_and_frames_one_after_the_other(void **state)
{
        (void)state;
        struct tar plain = make_layer();
        for (size_t i = 0; i < 2; i++) {
                struct tar all = {0};
                for (size_t at = 0; at < plain.size; at += 1000) {
                        struct tar piece = {.bytes = plain.bytes + at,
                                            .size = plain.size - at < 1000 ? plain.size - at : 1000};
                        struct tar packed = compress(&piece, filters[i]);
                        tar_bytes(&all, packed.bytes, packed.size);
                        tar_done(&packed);
                        if (i == 1)
                                tar_bytes(&all, "\x50\x2a\x4d\x18\4\0\0\0skip", 12);
                }
                if (i == 0)
                        tar_bytes(&all, (const char[600]){0}, 600);
                check_layer(&all);
                tar_bytes(&all, "garbage", 7);
                struct error err = ERROR_INIT;
                assert_int_equal(try_build(&all, 1, NULL, NULL, &err), -EBADMSG);
                tar_done(&all);
        }
        tar_done(&plain);
}

static void ends_that_are_fine(void **state)
{
        (void)state;
        struct tar layer = make_layer();
        struct erofs_view view;
        layer.size -= 1024;
        check_layer(&layer); /* no end mark */
        layer.size -= 512 - 4;
        check_layer(&layer); /* nor what fills the last block, as umoci insert writes it */
        struct tar less = {.bytes = layer.bytes, .size = layer.size - 1};
        struct error err = ERROR_INIT;
        assert_int_equal(try_build(&less, 1, NULL, NULL, &err), -EBADMSG);
        layer.size += 512 - 4;
        tar_bytes(&layer, (const char[512]){0}, 512);
        check_layer(&layer); /* half of it */
        tar_bytes(&layer, (const char[20000]){0}, 20000);
        tar_bytes(&layer, "and whatever", 12);
        check_layer(&layer); /* and what follows it */
        layer.size = 0;
        unbuild(build(&layer, 1, &view), &view); /* nothing at all */
        tar_bytes(&layer, (const char[1024]){0}, 1024);
        unbuild(build(&layer, 1, &view), &view); /* only the end */
        tar_done(&layer);
}

static void cut_off_anywhere_is_an_error(void **state)
{
        (void)state;
        struct tar plain = make_layer();
        for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]) - 1; i++) {
                struct tar packed = compress(&plain, filters[i]);
                for (size_t size = 8; size < packed.size; size += 1 + packed.size / 50) {
                        struct tar part = {.bytes = packed.bytes, .size = size};
                        struct error err = ERROR_INIT;
                        int r = try_build(&part, 1, NULL, NULL, &err);
                        if (r != -EBADMSG)
                                fail_msg("format %zu, %zu of %zu bytes: %d %s", i, size, packed.size, r,
                                         err.text);
                }
                tar_done(&packed);
        }
        /* a plain tar: in the middle of an entry; between two it looks complete */
        for (size_t size = 1; size < plain.size - 1024; size += 97) {
                struct tar part = {.bytes = plain.bytes, .size = size};
                struct error err = ERROR_INIT;
                if (size % 512 != 0)
                        assert_int_equal(try_build(&part, 1, NULL, NULL, &err), -EBADMSG);
        }
        tar_done(&plain);
}

static void digest(const struct tar *layer, char text[72])
{
        uint8_t raw[32];
        assert_int_equal(EVP_Digest(layer->bytes, layer->size, raw, NULL, EVP_sha256(), NULL), 1);
        memcpy(text, "sha256:", 8);
        for (size_t i = 0; i < sizeof(raw); i++)
                (void)sprintf(text + 7 + 2 * i, "%02x", raw[i]);
}

/* Builds one layer with its digest told. */
static int build_checked(const struct tar *layer, const char *expected, struct error *err)
{
        struct rootfs_builder *builder;
        cleanup_fd int out = memory_file("", 0);
        cleanup_fd int in = memory_file(layer->bytes, layer->size);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, err), 0);
        int r = rootfs_builder_add_layer(builder, in, "test", expected, err);
        if (r < 0) {
                struct error again = ERROR_INIT;
                assert_int_equal(rootfs_builder_finish(builder, NULL, &again), -EINVAL);
                assert_int_equal(rootfs_builder_add_layer(builder, in, "test", NULL, &again), -EINVAL);
        }
        rootfs_builder_free(builder);
        return r;
}

static void the_digest_counts_every_byte(void **state)
{
        (void)state;
        struct tar layer = make_layer();
        struct error err = ERROR_INIT;
        char text[72], other[72];
        tar_bytes(&layer, "behind the end", 14);
        digest(&layer, text);
        assert_int_equal(build_checked(&layer, text, &err), 0);
        struct tar packed = compress(&layer, archive_write_add_filter_zstd);
        assert_int_equal(build_checked(&packed, text, &err), 0);
        tar_done(&packed);
        layer.bytes[layer.size - 1] ^= 1;
        assert_int_equal(build_checked(&layer, text, &err), -EBADMSG);
        digest(&layer, other);
        assert_non_null(strstr(err.text, text));
        assert_non_null(strstr(err.text, other));
        assert_int_equal(build_checked(&layer, "sha512:1234", &err), -EBADMSG);
        assert_int_equal(build_checked(&layer, "", &err), -EBADMSG);
        tar_done(&layer);
}

static void one_bit_wrong_is_an_error(void **state)
{
        (void)state;
        struct tar plain = make_layer();
        char text[72];
        digest(&plain, text);
        for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
                struct tar packed = compress(&plain, filters[i]);
                size_t refused = 0, tried = 0;
                bool is_plain = filters[i] == archive_write_add_filter_none;
                for (size_t bit = i; bit < packed.size * 8; bit += 1 + packed.size / 40, tried++) {
                        struct error err = ERROR_INIT;
                        packed.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
                        /* 0: the content is the same; some bits mean nothing, as the time in gzip's header */
                        int r = build_checked(&packed, text, &err);
                        if (r > 0 || (r == 0 && is_plain))
                                fail_msg("format %zu, bit %zu went unseen", i, bit);
                        refused += r < 0;
                        packed.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
                }
                assert_true(refused > tried * 2 / 3);
                tar_done(&packed);
        }
        tar_done(&plain);
}

static void limits_are_kept(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct error err = ERROR_INIT;
        struct rootfs_limits limits = {.entries = 100};
        char name[16];
        for (int i = 0; i < 101; i++) {
                (void)snprintf(name, sizeof(name), "%d", i);
                tar_file(&layer, name, "0123456789");
        }
        tar_end(&layer);
        assert_int_equal(try_build(&layer, 1, &limits, NULL, &err), -E2BIG);
        assert_non_null(strstr(err.text, "too many files"));
        limits = (struct rootfs_limits){.bytes = 1009};
        assert_int_equal(try_build(&layer, 1, &limits, NULL, &err), -EFBIG);
        assert_non_null(strstr(err.text, "1009 bytes allowed"));
        limits.bytes = 1010;
        int fd = try_build(&layer, 1, &limits, NULL, &err);
        assert_true(fd >= 0);
        (void)close(fd);
        tar_done(&layer);
}

/* 10 GB of zeros in 10 MB, written by a child while it is read. */
static void a_bomb_stops_at_the_limit(void **state)
{
        (void)state;
        struct tar head = {0}, packed;
        struct error err = ERROR_INIT;
        struct rootfs_limits limits = {.bytes = 200 << 20};
        static uint8_t zeros[64 << 20];
        tar_add(&head, &(struct tar_entry){.name = "bomb", .said_size = UINT64_C(10) << 30});
        packed = compress(&head, archive_write_add_filter_gzip);
        struct tar piece =
            compress(&(struct tar){.bytes = zeros, .size = sizeof(zeros)}, archive_write_add_filter_gzip);
        for (int i = 0; i < 160; i++)
                tar_bytes(&packed, piece.bytes, piece.size);
        assert_true(packed.size < 11 << 20);
        assert_int_equal(try_build(&packed, 1, &limits, NULL, &err), -EFBIG);
        assert_non_null(strstr(err.text, "bytes allowed"));
        tar_done(&head);
        tar_done(&piece);
        tar_done(&packed);
}

static int count_calls(uint64_t bytes, void *data)
{
        unsigned *calls = data;
        (*calls)++;
        assert_true(bytes >= 1 << 20);
        return *calls == 3;
}

static void progress_is_told_and_cancels(void **state)
{
        (void)state;
        static char content[16 << 20];
        struct tar layer = {0};
        struct error err = ERROR_INIT;
        struct rootfs_builder *builder;
        unsigned calls = 0;
        tar_add(&layer, &(struct tar_entry){.name = "f", .content = content, .size = sizeof(content)});
        tar_end(&layer);
        cleanup_fd int out = memory_file("", 0);
        cleanup_fd int in = memory_file(layer.bytes, layer.size);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, count_calls, &calls, &builder, &err), 0);
        assert_int_equal(rootfs_builder_add_layer(builder, in, "l", NULL, &err), -ECANCELED);
        assert_int_equal(calls, 3);
        rootfs_builder_free(builder);
        tar_done(&layer);
}

/* An error while the thread waits for a pipe that says no more must not wait for the pipe. */
static void a_silent_pipe_does_not_hold_up_an_error(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct error err = ERROR_INIT;
        struct rootfs_builder *builder;
        static char content[300000];
        int ends[2];
        tar_file(&layer, "../out", "x");
        tar_add(&layer, &(struct tar_entry){.name = "f", .content = content, .size = sizeof(content)});
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
        assert_int_equal(fd_write_full(ends[1], layer.bytes, 262144 + 1000), 0);
        cleanup_fd int out = memory_file("", 0);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, &err), 0);
        assert_int_equal(rootfs_builder_add_layer(builder, ends[0], "l", NULL, &err), -EBADMSG);
        rootfs_builder_free(builder);
        (void)close(ends[0]);
        (void)close(ends[1]);
        tar_done(&layer);
}

/* Byte by byte, as a slow network would. */
static void a_pipe_will_do(void **state)
{
        (void)state;
        struct tar plain = make_layer();
        struct tar layer = compress(&plain, archive_write_add_filter_gzip);
        struct rootfs_builder *builder;
        struct error err = ERROR_INIT;
        char text[72];
        int ends[2], status;
        digest(&plain, text);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
                for (size_t i = 0; i < layer.size; i++)
                        (void)!write(ends[1], layer.bytes + i, 1);
                _exit(0);
        }
        (void)close(ends[1]);
        cleanup_fd int out = memory_file("", 0);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, &err), 0);
        assert_int_equal(rootfs_builder_add_layer(builder, ends[0], "l", text, &err), 0);
        rootfs_builder_free(builder);
        (void)close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        tar_done(&layer);
        tar_done(&plain);
}

/* From here on the disk is full. */
static void fill_disk(void)
{
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = 4, .filter = code};
        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void a_full_disk_is_told(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct error err = ERROR_INIT;
        struct rootfs_builder *builder;
        static char content[8 << 20];
        memset(content, 1, sizeof(content));
        tar_add(&layer, &(struct tar_entry){.name = "f", .content = content, .size = sizeof(content)});
        tar_end(&layer);
        cleanup_fd int in = memory_file(layer.bytes, layer.size);
        cleanup_fd int out = memory_file("", 0);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, &err), 0);
        fill_disk();
        assert_int_equal(rootfs_builder_add_layer(builder, in, "l", NULL, &err), -ENOSPC);
        assert_string_equal(err.text, "layer 'l': write root file system: No space left on device");
        rootfs_builder_free(builder);
        tar_done(&layer);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, &err), 0);
        assert_int_equal(rootfs_builder_finish(builder, NULL, &err), -ENOSPC);
        assert_string_equal(err.text, "write root file system: No space left on device");
        rootfs_builder_free(builder);
}

static void what_is_no_tar(void **state)
{
        (void)state;
        struct tar layer = {0};
        for (int i = 0; i < 2000; i++)
                tar_bytes(&layer, "this is no tar ", 15);
        refuse(&layer, -EBADMSG, "");
        tar_bytes(&layer, "\x1f\x8b this is no gzip", 19);
        refuse(&layer, -EBADMSG, "gzip");
        tar_bytes(&layer, "\x28\xb5\x2f\xfd this is no zstd", 21);
        refuse(&layer, -EBADMSG, "zstd");
        tar_file(&layer, "a", "x");
        layer.bytes[150] ^= 1; /* the checksum of a header */
        refuse(&layer, -EBADMSG, "");
        tar_file(&layer, "a", "x");
        tar_file(&layer, "b", "x");
        layer.bytes[1024] ^= 1; /* of a later one */
        refuse(&layer, -EBADMSG, "");
        tar_pax_text(&layer, "comment", "a record longer than its header says");
        layer.pax[0] = '9';
        tar_file(&layer, "a", "x");
        refuse(&layer, -EBADMSG, "malformed pax");
        tar_pax(&layer, "SCHILY.xattr.user.a", (const char[70000]){0}, 70000);
        tar_file(&layer, "a", "x");
        refuse(&layer, -E2BIG, "extended attributes");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(paths_stay_inside),
    cmocka_unit_test(planted_links_do_not_lead_out),
    cmocka_unit_test(bad_hard_links_are_refused),
    cmocka_unit_test(whiteout_tricks),
    cmocka_unit_test(pax_overrides_are_what_counts),
    cmocka_unit_test(numbers_out_of_range),
    cmocka_unit_test(hostile_sparse_maps),
    cmocka_unit_test(a_header_must_not_fill_memory),
    cmocka_unit_test(names_too_long),
    cmocka_unit_test(deep_nesting_is_fine_to_the_limit),
    cmocka_unit_test(every_compression),
    cmocka_unit_test(members_and_frames_one_after_the_other),
    cmocka_unit_test(ends_that_are_fine),
    cmocka_unit_test(cut_off_anywhere_is_an_error),
    cmocka_unit_test(the_digest_counts_every_byte),
    cmocka_unit_test(one_bit_wrong_is_an_error),
    cmocka_unit_test(limits_are_kept),
    cmocka_unit_test(a_bomb_stops_at_the_limit),
    cmocka_unit_test(progress_is_told_and_cancels),
    cmocka_unit_test(a_silent_pipe_does_not_hold_up_an_error),
    cmocka_unit_test(a_pipe_will_do),
    cmocka_unit_test(a_full_disk_is_told),
    cmocka_unit_test(what_is_no_tar),
};

UNIT_TEST_MAIN(cases)
