/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process handle: one connection, its own event loop, whose epoll descriptor is what the client polls.
 *
 *     LINE -> ASKED       [line_readable]   exec only: the machine answered "OK <port>"
 *     ASKED -> RUNNING    [accepted]        exec: REPLY. init: EVENT "started"
 *     RUNNING -> EXITED   [exited]          EXIT came
 *     ASKED, RUNNING -> EXITED  [failed]    ERROR about a box that was being started
 *     ASKED, RUNNING -> ENDED   [failed]    ERROR otherwise, or the connection broke
 *     EXITED -> ENDED     [closed]          exec: at once. init: when the box is down and the connection ends
 *
 * Invariants:
 * 1. ended() is called once, as the last callback, from dispatch, wait or detach, never from another call.
 * 2. Callbacks may free the handle: `entered` counts the calls we are in, the memory goes when the last
 * returns, and no callback comes after.
 * 3. Input is sent only after the process runs; what was asked for before (size, signals, end of input) is
 * kept.
 * 4. A machine that stands still (an exec's other side) ends the handle: it has ANSWER_MS for its first word,
 * and OVERDUE_MS for the last one when there is a time limit, which the agent keeps.
 * 5. Input is bounded by the channel's high water mark, output by not reading while the client said stop.
 *
 * Hostile: what comes from an exec's connection is the guest's word. A length was checked by the frame
 * decoder, an exit status by its type; texts are cut and cleaned by error_set().
 */
#include "runtime/process.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "runtime/life.h"
#include "runtime/runtime.h"
#include "runtime/tell.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define WORK_PORT      1025
#define LINE_MAX_BYTES 64
#define RETRY_MS       5
#define DETACH_MS      10000
#define ANSWER_MS      60000 /* an exec's first word: far more than a machine takes that runs, even emulated */
#define OVERDUE_MS     10000 /* after the time limit of an exec, by when the agent has killed it */
#define STREAM_BIT(s)  (1U << (s))

enum phase { PHASE_LINE, PHASE_ASKED, PHASE_RUNNING, PHASE_EXITED, PHASE_ENDED };

struct boxlet_process {
        struct boxlet *boxlet;
        char id[STATE_ID_LENGTH + 1];
        char *name;
        bool is_exec, has_stdin, ends_with_us;
        int64_t timeout_ms;
        struct loop *loop;
        struct channel *channel;
        json_t *request, *attributes;

        int line_fd, box_fd; /* while PHASE_LINE */
        struct source *line_source, *retry, *deadline;
        struct buffer line;

        struct boxlet_process_events events;
        enum phase phase;
        int exit_code;
        struct error failure; /* in PHASE_EXITED: code 0 when it ended by itself */
        unsigned streams_ended;
        struct source *resume;
        bool paused, full, stdin_done, finish_stdin, discard;
        unsigned replies; /* to the first request, and to "unleash" */
        unsigned rows, columns;
        uint64_t signals; /* asked for before it ran; bit n is signal n */
        unsigned entered;
        bool freed;
};

static void destroy(struct boxlet_process *p)
{
        channel_free(p->channel);
        source_free(p->line_source);
        source_free(p->retry);
        source_free(p->deadline);
        source_free(p->resume);
        close_fd(&p->line_fd);
        close_fd(&p->box_fd);
        loop_free(p->loop);
        buffer_done(&p->line);
        json_decref(p->request);
        json_decref(p->attributes);
        if (p->boxlet != NULL)
                boxlet_unref(p->boxlet);
        free(p->name);
        free(p);
}

static void leave(struct boxlet_process *p)
{
        if (--p->entered == 0 && p->freed)
                destroy(p);
}

int process_failure_code(int code)
{
        switch (code) {
        case -ENOENT:
                return 127;
        case -EACCES:
        case -ENOEXEC:
        case -EISDIR:
        case -EPERM:
                return 126;
        default:
                return 125;
        }
}

/* An exec's events; what happens to init is told by the monitor. */
static void tell(const struct boxlet_process *p, const char *action, const char *key, const char *value)
{
        const json_t *args = json_object_get(json_object_get(p->request, "process"), "args");
        if (p->is_exec)
                tell_exec(p->boxlet, p->id, p->attributes, action, args, key, value);
}

static void tell_end(const struct boxlet_process *p, int exit_code)
{
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", exit_code); /* fits */
        if (p->phase == PHASE_RUNNING || p->phase == PHASE_EXITED)
                tell(p, "exec_die", "exitCode", text);
}

/* The last callback. err NULL: the command ended by itself. */
static void ended(struct boxlet_process *p, int exit_code, const struct error *err)
{
        if (p->phase == PHASE_ENDED)
                return;
        tell_end(p, exit_code);
        p->phase = PHASE_ENDED;
        p->exit_code = exit_code;
        channel_free(p->channel);
        p->channel = NULL;
        source_free(p->line_source);
        p->line_source = NULL;
        source_free(p->retry);
        p->retry = NULL;
        source_free(p->deadline);
        p->deadline = NULL;
        if (p->freed || p->events.ended == NULL)
                return;
        struct boxlet_error out;
        if (err != NULL)
                (void)api_result(&out, err, err->code < 0 ? err->code : -EIO);
        p->events.ended(p, exit_code, err == NULL ? NULL : &out, p->events.data);
}

static void output(struct boxlet_process *p, enum boxlet_stream stream, const struct frame *frame)
{
        if (frame->size == 0) {
                if (p->streams_ended & STREAM_BIT(stream))
                        return;
                p->streams_ended |= STREAM_BIT(stream);
        }
        if (p->discard || p->events.output == NULL)
                return;
        if (p->events.output(p, stream, frame->payload, frame->size, p->events.data) != 0 && !p->freed &&
            p->channel != NULL) {
                p->paused = true;
                channel_pause(p->channel, true);
        }
}

static void send_size(struct boxlet_process *p)
{
        struct frame_resize resize;
        if (p->rows == 0 && p->columns == 0)
                return;
        frame_resize_make((uint16_t)p->rows, (uint16_t)p->columns, &resize);
        (void)channel_send(p->channel, FRAME_RESIZE, &resize, sizeof(resize)); /* a lost size is no failure */
}

static void send_kept(struct boxlet_process *p)
{
        for (int number = 1; number < 64; number++) {
                if (p->signals & (1ULL << number)) {
                        struct frame_signal signal;
                        frame_signal_make(number, &signal);
                        (void)channel_send(p->channel, FRAME_SIGNAL, &signal,
                                           sizeof(signal)); /* 12 bytes: fits */
                }
        }
        p->signals = 0;
        if (p->finish_stdin) {
                p->finish_stdin = false;
                (void)channel_send(p->channel, FRAME_STDIN, NULL, 0); /* 8 bytes: fits */
        }
}

static void accepted(struct boxlet_process *p)
{
        if (p->phase != PHASE_ASKED)
                return;
        p->phase = PHASE_RUNNING;
        if (p->deadline != NULL)
                (void)source_arm(p->deadline,
                                 p->timeout_ms > 0 ? p->timeout_ms + OVERDUE_MS : -1); /* ours, as below */
        if (p->is_exec)
                send_size(p);
        send_kept(p);
        tell(p, "exec_start", NULL, NULL);
        if (p->events.started != NULL && !p->discard)
                p->events.started(p, p->events.data);
        if (p->freed || p->channel == NULL || p->phase != PHASE_RUNNING)
                return;
        bool was_full = p->full;
        p->full = false;
        if (was_full && p->events.writable != NULL)
                p->events.writable(p, p->events.data);
}

static int event_frame(struct boxlet_process *p, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *event = NULL;
        const char *name;
        int r = json_parse((const char *)frame->payload, frame->size, "event", &event, err);
        if (r == 0)
                r = json_get_string(event, "event", &name, err);
        if (r < 0)
                return r;
        if (strcmp(name, "started") == 0)
                accepted(p);
        return 0; /* other events are for newer clients */
}

/* The other side could not, or boxlet failed later. exit_code may be in the document. */
static void failed(struct boxlet_process *p, const struct frame *frame)
{
        struct error err = ERROR_INIT, ignored = ERROR_INIT;
        cleanup_json json_t *json = NULL;
        int64_t code;
        int r = channel_read_error(frame, &err);
        code = process_failure_code(r);
        if (json_parse((const char *)frame->payload, frame->size, "error", &json, &ignored) == 0)
                (void)json_get_integer_or(json, "exit_code", 1, 255, code, &code, &ignored);
        if (p->is_exec || p->replies == 0) {
                ended(p, (int)code, &err);
                return;
        }
        p->exit_code = (int)code;
        p->failure = err;
        p->phase = PHASE_EXITED; /* the connection ends when the box is down */
}

static void end_streams(struct boxlet_process *p)
{
        struct frame none = {.type = FRAME_STDOUT};
        for (int stream = BOXLET_STDOUT; stream <= BOXLET_STDERR && !p->freed; stream++)
                output(p, (enum boxlet_stream)stream, &none);
}

static void exit_seen(struct boxlet_process *p)
{
        if (p->phase == PHASE_ENDED || p->freed)
                return;
        end_streams(p);
        if (!p->freed)
                ended(p, p->exit_code, p->failure.code != 0 ? &p->failure : NULL);
}

static int exited(struct boxlet_process *p, const struct frame *frame, struct error *err)
{
        struct frame_exit status;
        if (frame->size != sizeof(status))
                return error_set(err, -EPROTO, "read exit status: %u bytes", frame->size);
        memcpy(&status, frame->payload, sizeof(status));
        p->exit_code = status.signal != 0 ? 128 + (status.signal & 0x7f) : status.code;
        p->phase = PHASE_EXITED;
        if (!p->is_exec)
                return 0; /* the connection ends when the box is down */
        if (status.flags & FRAME_EXIT_TIMED_OUT) {
                struct error late = ERROR_INIT;
                (void)error_set(&late, -ETIMEDOUT, "exec in box '%s': not done after %lld ms, killed",
                                p->name, (long long)p->timeout_ms);
                end_streams(p);
                ended(p, 124, &late);
                return 0;
        }
        exit_seen(p);
        return 0;
}

static int frame_in(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct boxlet_process *p = data;
        (void)channel;
        if (p->freed)
                return 0; /* let go of in a callback of an earlier frame: nothing more is for the client */
        switch (frame->type) {
        case FRAME_REPLY:
                p->replies++;
                if (p->is_exec)
                        accepted(p);
                return 0;
        case FRAME_EVENT:
                return event_frame(p, frame, err);
        case FRAME_ERROR:
                failed(p, frame);
                return 0;
        case FRAME_STDOUT:
                output(p, BOXLET_STDOUT, frame);
                return 0;
        case FRAME_STDERR:
                output(p, BOXLET_STDERR, frame);
                return 0;
        case FRAME_EXIT:
                return exited(p, frame, err);
        default:
                return error_set(err, -EPROTO, "read frame: type %d is not for a client", (int)frame->type);
        }
}

/* Whether the box has ended in good order, so that an exec which lost its connection went with it. */
static bool box_is_ending(const struct boxlet_process *p)
{
        cleanup_fd int box_fd = -1;
        struct error ignored = ERROR_INIT;
        if (box_open_folder(p->boxlet, p->id, &box_fd, &ignored) < 0)
                return true; /* removed */
        cleanup_life_report struct life_report report;
        life_read(box_fd, true, &report);
        const char *state = json_string_value(json_object_get(report.state, "state"));
        return report.life == LIFE_EXITED || report.life == LIFE_RESTARTING ||
               (state != NULL && strcmp(state, "stopping") == 0);
}

static void broken(struct boxlet_process *p, const struct error *why)
{
        struct error err = ERROR_INIT;
        if (p->is_exec && p->phase == PHASE_RUNNING && box_is_ending(p)) {
                end_streams(p);
                if (!p->freed)
                        ended(p, 128 + SIGKILL, NULL);
                return;
        }
        if (p->is_exec)
                (void)error_set(&err, -ECONNRESET, "exec in box '%s': the connection to it ended%s%s",
                                p->name, why->text[0] == '\0' ? "" : ": ", why->text);
        else
                (void)error_set(&err, -ECONNRESET, "run box '%s': its monitor ended without a word%s%s",
                                p->name, why->text[0] == '\0' ? "" : ": ", why->text);
        ended(p, 125, &err);
}

static void closed(struct channel *channel, const struct error *err, void *data)
{
        struct boxlet_process *p = data;
        (void)channel;
        if (p->phase == PHASE_EXITED)
                exit_seen(p);
        else
                broken(p, err);
}

static void drained(struct channel *channel, void *data)
{
        struct boxlet_process *p = data;
        (void)channel;
        if (!p->full || p->phase != PHASE_RUNNING || p->freed)
                return;
        p->full = false;
        if (p->events.writable != NULL)
                p->events.writable(p, p->events.data);
}

static const struct channel_ops channel_ops = {.frame = frame_in, .closed = closed, .drained = drained};

/* The size a terminal has from its first byte on, when the client said it before dispatching. */
static int add_console_size(struct boxlet_process *p)
{
        json_t *process = json_object_get(p->request, "process");
        if (process == NULL || p->rows == 0 || !json_is_true(json_object_get(process, "terminal")))
                return 0;
        return json_object_set_new(process, "consoleSize",
                                   json_pack("{s:i, s:i}", "height", (int)p->rows, "width", (int)p->columns));
}

static int open_channel(struct boxlet_process *p, int fd, const struct buffer *pending, struct error *err)
{
        int r = channel_new(p->loop, fd, pending, &channel_ops, p, &p->channel);
        if (r == 0 && add_console_size(p) < 0)
                r = -ENOMEM;
        if (r == 0)
                r = channel_send_json(p->channel, FRAME_REQUEST, p->request);
        if (r == -EMSGSIZE)
                return error_set(err, -E2BIG, "exec in box '%s': command and environment are too large",
                                 p->name);
        if (r < 0)
                return error_errno(err, r, "talk to box '%s'", p->name);
        p->phase = PHASE_ASKED;
        return 0;
}

static void line_failed(struct boxlet_process *p, int code, const char *what)
{
        struct error err = ERROR_INIT;
        (void)error_errno(&err, code, "exec in box '%s': %s", p->name, what);
        ended(p, 125, &err);
}

static void overdue(struct source *s, void *data)
{
        struct boxlet_process *p = data;
        struct error err = ERROR_INIT;
        (void)s;
        if (p->freed || p->phase > PHASE_RUNNING)
                return;
        (void)error_set(&err, -ETIMEDOUT, "exec in box '%s': its machine does not answer: it may be frozen",
                        p->name);
        end_streams(p);
        if (!p->freed)
                ended(p, p->timeout_ms > 0 ? 124 : 125, &err);
}

/* Takes the answer line; the bytes after it are the connection's first. */
static void line_done(struct boxlet_process *p, const char *newline)
{
        struct error err = ERROR_INIT;
        const char *text = buffer_content(&p->line);
        if (strncmp(text, "OK ", 3) != 0) {
                line_failed(p, -EPROTO, "the machine's answer is no OK");
                return;
        }
        buffer_consume(&p->line, (size_t)(newline - text) + 1);
        source_free(p->line_source);
        p->line_source = NULL;
        if (open_channel(p, take_fd(&p->line_fd), &p->line, &err) < 0)
                ended(p, 125, &err);
}

static void line_readable(struct source *s, int fd, uint32_t events, void *data)
{
        struct boxlet_process *p = data;
        char bytes[LINE_MAX_BYTES];
        (void)s;
        (void)events;
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                line_failed(p, n < 0 ? -errno : -ECONNREFUSED, "nobody in it answers");
                return;
        }
        int r = buffer_append(&p->line, bytes, (size_t)n);
        const char *newline = memchr(buffer_content(&p->line), '\n', p->line.length);
        if (newline != NULL)
                line_done(p, newline);
        else if (r < 0 || p->line.length >= LINE_MAX_BYTES)
                line_failed(p, -EPROTO, "the machine's answer is too long");
}

