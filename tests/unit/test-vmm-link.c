/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "vmm/link.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct link *vmm_link;
static int monitor, ours;
static unsigned quits, pauses, resumes, watches;

static void on_quit(void *data)
{
        quits++;
}

static void on_pause(bool paused, void *data)
{
        if (paused)
                pauses++;
        else
                resumes++;
}

static void on_watch(void *data)
{
        watches++;
}

static void begin(void)
{
        int pair[2];
        struct link_events events = {.quit = on_quit, .pause = on_pause, .watch = on_watch};
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        monitor = pair[0];
        ours = pair[1];
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(link_new(loop, ours, &events, &vmm_link), 0);
}

static void finish(void)
{
        link_free(vmm_link);
        loop_free(loop);
        if (monitor >= 0)
                (void)close(monitor);
        (void)close(ours);
}

static void pump(void)
{
        while (loop_step(loop, 0) > 0)
                ;
}

static void expect_packet(const char *text)
{
        char packet[4096] = {0};
        assert_int_equal(recv(monitor, packet, sizeof(packet) - 1, MSG_DONTWAIT), strlen(text));
        assert_string_equal(packet, text);
}

static void events_are_documents(void **state)
{
        (void)state;
        char packet[256] = {0};
        int received[2];
        size_t count;
        struct stat sent_stat, got_stat;
        begin();
        assert_int_equal(link_send_running(vmm_link), 0);
        expect_packet("{\"event\":\"running\"}");
        assert_int_equal(link_send_jail(vmm_link, "no user namespace"), 0);
        expect_packet("{\"event\":\"jail\",\"lacks\":\"no user namespace\"}");
        assert_int_equal(link_send_ended(vmm_link, "engine-died", "a \"quoted\" word"), 0);
        expect_packet(
            "{\"event\":\"ended\",\"reason\":\"engine-died\",\"detail\":\"a \\\"quoted\\\" word\"}");
        assert_int_equal(link_send_connection(vmm_link, 1024, 0), 0);
        assert_true(fd_receive(monitor, packet, sizeof(packet) - 1, received, 2, &count) > 0);
        assert_string_equal(packet, "{\"event\":\"connection\",\"port\":1024}");
        assert_int_equal(count, 1);
        assert_int_equal(fstat(0, &sent_stat), 0);
        assert_int_equal(fstat(received[0], &got_stat), 0);
        assert_int_equal(sent_stat.st_ino, got_stat.st_ino);
        (void)close(received[0]);
        finish();
}

static void quit_and_the_end_are_heard(void **state)
{
        (void)state;
        begin();
        static const char *const odd[] = {"{\"op\":\"dance\"}", "{}",         "[]",
                                          "not json",           "{\"op\":7}", "\"quit\""};
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
                assert_true(send(monitor, odd[i], strlen(odd[i]), 0) > 0);
        static char large[8192];
        memset(large, ' ', sizeof(large));
        memcpy(large, "{\"op\":\"quit\"}", 13);
        assert_true(send(monitor, large, sizeof(large), 0) > 0);
        pump();
        assert_int_equal(quits, 0);
        assert_true(send(monitor, "{\"op\": \"quit\"}", 14, 0) > 0);
        pump();
        assert_int_equal(quits, 1);
        close_fd(&monitor);
        pump();
        assert_int_equal(quits, 2);
        assert_true(link_send_running(vmm_link) < 0); /* and no signal */
        finish();
}

static void pause_and_resume_are_heard_and_answered(void **state)
{
        (void)state;
        begin();
        assert_true(send(monitor, "{\"op\":\"pause\"}", 14, 0) > 0);
        pump();
        assert_int_equal(pauses, 1);
        assert_int_equal(resumes, 0);
        assert_true(send(monitor, "{\"op\":\"resume\"}", 15, 0) > 0);
        pump();
        assert_int_equal(pauses, 1);
        assert_int_equal(resumes, 1);
        assert_int_equal(quits, 0);
        assert_true(send(monitor, "{\"op\":\"watch\"}", 14, 0) > 0);
        pump();
        assert_int_equal(watches, 1);
        assert_int_equal(link_send_connections(vmm_link, 7), 0);
        expect_packet("{\"event\":\"connections\",\"count\":7}");
        assert_int_equal(link_send_paused(vmm_link, true), 0);
        expect_packet("{\"event\":\"paused\"}");
        assert_int_equal(link_send_paused(vmm_link, false), 0);
        expect_packet("{\"event\":\"resumed\"}");
        finish();
}

static void a_monitor_that_does_not_read_holds_nobody_up(void **state)
{
        (void)state;
        begin();
        int r = 0;
        for (unsigned i = 0; i < 100000 && r == 0; i++)
                r = link_send_running(vmm_link);
        assert_true(r < 0);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(events_are_documents),
    cmocka_unit_test(quit_and_the_end_are_heard),
    cmocka_unit_test(pause_and_resume_are_heard_and_answered),
    cmocka_unit_test(a_monitor_that_does_not_read_holds_nobody_up),
};

UNIT_TEST_MAIN(cases)
