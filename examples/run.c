/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small `docker run` over libboxlet: one box, its output on ours, its exit code ours.
 *
 *     cc run.c $(pkg-config --cflags --libs boxlet) -o run
 *     ./run busybox echo hello
 *
 * It shows the whole of the library's manners: a box is made, started and waited for with poll(), with the
 * standard input going in and both outputs coming out, and removed by itself when it has ended.
 */
#include <boxlet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct session {
        int exit_code;
        int running, ended, input_ended;
        size_t held, sent; /* bytes of input read, and taken by the library */
        char input[16384];
};
/* Blocking writes are enough here: while we wait for a slow reader, the box waits too. */
static int on_output(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                     size_t size, void *data)
{
        const char *p = bytes;
        (void)process;
        (void)data;
        while (size > 0) {
                ssize_t n = write(stream == BOXLET_STDERR ? STDERR_FILENO : STDOUT_FILENO, p, size);
                if (n < 0 && errno != EINTR)
                        return 0; /* nobody reads it any more */
                if (n > 0) {
                        p += n;
                        size -= (size_t)n;
                }
        }
        return 0;
}

static void on_started(struct boxlet_process *process, void *data)
{
        struct session *s = data;
        (void)process;
        s->running = 1;
}

static void on_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                     void *data)
{
        struct session *s = data;
        (void)process;
        s->ended = 1;
        s->exit_code = exit_code;
        if (error != NULL)
                fprintf(stderr, "run: %s\n", error->text);
}

/* Input goes on when the library has room: what it did not take is offered again after the next dispatch. */
static void pass_input(struct boxlet_process *process, struct session *s, int readable)
{
        if (s->sent == s->held && readable) {
                ssize_t n = read(STDIN_FILENO, s->input, sizeof(s->input));
                s->sent = 0;
                s->held = n > 0 ? (size_t)n : 0;
                if (n <= 0) {
                        s->input_ended = 1;
                        boxlet_process_close_stdin(process, NULL);
                }
        }
        if (s->sent < s->held) {
                int64_t n = boxlet_process_write(process, s->input + s->sent, s->held - s->sent, NULL);
                s->sent = n < 0 ? s->held : s->sent + (size_t)n; /* below 0: it has ended */
        }
}

static int session_run(struct boxlet_process *process, struct session *s, struct boxlet_error *error)
{
        struct boxlet_process_events events = {
            .size = sizeof(events), .output = on_output, .started = on_started, .ended = on_ended, .data = s};
        boxlet_process_set_events(process, &events);
        while (!s->ended) {
                int want_input = s->running && !s->input_ended && s->sent == s->held;
                struct pollfd fds[2] = {{.fd = boxlet_process_fd(process), .events = POLLIN},
                                        {.fd = want_input ? STDIN_FILENO : -1, .events = POLLIN}};
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return -errno;
                int r = boxlet_process_dispatch(process, error);
                if (r <= 0)
                        return r;
                if (s->running && !s->input_ended)
                        pass_input(process, s, want_input && fds[1].revents != 0);
        }
        return 0;
}

static int on_progress(const struct boxlet_progress *progress, void *data)
{
        (void)data;
        if (progress->kind == BOXLET_PROGRESS_MESSAGE && progress->text != NULL)
                fprintf(stderr, "%s\n", progress->text);
        return 0;
}

static int run(struct boxlet *boxlet, char **argv, struct session *s, struct boxlet_error *error)
{
        struct boxlet_box_options options = BOXLET_BOX_OPTIONS_INIT;
        struct boxlet_box *box;
        struct boxlet_process *process;
        options.image = argv[1];
        options.command = (const char *const *)argv + 2;
        options.network = "none";
        options.stdin_open = 1;
        options.auto_remove = 1;
        options.progress = on_progress;
        int r = boxlet_box_create(boxlet, &options, &box, error);
        if (r < 0)
                return r;
        r = boxlet_box_start(box, BOXLET_ATTACH_STDIN | BOXLET_ATTACH_STDOUT | BOXLET_ATTACH_STDERR, &process,
                             error);
        if (r == 0) {
                r = session_run(process, s, error);
                boxlet_process_free(process);
        } else {
                boxlet_box_remove(box, 1, NULL);
        }
        boxlet_box_free(box);
        return r;
}

int main(int argc, char **argv)
{
        struct boxlet *boxlet;
        struct boxlet_error error = {0};
        struct session s = {.exit_code = 125};
        if (argc < 2) {
                fprintf(stderr, "usage: run IMAGE [COMMAND [ARGUMENT...]]\n");
                return 125;
        }
        int r = boxlet_open(NULL, &boxlet, &error);
        if (r == 0) {
                r = run(boxlet, argv, &s, &error);
                boxlet_close(boxlet);
        }
        if (r < 0)
                fprintf(stderr, "run: %s\n", error.text);
        return r < 0 ? 125 : s.exit_code;
}
