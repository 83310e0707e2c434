/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A boxlet-vmm, a guest and an agent without a machine, for the monitor's tests: it speaks docs/protocol.md,
 * sections 2 to 4, and misbehaves on request. "kernel_arguments" of its configuration says how the machine
 * and the agent behave, the first words of the container's args what init does:
 *
 *     machine: "" | silent | panic | panic-later | reset | engine-died | engine-missing | crash | stubborn |
 * flood | frozen | visited agent:   agent-error | root-error | agent-gone | boot-hangs | start-hangs |
 * no-halt | garbage init: exit N | signal N | oom | print TEXT | both | lines N | cat | wait | stubborn |
 * missing | denied | stream MIB | lost | size | env
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "wire/channel.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct fake {
        struct loop *loop;
        const char *behaviour;
        int monitor_fd, vsock_fd, console_fd;
        int dial_fd;
        struct source *monitor_source, *vsock_source, *dial_source, *visit_timer;
        struct channel *control, *work;
        bool booted;
        json_t *config, *boot, *start;
        const char *act, *argument; /* of init */
        size_t to_send;             /* bytes that "stream" still has */
        uint16_t rows, columns;
};

static bool is(const struct fake *f, const char *behaviour)
{
        return strcmp(f->behaviour, behaviour) == 0;
}

static void say(const struct fake *f, const char *text)
{
        if (write(f->console_fd, text, strlen(text)) < 0)
                perror("console");
}

static void tell(const struct fake *f, const char *json, int fd)
{
        if (fd_send(f->monitor_fd, json, strlen(json), &fd, fd >= 0) < 0)
                _exit(9);
}

static _Noreturn void end(const struct fake *f, const char *reason, const char *detail)
{
        char text[512];
        (void)snprintf(text, sizeof(text), "{\"event\":\"ended\",\"reason\":\"%s\",\"detail\":\"%s\"}",
                       reason, detail);
        tell(f, text, -1);
        _exit(0);
}

/* ---- init ---- */

static void send_exit(struct fake *f, int code, int signal, int flags)
{
        const struct frame_exit status = {(uint8_t)code, (uint8_t)signal, (uint8_t)flags, 0};
        (void)channel_send(f->work, FRAME_STDOUT, NULL, 0);
        (void)channel_send(f->work, FRAME_STDERR, NULL, 0);
        (void)channel_send(f->work, FRAME_EXIT, &status, sizeof(status));
}

static void send_text(struct fake *f, enum frame_type type, const char *text)
{
        (void)channel_send(f->work, type, text, strlen(text));
}

static void stream_on(struct fake *f)
{
        static char chunk[FRAME_STREAM_MAX];
        memset(chunk, 'x', sizeof(chunk));
        while (f->to_send > 0 && channel_queued(f->work) <= CHANNEL_HIGH_WATER) {
                chunk[sizeof(chunk) - 1] = '\n';
                (void)channel_send(f->work, FRAME_STDOUT, chunk, sizeof(chunk));
                f->to_send -= sizeof(chunk);
                if (f->to_send == 0)
                        send_exit(f, 0, 0, 0);
        }
}

static void print_lines(struct fake *f, int count)
{
        for (int i = 0; i < count; i++) {
                char line[128];
                (void)snprintf(line, sizeof(line), "line %06d %080d\n", i, 0);
                send_text(f, FRAME_STDOUT, line);
        }
        send_exit(f, 0, 0, 0);
}

static void send_error(struct fake *f, int code, const char *text)
{
        struct error err = ERROR_INIT;
        (void)error_set(&err, code, "%s", text);
        (void)channel_send_error(f->work, &err);
}

static void send_env(struct fake *f)
{
        size_t size;
        char *text = json_print(f->boot, &size);
        send_text(f, FRAME_STDOUT, text);
        send_text(f, FRAME_STDOUT, "\n");
        free(text);
        text = json_print(f->start, &size);
        send_text(f, FRAME_STDOUT, text);
        send_text(f, FRAME_STDOUT, "\n");
        free(text);
        send_exit(f, 0, 0, 0);
}

