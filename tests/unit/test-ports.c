/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "monitor/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Binds 127.0.0.1 to a free port; the socket. */
static int take_port(int type, uint16_t *ret_port)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        if (type == SOCK_STREAM)
                assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

static void free_ports_are_chosen_and_differ(void **state)
{
        (void)state;
        struct publish items[16] = {0};
        size_t count;
        for (int i = 0; i < 16; i++) {
                (void)strcpy(items[i].address, i % 2 == 0 ? "127.0.0.1" : "");
                items[i].box_port = 80;
                items[i].udp = i >= 8;
        }
        assert_int_equal(ports_plan(items, 16, &count, NULL), 0);
        assert_int_equal(count, 16);
        for (int i = 0; i < 16; i++) {
                assert_true(items[i].host_port != 0);
                for (int k = 0; k < i; k++)
                        assert_true(items[k].udp != items[i].udp || items[k].host_port != items[i].host_port);
        }
}

static void taken_ports_are_told(void **state)
{
        (void)state;
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
        static const char *const addresses[] = {"127.0.0.1", "0.0.0.0", ""};
        for (int t = 0; t < 2; t++) {
                struct publish item = {.box_port = 80, .udp = t == 1};
                uint16_t port;
                size_t count;
                cleanup_fd int fd = take_port(types[t], &port);
                for (int a = 0; a < 3; a++) {
                        struct error err = ERROR_INIT;
                        (void)strcpy(item.address, addresses[a]);
                        item.host_port = port;
                        assert_int_equal(ports_plan(&item, 1, &count, &err), -EADDRINUSE);
                        assert_non_null(strstr(err.text, "taken by another program or box"));
                }
                close_fd(&fd);
                assert_int_equal(ports_plan(&item, 1, &count, NULL), 0);
        }
}

static void both_families_become_one(void **state)
{
        (void)state;
        uint16_t port;
        int fd = take_port(SOCK_STREAM, &port);
        (void)close(fd);
        struct publish items[] = {{"0.0.0.0", port, 80, false},
                                  {"::", port, 80, false},
                                  {"0.0.0.0", port, 80, true}};
        size_t count;
        assert_int_equal(ports_plan(items, 3, &count, NULL), 0);
        assert_int_equal(count, 2);
        assert_string_equal(items[0].address, "");
        char option[PORTS_OPTION_MAX];
        items[0].host_port = 8080;
        ports_option(&items[0], option);
        assert_string_equal(option, "8080:80");
        items[1].host_port = 8081;
        ports_option(&items[1], option);
        assert_string_equal(option, "0.0.0.0/8081:80");
        cleanup_json json_t *json = ports_describe(items, 2);
        assert_true(json_is_null(json_object_get(json_array_get(json, 0), "address")));
        assert_string_equal(json_string_value(json_object_get(json_array_get(json, 1), "protocol")), "udp");
}

static void one_port_leads_to_one_place(void **state)
{
        (void)state;
        struct publish other_box_port[] = {{"", 8080, 80, false}, {"", 8080, 81, false}};
        struct publish other_address[] = {{"127.0.0.1", 8080, 80, false}, {"127.0.0.2", 8080, 80, false}};
        struct error err = ERROR_INIT;
        size_t count;
        assert_int_equal(ports_plan(other_box_port, 2, &count, &err), -EINVAL);
        assert_non_null(strstr(err.text, "8080/tcp"));
        assert_int_equal(ports_plan(other_address, 2, &count, &err), -EINVAL);
}

static void foreign_address_is_told(void **state)
{
        (void)state;
        struct publish item = {"192.0.2.77", 0, 80, false};
        struct error err = ERROR_INIT;
        size_t count;
        assert_int_equal(ports_plan(&item, 1, &count, &err), -EADDRNOTAVAIL);
        assert_non_null(strstr(err.text, "does not have that address"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(free_ports_are_chosen_and_differ), cmocka_unit_test(taken_ports_are_told),
    cmocka_unit_test(both_families_become_one),         cmocka_unit_test(one_port_leads_to_one_place),
    cmocka_unit_test(foreign_address_is_told),
};

UNIT_TEST_MAIN(cases)
