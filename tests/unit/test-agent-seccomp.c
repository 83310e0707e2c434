/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/capability.h"
#include "base/capability.h"
#include "agent/seccomp.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void vsock_is_hidden_and_nothing_else(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(seccomp_hide_vsock(&err), 0);
        assert_int_equal(socket(AF_VSOCK, SOCK_STREAM, 0), -1);
        assert_int_equal(errno, EAFNOSUPPORT);
        assert_int_equal(socket(AF_VSOCK, SOCK_DGRAM | SOCK_CLOEXEC, 0), -1);
        assert_int_equal(errno, EAFNOSUPPORT);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        (void)close(fd);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        (void)close(fd);
}

static void capabilities_have_their_numbers(void **state)
{
        (void)state;
        assert_int_equal(capability_number("CAP_CHOWN"), 0);
        assert_int_equal(capability_number("cap_sys_admin"), 21);
        assert_int_equal(capability_number("SETFCAP"), 31);
        assert_int_equal(capability_number("CAP_CHECKPOINT_RESTORE"), 40);
        assert_int_equal(capability_number("CAP_"), -EINVAL);
        assert_int_equal(capability_number("CAP_CHOWNS"), -EINVAL);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(vsock_is_hidden_and_nothing_else),
    cmocka_unit_test(capabilities_have_their_numbers),
};

UNIT_TEST_MAIN(cases)
