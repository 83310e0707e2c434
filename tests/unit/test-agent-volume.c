/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/volume.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void make(int dir, const char *name, const char *text, mode_t mode)
{
        assert_int_equal(path_write_atomic_at(dir, name, text, strlen(text), 0600), 0);
        assert_int_equal(fchmodat(dir, name, mode, 0), 0);
}

static void a_tree_is_copied_as_it_is(void **state)
{
        (void)state;
        int folder;
        struct stat a, b;
        struct error err = ERROR_INIT;
        char target[64];
        const char *path = unit_folder(&folder);
        cleanup_fd int from = path_open_dir_at(folder, "from", 0750);
        cleanup_fd int to = path_open_dir_at(folder, "to", 0700);
        assert_true(from >= 0 && to >= 0);
        make(from, "file", "text", 04755);
        make(from, "empty", "", 0600);
        assert_int_equal(mkdirat(from, "d", 0700), 0);
        assert_int_equal(mkdirat(from, "d/e", 01777), 0);
        assert_int_equal(fchmodat(from, "d/e", 01777, 0), 0);
        assert_int_equal(linkat(from, "file", from, "d/e/hard", 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", from, "d/link"), 0);
        assert_int_equal(mkfifoat(from, "d/fifo", 0640), 0);
        cleanup_fd int sparse = openat(from, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(pwrite(sparse, "x", 1, 5 << 20), 1);
        assert_int_equal(ftruncate(sparse, 10 << 20), 0);
        const struct timespec times[2] = {{1000, 5}, {2000, 7}};
        assert_int_equal(utimensat(from, "d", times, 0), 0);
        char xattr_path[128];
        (void)snprintf(xattr_path, sizeof(xattr_path), "%s/from/file", path);
        bool has_xattr = setxattr(xattr_path, "user.x", "value", 5, 0) == 0;

        if (volume_copy(from, to, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(fstatat(to, "file", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 04755);
        assert_int_equal(fstatat(to, "d/e/hard", &b, 0), 0);
        assert_true(a.st_ino == b.st_ino && a.st_nlink == 2);
        assert_int_equal(fstatat(to, "d", &a, 0), 0);
        assert_true(a.st_mtim.tv_sec == 2000 && a.st_mtim.tv_nsec == 7);
        assert_int_equal(fstatat(to, "d/e", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 01777);
        assert_int_equal(fstatat(to, "d/fifo", &a, 0), 0);
        assert_true(S_ISFIFO(a.st_mode));
        ssize_t n = readlinkat(to, "d/link", target, sizeof(target));
        assert_int_equal(n, strlen("/etc/passwd"));
        assert_int_equal(fstatat(to, "sparse", &a, 0), 0);
        assert_true(a.st_size == 10 << 20 && a.st_blocks < 1 << 11);
        assert_int_equal(fstat(to, &a), 0);
        assert_int_equal(a.st_mode & 07777, 0750);
        if (has_xattr) {
                (void)snprintf(xattr_path, sizeof(xattr_path), "%s/to/file", path);
                assert_int_equal(getxattr(xattr_path, "user.x", target, sizeof(target)), 5);
        }
}

static void depth_has_an_end(void **state)
{
        (void)state;
        int folder;
        struct error err = ERROR_INIT;
        (void)unit_folder(&folder);
        int at = path_open_dir_at(folder, "from", 0700);
        cleanup_fd int from = dup(at);
        cleanup_fd int to = path_open_dir_at(folder, "to", 0700);
        for (int i = 0; i < 300; i++) {
                int next = path_open_dir_at(at, "d", 0700);
                assert_true(next >= 0);
                (void)close(at);
                at = next;
        }
        (void)close(at);
        assert_int_equal(volume_copy(from, to, &err), -ENAMETOOLONG);
}

static void names_tell_paths_apart(void **state)
{
        (void)state;
        char a[96], b[96], long_path[3000];
        volume_name("/var/lib/x", a, sizeof(a));
        volume_name("/var/lib_x", b, sizeof(b));
        assert_string_not_equal(a, b);
        assert_non_null(strstr(a, "_var_lib_x"));
        assert_null(strchr(a, '/'));
        memset(long_path, 'y', sizeof(long_path) - 1);
        long_path[0] = '/';
        long_path[sizeof(long_path) - 1] = '\0';
        volume_name(long_path, a, sizeof(a));
        assert_int_equal(strlen(a), 80);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_tree_is_copied_as_it_is),
    cmocka_unit_test(depth_has_an_end),
    cmocka_unit_test(names_tell_paths_apart),
};

UNIT_TEST_MAIN(cases)
