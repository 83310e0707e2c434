/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the caller's standard streams and a process in a box: one thread, one poll(), nothing that blocks
 * but it.
 *
 *     stdin ── read when polled ──► detach keys ──► queue ──► boxlet_process_write()
 *     stdout, stderr ◄── sinks, which keep what does not fit and pause the process's output meanwhile
 *     signals ── signalfd ──► passed on, or window size, or stop and continue
 *
 * Invariants:
 * 1. stdin is read only when what was read before is in the library's hands, and not before the process runs.
 * 2. Nothing is printed out of order or lost: the session ends when the process has and the sinks are empty.
 * 3. Whatever ends the session, the terminal has its settings back before anything else is printed.
 * 4. Signals that were ignored when we were started (nohup, background jobs of sh) stay ignored.
 *
 * The terminal, when both sides have one and input is attached:
 *     COOKED -> HALF [session begins]: no echo, but Ctrl-C still makes a signal, for nothing runs in the box
 * that could receive it as a key HALF   -> RAW  [process runs] RAW    -> COOKED [end, detach, SIGTSTP];
 * COOKED -> RAW [SIGCONT]
 *
 * Signals: all that have a meaning of their own for a program are passed on. Before the process runs, SIGINT,
 * SIGTERM, SIGHUP and SIGQUIT end the session (and so the box that is being started). As process 1 of a box
 * ignores what it has no handler for, three SIGINT or SIGTERM within INSIST_MS kill the process if it is ours
 * (SIGKILL; the handle is freed KILL_MS later whatever happens), or else let go of it.
 */
#include "cli/session.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/detach.h"
#include "cli/sink.h"
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 32768
#define INSIST_MS 3000
#define KILL_MS   3000

enum ending { GOING, ENDED, DETACHED, CLOSED_PIPE, INTERRUPTED, FAILED };

struct session {
        struct cli *cli;
        struct boxlet_process *process;
        const struct session_options *options;
        struct sink sinks[2]; /* stdout, stderr */
        struct detach detach;
        struct buffer queue; /* typed, not yet taken by the library */
        int signal_fd;
        sigset_t handled, mask_before;
        struct sigaction pipe_before;
        bool started, paused, raw;
        bool reading; /* standard input has not ended */
        bool close_input;
        enum ending ending;
        bool over; /* the process has ended; its output may still wait in the sinks */
        bool failed;
        int exit_code;
        int signal; /* that interrupted */
        int64_t insisted_ms[2];
        int64_t give_up_ms; /* 0: never */
        struct boxlet_error error;
};

int session_check_input(bool input, bool terminal, struct error *err)
{
        if (input && terminal && !isatty(STDIN_FILENO))
                return error_set(err, -EINVAL, "the input device is not a TTY: leave out -t, or -i");
        return 0;
}

int session_check_keys(const char *keys, struct error *err)
{
        struct detach detach;
        return keys != NULL ? detach_init(&detach, keys, err) : 0;
}

static int inspect(struct boxlet_box *box, json_t **ret_json, struct boxlet_error *error)
{
        char *text = NULL;
        struct error err = ERROR_INIT;
        int r = boxlet_box_inspect(box, &text, error);
        if (r < 0)
                return r;
        r = json_parse(text, strlen(text), "the box's description", ret_json, &err);
        if (r < 0) {
                error->code = r;
                memcpy(error->text, err.text, sizeof(err.text));
        }
        boxlet_free(text);
        return r;
}

int session_box_terminal(struct boxlet_box *box, bool *ret_terminal, struct boxlet_error *error)
{
        cleanup_json json_t *json = NULL;
        int r = inspect(box, &json, error);
        if (r == 0)
                *ret_terminal = json_is_true(json_object_get(json_object_get(json, "Config"), "Tty"));
        return r;
}