/* Connects without waiting: -EAGAIN while the machine's queue of new connections is full. */
static int connect_line(struct boxlet_process *p)
{
        static const char line[] = "CONNECT 1025\n";
        _Static_assert(WORK_PORT == 1025, "the line names the port");
        int fd = unix_connect_at(p->box_fd, "vsock.sock", SOCK_STREAM | SOCK_NONBLOCK);
        if (fd < 0)
                return fd;
        p->line_fd = fd;
        if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(line) - 1)
                return errno == 0 ? -EIO : -errno; /* a new socket's buffer takes 13 bytes */
        return loop_add_io(p->loop, fd, EPOLLIN, line_readable, p, &p->line_source);
}

static void retry_connect(struct source *s, void *data)
{
        struct boxlet_process *p = data;
        int r = connect_line(p);
        if (r == -EAGAIN)
                r = source_arm(s, RETRY_MS); /* a listening unix socket has no event for "room again" */
        if (r < 0)
                line_failed(p, r, "connect to its machine");
}

static void resume_reading(struct source *s, void *data)
{
        struct boxlet_process *p = data;
        (void)s;
        if (!p->paused || p->channel == NULL)
                return;
        p->paused = false;
        channel_pause(p->channel, false);
}

static int make(const struct process_draft *draft, struct boxlet_process **ret_process, struct error *err)
{
        struct boxlet_process *p = calloc(1, sizeof(*p));
        if (p == NULL)
                return error_set(err, -ENOMEM, "make process handle: out of memory");
        p->line_fd = p->box_fd = -1;
        buffer_init(&p->line, 2 * LINE_MAX_BYTES);
        p->boxlet = draft->boxlet;
        boxlet_ref(p->boxlet);
        (void)snprintf(p->id, sizeof(p->id), "%s", draft->box_id);
        p->name = strdup(draft->box_name);
        p->request = json_incref((json_t *)draft->request);
        p->attributes = json_incref((json_t *)draft->attributes);
        p->is_exec = draft->is_exec;
        p->has_stdin = draft->has_stdin;
        p->ends_with_us = draft->ends_with_us;
        p->timeout_ms = draft->timeout_ms;
        p->exit_code = -1;
        int r = p->name == NULL ? -ENOMEM : loop_new(&p->loop);
        if (r == 0)
                r = loop_add_timer(p->loop, resume_reading, p, &p->resume);
        if (r < 0) {
                destroy(p);
                return error_errno(err, r, "make process handle");
        }
        *ret_process = p;
        return 0;
}

