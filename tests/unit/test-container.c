/* SPDX-License-Identifier: Apache-2.0 */
/* Init and the command beside it, against an agent played by the test on the same loop. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "monitor/config.h"
#include "monitor/container.h"
#include "monitor/logfile.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the container told, in words, one after the other. */
static char told[1024];

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
        va_list arguments;
        size_t used = strlen(told);
        va_start(arguments, format);
        (void)vsnprintf(told + used, sizeof(told) - used, format, arguments);
        va_end(arguments);
}

static void on_started(int64_t pid, void *data)
{
        (void)data;
        note("started %d; ", (int)pid);
}

static void on_failed(const struct error *err, int exit_code, void *data)
{
        (void)data;
        note("failed %d (%s); ", exit_code, err->text);
}

static void on_output(unsigned stream, bool foreground, const void *bytes, size_t size, void *data)
{
        (void)data;
        note("%s%u '%.*s'; ", foreground ? "fore " : "", stream, (int)size, (const char *)bytes);
}

static void on_exited(const struct frame_exit *status, void *data)
{
        (void)data;
        note("exited %d/%d; ", status->code, status->signal);
}

static void on_wound_down(void *data)
{
        (void)data;
        note("wound down; ");
}

static void on_drained(void *data)
{
        (void)data;
}

static void on_lost(const char *what, const struct error *err, void *data)
{
        (void)data;
        (void)err;
        note("lost %s; ", what);
}

static void on_gone(void *data)
{
        (void)data;
        note("gone; ");
}

static const struct container_ops ops = {on_started,    on_failed,  on_output, on_exited,
                                         on_wound_down, on_drained, on_lost,   on_gone};

/* ---- the agent ---- */

struct agent_end {
        struct channel *channel;
        char request[256]; /* the last one */
        int signal;        /* the last one */
};

struct fixture {
        struct loop *loop;
        int folder_fd, listen_fd;
        struct source *listener;
        struct agent_end ends[2]; /* init's, the command's */
        size_t count;
        struct config config;
        struct container *container;
};

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct agent_end *end = data;
        (void)channel;
        (void)err;
        if (frame->type == FRAME_REQUEST)
                (void)snprintf(end->request, sizeof(end->request), "%.*s", (int)frame->size,
                               (const char *)frame->payload);
        if (frame->type == FRAME_SIGNAL)
                assert_int_equal(frame_signal_read(frame, &end->signal), 0);
        return 0;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct agent_end *end = data;
        (void)err;
        channel_free(channel);
        end->channel = NULL;
}

static const struct channel_ops agent_ops = {.frame = on_frame, .closed = on_closed};

static void on_connection(struct source *s, int fd, uint32_t events, void *data)
{
        struct fixture *f = data;
        char line[13];
        (void)s;
        (void)events;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(connection >= 0 && f->count < 2);
        assert_int_equal(fd_read_full(connection, line, sizeof(line)), sizeof(line));
        assert_memory_equal(line, "CONNECT 1025\n", sizeof(line));
        assert_int_equal(fd_write_full(connection, "OK 7\n", 5), 0);
        struct agent_end *end = &f->ends[f->count++];
        assert_int_equal(channel_new(f->loop, connection, NULL, &agent_ops, end, &end->channel), 0);
}

/* Goes on until `text` is among what was told, or the request of an end holds it. */
static void until(struct fixture *f, const char *text)
{
        for (int i = 0; i < 2000; i++) {
                if (strstr(told, text) != NULL || strstr(f->ends[0].request, text) != NULL ||
                    strstr(f->ends[1].request, text) != NULL)
                        return;
                (void)loop_step(f->loop, 30);
        }
        fail_msg("'%s' did not come: %s", text, told);
}

static void reply(const struct agent_end *end, int pid)
{
        char text[32];
        (void)snprintf(text, sizeof(text), "{\"pid\":%d}", pid);
        assert_int_equal(channel_send(end->channel, FRAME_REPLY, text, strlen(text)), 0);
}

static void send_exit(const struct agent_end *end, int code, int number, int flags)
{
        const struct frame_exit status = {(uint8_t)code, (uint8_t)number, (uint8_t)flags, 0};
        assert_int_equal(channel_send(end->channel, FRAME_EXIT, &status, sizeof(status)), 0);
        channel_finish(end->channel);
}

