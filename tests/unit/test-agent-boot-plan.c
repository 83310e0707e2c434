/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/boot_plan.h"

#include <errno.h>
#include <string.h>

static int parse(const char *text, struct boot_plan **ret_plan, struct error *err)
{
        cleanup_json json_t *json = NULL;
        assert_int_equal(json_parse(text, strlen(text), "test", &json, err), 0);
        return boot_plan_parse(json, ret_plan, err);
}

static void everything_arrives_in_the_plan(void **state)
{
        (void)state;
        struct boot_plan *plan;
        struct error err = ERROR_INIT;
        int r = parse("{\"op\": \"boot\", \"time_ns\": 1700000000000000001, \"entropy\": \"00ffA1\", "
                      "\"hostname\": \"h\", \"root\": "
                      "{\"lower\": \"/dev/vda\", \"upper\": \"/dev/vdb\", \"readonly\": true, \"volumes\": "
                      "[\"/v\"]}, \"network\": "
                      "{\"mac\": \"02:00:0a:0B:0c:ff\", \"mtu\": 1500, \"ipv4\": {\"address\": "
                      "\"10.0.2.15\", \"prefix\": 24, "
                      "\"gateway\": \"10.0.2.2\"}, \"ipv6\": {\"address\": \"fd00::2\", \"prefix\": 64}, "
                      "\"dns\": [\"10.0.2.3\", "
                      "\"fd00::3\"], \"search\": [\"a.b\", \"c\"]}, \"hosts\": [{\"address\": \"127.0.0.1\", "
                      "\"names\": "
                      "[\"localhost\", \"l\"]}, {\"address\": \"::1\", \"names\": []}], \"sysctl\": "
                      "{\"vm.swappiness\": \"1\"}}",
                      &plan, &err);
        if (r < 0)
                fail_msg("%s", err.text);
        assert_int_equal(plan->time_ns, 1700000000000000001);
        assert_int_equal(plan->entropy_size, 3);
        assert_memory_equal(plan->entropy, "\x00\xff\xa1", 3);
        assert_string_equal(plan->hostname, "h");
        assert_string_equal(plan->upper, "/dev/vdb");
        assert_true(plan->readonly && plan->has_network && plan->mtu == 1500);
        assert_string_equal(plan->volumes[0], "/v");
        assert_memory_equal(plan->mac, "\x02\x00\x0a\x0b\x0c\xff", 6);
        assert_true(plan->addresses[0].has_gateway && plan->addresses[0].prefix == 24);
        assert_memory_equal(plan->addresses[0].gateway, "\x0a\x00\x02\x02", 4);
        assert_true(plan->addresses[1].present && !plan->addresses[1].has_gateway);
        assert_string_equal(plan->hosts, "127.0.0.1\tlocalhost l\n::1\n");
        assert_string_equal(plan->resolv_conf, "nameserver 10.0.2.3\nnameserver fd00::3\nsearch a.b c\n");
        assert_string_equal(plan->sysctls[0].path, "vm/swappiness");
        boot_plan_free(plan);
}

#define ROOT "\"root\": {\"lower\": \"/dev/vda\", \"upper\": null}"

static void the_least_there_may_be(void **state)
{
        (void)state;
        struct boot_plan *plan;
        struct error err = ERROR_INIT;
        assert_int_equal(parse("{" ROOT ", \"network\": null}", &plan, &err), 0);
        assert_null(plan->upper);
        assert_null(plan->resolv_conf);
        assert_string_equal(plan->hosts, "");
        assert_false(plan->has_network);
        boot_plan_free(plan);
}

static void a_resolver_is_what_resolv_conf_names(void **state)
{
        (void)state;
        struct boot_plan *plan;
        struct error err = ERROR_INIT;
        int r =
            parse("{" ROOT
                  ", \"network\": {\"dns\": [\"10.0.2.3\", \"fd00::3\"], \"search\": [\"a\"], \"resolver\": "
                  "{\"listen\": \"169.254.53.53\", \"name\": \"the.host\", \"address\": \"10.0.2.2\"}}}",
                  &plan, &err);
        if (r < 0)
                fail_msg("%s", err.text);
        assert_string_equal(plan->resolv_conf, "nameserver 169.254.53.53\nsearch a\n");
        const struct boot_resolver *own = &plan->resolver;
        assert_true(own->present && own->has_answer && own->server_count == 2);
        assert_string_equal(own->name, "the.host");
        assert_memory_equal(own->listen, "\xa9\xfe\x35\x35", 4);
        assert_memory_equal(own->answer, "\x0a\x00\x02\x02", 4);
        assert_memory_equal(own->servers[0].address, "\x0a\x00\x02\x03", 4);
        assert_int_equal(own->servers[1].family, AF_INET6);
        assert_int_equal(own->servers[1].port, 53);
        boot_plan_free(plan);
        assert_int_equal(
            parse("{" ROOT ", \"network\": {\"resolver\": {\"listen\": \"169.254.53.53\", \"name\": \"x\"}}}",
                  &plan, &err),
            0);
        assert_true(plan->resolver.present && !plan->resolver.has_answer && plan->resolver.server_count == 0);
        boot_plan_free(plan);
}

