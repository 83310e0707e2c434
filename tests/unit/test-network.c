/* SPDX-License-Identifier: Apache-2.0 */
/* The network with a real passt and with programs that stand for one, in a network namespace of the case's
 * own. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "monitor/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
        struct loop *loop;
        struct config config;
        struct network *network;
        struct publish publish[1];
        bool died, no_uplink;
        char reason[512];
        char script[128];
        int dir_fd;
};

static void on_died(struct network *network, bool no_uplink, const char *reason, void *data)
{
        struct fixture *f = data;
        (void)network;
        f->died = true;
        f->no_uplink = no_uplink;
        (void)snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static const struct network_ops ops = {on_died};

static void setup(struct fixture *f, const char *passt, bool uplink)
{
        memset(f, 0, sizeof(*f));
        if (unshare(CLONE_NEWNET) < 0)
                unit_skip("needs a network namespace of its own");
        if (system("ip link set lo up") != 0 ||
            (uplink && system("ip link add up0 type veth peer name up1 && ip link set up1 up && ip addr add "
                              "192.0.2.1/24 dev up0 && ip link set up0 up && "
                              "ip route add default via 192.0.2.254") != 0))
                unit_skip("needs ip(8) and veth interfaces");
        (void)snprintf(f->script, sizeof(f->script), "%s/passt", unit_folder(&f->dir_fd));
        assert_int_equal(loop_new(&f->loop), 0);
        f->config = (struct config){.id = ID, .passt = passt, .has_network = true, .publish = f->publish};
}

static void publish_tcp(struct fixture *f)
{
        f->publish[0] = (struct publish){"", 0, 80, false};
        f->config.publish_count = 1;
}

static void teardown(struct fixture *f)
{
        network_free(f->network);
        loop_free(f->loop);
}

static void no_route_means_no_network(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, "/bin/false", false);
        assert_int_equal(network_start(f.loop, &f.config, &ops, &f, &f.network, NULL), 0);
        assert_null(f.network);
        teardown(&f);
}

/* Asks passt for the gateway's MAC as a guest would; the answer shows that it serves the socket. */
static void expect_arp_answer(int fd)
{
        static const uint8_t request[46] =
            "\0\0\0\x2a\xff\xff\xff\xff\xff\xff\x06\x01\x23\x45\x67\x89\x08\x06\0\x01\x08\0\x06\x04\0\x01"
            "\x06\x01\x23\x45\x67\x89\x0a\0\x02\x0f\0\0\0\0\0\0\x0a\0\x02\x02";
        uint8_t answer[46];
        assert_int_equal(fd_write_full(fd, request, sizeof(request)), 0);
        assert_int_equal(fd_read_full(fd, answer, sizeof(answer)), sizeof(answer));
        assert_int_equal(answer[25], 2);                       /* a reply */
        assert_memory_equal(answer + 32, "\x0a\0\x02\x02", 4); /* from the gateway */
}

static void passt_serves_the_machine_and_its_ports(void **state)
{
        (void)state;
        struct fixture f;
        struct request_network request;
        if (access("/usr/bin/passt", X_OK) < 0)
                unit_skip("needs passt");
        setup(&f, "/usr/bin/passt", true);
        publish_tcp(&f);
        f.config.nested_names = true;
        struct error err = ERROR_INIT;
        assert_int_equal(network_start(f.loop, &f.config, &ops, &f, &f.network, &err), 0);
        cleanup_fd int machine = fcntl(network_fd(f.network), F_DUPFD_CLOEXEC, 0);
        network_hand_over(f.network);
        expect_arp_answer(machine);
        assert_true(network_is_up(f.network));
        assert_string_equal(network_mac(f.network), "06:01:23:45:67:89");
        network_describe(f.network, &request);
        assert_non_null(json_object_get(request.document, "ipv4"));
        assert_true(json_is_null(json_object_get(request.document, "ipv6")));
        cleanup_free char *resolver = json_print(json_object_get(request.document, "resolver"), NULL);
        assert_string_equal(
            resolver,
            "{\"listen\":\"169.254.53.53\",\"name\":\"host.boxlet.internal\",\"address\":\"10.0.2.2\"}");
        const json_t *port = json_array_get(network_ports(f.network), 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(
                                          (uint16_t)json_integer_value(json_object_get(port, "host_port"))),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        cleanup_fd int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
        uint8_t syn[4];
        assert_int_equal(fd_read_full(machine, syn, 4), 4); /* it comes through to the machine */
        close_fd(&machine);
        while (!f.died) /* the machine's end is passt's */
                assert_true(loop_step(f.loop, 10000) > 0);
        assert_false(network_is_up(f.network));
        teardown(&f);
}

/* Starts a script in place of passt and waits for its end. */
static void run_script(struct fixture *f, const char *body)
{
        char text[512];
        struct error err = ERROR_INIT;
        int n = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", body);
        int fd = openat(f->dir_fd, "passt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, (size_t)n), 0);
        assert_int_equal(close(fd), 0);
        f->config.passt = f->script;
        assert_int_equal(network_start(f->loop, &f->config, &ops, f, &f->network, &err), 0);
        network_hand_over(f->network);
        while (!f->died)
                assert_true(loop_step(f->loop, 10000) > 0);
}

static void why_passt_ended_is_told(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, NULL, true);
        run_script(&f, "echo 'Failed to send 66 bytes to syslog' >&2; echo \"Failed to bind any port for '-t "
                       "80'\" >&2; exit 1");
        assert_string_equal(f.reason, "Failed to bind any port for '-t 80'");
        assert_false(f.no_uplink);
        teardown(&f);
}

static void lost_uplink_is_told_apart(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, NULL, true);
        run_script(&f, "echo 'No external routable interface for IPv4' >&2; echo 'External interface not "
                       "usable' >&2; exit 1");
        assert_true(f.no_uplink);
        teardown(&f);
}

static void silent_ends_have_a_reason_too(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, NULL, true);
        run_script(&f, "yes chatter | head -c 300000 >&2; echo >&2; kill -9 $$");
        assert_non_null(strstr(f.reason, "chatter"));
        network_free(f.network);
        f.died = false;
        run_script(&f, "kill -9 $$");
        assert_string_equal(f.reason, "by signal 9");
        teardown(&f);
}

static void missing_passt_is_told(void **state)
{
        (void)state;
        struct fixture f;
        struct error err = ERROR_INIT;
        setup(&f, "/nonexistent/passt", true);
        assert_int_equal(network_start(f.loop, &f.config, &ops, &f, &f.network, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/nonexistent/passt"));
        teardown(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(no_route_means_no_network),     cmocka_unit_test(passt_serves_the_machine_and_its_ports),
    cmocka_unit_test(why_passt_ended_is_told),       cmocka_unit_test(lost_uplink_is_told_apart),
    cmocka_unit_test(silent_ends_have_a_reason_too), cmocka_unit_test(missing_passt_is_told),
};

UNIT_TEST_MAIN(cases)
