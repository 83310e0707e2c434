/* SPDX-License-Identifier: Apache-2.0 */
/* Whether KVM can run a kernel, and which engine is taken then. */
#include "base/fd.h"
#include "base/path.h"
#include "harness.h"
#include "runtime/engine.h"
#include "runtime/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void what_is_no_kvm_is_told_in_one_line(void **state)
{
        struct probe p;
        probe_device("/dev/null", &p);
        assert_false(p.opens || p.usable);
        assert_non_null(strstr(p.reason, "/dev/null speaks version"));
        probe_device("/no/such/device", &p);
        assert_false(p.opens || p.usable);
        assert_non_null(strstr(p.reason, "No such file or directory: "));
        assert_non_null(strstr(p.reason, "load the module kvm_intel or kvm_amd"));
        assert_null(strchr(p.reason, '\n'));
}

static void no_permission_is_told_with_what_to_do(void **state)
{
        struct probe p;
        int folder;
        const char *path = unit_folder(&folder);
        char name[300];
        (void)snprintf(name, sizeof(name), "%s/kvm", path);
        int fd = openat(folder, "kvm", O_CREAT | O_WRONLY | O_CLOEXEC, 0);
        assert_true(fd >= 0);
        (void)close(fd);
        if (geteuid() == 0) {
                assert_int_equal(chmod(path, 0755), 0);
                assert_int_equal(seteuid(65534), 0);
        }
        probe_device(name, &p);
        assert_int_equal(getuid() == 0 ? seteuid(0) : 0, 0);
        assert_false(p.opens);
        assert_non_null(strstr(p.reason, "ermission denied: add yourself to the device's group"));
}

static bool has_device(void)
{
        return access("/dev/kvm", R_OK | W_OK) == 0;
}

static void outcome_is_remembered_for_this_boot(void **state)
{
        struct probe first, second;
        char *text;
        size_t size;
        int folder;
        (void)unit_folder(&folder);
        if (!has_device())
                unit_skip("no /dev/kvm that can be opened");
        probe_kvm(folder, &first);
        assert_true(first.opens);
        assert_int_equal(path_read_at(folder, "kvm-probe", 4096, &text, &size), 0);
        /* what is remembered is believed: change its reason, and see it come back */
        char *reason = strstr(text, "\"reason\":\"");
        assert_non_null(reason);
        memcpy(reason + 10, "MEMORY", 6);
        assert_int_equal(path_write_atomic_at(folder, "kvm-probe", text, size, 0600), 0);
        probe_kvm(folder, &second);
        assert_int_equal(second.usable, first.usable);
        assert_memory_equal(second.reason, "MEMORY", 6);
        /* but not that of another boot, nor nonsense */
        char *key = strstr(text, "\"key\":\"");
        key[7] = key[7] == 'x' ? 'y' : 'x';
        assert_int_equal(path_write_atomic_at(folder, "kvm-probe", text, size, 0600), 0);
        probe_kvm(folder, &second);
        assert_string_equal(second.reason, first.reason);
        assert_int_equal(path_write_atomic_at(folder, "kvm-probe", "[1,", 3, 0600), 0);
        probe_kvm(folder, &second);
        assert_string_equal(second.reason, first.reason);
        free(text);
}

static void auto_takes_what_the_probe_says(void **state)
{
        struct probe p;
        struct engine e;
        struct error err = ERROR_INIT;
        probe_kvm(-1, &p);
        assert_int_equal(engine_choose(NULL, -1, &e, &err), 0);
        assert_string_equal(e.engine, p.usable ? "kvm" : "qemu");
        assert_int_equal(engine_choose("auto", -1, &e, &err), 0);
        assert_string_equal(e.engine, p.usable ? "kvm" : "qemu");
        assert_int_equal(engine_choose("qemu", -1, &e, &err), 0);
        assert_string_equal(e.accel, "tcg");
        assert_true(e.needs_qemu);
        int r = engine_choose("kvm", -1, &e, &err);
        assert_int_equal(r, p.usable ? 0 : -ENODEV);
        if (r < 0)
                assert_non_null(strstr(err.text, p.reason));
        assert_int_equal(engine_choose("warp", -1, &e, &err), -EINVAL);
        assert_non_null(strstr(err.text, "auto, kvm, qemu and qemu-kvm"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(what_is_no_kvm_is_told_in_one_line),
    cmocka_unit_test(no_permission_is_told_with_what_to_do),
    cmocka_unit_test(outcome_is_remembered_for_this_boot),
    cmocka_unit_test(auto_takes_what_the_probe_says),
};
UNIT_TEST_MAIN(cases)