static void what_is_wrong_is_refused(void **state)
{
        (void)state;
        static const char *const texts[] = {
            "{}",
            "{\"root\": {}}",
            "{\"root\": {\"lower\": 5}}",
            "{\"root\": {\"lower\": \"x\", \"volumes\": [\"rel\"]}}",
            "{\"root\": {\"lower\": \"x\", \"volumes\": [\"/\"]}}",
            "{" ROOT ", \"disks\": {}}",
            "{" ROOT ", \"disks\": [5]}",
            "{" ROOT ", \"disks\": [{\"name\": \"d\"}]}",
            "{" ROOT ", \"disks\": [{\"name\": \"..\", \"device\": \"/dev/vdc\"}]}",
            "{" ROOT ", \"disks\": [{\"name\": \"a/b\", \"device\": \"/dev/vdc\"}]}",
            "{" ROOT ", \"disks\": [{\"name\": \"d\", \"device\": \"vdc\"}]}",
            "{" ROOT ", \"disks\": [{\"name\": \"d\", \"device\": \"/dev/vdc\", \"path\": \"rel\"}]}",
            "{" ROOT ", \"disks\": [{\"name\": \"d\", \"device\": \"/dev/vdc\"}, {\"name\": \"d\", "
            "\"device\": \"/dev/vdd\"}]}",
            "{" ROOT ", \"entropy\": \"0\"}",
            "{" ROOT ", \"entropy\": \"0g\"}",
            "{" ROOT ", \"hostname\": \"a b\"}",
            "{" ROOT ", \"hostname\": \"a\\nb\"}",
            "{" ROOT ", \"time_ns\": -1}",
            "{" ROOT ", \"network\": []}",
            "{" ROOT ", \"network\": {\"mac\": \"02:00\"}}",
            "{" ROOT ", \"network\": {\"mac\": \"02:00:00:00:00:0\"}}",
            "{" ROOT ", \"network\": {\"mac\": \"02:00:00:00:00:001\"}}",
            "{" ROOT ", \"network\": {\"mtu\": 5}}",
            "{" ROOT ", \"network\": {\"ipv4\": {\"address\": \"10.0.0.1\"}}}",
            "{" ROOT ", \"network\": {\"ipv4\": {\"address\": \"10.0.0.1\", \"prefix\": 33}}}",
            "{" ROOT ", \"network\": {\"ipv4\": {\"address\": \"fd00::1\", \"prefix\": 3}}}",
            "{" ROOT ", \"network\": {\"ipv6\": {\"address\": \"fd00::1\", \"prefix\": 3, \"gateway\": "
            "\"10.0.0.1\"}}}",
            "{" ROOT ", \"network\": {\"dns\": [\"1.1.1.1\\nsearch x\"]}}",
            "{" ROOT ", \"network\": {\"search\": [\"\"]}}",
            "{" ROOT ", \"network\": {\"resolver\": []}}",
            "{" ROOT ", \"network\": {\"resolver\": {\"listen\": \"1.2.3.4\"}}}",
            "{" ROOT ", \"network\": {\"resolver\": {\"listen\": \"fd00::1\", \"name\": \"x\"}}}",
            "{" ROOT ", \"network\": {\"resolver\": {\"listen\": \"1.2.3.4\", \"name\": \"x y\"}}}",
            "{" ROOT
            ", \"network\": {\"resolver\": {\"listen\": \"1.2.3.4\", \"name\": \"x\", \"address\": \"y\"}}}",
            "{" ROOT
            ", \"network\": {\"dns\": [\"y\"], \"resolver\": {\"listen\": \"1.2.3.4\", \"name\": \"x\"}}}",
            "{" ROOT ", \"hosts\": [{\"address\": \"x\", \"names\": []}]}",
            "{" ROOT ", \"hosts\": [{\"address\": \"127.0.0.1\", \"names\": [\"a\\tb\"]}]}",
            "{" ROOT ", \"hosts\": 5}",
            "{" ROOT ", \"sysctl\": {\"a..b\": \"x\"}}",
            "{" ROOT ", \"sysctl\": {\"a\": 1}}",
        };
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct boot_plan *plan;
                struct error err = ERROR_INIT;
                if (parse(texts[i], &plan, &err) == 0)
                        fail_msg("taken: %s", texts[i]);
                assert_int_equal(strncmp(err.text, "read boot request: ", 19), 0);
        }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(everything_arrives_in_the_plan),
    cmocka_unit_test(the_least_there_may_be),
    cmocka_unit_test(a_resolver_is_what_resolv_conf_names),
    cmocka_unit_test(what_is_wrong_is_refused),
};

UNIT_TEST_MAIN(cases)