/* What did not keep the box from starting but should be known: no network, for instance. */
static void tell_warnings(const struct cli *cli, struct boxlet_box *box)
{
        cleanup_json json_t *json = NULL;
        struct boxlet_error error = {0};
        const json_t *warning;
        size_t i;
        if (box == NULL || inspect(box, &json, &error) < 0)
                return; /* a box that is gone already has nothing to warn of */
        json_array_foreach (json_object_get(json_object_get(json, "State"), "Warnings"), i, warning) {
                if (json_is_string(warning))
                        cli_note(cli, "warning: %s", json_string_value(warning));
        }
}

static void end(struct session *s, enum ending ending)
{
        if (s->ending == GOING)
                s->ending = ending;
}

static int explain(struct boxlet_error *error, int code, const char *what)
{
        struct error err = ERROR_INIT;
        (void)error_errno(&err, code, "%s", what); /* only for its text */
        error->code = code;
        memcpy(error->text, err.text, sizeof(err.text));
        return code;
}

static void fail(struct session *s, int code, const char *what)
{
        (void)explain(&s->error, code, what); /* only for its text */
        s->failed = true;
        s->exit_code = CLI_BOXLET_FAILED;
        end(s, FAILED);
}

/* ---- the terminal ---- */

static void send_size(struct session *s)
{
        unsigned rows, columns;
        if (!s->options->terminal)
                return;
        for (int fd = 0; fd <= 2; fd++) {
                if (terminal_size(fd, &rows, &columns) == 0) {
                        /* a process that has ended needs no size */
                        (void)boxlet_process_resize(s->process, rows, columns, NULL);
                        return;
                }
        }
}

static void enter_terminal(struct session *s)
{
        if (s->raw)
                (void)terminal_raw(STDIN_FILENO,
                                   !s->started); /* a terminal that is gone shows as end of input */
}

static void set_started(struct session *s)
{
        if (s->started)
                return;
        s->started = true;
        tell_warnings(s->cli, s->options->starting);
        enter_terminal(s);
}

/* ---- output ---- */

static void output_failed(struct session *s, int code, enum boxlet_stream stream)
{
        if (code == -EPIPE)
                end(s, CLOSED_PIPE);
        else
                fail(s, code,
                     stream == BOXLET_STDERR ? "write to standard error" : "write to standard output");
}

static int on_output(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                     size_t size, void *data)
{
        struct session *s = data;
        struct sink *sink = &s->sinks[stream == BOXLET_STDERR];
        (void)process;
        set_started(s);
        int r = sink_write(sink, bytes, size);
        if (r < 0)
                output_failed(s, r, stream);
        s->paused = sink_is_full(sink) || s->ending != GOING;
        return s->paused;
}

static void flush_output(struct session *s)
{
        for (int i = 0; i < 2; i++) {
                int r = sink_flush(&s->sinks[i]);
                if (r < 0)
                        output_failed(s, r, i == 0 ? BOXLET_STDOUT : BOXLET_STDERR);
        }
        if (s->paused && !s->over && s->ending == GOING && !sink_is_full(&s->sinks[0]) &&
            !sink_is_full(&s->sinks[1])) {
                s->paused = false;
                boxlet_process_resume(s->process);
        }
}

/* ---- input ---- */

static void push_input(struct session *s)
{
        while (s->queue.length > 0 && !s->over) {
                int64_t n =
                    boxlet_process_write(s->process, buffer_content(&s->queue), s->queue.length, NULL);
                if (n == 0)
                        return;
                if (n < 0) { /* it does not read any more: its own affair, as with a pipe */
                        s->reading = s->close_input = false;
                        buffer_clear(&s->queue);
                        return;
                }
                buffer_consume(&s->queue, (size_t)n);
        }
        if (s->close_input && !s->over) {
                s->close_input = false;
                (void)boxlet_process_close_stdin(s->process, NULL); /* as above */
        }
}

