/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tars from an attacker, unpacked beside a folder that must stay as it is:
 *
 *     FOLDER/outside/secret   what is not to be touched
 *     FOLDER/in               where it is unpacked
 */
#include "harness.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "wire/pack.h"
#include "wire/tar.h"
#include "wire/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
        const char *path;
        int folder, in;
        struct buffer tar;
        size_t at;
        const char *top;
        bool keep_owner, keep_privileges;
        struct unpack_report report;
        struct error err;
};

static void put_text(int dir, const char *name, const char *text)
{
        cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void expect_text(int dir, const char *name, const char *text)
{
        cleanup_free char *got = NULL;
        size_t size;
        assert_int_equal(path_read_at(dir, name, 65536, &got, &size), 0);
        assert_string_equal(got, text);
}

static void begin(struct world *w)
{
        static const char *path;
        static int folder; /* a case may begin several times */
        if (path == NULL)
                path = unit_folder(&folder);
        *w = (struct world){.path = path, .folder = folder};
        assert_int_equal(mkdirat(w->folder, "outside", 0755), 0);
        put_text(w->folder, "outside/secret", "untouched");
        w->in = path_open_dir_at(w->folder, "in", 0755);
        assert_true(w->in >= 0);
        buffer_init(&w->tar, 64 << 20);
}

static void end(struct world *w)
{
        struct stat st;
        expect_text(w->folder, "outside/secret", "untouched");
        assert_int_equal(fstatat(w->folder, "outside/secret", &st, 0), 0);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(st.st_mode, S_IFREG | 0644);
        assert_true(faccessat(w->folder, "outside/new", F_OK, 0) < 0);
        assert_true(faccessat(w->folder, "new", F_OK, 0) < 0);
        (void)close(w->in);
        buffer_done(&w->tar);
}

static int read_tar(void *data, void *bytes, size_t size, struct error *err)
{
        struct world *w = data;
        if (size > w->tar.length - w->at)
                return error_set(err, -EPIPE, "the tar ends in the middle");
        memcpy(bytes, buffer_content(&w->tar) + w->at, size);
        w->at += size;
        return 0;
}

static int write_tar(void *data, const void *bytes, size_t size, struct error *err)
{
        struct world *w = data;
        return buffer_append(&w->tar, bytes, size) < 0 ? error_set(err, -ENOSPC, "no room") : 0;
}

static void add(struct world *w, enum tar_type type, const char *name, const char *link, const char *content)
{
        static const char zeros[TAR_BLOCK];
        size_t size = content != NULL ? strlen(content) : 0;
        struct tar_entry e = {.type = type,
                              .name = name,
                              .link = link,
                              .mode = type == TAR_FOLDER ? 0755 : 0644,
                              .size = size,
                              .mtime = 1000000000,
                              .uid = 1234,
                              .gid = 1234,
                              .device_major = 1,
                              .device_minor = 3};
        assert_int_equal(tar_encode(&e, &w->tar), 0);
        assert_int_equal(buffer_append(&w->tar, content != NULL ? content : "", size), 0);
        assert_int_equal(buffer_append(&w->tar, zeros, tar_padding(size)), 0);
}

static int carry_out(struct world *w)
{
        struct tar_source source = {read_tar, w};
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct unpack_options options = {.root_fd = w->in,
                                         .top = w->top,
                                         .keep_owner = w->keep_owner,
                                         .keep_privileges = w->keep_privileges};
        w->err = (struct error)ERROR_INIT;
        assert_int_equal(tar_reader_new(&source, &reader), 0);
        return unpack(reader, &options, &w->report, &w->err);
}

static int finish(struct world *w)
{
        assert_int_equal(tar_encode_end(&w->tar), 0);
        int r = carry_out(w);
        if (r < 0)
                assert_int_equal(w->err.code, r);
        return r;
}

static void names_never_lead_out(void **state)
{
        (void)state;
        static const char *const names[] = {"/new",   "../new",  "a/../../new",      "..", "a/..", "./../new",
                                            "a//new", "a/./new", "../outside/secret"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                struct world w;
                begin(&w);
                add(&w, TAR_FOLDER, "a", "", NULL);
                add(&w, TAR_FILE, names[i], "", "evil");
                assert_int_equal(finish(&w), -EBADMSG);
                end(&w);
                assert_int_equal(path_remove_all_at(w.folder, "in"), 0);
                assert_int_equal(path_remove_all_at(w.folder, "outside"), 0);
        }
}

static void links_are_never_followed(void **state)
{
        (void)state;
        static const char *const targets[] = {"../outside", "/outside", "/", ".."};
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
                struct world w;
                char target[4096];
                begin(&w);
                (void)snprintf(target, sizeof(target), "%s%s", i == 1 ? w.path : "", targets[i]);
                add(&w, TAR_SYMLINK, "link", target, NULL);
                add(&w, TAR_FILE, "link/new", "", "evil");
                assert_int_equal(finish(&w), -ENOTDIR);
                /* as a folder that is there already, and deeper */
                buffer_clear(&w.tar);
                w.at = 0;
                add(&w, TAR_FOLDER, "link", "", NULL);
                assert_int_equal(finish(&w), -ENOTDIR);
                buffer_clear(&w.tar);
                w.at = 0;
                add(&w, TAR_FOLDER, "d", "", NULL);
                add(&w, TAR_SYMLINK, "d/link", target, NULL);
                add(&w, TAR_FILE, "d/link/new/new", "", "evil");
                assert_int_equal(finish(&w), -ENOTDIR);
                end(&w);
                assert_int_equal(path_remove_all_at(w.folder, "in"), 0);
                assert_int_equal(path_remove_all_at(w.folder, "outside"), 0);
        }
}