static void setup(struct fixture *f, bool with_command)
{
        static const char head[] =
            "{\"version\":1,\"id\":\"0123456789012345678901234567890123456789012345678901234567890123\","
            "\"programs\":{\"vmm\":\"/vmm\"},\"machine\":{\"kernel\":\"/k\",\"initrd\":\"/i\"},"
            "\"root\":{\"image\":\"/r\"},\"container\":{\"stdin\":true,\"spec\":{\"process\":{}}";
        char text[1024];
        struct error err = ERROR_INIT;
        memset(f, 0, sizeof(*f));
        told[0] = '\0';
        (void)unit_folder(&f->folder_fd);
        (void)snprintf(text, sizeof(text), "%s%s}}", head,
                       with_command ? ",\"command\":{\"terminal\":true,\"args\":[\"fg\"]}" : "");
        if (config_parse(text, strlen(text), &f->config, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(loop_new(&f->loop), 0);
        f->listen_fd = unix_listen_at(f->folder_fd, "vsock.sock", SOCK_STREAM, 4);
        assert_true(f->listen_fd >= 0);
        assert_int_equal(loop_add_io(f->loop, f->listen_fd, EPOLLIN, on_connection, f, &f->listener), 0);
        assert_int_equal(container_new(f->loop, f->folder_fd, &f->config, 24, 80, &ops, f, &f->container,
                                       &err),
                         0);
        until(f, "\"start\"");
}

static void teardown(struct fixture *f)
{
        container_free(f->container);
        for (size_t i = 0; i < 2; i++)
                channel_free(f->ends[i].channel);
        source_free(f->listener);
        close_fd(&f->listen_fd);
        close_fd(&f->folder_fd);
        loop_free(f->loop);
        config_done(&f->config);
}

/* Init and the command run. */
static void setup_running(struct fixture *f)
{
        setup(f, true);
        reply(&f->ends[0], 1);
        until(f, "\"exec\"");
        reply(&f->ends[1], 9);
        until(f, "started");
}

/* ---- cases ---- */

static void init_alone_is_the_foreground(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, false);
        assert_non_null(strstr(f.ends[0].request, "\"stdin\":true"));
        reply(&f.ends[0], 1);
        until(&f, "started 1");
        assert_int_equal(channel_send(f.ends[0].channel, FRAME_STDOUT, "hi", 2), 0);
        send_exit(&f.ends[0], 3, 0, 0);
        until(&f, "gone");
        assert_string_equal(told, "started 1; fore 0 'hi'; exited 3/0; gone; ");
        teardown(&f);
}

static void the_command_is_the_foreground_and_init_winds_down(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f, true);
        assert_non_null(strstr(f.ends[0].request, "\"stdin\":false"));
        assert_null(strstr(f.ends[0].request, "consoleSize"));
        assert_int_equal(f.count, 1); /* the command waits for init */
        reply(&f.ends[0], 1);
        until(&f, "\"exec\"");
        assert_string_equal(told, "");
        assert_non_null(strstr(f.ends[1].request, "\"consoleSize\":{\"height\":24,\"width\":80}"));
        assert_non_null(strstr(f.ends[1].request, "\"stdin\":true"));
        reply(&f.ends[1], 9);
        until(&f, "started 1");
        assert_int_equal(channel_send(f.ends[0].channel, FRAME_STDERR, "log", 3), 0);
        until(&f, "log");
        assert_int_equal(channel_send(f.ends[1].channel, FRAME_STDOUT, "out", 3), 0);
        const struct frame_signal number = {{SIGINT}};
        assert_int_equal(container_send(f.container, FRAME_SIGNAL, &number, sizeof(number)), 0);
        send_exit(&f.ends[1], 7, 0, 0);
        until(&f, "exited");
        assert_true(container_wind_down(f.container, SIGQUIT));
        until(&f, "\"end\",\"signal\":3");
        assert_int_equal(f.ends[0].signal, 0);
        send_exit(&f.ends[0], 0, 0, 0);
        until(&f, "gone");
        assert_string_equal(told, "started 1; 1 'log'; fore 2 'out'; exited 7/0; wound down; gone; ");
        teardown(&f);
}