static void read_input(struct session *s)
{
        char bytes[INPUT_MAX], passed[INPUT_MAX + DETACH_KEYS_MAX];
        size_t size;
        const char *out = bytes;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) { /* an error ends it too: a terminal that hung up gives EIO */
                s->reading = false;
                s->close_input = true;
                push_input(s);
                return;
        }
        size = (size_t)n;
        if (s->raw) {
                if (detach_feed(&s->detach, bytes, size, passed, &size))
                        end(s, DETACHED);
                out = passed;
        }
        if (buffer_append(&s->queue, out, size) < 0)
                fail(s, -ENOMEM, "read standard input");
        push_input(s);
}

/* ---- the process ---- */

static void on_started(struct boxlet_process *process, void *data)
{
        (void)process;
        set_started(data);
}

static void on_writable(struct boxlet_process *process, void *data)
{
        (void)process;
        push_input(data);
}

static void on_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                     void *data)
{
        struct session *s = data;
        (void)process;
        s->over = true;
        s->exit_code = exit_code;
        if (error != NULL) {
                s->error = *error;
                s->failed = true;
        }
}

static void dispatch(struct session *s)
{
        struct boxlet_error error = {0};
        int r = boxlet_process_dispatch(s->process, &error);
        if (r < 0) {
                s->error = error;
                s->failed = true;
                s->exit_code = CLI_BOXLET_FAILED;
                end(s, FAILED);
        } else if (r == 0) {
                s->over = true;
        }
}

/* ---- signals ---- */

static bool is_forwarded(int signal)
{
        static const int ours[] = {SIGKILL, SIGSTOP, SIGCHLD,   SIGPIPE,  SIGURG,  SIGWINCH, SIGTSTP,
                                   SIGTTIN, SIGTTOU, SIGCONT,   SIGSEGV,  SIGBUS,  SIGFPE,   SIGILL,
                                   SIGTRAP, SIGSYS,  SIGABRT,   SIGXCPU,  SIGXFSZ, SIGPROF,  SIGIO,
                                   SIGALRM, SIGPWR,  SIGVTALRM, SIGSTKFLT};
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
                if (ours[i] == signal)
                        return false;
        }
        return signal < 32 || signal >= SIGRTMIN;
}

