/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "monitor/pidfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void it_names_us_while_it_is_there(void **state)
{
        int folder;
        char path[600];
        cleanup_free char *text = NULL;
        struct error err = ERROR_INIT;
        (void)state;
        (void)snprintf(path, sizeof(path), "%s/pid", unit_folder(&folder));
        assert_int_equal(path_write_atomic_at(folder, "pid", "123456789\n", 10, 0600),
                         0); /* of a killed one */
        assert_int_equal(pidfile_write(path, &err), 0);
        assert_int_equal(path_read_at(folder, "pid", 100, &text, NULL), 0);
        assert_int_equal(atoi(text), getpid());
        assert_int_equal(text[strlen(text) - 1], '\n');
        pidfile_remove(path);
        assert_int_equal(access(path, F_OK), -1);
        pidfile_remove(path);
        assert_int_equal(pidfile_write(NULL, &err), 0);
        pidfile_remove(NULL);
}

static void anothers_stays(void **state)
{
        int folder;
        char path[600];
        struct error err = ERROR_INIT;
        (void)state;
        (void)snprintf(path, sizeof(path), "%s/pid", unit_folder(&folder));
        assert_int_equal(path_write_atomic_at(folder, "pid", "1\n", 2, 0600), 0);
        pidfile_remove(path);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("elsewhere", path), 0);
        assert_int_equal(pidfile_write(path, &err), -ELOOP);
        assert_int_equal(faccessat(folder, "elsewhere", F_OK, 0), -1);
        (void)snprintf(path, sizeof(path), "/nonexistent/pid");
        assert_int_equal(pidfile_write(path, &err), -ENOENT);
        assert_non_null(strstr(err.text, "write the pid file '/nonexistent/pid'"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(it_names_us_while_it_is_there),
    cmocka_unit_test(anothers_stays),
};

UNIT_TEST_MAIN(cases)
