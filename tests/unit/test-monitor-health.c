/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks, against an agent played by the test on the same loop. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "monitor/config.h"
#include "monitor/health.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the agent does with each check: "0".."9" is an exit code, 't' the time is up, 'e' it cannot be run,
 * 'c' the connection ends, 'h' nothing ever. The last one is done again and again. */
struct fixture {
        struct loop *loop;
        int folder_fd, listen_fd;
        struct source *listener;
        struct channel *channel;
        const char *script, *output;
        unsigned checks, changes;
        char request[512];
        char told[256]; /* statuses */
        struct config config;
        struct health *health;
};

static void answer(struct fixture *f)
{
        struct error err = ERROR_INIT;
        char act = *f->script;
        struct frame_exit status = {.code = (uint8_t)(act - '0')};
        if (f->script[1] != '\0')
                f->script++;
        if (act == 'h')
                return;
        if (act == 'c') {
                channel_finish(f->channel);
                return;
        }
        if (act == 'e') {
                (void)error_set(&err, -ENOENT, "start 'probe': not found");
                assert_int_equal(channel_send_error(f->channel, &err), 0);
                channel_finish(f->channel);
                return;
        }
        assert_int_equal(channel_send(f->channel, FRAME_REPLY, "{\"pid\":5}", 9), 0);
        assert_int_equal(channel_send(f->channel, FRAME_STDOUT, f->output, strlen(f->output)), 0);
        assert_int_equal(channel_send(f->channel, FRAME_STDERR, "!", 1), 0);
        if (act == 't')
                status = (struct frame_exit){.signal = 9, .flags = FRAME_EXIT_TIMED_OUT};
        assert_int_equal(channel_send(f->channel, FRAME_EXIT, &status, sizeof(status)), 0);
        channel_finish(f->channel);
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct fixture *f = data;
        (void)channel;
        (void)err;
        if (frame->type != FRAME_REQUEST)
                return 0;
        f->checks++;
        (void)snprintf(f->request, sizeof(f->request), "%.*s", (int)frame->size,
                       (const char *)frame->payload);
        answer(f);
        return 0;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct fixture *f = data;
        (void)err;
        channel_free(channel);
        f->channel = NULL;
}

static const struct channel_ops agent_ops = {.frame = on_frame, .closed = on_closed};

static void on_connection(struct source *s, int fd, uint32_t events, void *data)
{
        struct fixture *f = data;
        char line[13];
        (void)s;
        (void)events;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(connection >= 0);
        assert_null(f->channel); /* one check at a time */
        assert_int_equal(fd_read_full(connection, line, sizeof(line)), sizeof(line));
        assert_int_equal(fd_write_full(connection, "OK 7\n", 5), 0);
        assert_int_equal(channel_new(f->loop, connection, NULL, &agent_ops, f, &f->channel), 0);
}

static void changed(const char *status, void *data)
{
        struct fixture *f = data;
        size_t used = strlen(f->told);
        f->changes++;
        if (status != NULL)
                (void)snprintf(f->told + used, sizeof(f->told) - used, "%s ", status);
}