static bool is_ignored(int signal)
{
        struct sigaction action;
        return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int watch_signals(struct session *s)
{
        (void)sigemptyset(&s->handled);
        for (int signal = 1; signal <= SIGRTMAX; signal++) {
                if (is_forwarded(signal) && !is_ignored(signal))
                        (void)sigaddset(&s->handled, signal);
        }
        (void)sigaddset(&s->handled, SIGWINCH);
        if (s->raw) {
                (void)sigaddset(&s->handled, SIGTSTP);
                (void)sigaddset(&s->handled, SIGCONT);
        }
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        (void)sigaction(SIGPIPE, &ignore, &s->pipe_before);
        (void)sigprocmask(SIG_BLOCK, &s->handled, &s->mask_before);
        s->signal_fd = signalfd(-1, &s->handled, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signal_fd < 0 ? -errno : 0;
}

static void unwatch_signals(struct session *s)
{
        struct timespec none = {0};
        close_fd(&s->signal_fd);
        /* one that came just now has been waited for by nobody: it must not kill us in the midst of cleaning
         * up */
        while (sigtimedwait(&s->handled, NULL, &none) > 0)
                ;
        (void)sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
        (void)sigaction(SIGPIPE, &s->pipe_before, NULL);
}

/* True when this is the third time in short order. */
static bool insists(struct session *s)
{
        int64_t now = clock_monotonic_ms(), first = s->insisted_ms[0];
        s->insisted_ms[0] = s->insisted_ms[1];
        s->insisted_ms[1] = now;
        return first != 0 && now - first <= INSIST_MS;
}

static void pass_on(struct session *s, int signal)
{
        bool ends_us = signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
        bool kills = (signal == SIGINT || signal == SIGTERM) && insists(s);
        if (ends_us && (!s->started || !s->options->forward_signals || s->over || s->give_up_ms != 0)) {
                s->signal = signal;
                end(s, INTERRUPTED);
                return;
        }
        if (!s->started || s->over)
                return;
        if (kills && !s->options->owner) {
                s->signal = signal;
                end(s, INTERRUPTED);
        } else if (kills) {
                s->give_up_ms = clock_monotonic_ms() + KILL_MS;
                s->signal = SIGKILL;
                (void)boxlet_process_signal(s->process, SIGKILL, NULL); /* give_up_ms stands in */
        } else {
                (void)boxlet_process_signal(s->process, signal, NULL); /* one that has ended needs none */
        }
}

static void stop_ourselves(struct session *s)
{
        terminal_restore();
        (void)raise(SIGSTOP);
        enter_terminal(s);
        send_size(s);
}

static void read_signals(struct session *s)
{
        struct signalfd_siginfo info;
        while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                int signal = (int)info.ssi_signo;
                if (signal == SIGWINCH) {
                        send_size(s);
                } else if (signal == SIGCONT) {
                        enter_terminal(s);
                        send_size(s);
                } else if (signal == SIGTSTP) {
                        stop_ourselves(s);
                } else {
                        pass_on(s, signal);
                }
        }
}

/* ---- the loop ---- */

enum { AT_SIGNALS, AT_PROCESS, AT_OUT, AT_ERR, AT_INPUT, AT_COUNT };

/* Descriptors of which nothing is wanted are -1, which poll() passes over. */
static void fill_poll(const struct session *s, struct pollfd polled[AT_COUNT])
{
        bool read = s->reading && s->started && !s->over && s->queue.length == 0;
        for (int i = 0; i < AT_COUNT; i++)
                polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
        polled[AT_SIGNALS].fd = s->signal_fd;
        polled[AT_PROCESS].fd = s->over ? -1 : boxlet_process_fd(s->process);
        polled[AT_INPUT].fd = read ? STDIN_FILENO : -1;
        for (int i = 0; i < 2; i++) {
                polled[AT_OUT + i].fd = sink_is_full(&s->sinks[i]) ? s->sinks[i].fd : -1;
                polled[AT_OUT + i].events = POLLOUT;
        }
}

static void turn(struct session *s)
{
        struct pollfd polled[AT_COUNT];
        int timeout = -1;
        if (s->give_up_ms != 0) {
                int64_t left = s->give_up_ms - clock_monotonic_ms();
                timeout = left > 0 ? (int)left : 0;
        }
        fill_poll(s, polled);
        int n = poll(polled, AT_COUNT, timeout);
        if (n < 0 && errno != EINTR)
                fail(s, -errno, "wait for the process");
        if (n == 0 && s->give_up_ms != 0)
                end(s, INTERRUPTED);
        if (n <= 0)
                return;
        if (polled[AT_OUT].revents != 0 || polled[AT_ERR].revents != 0)
                flush_output(s);
        if (polled[AT_PROCESS].revents != 0 && s->ending == GOING)
                dispatch(s);
        if (polled[AT_SIGNALS].revents !=
            0) /* after the news that it runs: a signal means something else before */
                read_signals(s);
        if (polled[AT_INPUT].revents != 0 && s->ending == GOING && !s->over)
                read_input(s);
}

static int begin(struct session *s)
{
        struct error err = ERROR_INIT;
        const char *keys = s->options->detach_keys != NULL ? s->options->detach_keys : DETACH_KEYS_DEFAULT;
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .output = on_output,
                                               .started = on_started,
                                               .ended = on_ended,
                                               .writable = on_writable,
                                               .data = s};
        int r = detach_init(&s->detach, keys, &err);
        if (r == 0)
                r = boxlet_process_set_events(s->process, &events);
        if (r >= 0)
                r = watch_signals(s);
        if (r < 0) {
                fail(s, r, "begin the session");
                return r;
        }
        enter_terminal(s);
        send_size(s); /* before the first dispatch: the terminal has it from its first byte on */
        if (s->options->running)
                set_started(s);
        dispatch(s);
        return 0;
}

