/* SPDX-License-Identifier: Apache-2.0 */
/* The second wall: from a share that is a mount of its own no way leads up, and a read-only one is so for the
 * kernel. */
#include "harness.h"

#include "vmm/share_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder;

static void enter_namespace(void)
{
        (void)unit_folder(&folder);
        assert_int_equal(mkdirat(folder, "share", 0755), 0);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                unit_skip("this user may not make mounts of its own");
}

static bool same(int dir, const char *name, int other)
{
        struct stat a, b;
        assert_int_equal(fstatat(dir, name, &a, 0), 0);
        assert_int_equal(fstat(other, &b), 0);
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void nothing_lies_above_a_share(void **state)
{
        (void)state;
        enter_namespace();
        int fd = openat(folder, "share", O_PATH | O_CLOEXEC);
        assert_true(same(fd, "..", folder));
        assert_int_equal(share_mount(fd, false), 0);
        assert_true(same(fd, "..", fd));
        assert_true(same(fd, "../../..", fd));
        assert_int_equal(faccessat(fd, "../share", F_OK, 0), -1);
        assert_int_equal(mkdirat(fd, "made", 0755), 0);
        assert_int_equal(faccessat(folder, "share/made", F_OK, 0), 0);
        (void)close(fd);
}

static void a_read_only_share_is_so_for_the_kernel(void **state)
{
        (void)state;
        enter_namespace();
        int fd = openat(folder, "share", O_PATH | O_CLOEXEC);
        assert_int_equal(share_mount(fd, true), 0);
        assert_int_equal(mkdirat(fd, "made", 0755), -1);
        assert_int_equal(errno, EROFS);
        (void)close(fd);
}

static void a_file_is_shared_alone(void **state)
{
        (void)state;
        enter_namespace();
        int file = openat(folder, "share/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        (void)close(file);
        int fd = openat(folder, "share/file", O_PATH | O_CLOEXEC);
        assert_int_equal(share_mount(fd, false), 0);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(S_ISREG(st.st_mode));
        (void)close(fd);
}

static void what_was_moved_is_left_as_it_is(void **state)
{
        (void)state;
        enter_namespace();
        int fd = openat(folder, "share", O_PATH | O_CLOEXEC);
        assert_int_equal(unlinkat(folder, "share", AT_REMOVEDIR), 0);
        assert_int_equal(share_mount(fd, false), -ENOENT);
        (void)close(fd);
}

static void nothing_lies_above_the_descriptors(void **state)
{
        (void)state;
        enter_namespace();
        int fd = share_mount_proc();
        assert_true(fd >= 0);
        assert_true(same(fd, "..", fd));
        char name[16];
        (void)snprintf(name, sizeof(name), "%d", folder);
        assert_true(same(fd, name, folder)); /* and it does what it is for */
        (void)close(fd);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(nothing_lies_above_a_share),
    cmocka_unit_test(a_read_only_share_is_so_for_the_kernel),
    cmocka_unit_test(a_file_is_shared_alone),
    cmocka_unit_test(what_was_moved_is_left_as_it_is),
    cmocka_unit_test(nothing_lies_above_the_descriptors),
};
UNIT_TEST_MAIN(cases)