int process_new_connected(const struct process_draft *draft, int fd, struct boxlet_process **ret_process,
                          struct error *err)
{
        cleanup_fd int owned = fd;
        struct boxlet_process *p;
        int r = make(draft, &p, err);
        if (r < 0)
                return r;
        r = open_channel(p, take_fd(&owned), NULL, err);
        if (r < 0) {
                destroy(p);
                return r;
        }
        *ret_process = p;
        return 0;
}

int process_new_vsock(const struct process_draft *draft, int box_fd, struct boxlet_process **ret_process,
                      struct error *err)
{
        struct boxlet_process *p;
        int r = make(draft, &p, err);
        if (r < 0)
                return r;
        p->box_fd = fcntl(box_fd, F_DUPFD_CLOEXEC, 3);
        r = p->box_fd < 0 ? -errno : loop_add_timer(p->loop, overdue, p, &p->deadline);
        if (r == 0)
                r = source_arm(p->deadline, p->timeout_ms > 0 && p->timeout_ms < ANSWER_MS - OVERDUE_MS
                                                ? p->timeout_ms + OVERDUE_MS
                                                : ANSWER_MS);
        if (r == 0)
                r = connect_line(p);
        if (r == -EAGAIN) {
                r = loop_add_timer(p->loop, retry_connect, p, &p->retry);
                if (r == 0)
                        r = source_arm(p->retry, RETRY_MS);
        }
        if (r < 0) {
                (void)error_errno(err, r, "exec in box '%s': connect to its machine", p->name);
                destroy(p);
                return r;
        }
        *ret_process = p;
        return 0;
}