/* What init does by itself once it runs. */
static void act(struct fake *f)
{
        int number = atoi(f->argument);
        if (strcmp(f->act, "exit") == 0)
                send_exit(f, number, 0, 0);
        else if (strcmp(f->act, "signal") == 0)
                send_exit(f, 0, number, 0);
        else if (strcmp(f->act, "oom") == 0)
                send_exit(f, 0, SIGKILL, FRAME_EXIT_OUT_OF_MEM);
        else if (strcmp(f->act, "lines") == 0)
                print_lines(f, number);
        else if (strcmp(f->act, "env") == 0)
                send_env(f);
        if (strcmp(f->act, "print") == 0) {
                send_text(f, FRAME_STDOUT, f->argument);
                send_exit(f, 0, 0, 0);
        }
        if (strcmp(f->act, "both") == 0) {
                send_text(f, FRAME_STDOUT, "to stdout\n");
                send_text(f, FRAME_STDERR, "to stderr\n");
                send_exit(f, 0, 0, 0);
        }
        if (strcmp(f->act, "stream") == 0) {
                f->to_send = (size_t)number << 20;
                stream_on(f);
        }
        if (strcmp(f->act, "wait") == 0 || strcmp(f->act, "stubborn") == 0)
                send_text(f, FRAME_STDOUT, "waiting\n");
        if (strcmp(f->act, "lost") == 0) {
                channel_free(f->work);
                f->work = NULL;
        }
        if (is(f, "agent-gone")) {
                channel_free(f->control);
                f->control = NULL;
        }
        if (is(f, "panic-later")) {
                say(f, "[    1.0] Kernel panic - not syncing: later\n");
                end(f, "guest-reset", "");
        }
        if (is(f, "vmm-killed"))
                (void)raise(SIGKILL);
}

static void start_init(struct fake *f)
{
        const json_t *args =
            json_object_get(json_object_get(json_object_get(f->start, "spec"), "process"), "args");
        f->act = json_string_value(json_array_get(args, 0));
        f->argument = json_string_value(json_array_get(args, 1));
        if (f->argument == NULL)
                f->argument = "";
        if (strcmp(f->act, "missing") == 0) {
                send_error(f, -ENOENT, "execute 'missing': it is not there");
                return;
        }
        if (strcmp(f->act, "denied") == 0) {
                send_error(f, -EACCES, "execute 'denied': permission denied");
                return;
        }
        if (is(f, "start-hangs"))
                return;
        (void)channel_send(f->work, FRAME_REPLY, "{\"pid\":1}", 9);
        act(f);
}

static int take_start(struct fake *f, const struct frame *frame, struct error *err)
{
        int r = json_parse((const char *)frame->payload, frame->size, "request", &f->start, err);
        if (r == 0 && f->booted)
                start_init(f); /* else when the boot request has been answered */
        return r;
}

static void take_signal(struct fake *f, int number)
{
        char text[32];
        if (strcmp(f->act, "stubborn") == 0 && number != SIGKILL) {
                (void)snprintf(text, sizeof(text), "ignored %d\n", number);
                send_text(f, FRAME_STDOUT, text);
        } else {
                send_exit(f, 0, number, 0);
        }
}

static int on_work_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct fake *f = data;
        char text[64];
        int number;
        (void)channel;
        if (frame->type == FRAME_REQUEST)
                return take_start(f, frame, err);
        if (frame->type == FRAME_SIGNAL && frame_signal_read(frame, &number) == 0)
                take_signal(f, number);
        if (frame->type == FRAME_RESIZE && strcmp(f->act, "size") == 0 &&
            frame_resize_read(frame, &f->rows, &f->columns) == 0) {
                (void)snprintf(text, sizeof(text), "%ux%u\n", f->rows, f->columns);
                send_text(f, FRAME_STDOUT, text);
        }
        if (frame->type == FRAME_STDIN && strcmp(f->act, "cat") == 0) {
                if (frame->size == 0)
                        send_exit(f, 0, 0, 0);
                else
                        (void)channel_send(f->work, FRAME_STDOUT, frame->payload, frame->size);
        }
        return 0;
}

