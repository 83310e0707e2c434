/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "runtime/publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The list as text: "ADDRESS HOST->BOX/proto" joined by ";". */
static void describe(const struct publish_list *list, char *text, size_t size)
{
        text[0] = '\0';
        for (size_t i = 0; i < list->count; i++) {
                const struct publish *p = &list->entries[i];
                size_t at = strlen(text);
                (void)snprintf(text + at, size - at, "%s%s %u->%u/%s", i == 0 ? "" : ";",
                               p->address[0] == '\0' ? "*" : p->address, p->host_port, p->box_port,
                               p->udp ? "udp" : "tcp");
        }
}

static void takes_every_form(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"80", "* 0->80/tcp"},
            {"8080:80", "* 8080->80/tcp"},
            {"0:80", "* 0->80/tcp"},
            {":80", "* 0->80/tcp"},
            {"53:53/udp", "* 53->53/udp"},
            {"53:53/UDP", "* 53->53/udp"},
            {"8080:80/tcp", "* 8080->80/tcp"},
            {"127.0.0.1:8080:80", "127.0.0.1 8080->80/tcp"},
            {"127.0.0.1::80", "127.0.0.1 0->80/tcp"},
            {"127.0.0.1:80", "127.0.0.1 0->80/tcp"},
            {"[::1]:8080:80", "::1 8080->80/tcp"},
            {"[::1]::80/udp", "::1 0->80/udp"},
            {"[::1]:80", "::1 0->80/tcp"},
            {"[0:0:0:0:0:0:0:1]:1:2", "::1 1->2/tcp"},
            {"8000-8002:80-82", "* 8000->80/tcp;* 8001->81/tcp;* 8002->82/tcp"},
            {"80-81", "* 0->80/tcp;* 0->81/tcp"},
            {"65535:65535", "* 65535->65535/tcp"},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct publish_list list = {0};
                struct error err = ERROR_INIT;
                char text[256];
                if (publish_parse(&list, table[i][0], &err) < 0)
                        fail_msg("%s: %s", table[i][0], err.text);
                describe(&list, text, sizeof(text));
                if (strcmp(text, table[i][1]) != 0)
                        fail_msg("%s: got %s, expected %s", table[i][0], text, table[i][1]);
                publish_done(&list);
        }
}

static void refuses_what_is_none(void **state)
{
        (void)state;
        static const char *const table[] = {
            "",
            ":",
            "0",
            "80:",
            "65536",
            "80:65536",
            "-1:80",
            "80:0",
            "8080:80/sctp",
            "a:80",
            "80:a",
            "80-79",
            "8000-8001:80",
            "8000:80-81",
            "1:2:3",
            "1.2.3:1:2",
            "::1:80:80",
            "[::1:80:80",
            "[1.2.3.4]:80:80",
            "256.1.1.1:80:80",
            "80 ",
            " 80",
            "+80",
            "80:80/",
            "0-5:80-85",
            "000080",
            "1.2.3.4:5:6:7",
            "[::1]8:9",
            "80:80/tcp/udp",
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct publish_list list = {0};
                struct error err = ERROR_INIT;
                if (publish_parse(&list, table[i], &err) >= 0)
                        fail_msg("'%s' was taken", table[i]);
                assert_non_null(strstr(err.text, "publish"));
                assert_int_equal(list.count, 0);
                publish_done(&list);
        }
}

static void a_host_port_is_taken_once(void **state)
{
        (void)state;
        struct publish_list list = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(publish_parse(&list, "80:1", &err), 0);
        assert_int_equal(publish_parse(&list, "80:2/udp", &err), 0);
        assert_int_equal(publish_parse(&list, "80:3", &err), -EINVAL);
        assert_int_equal(publish_parse(&list, "79-81:79-81", &err), -EINVAL);
        assert_int_equal(list.count, 2); /* nothing of the refused range stays */
        publish_done(&list);
}

static void ranges_are_bounded(void **state)
{
        (void)state;
        struct publish_list list = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(publish_parse(&list, "1-65535:1-65535", &err), -E2BIG);
        assert_int_equal(list.count, 0);
        publish_done(&list);
}

static void a_taken_port_is_told(void **state)
{
        (void)state;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(address);
        cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        char text[64];
        struct publish_list list = {0};
        struct error err = ERROR_INIT;
        (void)snprintf(text, sizeof(text), "127.0.0.1:%u:80", ntohs(address.sin_port));
        assert_int_equal(publish_parse(&list, text, &err), 0);
        assert_int_equal(publish_check_free(&list, &err), -EADDRINUSE);
        assert_non_null(strstr(err.text, "already in use"));
        close_fd(&fd);
        assert_int_equal(publish_check_free(&list, &err), 0);
        publish_done(&list);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(takes_every_form),          cmocka_unit_test(refuses_what_is_none),
    cmocka_unit_test(a_host_port_is_taken_once), cmocka_unit_test(ranges_are_bounded),
    cmocka_unit_test(a_taken_port_is_told),
};
UNIT_TEST_MAIN(cases)