int boxlet_process_set_events(struct boxlet_process *p, const struct boxlet_process_events *events)
{
        struct boxlet_process_events copy = {.size = sizeof(copy)};
        struct error err = ERROR_INIT;
        int r = api_options(&copy, sizeof(copy), events, "struct boxlet_process_events", &err);
        if (r == 0)
                p->events = copy;
        return r;
}

int boxlet_process_fd(const struct boxlet_process *p)
{
        return loop_fd(p->loop);
}

/* One round. Returns 1 while it goes on, 0 at the end. */
static int step(struct boxlet_process *p, int timeout_ms, struct error *err)
{
        if (p->phase == PHASE_ENDED)
                return 0;
        p->entered++;
        int r = loop_step(p->loop, timeout_ms);
        bool goes_on = p->phase != PHASE_ENDED && !p->freed;
        if (r < 0)
                (void)error_errno(err, r, "wait for box '%s'", p->name);
        leave(p);
        return r < 0 ? r : goes_on;
}

int boxlet_process_dispatch(struct boxlet_process *p, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, step(p, 0, &err));
}

int boxlet_process_wait(struct boxlet_process *p, int *ret_exit_code, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r;
        p->entered++; /* ended() may free it; the code is read after */
        do {
                r = step(p, -1, &err);
        } while (r > 0);
        if (r == 0 && ret_exit_code != NULL)
                *ret_exit_code = p->exit_code;
        leave(p);
        return api_result(error, &err, r);
}

