/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static void descriptors_travel_and_extra_ones_are_closed(void **state)
{
        (void)state;
        int pair[2], got[1] = {-1};
        size_t count;
        char byte;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        cleanup_fd int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        int three[] = {zero, zero, zero};
        assert_int_equal(fd_send(pair[0], "x", 1, three, 3), 1);
        assert_int_equal(fd_receive(pair[1], &byte, 1, got, 1, &count), 1);
        assert_int_equal(count, 1);
        assert_int_equal(read(got[0], &byte, 1), 1);
        assert_int_equal(byte, 0);
        assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
        (void)close(got[0]);
        assert_int_equal(fd_send(pair[0], "y", 1, NULL, 0), 1);
        assert_int_equal(fd_receive(pair[1], &byte, 1, got, 1, &count), 1);
        assert_int_equal(count, 0);
        (void)close(pair[0]);
        assert_int_equal(fd_receive(pair[1], &byte, 1, got, 1, &count), 0);
        (void)close(pair[1]);
}

static void reading_all_has_a_maximum(void **state)
{
        (void)state;
        static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 99999, 100000};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                cleanup_fd int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                cleanup_free char *bytes = NULL;
                size_t size = 0;
                assert_true(fd >= 0);
                assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
                assert_int_equal(fd_read_all(fd, 100000, &bytes, &size), 0);
                assert_int_equal(size, sizes[i]);
                assert_int_equal(bytes[size], 0);
        }
        cleanup_fd int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        char *bytes;
        assert_int_equal(fd_read_all(zero, 100000, &bytes, NULL), -EFBIG);
}

static void writing_to_a_closed_socket_is_an_error_not_a_signal(void **state)
{
        (void)state;
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fd_write_full(pair[0], "abc", 3), 0);
        (void)close(pair[1]);
        assert_int_equal(fd_write_full(pair[0], "abc", 3), -EPIPE);
        (void)close(pair[0]);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(descriptors_travel_and_extra_ones_are_closed),
    cmocka_unit_test(reading_all_has_a_maximum),
    cmocka_unit_test(writing_to_a_closed_socket_is_an_error_not_a_signal),
};

UNIT_TEST_MAIN(cases)
