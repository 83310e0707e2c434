/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network, set up in a network namespace of the case's own on a tap device. */
#include "harness.h"

#include "agent/network.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int make_tap(void)
{
        struct ifreq ifr = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI};
        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
                unit_skip("needs root and a network namespace");
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
                unit_skip("needs /dev/net/tun");
        return fd;
}

static void check_file(const char *path, const char *expected)
{
        cleanup_free char *text = NULL;
        assert_int_equal(path_read_at(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
        if (strstr(text, expected) == NULL)
                fail_msg("no '%s' in %s:\n%s", expected, path, text);
}

static void set_address(struct boot_address *a, int family, const char *address, uint8_t prefix,
                        const char *gateway)
{
        *a = (struct boot_address){.present = true, .family = family, .prefix = prefix, .has_gateway = true};
        assert_int_equal(inet_pton(family, address, a->address), 1);
        assert_int_equal(inet_pton(family, gateway, a->gateway), 1);
}

static void addresses_and_routes_are_set(void **state)
{
        (void)state;
        cleanup_fd int tap = make_tap();
        struct error err = ERROR_INIT;
        struct boot_plan plan = {.has_network = true, .mtu = 1400};
        set_address(&plan.addresses[0], AF_INET, "10.0.2.15", 24, "10.0.2.2");
        set_address(&plan.addresses[1], AF_INET6, "fd00::15", 64, "fd01::2"); /* outside of the prefix */
        if (network_raise_loopback(&err) < 0 || network_set_up(&plan, &err) < 0)
                fail_msg("%s", err.text);
        check_file("/proc/thread-self/net/route", "eth0\t00000000\t0202000A\t0003");
        check_file("/proc/thread-self/net/route", "eth0\t0002000A\t00000000\t0001");
        check_file("/proc/thread-self/net/if_inet6", "fd000000000000000000000000000015");
        check_file("/proc/thread-self/net/ipv6_route", "fd010000000000000000000000000002");
        cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq ifr = {.ifr_name = "eth0"};
        assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
        assert_int_equal(ifr.ifr_mtu, 1400);
        assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
        assert_true(ifr.ifr_flags & IFF_UP);
        (void)strcpy(ifr.ifr_name, "lo");
        assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
        assert_true(ifr.ifr_flags & IFF_UP);
        assert_int_equal(network_set_up(&plan, &err), 0); /* a second time changes nothing */
}

static void the_right_interface_is_found_or_none(void **state)
{
        (void)state;
        cleanup_fd int tap = make_tap();
        struct error err = ERROR_INIT;
        struct boot_plan plan = {.has_network = true, .mac = {2, 0, 0, 0, 0, 1}};
        assert_int_equal(network_set_up(&plan, &err), -ENODEV);
        assert_string_equal(err.text, "find the network interface: No such device");
        plan.has_network = false;
        assert_int_equal(network_set_up(&plan, &err), 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(addresses_and_routes_are_set),
    cmocka_unit_test(the_right_interface_is_found_or_none),
};

UNIT_TEST_MAIN(cases)
