/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "runtime/extras.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The members as text, or the error's. free() it. */
static char *resolve(const struct boxlet_box_options *o)
{
        struct error err = ERROR_INIT;
        json_t *extras = NULL;
        if (extras_resolve(NULL, o, &extras, &err) < 0)
                return strdup(err.text);
        char *text = json_print(extras, NULL);
        json_decref(extras);
        return text;
}

static void expect(const struct boxlet_box_options *o, const char *expected)
{
        cleanup_free char *text = resolve(o);
        assert_string_equal(text, expected);
}

static void pid_files_are_absolute(void **state)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        (void)state;
        assert_int_equal(chdir("/usr"), 0);
        expect(&o, "{\"log\":{\"maximum_bytes\":16777216,\"files\":2}}");
        o.pid_file = "/run/x.pid";
        expect(&o, "{\"pid_file\":\"/run/x.pid\",\"log\":{\"maximum_bytes\":16777216,\"files\":2}}");
        o.pid_file = "x.pid";
        expect(&o, "{\"pid_file\":\"/usr/x.pid\",\"log\":{\"maximum_bytes\":16777216,\"files\":2}}");
        o.pid_file = "";
        expect(&o, "pid file: the path is empty");
}

static void logs_are_bounded(void **state)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        (void)state;
        o.log_file_bytes = 4096;
        o.log_files = 100;
        expect(&o, "{\"log\":{\"maximum_bytes\":409600,\"files\":100}}");
        o.log_files = 101;
        expect(&o, "log: 101 files: at most 100");
        o.log_files = 1;
        o.log_file_bytes = 4095;
        expect(&o, "log: a file of it has 4 KiB to 1 TiB");
        o.log_file_bytes = UINT64_MAX;
        expect(&o, "log: a file of it has 4 KiB to 1 TiB");
}

static void health_is_taken_along(void **state)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        (void)state;
        o.health_cmd = "true";
        cleanup_free char *text = resolve(&o);
        assert_non_null(strstr(text, "\"health\":{\"test\":[\"CMD-SHELL\",\"true\"],"));
        o.no_health = 1;
        expect(&o, "health check: not wanted, and yet described");
}

static void members_are_handed_on(void **state)
{
        cleanup_json json_t *config = json_pack("{s:s, s:i}", "pid_file", "/x", "other", 1);
        cleanup_json json_t *box = json_object();
        (void)state;
        assert_int_equal(extras_hand_on(config, box), 0);
        cleanup_free char *text = json_print(box, NULL);
        assert_string_equal(text, "{\"pid_file\":\"/x\"}");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(pid_files_are_absolute),
    cmocka_unit_test(logs_are_bounded),
    cmocka_unit_test(health_is_taken_along),
    cmocka_unit_test(members_are_handed_on),
};

UNIT_TEST_MAIN(cases)