static void on_work_closed(struct channel *channel, const struct error *err, void *data)
{
        struct fake *f = data;
        (void)err;
        channel_free(channel);
        f->work = NULL;
}

static void on_work_drained(struct channel *channel, void *data)
{
        (void)channel;
        stream_on(data);
}

static const struct channel_ops work_ops = {on_work_frame, on_work_closed, on_work_drained};

static void on_dial(struct source *s, int fd, uint32_t events, void *data)
{
        struct fake *f = data;
        char line[64];
        (void)events;
        ssize_t n = recv(fd, line, sizeof(line) - 1, 0);
        source_free(s);
        if (n < 13 || memcmp(line, "CONNECT 1025\n", 13) != 0 || fd_write_full(fd, "OK 7\n", 5) < 0)
                _exit(10);
        if (channel_new(f->loop, take_fd(&f->dial_fd), NULL, &work_ops, f, &f->work) < 0)
                _exit(10);
}

static void on_vsock(struct source *s, int fd, uint32_t events, void *data)
{
        struct fake *f = data;
        (void)s;
        (void)events;
        f->dial_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (f->dial_fd < 0 || loop_add_io(f->loop, f->dial_fd, EPOLLIN, on_dial, f, &f->dial_source) < 0)
                _exit(10);
}

/* ---- the agent's control connection ---- */

static int on_control_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct fake *f = data;
        cleanup_json json_t *json = NULL;
        const char *op;
        int r = json_parse((const char *)frame->payload, frame->size, "request", &json, err);
        if (r == 0)
                r = json_get_string(json, "op", &op, err);
        if (r < 0)
                return r;
        if (strcmp(op, "shutdown") == 0) {
                if (!is(f, "no-halt"))
                        (void)channel_send(channel, FRAME_EVENT, "{\"event\":\"halted\"}", 18);
                return 0;
        }
        f->boot = json_incref(json);
        if (is(f, "agent-error") || is(f, "root-error")) {
                struct error why = ERROR_INIT;
                (void)error_set(&why, -EINVAL, "mount '/dev/vda': not a file system");
                (void)channel_send_error_at(channel, &why, is(f, "root-error") ? "root" : NULL);
        } else if (!is(f, "boot-hangs")) {
                (void)channel_send(channel, FRAME_REPLY, "{\"kernel\":\"6.1\",\"agent\":\"0\"}", 28);
                f->booted = true;
                if (f->start != NULL)
                        start_init(f);
        }
        return 0;
}

static void on_control_closed(struct channel *channel, const struct error *err, void *data)
{
        struct fake *f = data;
        (void)err;
        channel_free(channel);
        f->control = NULL;
}

static const struct channel_ops control_ops = {.frame = on_control_frame, .closed = on_control_closed};

/* An exec that ends: only the box's own two connections are left. */
static void on_visit_end(struct source *s, void *data)
{
        (void)s;
        tell(data, "{\"event\":\"connections\",\"count\":2}", -1);
}

