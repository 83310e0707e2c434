/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "runtime/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MKFS "/sbin/mkfs.ext4"
#define MIB  (1ULL << 20)

static void need_mkfs(void)
{
        if (access(MKFS, X_OK) < 0)
                unit_skip("mkfs.ext4 is not installed");
}

static unsigned count_entries(int dir_fd, const char *name)
{
        unsigned count = 0;
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        DIR *folder = fdopendir(fd);
        for (struct dirent *e; (e = readdir(folder)) != NULL;)
                count += e->d_name[0] != '.' || (e->d_name[1] != '\0' && e->d_name[1] != '.');
        (void)closedir(folder);
        return count;
}

static void a_disk_is_sparse_and_ext4(void **state)
{
        (void)state;
        need_mkfs();
        int home_fd;
        struct stat st;
        struct error err = ERROR_INIT;
        (void)unit_folder(&home_fd);
        assert_int_equal(mkdirat(home_fd, "box", 0700), 0);
        cleanup_fd int box_fd = openat(home_fd, "box", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (disk_create(home_fd, MKFS, 10240 * MIB, box_fd, "disk", &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(fstatat(box_fd, "disk", &st, 0), 0);
        assert_true((uint64_t)st.st_size == 10240 * MIB);
        assert_true(st.st_blocks * 512 < (long)MIB);
        uint8_t magic[2];
        cleanup_fd int fd = openat(box_fd, "disk", O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, magic, 2, 1024 + 0x38), 2); /* ext4 superblock, s_magic */
        assert_int_equal(magic[0], 0x53);
        assert_int_equal(magic[1], 0xef);
        /* the second needs no mkfs any more */
        assert_int_equal(disk_create(home_fd, NULL, 10240 * MIB, box_fd, "disk2", &err), 0);
        assert_int_equal(disk_create(home_fd, MKFS, 10240 * MIB, box_fd, "disk2", &err), -EEXIST);
        assert_int_equal(count_entries(home_fd, "templates"), 1);
}

static void sizes_are_checked_and_rounded(void **state)
{
        (void)state;
        need_mkfs();
        int home_fd;
        struct stat st;
        struct error err = ERROR_INIT;
        (void)unit_folder(&home_fd);
        assert_int_equal(disk_create(home_fd, MKFS, 1, home_fd, "disk", &err), -EINVAL);
        assert_int_equal(disk_create(home_fd, MKFS, UINT64_MAX, home_fd, "disk", &err), -EINVAL);
        if (disk_create(home_fd, MKFS, 64 * MIB + 1, home_fd, "disk", &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(fstatat(home_fd, "disk", &st, 0), 0);
        assert_true((uint64_t)st.st_size == 65 * MIB);
}

static void a_missing_or_failing_mkfs_leaves_nothing(void **state)
{
        (void)state;
        int home_fd;
        struct error err = ERROR_INIT;
        (void)unit_folder(&home_fd);
        assert_int_equal(disk_create(home_fd, NULL, 64 * MIB, home_fd, "disk", &err), -ENOENT);
        assert_non_null(strstr(err.text, "e2fsprogs"));
        assert_int_equal(disk_create(home_fd, "/bin/false", 64 * MIB, home_fd, "disk", &err), -EIO);
        assert_int_equal(disk_create(home_fd, "/no/such/mkfs", 64 * MIB, home_fd, "disk", &err), -ENOENT);
        assert_int_equal(count_entries(home_fd, "templates"), 0);
        assert_int_equal(count_entries(home_fd, "."), 1);
}

/* RLIMIT_FSIZE stands for a disk that is full: writes past it fail. */
static void a_full_disk_leaves_nothing_and_works_later(void **state)
{
        (void)state;
        need_mkfs();
        int home_fd;
        struct error err = ERROR_INIT;
        struct rlimit before, low = {.rlim_cur = 4096};
        (void)unit_folder(&home_fd);
        assert_int_equal(disk_create(home_fd, MKFS, 64 * MIB, home_fd, "first", &err), 0);
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        low.rlim_max = before.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        assert_int_equal(disk_create(home_fd, MKFS, 64 * MIB, home_fd, "disk", &err), -EFBIG);
        assert_int_equal(faccessat(home_fd, "disk", F_OK, 0), -1);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(disk_create(home_fd, MKFS, 64 * MIB, home_fd, "disk", &err), 0);
}

static void holes_stay_holes(void **state)
{
        (void)state;
        int dir_fd;
        struct stat st;
        struct error err = ERROR_INIT;
        static const off_t places[] = {0, 4096 * 100, 1 << 30};
        (void)unit_folder(&dir_fd);
        cleanup_fd int from = openat(dir_fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cleanup_fd int to = openat(dir_fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(from, 2L << 30), 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(pwrite(from, "data", 4, places[i]), 4);
        assert_int_equal(disk_copy_sparse(from, to, &err), 0);
        assert_int_equal(fstat(to, &st), 0);
        assert_true(st.st_size == 2L << 30);
        assert_true(st.st_blocks * 512 < (long)MIB);
        for (size_t i = 0; i < 3; i++) {
                char bytes[5] = "";
                assert_int_equal(pread(to, bytes, 4, places[i]), 4);
                assert_string_equal(bytes, "data");
        }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_disk_is_sparse_and_ext4),
    cmocka_unit_test(sizes_are_checked_and_rounded),
    cmocka_unit_test(a_missing_or_failing_mkfs_leaves_nothing),
    cmocka_unit_test(a_full_disk_leaves_nothing_and_works_later),
    cmocka_unit_test(holes_stay_holes),
};
UNIT_TEST_MAIN(cases)