static void a_file_is_not_written_through_a_link(void **state)
{
        (void)state;
        struct world w;
        struct stat st;
        begin(&w);
        add(&w, TAR_SYMLINK, "f", "../outside/secret", NULL);
        add(&w, TAR_FILE, "f", "", "evil");
        assert_int_equal(finish(&w), 0);
        assert_int_equal(fstatat(w.in, "f", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode));
        expect_text(w.in, "f", "evil");
        end(&w);
}

static void hard_links_stay_inside(void **state)
{
        (void)state;
        static const char *const targets[] = {
            "../outside/secret", "/etc/passwd", "link/secret", "l", "d", "h", "missing"};
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
                struct world w;
                begin(&w);
                add(&w, TAR_FOLDER, "d", "", NULL);
                add(&w, TAR_SYMLINK, "link", "../outside", NULL);
                add(&w, TAR_SYMLINK, "l", "../outside/secret", NULL);
                add(&w, TAR_HARD_LINK, "h", targets[i], NULL);
                add(&w, TAR_FILE, "h", "", "evil"); /* what it may have become is replaced, not written to */
                int r = finish(&w);
                if (strcmp(targets[i], "l") == 0)
                        assert_int_equal(r, 0); /* a second name of the link itself */
                else
                        assert_true(r < 0);
                end(&w);
                assert_int_equal(path_remove_all_at(w.folder, "in"), 0);
                assert_int_equal(path_remove_all_at(w.folder, "outside"), 0);
        }
}

static void a_folder_that_turns_into_a_link_is_seen(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        /* somebody put a link where the copied folder was: the next copy must not follow it */
        assert_int_equal(symlinkat("../outside", w.in, "d"), 0);
        w.top = "d";
        add(&w, TAR_FOLDER, ".", "", NULL);
        add(&w, TAR_FILE, "new", "", "evil");
        assert_int_equal(finish(&w), -ENOTDIR);
        end(&w);
}

static void devices_are_left_out_and_told(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        add(&w, TAR_CHARACTER, "null", "", NULL);
        add(&w, TAR_BLOCK_DEVICE, "disk", "", NULL);
        add(&w, TAR_FIFO, "pipe", "", NULL);
        add(&w, TAR_FILE, "after", "", "here");
        assert_int_equal(finish(&w), 0);
        assert_int_equal(w.report.left_out, 2);
        assert_string_equal(w.report.first, "null");
        assert_true(faccessat(w.in, "null", F_OK, 0) < 0);
        assert_int_equal(faccessat(w.in, "pipe", F_OK, 0), 0);
        expect_text(w.in, "after", "here");
        end(&w);
}