static void on_monitor(struct source *s, int fd, uint32_t events, void *data)
{
        struct fake *f = data;
        char bytes[256];
        (void)s;
        (void)events;
        ssize_t n = recv(fd, bytes, sizeof(bytes) - 1, 0);
        if (n > 0 && (is(f, "stubborn") || is(f, "frozen")))
                return;
        bytes[n > 0 ? n : 0] = '\0';
        if (strstr(bytes, "\"watch\"") != NULL) {
                tell(f,
                     is(f, "visited") ? "{\"event\":\"connections\",\"count\":3}"
                                      : "{\"event\":\"connections\",\"count\":2}",
                     -1);
                if (is(f, "visited") && (loop_add_timer(f->loop, on_visit_end, f, &f->visit_timer) < 0 ||
                                         source_arm(f->visit_timer, 1000) < 0))
                        _exit(12);
                return;
        }
        if (strstr(bytes, "\"pause\"") != NULL || strstr(bytes, "\"resume\"") != NULL) {
                bool paused = strstr(bytes, "\"pause\"") != NULL;
                tell(f, paused ? "{\"event\":\"paused\"}" : "{\"event\":\"resumed\"}", -1);
                say(f, paused ? "the machine is paused\r\n" : "the machine goes on\r\n");
                return;
        }
        if (n > 0 && (is(f, "hung") || is(f, "hangs-later")))
                end(f, "guest-hung", "all CPUs had halted");
        if (n > 0)
                end(f, "quit", "");
        _exit(0);
}

/* ---- the machine ---- */

static void speak(struct fake *f)
{
        int pair[2];
        tell(f, "{\"event\":\"running\"}", -1);
        if (is(f, "silent") || is(f, "hung"))
                return;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                _exit(11);
        tell(f, "{\"event\":\"connection\",\"port\":1024}", pair[0]);
        tell(f, "{\"event\":\"connection\",\"port\":99}", pair[0]); /* nobody listens there */
        (void)close(pair[0]);
        if (is(f, "garbage") && fd_write_full(pair[1], "GET / HTTP/1.1\r\n", 16) < 0)
                _exit(11);
        if (is(f, "garbage"))
                f->control = NULL; /* the pair stays open */
        else if (channel_new(f->loop, pair[1], NULL, &control_ops, f, &f->control) < 0)
                _exit(11);
}

static void flood(const struct fake *f)
{
        for (int i = 0; i < 40000; i++) {
                char line[100];
                (void)snprintf(line, sizeof(line), "console \x1b[31mline %06d %060d\r\n", i, 0);
                say(f, line);
        }
}

static int number(const json_t *config, const char *key)
{
        return (int)json_integer_value(json_object_get(config, key));
}

static void begin(struct fake *f)
{
        char line[100];
        say(f, "the guest's kernel speaks\r\n");
        (void)snprintf(line, sizeof(line), "cpus %d, memory %d\r\n", number(f->config, "cpus"),
                       number(f->config, "memory_bytes"));
        say(f, line);
        if (is(f, "crash"))
                _exit(3);
        if (is(f, "engine-missing"))
                end(f, "engine-missing", "execute '/usr/bin/qemu': No such file or directory");
        if (is(f, "panic")) {
                say(f, "[    0.1] Kernel panic - not syncing: VFS: no root\r\n[    0.1] ---[ end\r\n");
                end(f, "guest-reset", "");
        }
        if (is(f, "reset"))
                end(f, "guest-reset", "");
        if (is(f, "engine-died"))
                end(f, "engine-died", "signal 9: cannot allocate memory");
        if (is(f, "flood"))
                flood(f);
        speak(f);
}

int main(int argc, char **argv)
{
        struct fake f = {.dial_fd = -1};
        char *text;
        size_t size;
        if (argc != 3 || fd_read_all(atoi(argv[2]), 1 << 20, &text, &size) < 0 ||
            json_parse(text, size, "configuration", &f.config, NULL) < 0 || loop_new(&f.loop) < 0)
                return 12;
        f.behaviour = json_string_value(json_object_get(f.config, "kernel_arguments"));
        f.monitor_fd = number(f.config, "monitor_fd");
        f.vsock_fd = number(f.config, "vsock_fd");
        f.console_fd = number(f.config, "console_fd");
        if (loop_add_io(f.loop, f.monitor_fd, EPOLLIN, on_monitor, &f, &f.monitor_source) < 0 ||
            loop_add_io(f.loop, f.vsock_fd, EPOLLIN, on_vsock, &f, &f.vsock_source) < 0)
                return 12;
        begin(&f);
        return loop_run(f.loop);
}
