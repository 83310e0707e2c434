/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "wire/restart.h"

#include <errno.h>
#include <string.h>

static void expect(const char *text, enum restart_kind kind, int64_t maximum)
{
        struct restart_policy p = {.kind = RESTART_ALWAYS, .maximum = 99}, again = {0};
        struct error err = ERROR_INIT;
        if (restart_parse(text, &p, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(p.kind, kind);
        assert_int_equal(p.maximum, maximum);
        cleanup_json json_t *json = restart_describe(&p);
        assert_int_equal(restart_read(json, &again, &err), 0);
        assert_int_equal(again.kind, p.kind);
        assert_int_equal(again.maximum, p.maximum);
}

static void policies_are_read(void **state)
{
        (void)state;
        expect(NULL, RESTART_NO, 0);
        expect("", RESTART_NO, 0);
        expect("no", RESTART_NO, 0);
        expect("on-failure", RESTART_ON_FAILURE, 0);
        expect("on-failure:0", RESTART_ON_FAILURE, 0);
        expect("on-failure:5", RESTART_ON_FAILURE, 5);
        expect("always", RESTART_ALWAYS, 0);
        expect("unless-stopped", RESTART_UNLESS_STOPPED, 0);
        assert_string_equal(restart_name(RESTART_UNLESS_STOPPED), "unless-stopped");
}

static void refuse(const char *text, const char *words)
{
        struct restart_policy p = {.kind = RESTART_ALWAYS, .maximum = 7};
        struct error err = ERROR_INIT;
        assert_int_equal(restart_parse(text, &p, &err), -EINVAL);
        assert_int_equal(p.maximum, 7);
        if (strstr(err.text, words) == NULL)
                fail_msg("'%s': %s", text, err.text);
}

static void others_are_refused(void **state)
{
        (void)state;
        refuse("sometimes", "use no, on-failure[:N]");
        refuse("Always", "there is none");
        refuse("on-fail", "there is none");
        refuse("on-failure ", "there is none");
        refuse(":3", "there is none");
        refuse("always:3", "only on-failure takes a number");
        refuse("no:0", "only on-failure takes a number");
        refuse("on-failure:", "no number");
        refuse("on-failure:-1", "no number");
        refuse("on-failure: 1", "no number");
        refuse("on-failure:1x", "no number");
        refuse("on-failure:3000000000", "no number");
        refuse("on-failure:99999999999999999999", "no number");
}

static void broken_documents_are_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"[]",
                                          "\"always\"",
                                          "{}",
                                          "{\"policy\":1}",
                                          "{\"policy\":\"never\"}",
                                          "{\"policy\":\"on-failure\",\"maximum\":-1}",
                                          "{\"policy\":\"on-failure\",\"maximum\":\"3\"}"};
        struct restart_policy p;
        struct error err = ERROR_INIT;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cleanup_json json_t *json = json_loads(bad[i], JSON_DECODE_ANY, NULL);
                assert_non_null(json);
                if (restart_read(json, &p, &err) == 0)
                        fail_msg("%s was taken", bad[i]);
        }
        cleanup_json json_t *null = json_null();
        assert_int_equal(restart_read(null, &p, &err), 0);
        assert_int_equal(p.kind, RESTART_NO);
        assert_int_equal(restart_read(NULL, &p, &err), 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(policies_are_read),
    cmocka_unit_test(others_are_refused),
    cmocka_unit_test(broken_documents_are_refused),
};

UNIT_TEST_MAIN(cases)