static void setup(struct fixture *f, const char *script, const char *more)
{
        char text[1024];
        struct error err = ERROR_INIT;
        memset(f, 0, sizeof(*f));
        f->script = script;
        f->output = "words\n";
        (void)unit_folder(&f->folder_fd);
        (void)snprintf(
            text, sizeof(text),
            "{\"version\":1,\"id\":\"0123456789012345678901234567890123456789012345678901234567890123\","
            "\"programs\":{\"vmm\":\"/vmm\"},\"machine\":{\"kernel\":\"/k\",\"initrd\":\"/i\"},"
            "\"root\":{\"image\":\"/r\"},\"container\":{\"spec\":{\"process\":{}}},"
            "\"health\":{\"args\":[\"probe\",\"-x\"],\"interval_ms\":10,\"timeout_ms\":700%s}}",
            more);
        if (config_parse(text, strlen(text), &f->config, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(loop_new(&f->loop), 0);
        f->listen_fd = unix_listen_at(f->folder_fd, "vsock.sock", SOCK_STREAM, 4);
        assert_true(f->listen_fd >= 0);
        assert_int_equal(loop_add_io(f->loop, f->listen_fd, EPOLLIN, on_connection, f, &f->listener), 0);
        assert_int_equal(health_new(f->loop, f->folder_fd, &f->config, changed, f, &f->health, &err), 0);
}

static void teardown(struct fixture *f)
{
        health_free(f->health);
        channel_free(f->channel);
        source_free(f->listener);
        close_fd(&f->listen_fd);
        close_fd(&f->folder_fd);
        loop_free(f->loop);
        config_done(&f->config);
}

static void until(struct fixture *f, unsigned changes)
{
        for (int i = 0; i < 2000 && f->changes < changes; i++)
                (void)loop_step(f->loop, 30);
        assert_true(f->changes >= changes);
}

/* A member of health_json(), printed; free() it. */
static char *member(const struct fixture *f, const char *key)
{
        cleanup_json json_t *json = health_json(f->health);
        return json_dumps(json_object_get(json, key), JSON_ENCODE_ANY | JSON_COMPACT);
}

static void expect(const struct fixture *f, const char *key, const char *expected)
{
        cleanup_free char *text = member(f, key);
        assert_string_equal(text, expected);
}

static int64_t last(const struct fixture *f, const char *key, char *output, size_t size)
{
        cleanup_json json_t *json = health_json(f->health);
        const json_t *log = json_object_get(json, "log"),
                     *entry = json_array_get(log, json_array_size(log) - 1);
        (void)snprintf(output, size, "%s", json_string_value(json_object_get(entry, "output")));
        return json_integer_value(json_object_get(entry, key));
}

static void success_and_failures_are_counted(void **state)
{
        struct fixture f;
        char output[64];
        (void)state;
        setup(&f, "1011110", ",\"retries\":3");
        for (int i = 0; i < 20; i++)
                assert_true(loop_step(f.loop, 2) == 0 && f.checks == 0); /* not before it runs */
        expect(&f, "status", "\"starting\"");
        health_begin(f.health);
        until(&f, 1);
        expect(&f, "status", "\"starting\"");
        expect(&f, "failing_streak", "1");
        assert_int_equal(last(&f, "exit_code", output, sizeof(output)), 1);
        assert_string_equal(output, "words\n!");
        assert_string_equal(f.request,
                            "{\"op\":\"exec\",\"process\":{\"args\":[\"probe\",\"-x\"],\"terminal\":false},"
                            "\"stdin\":false,\"timeout_ms\":700,\"detached\":false}");
        until(&f, 6);
        expect(&f, "failing_streak", "4");
        until(&f, 7);
        assert_string_equal(f.told, "healthy unhealthy healthy ");
        expect(&f, "failing_streak", "0");
        cleanup_json json_t *json = health_json(f.health);
        assert_int_equal(json_array_size(json_object_get(json, "log")), 5);
        health_begin(f.health); /* of another run */
        expect(&f, "status", "\"starting\"");
        expect(&f, "log", "[]");
        teardown(&f);
}

static void failures_of_the_start_do_not_count(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, "1", ",\"retries\":1,\"start_period_ms\":300,\"start_interval_ms\":20");
        health_begin(f.health);
        until(&f, 3);
        expect(&f, "failing_streak", "0");
        expect(&f, "status", "\"starting\"");
        for (int i = 0; i < 2000 && f.told[0] == '\0'; i++)
                (void)loop_step(f.loop, 30);
        assert_string_equal(f.told, "unhealthy ");
        teardown(&f);
        setup(&f, "01", ",\"retries\":1,\"start_period_ms\":60000,\"start_interval_ms\":5");
        health_begin(f.health);
        until(&f, 2); /* a success ends the start */
        assert_string_equal(f.told, "healthy unhealthy ");
        teardown(&f);
}

static void what_ends_badly_is_a_failure(void **state)
{
        static const struct {
                const char *script, *output;
        } table[] = {
            {"t", "Health check exceeded timeout (700 ms)"},
            {"e", "start 'probe': not found"},
            {"c", "the connection to the guest ended"},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct fixture f;
                char output[128];
                setup(&f, table[i].script, ",\"retries\":2");
                health_begin(f.health);
                until(&f, 2);
                assert_int_equal(last(&f, "exit_code", output, sizeof(output)), -1);
                assert_string_equal(output, table[i].output);
                assert_string_equal(f.told, "unhealthy ");
                teardown(&f);
        }
}

static void a_guest_that_does_not_end_it_is_given_up(void **state)
{
        struct fixture f;
        char output[128];
        (void)state;
        setup(&f, "h0", ",\"retries\":1");
        health_begin(f.health);
        for (int i = 0; i < 600 && f.changes == 0; i++)
                (void)loop_step(f.loop, 30); /* its 700 ms, and 10 s for the guest */
        assert_string_equal(f.told, "unhealthy ");
        (void)last(&f, "exit_code", output, sizeof(output));
        assert_string_equal(output, "Health check exceeded timeout (700 ms)");
        until(&f, 2); /* and on it goes */
        assert_string_equal(f.told, "unhealthy healthy ");
        teardown(&f);
}

static void an_end_gives_up_a_check_that_runs(void **state)
{
        struct fixture f;
        (void)state;
        setup(&f, "h", "");
        health_begin(f.health);
        for (int i = 0; i < 2000 && f.checks == 0; i++)
                (void)loop_step(f.loop, 30);
        assert_non_null(f.channel);
        health_end(f.health);
        for (int i = 0; i < 2000 && f.channel != NULL; i++)
                (void)loop_step(f.loop, 30);
        assert_null(f.channel); /* so the agent kills it */
        for (int i = 0; i < 10; i++)
                (void)loop_step(f.loop, 10);
        assert_int_equal(f.checks, 1);
        assert_int_equal(f.changes, 0);
        f.script = "0";
        health_resume(f.health);
        until(&f, 1);
        assert_string_equal(f.told, "healthy ");
        teardown(&f);
        health_resume(NULL);
        health_begin(NULL);
        health_end(NULL);
        health_free(NULL);
        assert_null(health_json(NULL));
}

static void output_is_bounded_and_text(void **state)
{
        static char much[10001];
        struct fixture f;
        (void)state;
        memset(much, 'x', sizeof(much) - 1);
        memcpy(much + 4095, "\xc3\xa9", 2); /* a character over the edge */
        setup(&f, "0", "");
        f.output = much;
        health_begin(f.health);
        until(&f, 1);
        char output[8192];
        (void)last(&f, "exit_code", output, sizeof(output));
        assert_int_equal(strlen(output), 4095);
        teardown(&f);
        static const struct {
                const char *bytes;
                size_t size;
                const char *text;
        } table[] = {
            {"", 0, "\"\""},
            {"a\0b", 3, "\"a b\""},
            {"\xc3\xa9", 2, "\"\xc3\xa9\""},
            {"\xc3\xa9\xff", 3, "\"???\""},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                cleanup_json json_t *json = health_text(table[i].bytes, table[i].size);
                cleanup_free char *text = json_dumps(json, JSON_ENCODE_ANY);
                assert_string_equal(text, table[i].text);
        }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(success_and_failures_are_counted),
    cmocka_unit_test(failures_of_the_start_do_not_count),
    cmocka_unit_test(what_ends_badly_is_a_failure),
    cmocka_unit_test(a_guest_that_does_not_end_it_is_given_up),
    cmocka_unit_test(an_end_gives_up_a_check_that_runs),
    cmocka_unit_test(output_is_bounded_and_text),
};

UNIT_TEST_MAIN(cases)