static int let_go(struct cli *cli, struct session *s)
{
        struct boxlet_error error = {0};
        fprintf(stderr, "\n");
        if (s->options->owner && boxlet_process_detach(s->process, &error) < 0)
                return cli_fail(cli, &error);
        return 0;
}

static int conclude(struct cli *cli, struct session *s)
{
        switch (s->ending) {
        case DETACHED:
                return let_go(cli, s);
        case CLOSED_PIPE:
                return CLI_SIGNALLED(SIGPIPE);
        case INTERRUPTED:
                return CLI_SIGNALLED(s->signal);
        default:
                if (s->failed)
                        (void)cli_fail(cli, &s->error); /* the code is the one that came with it */
                else if (s->options->service && s->exit_code == 0)
                        cli_note(cli, "the box's init ended with code 0, and the box with it");
                return s->exit_code;
        }
}

int session_conduct(struct cli *cli, struct boxlet_process *process, const struct session_options *options)
{
        struct session s = {.cli = cli,
                            .process = process,
                            .options = options,
                            .signal_fd = -1,
                            .exit_code = CLI_BOXLET_FAILED};
        s.reading = options->input;
        s.raw = options->input && options->terminal && isatty(STDIN_FILENO);
        buffer_init(&s.queue, INPUT_MAX + DETACH_KEYS_MAX);
        sink_init(&s.sinks[0], STDOUT_FILENO);
        sink_init(&s.sinks[1], STDERR_FILENO);
        if (begin(&s) == 0) {
                while (s.ending == GOING) {
                        if (s.over && !sink_is_full(&s.sinks[0]) && !sink_is_full(&s.sinks[1]))
                                end(&s, ENDED);
                        else
                                turn(&s);
                }
                terminal_restore();
        }
        int code = conclude(cli, &s);
        boxlet_process_free(process);
        if (s.signal_fd >= 0)
                unwatch_signals(&s);
        sink_done(&s.sinks[0]);
        sink_done(&s.sinks[1]);
        buffer_done(&s.queue);
        return code;
}

/* ---- waiting for a start in the background ---- */

struct start {
        bool started, ended;
        int exit_code;
        bool failed;
        struct boxlet_error error;
};

static void start_started(struct boxlet_process *process, void *data)
{
        (void)process;
        ((struct start *)data)->started = true;
}

static void start_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                        void *data)
{
        struct start *start = data;
        (void)process;
        start->ended = true;
        start->exit_code = exit_code;
        start->failed = error != NULL;
        if (error != NULL)
                start->error = *error;
}

static int start_output(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                        size_t size, void *data)
{
        (void)process;
        (void)stream;
        (void)bytes;
        (void)size;
        ((struct start *)data)->started = true; /* nothing is attached, so this is never called */
        return 0;
}

int session_await_start(struct cli *cli, struct boxlet_process *process, struct boxlet_box *box)
{
        struct start start = {.exit_code = CLI_BOXLET_FAILED};
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .output = start_output,
                                               .started = start_started,
                                               .ended = start_ended,
                                               .data = &start};
        struct pollfd polled = {.fd = boxlet_process_fd(process), .events = POLLIN};
        int r = 1;
        (void)boxlet_process_set_events(process, &events); /* a size of ours is right */
        while (r > 0 && !start.started && !start.ended) {
                r = boxlet_process_dispatch(process, &start.error);
                if (r > 0 && !start.started && !start.ended && poll(&polled, 1, -1) < 0 && errno != EINTR)
                        r = explain(&start.error, -errno, "wait for the box");
        }
        int code = 0;
        if (r < 0)
                code = cli_fail(cli, &start.error);
        else if (start.failed) {
                (void)cli_fail(cli, &start.error); /* the code is the process's */
                code = start.exit_code;
        } else {
                tell_warnings(cli, box);
        }
        boxlet_process_free(process);
        return code;
}