static int gone(const struct boxlet_process *p, struct error *err)
{
        return error_set(err, -EPIPE, "talk to the process in box '%s': it has ended", p->name);
}

int64_t boxlet_process_write(struct boxlet_process *p, const void *bytes, size_t size,
                             struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        size_t taken = 0;
        if (!p->has_stdin || p->stdin_done)
                return api_result(error, &err,
                                  error_set(&err, -EPIPE,
                                            "write to the process in box '%s': its input is closed",
                                            p->name));
        if (p->phase > PHASE_RUNNING)
                return api_result(error, &err, gone(p, &err));
        while (p->phase == PHASE_RUNNING && taken < size &&
               channel_queued(p->channel) <= CHANNEL_HIGH_WATER) {
                size_t part = size - taken < FRAME_STREAM_MAX ? size - taken : FRAME_STREAM_MAX;
                int r = channel_send(p->channel, FRAME_STDIN, (const char *)bytes + taken, part);
                if (r < 0)
                        return api_result(error, &err, error_errno(&err, r, "write to box '%s'", p->name));
                taken += part;
        }
        if (taken < size)
                p->full = true;
        return (int64_t)taken;
}

int boxlet_process_close_stdin(struct boxlet_process *p, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        if (p->stdin_done || !p->has_stdin || p->phase > PHASE_RUNNING)
                return 0;
        p->stdin_done = true;
        if (p->phase < PHASE_RUNNING) {
                p->finish_stdin = true;
                return 0;
        }
        int r = channel_send(p->channel, FRAME_STDIN, NULL, 0);
        return r < 0 ? api_result(error, &err, error_errno(&err, r, "write to box '%s'", p->name)) : 0;
}

