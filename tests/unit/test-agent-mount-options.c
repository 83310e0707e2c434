/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/mount_options.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

static void check(char **options, unsigned long flags, unsigned long propagation, const char *data)
{
        struct mount_options parsed;
        struct error err = ERROR_INIT;
        assert_int_equal(mount_options_parse(options, &parsed, &err), 0);
        assert_int_equal(parsed.flags, flags);
        assert_int_equal(parsed.propagation, propagation);
        assert_string_equal(parsed.data, data);
        mount_options_done(&parsed);
}

#define OPTIONS(...) ((char **)(const char *[]){__VA_ARGS__, NULL}) /* they are only read */

static void flags_and_data_come_apart(void **state)
{
        (void)state;
        check(OPTIONS("nosuid", "noexec", "nodev"), MS_NOSUID | MS_NOEXEC | MS_NODEV, 0, "");
        check(OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"), MS_NOSUID | MS_STRICTATIME, 0,
              "mode=755,size=65536k");
        check(OPTIONS("rbind", "ro", "rprivate"), MS_BIND | MS_REC | MS_RDONLY, MS_PRIVATE | MS_REC, "");
        check(OPTIONS("ro", "rw"), 0, 0, "");
        check(OPTIONS("rw", "ro"), MS_RDONLY, 0, "");
        check(OPTIONS("noexec", "exec", "defaults", ""), 0, 0, "");
        check(OPTIONS("slave", "rshared"), 0, MS_SHARED | MS_REC, "");
        check(OPTIONS("newinstance", "ptmxmode=0666", "gid=5", "relatime"), MS_RELATIME, 0,
              "newinstance,ptmxmode=0666,gid=5");
}

static void a_bind_mount_has_no_data(void **state)
{
        (void)state;
        struct mount_options parsed;
        struct error err = ERROR_INIT;
        assert_int_equal(mount_options_parse(OPTIONS("bind", "rro"), &parsed, &err), -EINVAL);
        assert_string_equal(err.text, "read mount options 'rro': a bind mount cannot have them");
}

static void data_beyond_a_page_is_refused(void **state)
{
        (void)state;
        static char word[3000];
        struct mount_options parsed;
        struct error err = ERROR_INIT;
        memset(word, 'x', sizeof(word) - 1);
        assert_int_equal(mount_options_parse(OPTIONS(word), &parsed, &err), 0);
        mount_options_done(&parsed);
        assert_int_equal(mount_options_parse(OPTIONS(word, word), &parsed, &err), -EMSGSIZE);
}

static void copying_up_is_no_data(void **state)
{
        (void)state;
        struct mount_options parsed;
        struct error err = ERROR_INIT;
        assert_int_equal(mount_options_parse(OPTIONS("nosuid", "tmpcopyup", "size=1m"), &parsed, &err), 0);
        assert_true(parsed.copy_up);
        assert_string_equal(parsed.data, "size=1m");
        mount_options_done(&parsed);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(copying_up_is_no_data),
    cmocka_unit_test(flags_and_data_come_apart),
    cmocka_unit_test(a_bind_mount_has_no_data),
    cmocka_unit_test(data_beyond_a_page_is_refused),
};

UNIT_TEST_MAIN(cases)