static void init_takes_the_command_along(int first)
{
        struct fixture f;
        setup_running(&f);
        for (int i = 0; i < 2; i++) {
                if (i == first)
                        send_exit(&f.ends[0], 5, 0, 0);
                else
                        send_exit(&f.ends[1], 0, SIGKILL, FRAME_EXIT_WITH_INIT);
                for (int step = 0; step < 3; step++)
                        (void)loop_step(f.loop, 10);
        }
        until(&f, "gone");
        assert_string_equal(told, "started 1; failed 125 (the box's init ended with code 5 while the command "
                                  "ran, and took it along); gone; ");
        teardown(&f);
}

static void init_is_heard_of_first(void **state)
{
        (void)state;
        init_takes_the_command_along(0);
}

static void the_command_is_heard_of_first(void **state)
{
        (void)state;
        init_takes_the_command_along(1);
}

static void init_that_ends_before_the_command_is_told(void **state)
{
        (void)state;
        struct fixture f;
        struct error err = ERROR_INIT;
        setup(&f, true);
        reply(&f.ends[0], 1);
        until(&f, "\"exec\"");
        (void)error_set(&err, -ESRCH, "the container has just ended");
        assert_int_equal(channel_send_error(f.ends[1].channel, &err), 0);
        channel_finish(f.ends[1].channel);
        send_exit(&f.ends[0], 0, SIGTERM, 0);
        until(&f, "gone");
        assert_non_null(
            strstr(told, "failed 125 (the box's init ended by signal 15 before the command could run"));
        assert_null(strstr(told, "lost"));
        teardown(&f);
}

static void a_command_that_is_killed_by_itself_waits_for_nothing(void **state)
{
        (void)state;
        struct fixture f;
        setup_running(&f);
        send_exit(&f.ends[1], 0, SIGKILL, 0);
        until(&f, "exited 0/9");
        assert_true(container_wind_down(f.container, SIGTERM));
        teardown(&f);
}

static void killing_is_no_failure(void **state)
{
        (void)state;
        struct fixture f;
        setup_running(&f);
        assert_int_equal(container_kill(f.container), 0);
        send_exit(&f.ends[1], 0, SIGKILL, FRAME_EXIT_WITH_INIT);
        send_exit(&f.ends[0], 0, SIGKILL, 0);
        until(&f, "gone");
        assert_int_equal(f.ends[0].signal, SIGKILL);
        assert_string_equal(told, "started 1; exited 0/9; gone; ");
        assert_false(container_wind_down(f.container, SIGTERM));
        teardown(&f);
}

static void a_missing_command_is_its_own_fault(void **state)
{
        (void)state;
        struct fixture f;
        struct error err = ERROR_INIT;
        setup(&f, true);
        reply(&f.ends[0], 1);
        until(&f, "\"exec\"");
        (void)error_set(&err, -ENOENT, "not found");
        assert_int_equal(channel_send_error(f.ends[1].channel, &err), 0);
        until(&f, "failed 127 (not found)");
        teardown(&f);
}

static void lost_connections_are_told(void **state)
{
        (void)state;
        struct fixture f;
        setup_running(&f);
        channel_finish(f.ends[1].channel);
        until(&f, "lost the command's connection ended");
        channel_finish(f.ends[0].channel);
        until(&f, "lost init's connection ended");
        until(&f, "gone");
        teardown(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(init_alone_is_the_foreground),
    cmocka_unit_test(the_command_is_the_foreground_and_init_winds_down),
    cmocka_unit_test(init_is_heard_of_first),
    cmocka_unit_test(the_command_is_heard_of_first),
    cmocka_unit_test(init_that_ends_before_the_command_is_told),
    cmocka_unit_test(a_command_that_is_killed_by_itself_waits_for_nothing),
    cmocka_unit_test(killing_is_no_failure),
    cmocka_unit_test(a_missing_command_is_its_own_fault),
    cmocka_unit_test(lost_connections_are_told),
};
UNIT_TEST_MAIN(cases)