static void privileges_are_left_out(void **state)
{
        (void)state;
        struct world w;
        struct stat st;
        begin(&w);
        struct tar_xattr xattr = {"security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20};
        struct tar_entry e = {
            .type = TAR_FILE, .name = "f", .link = "", .mode = 06755, .xattrs = &xattr, .xattr_count = 1};
        assert_int_equal(tar_encode(&e, &w.tar), 0);
        assert_int_equal(finish(&w), 0);
        assert_int_equal(fstatat(w.in, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(st.st_uid, geteuid());
        end(&w);
}

static void a_size_that_lies_ends_with_the_stream(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        struct tar_entry e = {
            .type = TAR_FILE, .name = "huge", .link = "", .mode = 0644, .size = (uint64_t)1 << 49};
        assert_int_equal(tar_encode(&e, &w.tar), 0);
        assert_int_equal(buffer_append(&w.tar, "only this", 9), 0);
        assert_int_equal(carry_out(&w), -EPIPE);
        assert_true(faccessat(w.in, "huge", F_OK, 0) < 0); /* no half of it stays */
        end(&w);
}

static void cut_off_anywhere_is_an_error(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        add(&w, TAR_FOLDER, "d", "", NULL);
        add(&w, TAR_FILE, "d/f", "", "content");
        assert_int_equal(tar_encode_end(&w.tar), 0);
        size_t whole = w.tar.length;
        for (size_t size = 0; size < whole; size += 100) {
                w.tar.length = size;
                w.at = 0;
                assert_int_equal(carry_out(&w), -EPIPE);
        }
        end(&w);
}

static void folders_and_files_do_not_replace_each_other(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        assert_int_equal(mkdirat(w.in, "d", 0755), 0);
        put_text(w.in, "d/kept", "kept");
        put_text(w.in, "f", "old");
        add(&w, TAR_FILE, "d", "", "evil");
        assert_int_equal(finish(&w), -EISDIR);
        buffer_clear(&w.tar);
        w.at = 0;
        add(&w, TAR_FOLDER, "f", "", NULL);
        assert_int_equal(finish(&w), -ENOTDIR);
        expect_text(w.in, "d/kept", "kept");
        expect_text(w.in, "f", "old");
        end(&w);
}

static void too_deep_is_an_error(void **state)
{
        (void)state;
        struct world w;
        char name[TAR_NAME_MAX];
        begin(&w);
        for (size_t i = 0; i < 1500; i++)
                memcpy(name + 2 * i, "d/", 2);
        (void)strcpy(name + 3000, "f");
        add(&w, TAR_FILE, name, "", "deep");
        assert_int_equal(finish(&w), -ENAMETOOLONG);
        end(&w);
}

/* ---- there and back ---- */

static void make_tree(int dir)
{
        assert_int_equal(mkdirat(dir, "tree", 0750), 0);
        cleanup_fd int tree = openat(dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put_text(tree, "file", "content");
        assert_int_equal(linkat(tree, "file", tree, "second", 0), 0);
        assert_int_equal(symlinkat("nowhere", tree, "link"), 0);
        assert_int_equal(mkfifoat(tree, "pipe", 0600), 0);
        assert_int_equal(mkdirat(tree, "sub", 0755), 0);
        put_text(tree, "sub/inner", "deeper");
        assert_int_equal(mkdirat(tree, "sealed", 0755), 0);
        put_text(tree, "sealed/f", "in a folder nobody may write to");
        assert_int_equal(fchmodat(tree, "sealed", 0555, 0), 0);
        cleanup_fd int sparse = openat(tree, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(pwrite(sparse, "end", 3, 8 << 20), 3);
        cleanup_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/sock", tree);
        assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void pack_it(struct world *w, const char *name, const char *as)
{
        struct pack_sink sink = {write_tar, w};
        cleanup_pack struct pack *pack = NULL;
        cleanup_fd int fd = openat(w->folder, name, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pack_new(&sink, 0, &pack), 0);
        if (pack_tree(pack, fd, as, &w->err) < 0 || pack_end(pack, &w->err) < 0)
                fail_msg("%s", w->err.text);
}

static void a_tree_comes_out_as_it_went_in(void **state)
{
        (void)state;
        struct world w;
        struct stat st, other;
        begin(&w);
        make_tree(w.folder);
        pack_it(&w, "tree", ".");
        w.top = "copy";
        if (carry_out(&w) < 0)
                fail_msg("%s", w.err.text);
        cleanup_fd int copy = openat(w.in, "copy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fstat(copy, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        expect_text(copy, "file", "content");
        expect_text(copy, "sub/inner", "deeper");
        expect_text(copy, "sealed/f", "in a folder nobody may write to");
        assert_int_equal(fstatat(copy, "sealed", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0555);
        assert_int_equal(fstatat(copy, "file", &st, 0), 0);
        assert_int_equal(fstatat(copy, "second", &other, 0), 0);
        assert_int_equal(st.st_ino, other.st_ino);
        assert_int_equal(fstatat(w.folder, "tree/file", &other, 0), 0);
        assert_int_equal(st.st_mtim.tv_sec, other.st_mtim.tv_sec);
        assert_int_equal(st.st_mtim.tv_nsec, other.st_mtim.tv_nsec);
        assert_int_equal(fstatat(copy, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(fstatat(copy, "pipe", &st, 0), 0);
        assert_true(S_ISFIFO(st.st_mode));
        assert_int_equal(fstatat(copy, "sparse", &st, 0), 0);
        assert_int_equal(st.st_size, (8 << 20) + 3);
        assert_true(st.st_blocks * 512 < 1 << 20); /* the hole stayed one */
        assert_true(faccessat(copy, "sock", F_OK, 0) < 0);
        end(&w);
}

static void owners_are_kept_on_request(void **state)
{
        (void)state;
        struct world w;
        struct stat st;
        if (geteuid() != 0)
                unit_skip("needs root");
        begin(&w);
        w.keep_owner = true;
        add(&w, TAR_FOLDER, "d", "", NULL);
        add(&w, TAR_FILE, "d/f", "", "x");
        add(&w, TAR_SYMLINK, "d/l", "x", NULL);
        assert_int_equal(finish(&w), 0);
        static const char *const names[] = {"d", "d/f", "d/l"};
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(fstatat(w.in, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_int_equal(st.st_uid, 1234);
                assert_int_equal(st.st_mtim.tv_sec, 1000000000);
        }
        end(&w);
}

static void a_file_becomes_what_it_is_called(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        put_text(w.folder, "source", "one file");
        pack_it(&w, "source", ".");
        w.top = "renamed";
        assert_int_equal(carry_out(&w), 0);
        expect_text(w.in, "renamed", "one file");
        w.top = NULL;
        w.at = 0;
        assert_int_equal(carry_out(&w), -EBADMSG); /* a file is no folder's contents */
        end(&w);
}

static void names_in_a_tar_can_have_a_front(void **state)
{
        (void)state;
        struct world w;
        begin(&w);
        make_tree(w.folder);
        pack_it(&w, "tree", "a/b");
        assert_int_equal(carry_out(&w), 0);
        expect_text(w.in, "a/b/sub/inner", "deeper");
        end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(names_never_lead_out),
    cmocka_unit_test(links_are_never_followed),
    cmocka_unit_test(a_file_is_not_written_through_a_link),
    cmocka_unit_test(hard_links_stay_inside),
    cmocka_unit_test(a_folder_that_turns_into_a_link_is_seen),
    cmocka_unit_test(devices_are_left_out_and_told),
    cmocka_unit_test(privileges_are_left_out),
    cmocka_unit_test(a_size_that_lies_ends_with_the_stream),
    cmocka_unit_test(cut_off_anywhere_is_an_error),
    cmocka_unit_test(folders_and_files_do_not_replace_each_other),
    cmocka_unit_test(too_deep_is_an_error),
    cmocka_unit_test(a_tree_comes_out_as_it_went_in),
    cmocka_unit_test(owners_are_kept_on_request),
    cmocka_unit_test(a_file_becomes_what_it_is_called),
    cmocka_unit_test(names_in_a_tar_can_have_a_front),
};
UNIT_TEST_MAIN(cases)
