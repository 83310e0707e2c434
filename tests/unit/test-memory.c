/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "vmm/virtio/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t low[4096], high[8192];

static void ranges_are_checked_with_their_length(void **state)
{
        (void)state;
        struct memory m = {.count = 0};
        assert_int_equal(memory_add(&m, 0x1000, sizeof(low), 0x7000, low), 0);
        assert_int_equal(memory_add(&m, 0x2000, sizeof(high), 0x9000, high), 0);
        static const struct {
                uint64_t gpa, size;
                bool found;
        } table[] = {
            {0x1000, 4096, true},
            {0x1000, 0, true},
            {0x1fff, 1, true},
            {0x1fff, 2, false}, /* into the region that touches */
            {0x1fff, 0, true},
            {0x0fff, 1, false},
            {0x0fff, 4096, false},
            {0x2000, 8192, true},
            {0x2001, 8192, false},
            {0x3fff, 1, true},
            {0x4000, 0, false},
            {0x4000, 1, false},
            {0, 0, false},
            {UINT64_MAX, 1, false},
            {UINT64_MAX, UINT64_MAX, false},
            {0x1001, UINT64_MAX, false},
            {0x3000, UINT64_MAX - 0x2fff, false},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                void *p = memory_translate(&m, table[i].gpa, table[i].size);
                if ((p != NULL) != table[i].found)
                        fail_msg("0x%llx+0x%llx", (unsigned long long)table[i].gpa,
                                 (unsigned long long)table[i].size);
        }
        assert_ptr_equal(memory_translate(&m, 0x1fff, 1), low + 4095);
        assert_ptr_equal(memory_translate(&m, 0x2000, 1), high);
        uint64_t gpa = 0;
        assert_int_equal(memory_gpa_of_peer(&m, 0x9010, 16, &gpa), 0);
        assert_int_equal(gpa, 0x2010);
        assert_int_equal(memory_gpa_of_peer(&m, 0x8000, 1, &gpa), -EFAULT);
        assert_int_equal(memory_gpa_of_peer(&m, 0x7fff, 2, &gpa), -EFAULT);
}

static void bad_regions_are_refused(void **state)
{
        (void)state;
        struct memory m = {.count = 0};
        assert_int_equal(memory_add(&m, 0x1000, 0, 0, low), -EINVAL);
        assert_int_equal(memory_add(&m, UINT64_MAX - 4095, 4096, 0, low), -EINVAL);
        assert_int_equal(memory_add(&m, 0x1000, 4096, UINT64_MAX, low), -EINVAL);
        assert_int_equal(memory_add(&m, 0x1000, 4096, 0x1000, low), 0);
        assert_int_equal(memory_add(&m, 0x1fff, 1, 0x9000, high), -EINVAL);
        assert_int_equal(memory_add(&m, 0x0, 0x1001, 0x9000, high), -EINVAL);
        assert_int_equal(memory_add(&m, 0x0, 0x9000, 0x9000, high), -EINVAL);
        assert_int_equal(memory_add(&m, 0x5000, 1, 0x1800, high), -EINVAL);
        for (unsigned i = 1; i < MEMORY_REGIONS_MAX; i++)
                assert_int_equal(memory_add(&m, 0x10000 + i, 1, 0x10000 + i, high), 0);
        assert_int_equal(memory_add(&m, 0x20000, 1, 0x20000, high), -ENOSPC);
}

static int sealed_file(size_t size, int seals)
{
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        if (seals != 0)
                assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void files_must_be_long_enough_and_stay_so(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        struct memory m = {.count = 0};
        cleanup_fd int good = sealed_file(3 * 4096, F_SEAL_SHRINK);
        cleanup_fd int unsealed = sealed_file(3 * 4096, 0);
        cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(good, "word", 4, 5000), 4);
        assert_int_equal(memory_add_fd(&m, 0, 3 * 4096 + 1, 0, good, 0, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, 4096, 0, good, 2 * 4096 + 1, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, 4096, 0, good, UINT64_MAX - 100, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, UINT64_MAX, 0, good, 0, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, 4096, 0, unsealed, 0, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, 1, 0, null, 0, &err), -EINVAL);
        assert_int_equal(memory_add_fd(&m, 0, 1, 0, -1, 0, &err), -EBADF);
        assert_int_equal(memory_add_fd(&m, 0x10000, 4096, 0x50000, good, 5000, &err), 0);
        assert_memory_equal(memory_translate(&m, 0x10000, 4), "word", 4);
        assert_null(memory_translate(&m, 0x10000, 4097));
        memory_done(&m);
        assert_null(memory_translate(&m, 0x10000, 1));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(ranges_are_checked_with_their_length),
    cmocka_unit_test(bad_regions_are_refused),
    cmocka_unit_test(files_must_be_long_enough_and_stay_so),
};

UNIT_TEST_MAIN(cases)
