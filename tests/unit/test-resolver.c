/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "monitor/resolver.h"

#include <string.h>

static void resolv_conf_is_read(void **state)
{
        (void)state;
        struct resolver r;
        resolver_parse(
            "# comment\nnameserver 192.0.2.1\n\tnameserver\t127.0.0.53 # systemd\nnameserver fe80::1%eth0\n"
            "nameserver nonsense\nnameserver ::1\nnameserver 192.0.2.9\ndomain one.test\n"
            "search a.test  b.test\noptions ndots:2",
            &r);
        assert_int_equal(r.server_count, 3);
        assert_string_equal(r.servers[0].address, "192.0.2.1");
        assert_false(r.servers[0].loopback || r.servers[0].ipv6);
        assert_string_equal(r.servers[1].address, "127.0.0.53");
        assert_true(r.servers[1].loopback);
        assert_true(r.servers[2].ipv6 && r.servers[2].loopback);
        assert_int_equal(r.search_count, 2);
        assert_string_equal(r.search[1], "b.test");
}

static void odd_files_are_harmless(void **state)
{
        (void)state;
        struct resolver r;
        char text[5000];
        resolver_parse("", &r);
        assert_int_equal(r.server_count + r.search_count, 0);
        resolver_parse("nameserver\nsearch\n\n\n", &r);
        assert_int_equal(r.server_count + r.search_count, 0);
        memset(text, 'x', sizeof(text));
        memcpy(text, "search ", 7);
        text[sizeof(text) - 1] = '\0';
        resolver_parse(text, &r);
        assert_int_equal(r.search_count, 0);
}

static void routes_are_found(void **state)
{
        (void)state;
        static const char head[] =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        static const char link[] = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        static const char out[] = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        char text[512];
        assert_false(resolver_has_ipv4_route(""));
        (void)strcat(strcpy(text, head), link);
        assert_false(resolver_has_ipv4_route(text));
        assert_true(resolver_has_ipv4_route(strcat(text, out)));
        assert_false(
            resolver_has_ipv6_route("00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                                    "00000000000000000000000000000000 "
                                    "ffffffff 00000001 00000000 00200200       lo\n"));
        assert_true(
            resolver_has_ipv6_route("00000000000000000000000000000001 80 00000000000000000000000000000000 00 "
                                    "00000000000000000000000000000000 "
                                    "00000000 00000002 00000000 80200001       lo\n"
                                    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                                    "fd3300000000000000000000000000fe "
                                    "00000400 00000001 00000000 00000003      up0\n"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(resolv_conf_is_read),
    cmocka_unit_test(odd_files_are_harmless),
    cmocka_unit_test(routes_are_found),
};

UNIT_TEST_MAIN(cases)
