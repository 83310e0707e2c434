/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/resources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The settings as "file=value;file=value;", or the error. */
static void check(const char *text, int expected, const char *settings)
{
        struct error err = ERROR_INIT;
        struct resources r;
        char seen[1024] = "";
        cleanup_json json_t *json = NULL;
        assert_int_equal(json_parse(text, strlen(text), "test", &json, &err), 0);
        int code = resources_parse(json, &r, &err);
        for (size_t i = 0; code == 0 && i < r.setting_count; i++)
                (void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s;", r.settings[i].file,
                               r.settings[i].value);
        if (code < 0)
                (void)snprintf(seen, sizeof(seen), "%.1000s", err.text);
        assert_string_equal(seen, settings);
        assert_int_equal(code, expected);
}

static void values_of_v1_become_those_of_v2(void **state)
{
        (void)state;
        check("{}", 0, "");
        check("{\"memory\": {\"limit\": 1048576}}", 0, "memory.max=1048576;");
        check("{\"memory\": {\"limit\": -1, \"swap\": -1}}", 0, "memory.max=max;memory.swap.max=max;");
        check("{\"memory\": {\"limit\": 1000, \"swap\": 3000, \"reservation\": 500}}", 0,
              "memory.max=1000;memory.swap.max=2000;memory.low=500;");
        check("{\"memory\": {\"limit\": 1000, \"swap\": 1000}}", 0, "memory.max=1000;memory.swap.max=0;");
        check("{\"cpu\": {\"shares\": 2}}", 0, "cpu.weight=1;");
        check("{\"cpu\": {\"shares\": 1024}}", 0, "cpu.weight=39;");
        check("{\"cpu\": {\"shares\": 262144}}", 0, "cpu.weight=10000;");
        check("{\"cpu\": {\"shares\": 1}}", 0, "cpu.weight=1;");
        check("{\"cpu\": {\"quota\": 150000, \"period\": 100000}}", 0, "cpu.max=150000 100000;");
        check("{\"cpu\": {\"quota\": 5000}}", 0, "cpu.max=5000 100000;");
        check("{\"cpu\": {\"quota\": -1, \"period\": 5000}}", 0, "cpu.max=max 5000;");
        check("{\"cpu\": {\"cpus\": \"0-1\", \"mems\": \"0\"}}", 0, "cpuset.cpus=0-1;cpuset.mems=0;");
        check("{\"pids\": {\"limit\": 100}}", 0, "pids.max=100;");
        check("{\"pids\": {\"limit\": -1}}", 0, "pids.max=max;");
        check("{\"pids\": {\"limit\": 0}}", 0, "pids.max=max;");
        check("{\"unified\": {\"memory.high\": \"1000\"}}", 0, "memory.high=1000;");
}

static void what_cannot_be_kept_is_refused(void **state)
{
        (void)state;
        check("{\"blockIO\": {}}", -EOPNOTSUPP, "'linux.resources.blockIO' is not supported");
        check("{\"cpu\": {\"realtimeRuntime\": 5}}", -EOPNOTSUPP,
              "'linux.resources.cpu.realtimeRuntime' is not supported");
        check("{\"cpu\": {\"realtimeRuntime\": null}}", 0, "");
        check("{\"memory\": {\"disableOOMKiller\": true}}", -EOPNOTSUPP,
              "'linux.resources.memory.disableOOMKiller' is not supported");
        check("{\"memory\": {\"swap\": 5}}", -EINVAL,
              "'linux.resources.memory.swap' counts memory and swap together: it cannot be below the memory "
              "limit");
        check("{\"memory\": {\"limit\": \"5\"}}", -EINVAL, "'limit' is a JSON string, not an integer");
        check("{\"memory\": []}", -EINVAL, "'linux.resources.memory' is not an object");
        check("{\"unified\": {\"../x.y\": \"1\"}}", -EINVAL,
              "'linux.resources.unified.../x.y' is not a setting");
        check("{\"unified\": {\"cgroup.procs\": \"1\"}}", -EINVAL,
              "'linux.resources.unified.cgroup.procs' is not a setting");
        check("{\"devices\": [{\"type\": \"x\"}]}", -EINVAL,
              "'linux.resources.devices': type 'x' is none of a, b, c");
        check("[]", -EINVAL, "'linux.resources' is not an object");
}

static void device_rules_are_read(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        struct resources r;
        cleanup_json json_t *json = NULL;
        const char *text =
            "{\"devices\": [{\"allow\": false, \"access\": \"rwm\"}, {\"allow\": true, \"type\": \"c\", "
            "\"major\": 10, \"minor\": 229, \"access\": \"rw\"}]}";
        assert_int_equal(json_parse(text, strlen(text), "test", &json, &err), 0);
        assert_int_equal(resources_parse(json, &r, &err), 0);
        assert_int_equal(r.rule_count, 2);
        assert_int_equal(r.rules[0].type, 'a');
        assert_int_equal(r.rules[0].major, -1);
        assert_true(r.rules[1].allow && r.rules[1].read && r.rules[1].write && !r.rules[1].mknod);
        assert_int_equal(r.rules[1].minor, 229);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(values_of_v1_become_those_of_v2),
    cmocka_unit_test(what_cannot_be_kept_is_refused),
    cmocka_unit_test(device_rules_are_read),
};

UNIT_TEST_MAIN(cases)
