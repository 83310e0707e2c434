/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of the host as layers. */
#include "harness.h"
#include "rootfs-build.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void put(int dir, const char *name, const char *text)
{
        cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static int try_folder(int dir, rootfs_progress_fn progress, void *data, struct error *err)
{
        struct rootfs_builder *builder;
        cleanup_fd int out = memory_file("", 0);
        assert_int_equal(rootfs_builder_new(out, -1, NULL, progress, data, &builder, err), 0);
        int r = rootfs_builder_add_folder(builder, dir, "test", err);
        if (r == 0)
                r = rootfs_builder_finish(builder, NULL, err);
        rootfs_builder_free(builder);
        return r < 0 ? r : take_fd(&out);
}

static int build_folder(int dir, struct erofs_view *view)
{
        struct error err = ERROR_INIT;
        int fd = try_folder(dir, NULL, NULL, &err);
        if (fd < 0)
                fail_msg("%s", err.text);
        assert_true(erofs_view_open(fd, view));
        const char *wrong = erofs_view_check(view);
        if (wrong != NULL)
                fail_msg("the image is wrong: %s", wrong);
        run_fsck(fd);
        return fd;
}

static void a_folder_is_taken_as_it_is(void **state)
{
        (void)state;
        int dir;
        struct erofs_view view;
        struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 1234567890, .tv_nsec = 987654321}};
        const char *path = unit_folder(&dir);
        assert_int_equal(mkdirat(dir, "d", 0711), 0);
        put(dir, "d/file", "content");
        assert_int_equal(fchmodat(dir, "d/file", 04751, 0), 0);
        assert_int_equal(utimensat(dir, "d/file", times, 0), 0);
        assert_int_equal(linkat(dir, "d/file", dir, "again", 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
        assert_int_equal(linkat(dir, "link", dir, "link2", 0), 0);
        assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
        assert_int_equal(mknodat(dir, "socket", S_IFSOCK | 0620, 0), 0);
        assert_int_equal(fchmodat(dir, "socket", 0620, 0), 0);
        assert_int_equal(mkdirat(dir, "empty", 0700), 0);
        assert_int_equal(fchmod(dir, 0750), 0);
        char file[128];
        (void)snprintf(file, sizeof(file), "%s/d/file", path);
        bool has_xattrs = setxattr(file, "user.name", "value", 5, 0) == 0;
        int fd = build_folder(dir, &view);
        assert_string_equal(all_names(&view), "/again /d /d/file /empty /link /link2 /pipe /socket ");
        must_read(&view, "/again", "content");
        must_link(&view, "/link2", "/etc/passwd");
        struct erofs_node node = must_find(&view, "/d/file");
        assert_int_equal(node.mode, S_IFREG | 04751);
        assert_int_equal(node.uid, getuid());
        assert_int_equal(node.mtime, 1234567890);
        assert_int_equal(node.mtime_nsec, 987654321);
        assert_int_equal(node.links, 2);
        assert_int_equal(node.nid, must_find(&view, "/again").nid);
        assert_int_equal(must_find(&view, "/link").nid, must_find(&view, "/link2").nid);
        assert_int_equal(must_find(&view, "/socket").mode, S_IFSOCK | 0620);
        assert_int_equal(must_find(&view, "/").mode & 07777, 0750);
        assert_int_equal(must_find(&view, "/d").mode & 07777, 0711);
        char value[8];
        if (has_xattrs) {
                assert_int_equal(erofs_view_xattr(&view, &node, "user.name", value, sizeof(value)), 5);
                assert_memory_equal(value, "value", 5);
        }
        unbuild(fd, &view);
}

static void holes_stay_holes(void **state)
{
        (void)state;
        int dir;
        struct erofs_view view;
        struct stat st;
        char got[8];
        (void)unit_folder(&dir);
        cleanup_fd int file = openat(dir, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(file, INT64_C(5) << 30), 0);
        assert_int_equal(pwrite(file, "data", 4, INT64_C(3) << 30), 4);
        int fd = build_folder(dir, &view);
        struct erofs_node node = must_find(&view, "/sparse");
        assert_int_equal(node.size, INT64_C(5) << 30);
        assert_true(erofs_view_read(&view, &node, (UINT64_C(3) << 30) - 2, got, 8));
        assert_memory_equal(got, "\0\0data\0\0", 8);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_size < 1 << 20);
        unbuild(fd, &view);
}

static void depth_takes_one_descriptor(void **state)
{
        (void)state;
        int dir;
        struct erofs_view view;
        struct error err = ERROR_INIT;
        (void)unit_folder(&dir);
        int at = dup(dir);
        for (int i = 0; i < 2047; i++) {
                assert_int_equal(mkdirat(at, "d", 0700), 0);
                int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                (void)close(at);
                at = next;
        }
        put(at, "f", "x"); /* 2047 * 2 + 1 bytes of path */
        int fd = try_folder(dir, NULL, NULL, &err);
        if (fd < 0)
                fail_msg("%s", err.text);
        assert_true(erofs_view_open(fd, &view));
        assert_null(erofs_view_check(&view));
        unbuild(fd, &view);
        (void)close(at);
        assert_int_equal(renameat(dir, "d", dir, "longer"), 0);
        assert_int_equal(try_folder(dir, NULL, NULL, &err), -ENAMETOOLONG);
}

static void the_same_folder_gives_the_same_bytes(void **state)
{
        (void)state;
        int dir;
        struct erofs_view one, two;
        char name[16];
        (void)unit_folder(&dir);
        for (int i = 0; i < 500; i++) {
                (void)snprintf(name, sizeof(name), "%d", i * 7919 % 500);
                put(dir, name, name);
        }
        int first = build_folder(dir, &one);
        int second = build_folder(dir, &two);
        assert_int_equal(one.size, two.size);
        assert_memory_equal(one.bytes, two.bytes, one.size);
        unbuild(first, &one);
        unbuild(second, &two);
}

static int cancel(uint64_t bytes, void *data)
{
        (void)data;
        return bytes >= 1 << 20;
}

static void progress_cancels(void **state)
{
        (void)state;
        int dir;
        struct error err = ERROR_INIT;
        char name[16];
        static char text[300001];
        (void)unit_folder(&dir);
        memset(text, 'x', sizeof(text) - 1);
        for (int i = 0; i < 8; i++) {
                (void)snprintf(name, sizeof(name), "%d", i);
                put(dir, name, text);
        }
        assert_int_equal(try_folder(dir, cancel, NULL, &err), -ECANCELED);
}

static void what_cannot_be_read_is_named(void **state)
{
        (void)state;
        int dir;
        struct error err = ERROR_INIT;
        (void)unit_folder(&dir);
        put(dir, "secret", "x");
        assert_int_equal(fchmodat(dir, "secret", 0, 0), 0);
        assert_int_equal(fchmod(dir, 0755), 0);
        bool is_root = geteuid() == 0;
        if (is_root)
                assert_int_equal(seteuid(65534), 0);
        int r = try_folder(dir, NULL, NULL, &err);
        if (is_root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, -EACCES);
        assert_string_equal(err.text, "folder 'test': 'secret': Permission denied");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_folder_is_taken_as_it_is), cmocka_unit_test(holes_stay_holes),
    cmocka_unit_test(depth_takes_one_descriptor), cmocka_unit_test(the_same_folder_gives_the_same_bytes),
    cmocka_unit_test(progress_cancels),           cmocka_unit_test(what_cannot_be_read_is_named),
};

UNIT_TEST_MAIN(cases)