int boxlet_process_resize(struct boxlet_process *p, unsigned rows, unsigned columns,
                          struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        if (rows > UINT16_MAX || columns > UINT16_MAX)
                return api_result(error, &err,
                                  error_set(&err, -EINVAL, "resize: %u by %u is too large", rows, columns));
        p->rows = rows;
        p->columns = columns;
        /* init's size may be known before it starts: the monitor makes it the first one */
        if (p->channel != NULL && (p->phase == PHASE_RUNNING || (p->phase == PHASE_ASKED && !p->is_exec)))
                send_size(p);
        return 0;
}

int boxlet_process_signal(struct boxlet_process *p, int number, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct frame_signal signal;
        if (number < 1 || number > 64)
                return api_result(error, &err, error_set(&err, -EINVAL, "signal %d: there is none", number));
        if (p->phase > PHASE_RUNNING)
                return api_result(error, &err, gone(p, &err));
        if (p->phase < PHASE_RUNNING) {
                p->signals |= number < 64 ? 1ULL << number : 0;
                return 0;
        }
        frame_signal_make(number, &signal);
        int r = channel_send(p->channel, FRAME_SIGNAL, &signal, sizeof(signal));
        return r < 0 ? api_result(error, &err, error_errno(&err, r, "signal to box '%s'", p->name)) : 0;
}

void boxlet_process_resume(struct boxlet_process *p)
{
        if (p->paused && p->phase != PHASE_ENDED)
                (void)source_arm(p->resume,
                                 0); /* a valid time on our own timerfd; reading goes on in dispatch */
}

/* Dispatches until so many replies have come, or the end. */
static int await_replies(struct boxlet_process *p, unsigned replies, int64_t deadline, struct error *err)
{
        while (p->replies < replies && p->phase != PHASE_ENDED) {
                int64_t left = deadline - clock_monotonic_ms();
                if (left <= 0)
                        return error_set(err, -ETIMEDOUT,
                                         "detach from box '%s': the other side does not answer", p->name);
                int r = step(p, (int)left, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Waits for the other side's word that it let go: a connection closed too early would end the box or the
 * exec. */
static int let_go(struct boxlet_process *p, struct error *err)
{
        int64_t deadline = clock_monotonic_ms() + DETACH_MS;
        cleanup_json json_t *request = json_pack("{s:s}", "op", p->is_exec ? "detach" : "unleash");
        p->discard = true;
        resume_reading(NULL, p);
        int r = await_replies(p, 1, deadline, err);
        if (r < 0 || p->channel == NULL)
                return r;
        r = request == NULL ? -ENOMEM : channel_send_json(p->channel, FRAME_REQUEST, request);
        if (r < 0)
                return error_errno(err, r, "detach from box '%s'", p->name);
        return await_replies(p, 2, deadline, err);
}

int boxlet_process_detach(struct boxlet_process *p, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        if (p->phase == PHASE_ENDED || !p->ends_with_us)
                return 0;
        p->entered++;
        int r = let_go(p, &err);
        if (r == 0)
                p->ends_with_us = false;
        leave(p);
        return api_result(error, &err, r);
}

void boxlet_process_free(struct boxlet_process *p)
{
        if (p == NULL || p->freed)
                return;
        p->freed = true;
        if (p->entered == 0)
                destroy(p);
}
