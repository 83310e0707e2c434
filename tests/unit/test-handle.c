/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process handles against a scripted other side: a forked child that serves one connection on the box's
 * vsock.sock or control.sock (or on a socket pair), frame by frame. The box is a record and a folder whose
 * lock the test holds.
 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "boxlet.h"
#include "runtime/life.h"
#include "runtime/process.h"
#include "runtime/runtime.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct world {
        struct boxlet *boxlet;
        struct boxlet_box *box;
        int box_fd, lock_fd;
        pid_t peer;
};

static void make_record(struct boxlet *b)
{
        struct error err = ERROR_INIT;
        struct state_box record = {.id = ID,
                                   .name = (char *)"box",
                                   .image_reference = (char *)"image",
                                   .image_id = (char *)"sha256:1",
                                   .image_digest = (char *)"sha256:2",
                                   .config = (char *)"{\"spec\": {\"process\": {\"args\": [\"sh\"]}}}",
                                   .created_ns = 1};
        assert_int_equal(state_insert(b->state, &record, &err), 0);
}

static void make_world(struct world *w)
{
        static const char *folder;
        static int folder_fd, count;
        char home[512];
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet_error error;
        struct error err = ERROR_INIT;
        *w = (struct world){.peer = -1};
        if (folder == NULL)
                folder = unit_folder(&folder_fd);
        (void)snprintf(home, sizeof(home), "%s/%d", folder, count++);
        o.home = home;
        if (boxlet_open(&o, &w->boxlet, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(mkdirat(w->boxlet->boxes_fd, ID, 0700), 0);
        assert_int_equal(box_open_folder(w->boxlet, ID, &w->box_fd, &err), 0);
        assert_int_equal(life_create(w->box_fd, &err), 0);
        make_record(w->boxlet);
        assert_int_equal(life_take(w->box_fd, &w->lock_fd, &err), 0);
        assert_int_equal(boxlet_box_get(w->boxlet, "box", &w->box, &error), 0);
}

static void end_world(struct world *w)
{
        int status;
        if (w->peer > 0) {
                assert_int_equal(waitpid(w->peer, &status, 0), w->peer);
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                        fail_msg("the other side ended with %#x", status);
        }
        boxlet_box_free(w->box);
        boxlet_close(w->boxlet);
        close_fd(&w->lock_fd);
        close_fd(&w->box_fd);
}

/* ---- the other side; every failure ends it with a code of its own ---- */

static void must(int good, int code)
{
        if (!good)
                _exit(code);
}

static void say(int fd, enum frame_type type, const void *payload, size_t size)
{
        uint8_t header[FRAME_HEADER_SIZE];
        must(frame_encode_header(type, size, header) == 0, 10);
        must(fd_write_full(fd, header, sizeof(header)) == 0, 11);
        must(size == 0 || fd_write_full(fd, payload, size) == 0, 12);
}

static void say_text(int fd, enum frame_type type, const char *text)
{
        say(fd, type, text, strlen(text));
}

/* Reads a frame; its payload, NUL-terminated, until the next call. */
static const char *hear(int fd, enum frame_type type, size_t *ret_size)
{
        static char payload[FRAME_DOCUMENT_MAX + 1];
        uint8_t header[FRAME_HEADER_SIZE];
        must(fd_read_full(fd, header, sizeof(header)) == (ssize_t)sizeof(header), 20);
        size_t size = header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16;
        must(header[4] == type, 21);
        must(fd_read_full(fd, payload, size) == (ssize_t)size, 22);
        payload[size] = '\0';
        if (ret_size != NULL)
                *ret_size = size;
        return payload;
}

static void say_hello(int fd)
{
        struct frame_hello hello;
        frame_hello_make(&hello);
        say(fd, FRAME_HELLO, &hello, sizeof(hello));
        (void)hear(fd, FRAME_HELLO, NULL);
}

static void say_exit(int fd, uint8_t code, uint8_t number, uint8_t flags)
{
        struct frame_exit status = {.code = code, .signal = number, .flags = flags};
        say(fd, FRAME_EXIT, &status, sizeof(status));
}

static void take_line(int fd)
{
        char line[13];
        must(fd_read_full(fd, line, sizeof(line)) == (ssize_t)sizeof(line), 30);
        must(memcmp(line, "CONNECT 1025\n", sizeof(line)) == 0, 31);
}

typedef void (*script_fn)(int fd);

/* name "vsock.sock": the machine's line first, then hello, as for an exec. */
static void serve(struct world *w, const char *name, script_fn script)
{
        cleanup_fd int listener = unix_listen_at(w->box_fd, name, SOCK_STREAM, 8);
        assert_true(listener >= 0);
        w->peer = fork();
        if (w->peer != 0)
                return;
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, 40);
        if (strcmp(name, "vsock.sock") == 0) {
                take_line(fd);
                must(fd_write_full(fd, "OK 1073741824\n", 14) == 0, 41);
        }
        say_hello(fd);
        script(fd);
        _exit(0);
}

/* ---- what the client sees ---- */

struct seen {
        char out[2][4096];
        size_t size[2];
        bool end[2];
        int started, ended, exit_code, writable;
        bool failed;
        struct boxlet_error error;
        bool free_at_end, pause;
        uint64_t total;
};

static int on_output(struct boxlet_process *p, enum boxlet_stream stream, const void *bytes, size_t size,
                     void *data)
{
        struct seen *s = data;
        size_t i = stream - 1;
        (void)p;
        s->total += size;
        if (size == 0)
                s->end[i] = true;
        if (size > 0 && size <= sizeof(s->out[i]) - s->size[i]) {
                memcpy(s->out[i] + s->size[i], bytes, size);
                s->size[i] += size;
        }
        return s->pause;
}

static void on_started(struct boxlet_process *p, void *data)
{
        (void)p;
        ((struct seen *)data)->started++;
}

static void on_ended(struct boxlet_process *p, int exit_code, const struct boxlet_error *error, void *data)
{
        struct seen *s = data;
        s->ended++;
        s->exit_code = exit_code;
        s->failed = error != NULL;
        if (error != NULL)
                s->error = *error;
        if (s->free_at_end)
                boxlet_process_free(p);
}

static void on_writable(struct boxlet_process *p, void *data)
{
        (void)p;
        ((struct seen *)data)->writable++;
}

static void listen_to(struct boxlet_process *p, struct seen *s)
{
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .output = on_output,
                                               .started = on_started,
                                               .ended = on_ended,
                                               .writable = on_writable,
                                               .data = s};
        assert_int_equal(boxlet_process_set_events(p, &events), 0);
}

static struct boxlet_process *run(struct world *w, struct boxlet_exec_options *o, struct seen *s)
{
        static const char *const command[] = {"cmd", NULL};
        struct boxlet_process *p;
        struct boxlet_error error;
        o->command = command;
        *s = (struct seen){0};
        if (boxlet_box_exec(w->box, o, &p, &error) < 0)
                fail_msg("%s", error.text);
        listen_to(p, s);
        return p;
}

/* Polls and dispatches as a client does, until the end. */
static void drive(struct boxlet_process *p)
{
        for (;;) {
                struct pollfd fd = {.fd = boxlet_process_fd(p), .events = POLLIN};
                assert_int_equal(poll(&fd, 1, 20000), 1);
                int r = boxlet_process_dispatch(p, NULL);
                assert_true(r >= 0);
                if (r == 0)
                        return;
        }
}

static struct boxlet_process *run_to_end(struct world *w, script_fn script, struct seen *s)
{
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        serve(w, "vsock.sock", script);
        struct boxlet_process *p = run(w, &o, s);
        drive(p);
        assert_int_equal(s->ended, 1);
        return p;
}

/* ---- cases ---- */

static void script_simple(int fd)
{
        const char *request = hear(fd, FRAME_REQUEST, NULL);
        must(strstr(request, "\"op\":\"exec\"") != NULL && strstr(request, "\"args\":[\"cmd\"]") != NULL, 50);
        say_text(fd, FRAME_REPLY, "{\"pid\": 7}");
        say_text(fd, FRAME_STDOUT, "one ");
        say_text(fd, FRAME_STDERR, "err");
        say_text(fd, FRAME_STDOUT, "two");
        say(fd, FRAME_STDOUT, NULL, 0);
        say_exit(fd, 7, 0, 0);
}

static void exec_gives_output_and_code(void **state)
{
        (void)state;
        struct world w;
        struct seen s;
        make_world(&w);
        struct boxlet_process *p = run_to_end(&w, script_simple, &s);
        assert_int_equal(s.started, 1);
        assert_int_equal(s.exit_code, 7);
        assert_false(s.failed);
        assert_memory_equal(s.out[0], "one two", 7);
        assert_memory_equal(s.out[1], "err", 3);
        assert_true(s.end[0] && s.end[1]); /* the end of stderr is told though the other side did not */
        assert_int_equal(boxlet_process_dispatch(p, NULL), 0);
        assert_int_equal(boxlet_process_write(p, "x", 1, NULL), -EPIPE);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_killed(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_exit(fd, 0, 15, 0);
}

static void a_signal_is_128_and_its_number(void **state)
{
        (void)state;
        struct world w;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        struct seen s;
        int code;
        make_world(&w);
        serve(&w, "vsock.sock", script_killed);
        struct boxlet_process *p = run(&w, &o, &s);
        s.free_at_end = true; /* the handle is freed in its last callback */
        assert_int_equal(boxlet_process_wait(p, &code, NULL), 0);
        assert_int_equal(code, 143);
        end_world(&w);
}

static void script_not_found(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_ERROR, "{\"errno\": 2, \"message\": \"exec 'cmd': not found\"}");
}

static void script_not_executable(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_ERROR, "{\"errno\": 13, \"message\": \"no\"}");
}

static void script_garbage(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        must(fd_write_full(fd, "\377\377\377\377garbage!", 12) == 0, 51);
}

static void script_bad_exit(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_EXIT, "123");
}

static void script_bad_error(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_ERROR, "{\"errno\": -5}");
}

static void script_wrong_type(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_STDIN, "for you");
}

static void script_gone_before_reply(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
}

static void script_late(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_exit(fd, 0, 9, FRAME_EXIT_TIMED_OUT);
}

static void failures_have_their_code_and_words(void **state)
{
        (void)state;
        static const struct {
                script_fn script;
                int exit_code;
                const char *words;
        } table[] = {
            {script_not_found, 127, "not found"},
            {script_not_executable, 126, "no"},
            {script_garbage, 125, "frame"},
            {script_bad_exit, 125, "exit"},
            {script_bad_error, 125, "errno"},
            {script_wrong_type, 125, "type"},
            {script_gone_before_reply, 125, "connection"},
            {script_late, 124, "killed"},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct world w;
                struct seen s;
                make_world(&w);
                struct boxlet_process *p = run_to_end(&w, table[i].script, &s);
                if (s.exit_code != table[i].exit_code || !s.failed ||
                    strstr(s.error.text, table[i].words) == NULL)
                        fail_msg("case %zu: code %d, '%s'", i, s.exit_code, s.error.text);
                boxlet_process_free(p);
                end_world(&w);
        }
}

static void script_leaves_while_running(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_STDOUT, "last");
}

static void a_box_that_ends_takes_its_execs_along(void **state)
{
        (void)state;
        struct world w;
        struct seen s;
        static const char ended[] = "{\"state\": \"exited\", \"exit_code\": 0}";
        make_world(&w);
        struct boxlet_process *p = run_to_end(&w, script_leaves_while_running, &s);
        assert_int_equal(s.exit_code, 125); /* nothing says that the box ends: something broke */
        assert_true(s.failed);
        boxlet_process_free(p);
        end_world(&w);
        make_world(&w);
        assert_int_equal(path_write_atomic_at(w.box_fd, "state.json", ended, sizeof(ended) - 1, 0600), 0);
        /* the state says ended, but the lock is held: exec is still tried */
        p = run_to_end(&w, script_leaves_while_running, &s);
        assert_int_equal(s.exit_code, 137);
        assert_false(s.failed);
        assert_memory_equal(s.out[0], "last", 4);
        boxlet_process_free(p);
        end_world(&w);
}

#define FLOOD (3U << 20)

static void script_slow_reader(int fd)
{
        size_t size, total = 0;
        char count[32];
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        (void)poll(NULL, 0, 200); /* lets the queue of the other side fill */
        do {
                (void)hear(fd, FRAME_STDIN, &size);
                total += size;
        } while (size > 0);
        (void)snprintf(count, sizeof(count), "%zu", total);
        say_text(fd, FRAME_STDOUT, count);
        say_exit(fd, 0, 0, 0);
}

static void input_is_bounded_and_all_of_it_arrives(void **state)
{
        (void)state;
        static char block[100000];
        struct world w;
        struct seen s;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        size_t sent = 0, refused = 0;
        make_world(&w);
        serve(&w, "vsock.sock", script_slow_reader);
        o.stdin_open = 1;
        struct boxlet_process *p = run(&w, &o, &s);
        assert_int_equal(boxlet_process_write(p, block, sizeof(block), NULL), 0); /* it does not run yet */
        bool waiting = true;
        while (sent < FLOOD) {
                struct pollfd fd = {.fd = boxlet_process_fd(p), .events = POLLIN};
                assert_true(!waiting || poll(&fd, 1, 20000) == 1);
                assert_int_equal(boxlet_process_dispatch(p, NULL), 1);
                waiting = waiting && s.writable == 0;
                s.writable = 0;
                if (waiting)
                        continue;
                size_t part = FLOOD - sent < sizeof(block) ? FLOOD - sent : sizeof(block);
                int64_t n = boxlet_process_write(p, block, part, NULL);
                assert_true(n >= 0);
                sent += (size_t)n;
                refused += n < (int64_t)part;
                waiting = n < (int64_t)part;
        }
        assert_true(refused > 0);
        assert_int_equal(boxlet_process_close_stdin(p, NULL), 0);
        assert_int_equal(boxlet_process_write(p, "x", 1, NULL), -EPIPE);
        drive(p);
        assert_memory_equal(s.out[0], "3145728", 7);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_flood(int fd)
{
        static char block[FRAME_STREAM_MAX];
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        for (size_t sent = 0; sent < FLOOD; sent += sizeof(block))
                say(fd, FRAME_STDOUT, block, sizeof(block));
        say_exit(fd, 0, 0, 0);
}

static void output_stops_while_the_client_says_so(void **state)
{
        (void)state;
        struct world w;
        struct seen s;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        make_world(&w);
        serve(&w, "vsock.sock", script_flood);
        struct boxlet_process *p = run(&w, &o, &s);
        s.pause = true;
        while (s.ended == 0) {
                uint64_t before = s.total;
                struct pollfd fd = {.fd = boxlet_process_fd(p), .events = POLLIN};
                assert_int_equal(poll(&fd, 1, 20000), 1);
                assert_true(boxlet_process_dispatch(p, NULL) >= 0);
                assert_true(s.total - before <= FRAME_STREAM_MAX); /* one chunk a resume */
                if (s.total > before) {
                        before = s.total;
                        /* at most the other side's end is news while paused, and that once */
                        if (poll(&fd, 1, 10) == 1)
                                assert_int_equal(boxlet_process_dispatch(p, NULL), 1);
                        assert_int_equal(poll(&fd, 1, 10), 0);
                        assert_int_equal(s.total, before);
                        boxlet_process_resume(p);
                        assert_int_equal(s.total, before); /* not from within resume */
                }
        }
        assert_int_equal(s.total, FLOOD);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_expects_kept(int fd)
{
        size_t size;
        const char *request = hear(fd, FRAME_REQUEST, NULL);
        must(strstr(request, "\"consoleSize\":{\"height\":24,\"width\":80}") != NULL, 60);
        say_text(fd, FRAME_REPLY, "{}");
        const char *resize = hear(fd, FRAME_RESIZE, &size);
        must(size == 4 && resize[0] == 24 && resize[2] == 80, 61);
        must(hear(fd, FRAME_SIGNAL, &size)[0] == SIGTERM, 62);
        (void)hear(fd, FRAME_STDIN, &size);
        must(size == 0, 63);
        must(hear(fd, FRAME_SIGNAL, &size)[0] == SIGUSR1, 64);
        say_exit(fd, 0, 0, 0);
}

static void signal_when_started(struct boxlet_process *p, void *data)
{
        (void)data;
        assert_int_equal(boxlet_process_signal(p, SIGUSR1, NULL), 0);
}

static void what_is_asked_before_it_runs_is_kept(void **state)
{
        (void)state;
        struct world w;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        struct boxlet_process_events events = {.size = sizeof(events), .started = signal_when_started};
        struct seen s;
        int code;
        make_world(&w);
        serve(&w, "vsock.sock", script_expects_kept);
        o.terminal = o.stdin_open = 1;
        struct boxlet_process *p = run(&w, &o, &s);
        assert_int_equal(boxlet_process_set_events(p, &events), 0);
        assert_int_equal(boxlet_process_resize(p, 24, 80, NULL), 0);
        assert_int_equal(boxlet_process_signal(p, SIGTERM, NULL), 0);
        assert_int_equal(boxlet_process_signal(p, 0, NULL), -EINVAL);
        assert_int_equal(boxlet_process_resize(p, 1 << 20, 80, NULL), -EINVAL);
        assert_int_equal(boxlet_process_close_stdin(p, NULL), 0);
        assert_int_equal(boxlet_process_wait(p, &code, NULL), 0);
        assert_int_equal(code, 0);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_no_ok(struct world *w, const char *answer)
{
        cleanup_fd int listener = unix_listen_at(w->box_fd, "vsock.sock", SOCK_STREAM, 8);
        assert_true(listener >= 0);
        w->peer = fork();
        if (w->peer != 0)
                return;
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, 40);
        take_line(fd);
        must(answer[0] == '\0' || fd_write_full(fd, answer, strlen(answer)) == 0, 41);
        _exit(0);
}

static void a_machine_that_does_not_say_ok(void **state)
{
        (void)state;
        static const char *const answers[] = {
            "", "NO\n", "\n", "OK",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
                struct world w;
                struct seen s;
                struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
                make_world(&w);
                script_no_ok(&w, answers[i]);
                struct boxlet_process *p = run(&w, &o, &s);
                drive(p);
                assert_int_equal(s.exit_code, 125);
                assert_true(s.failed);
                boxlet_process_free(p);
                end_world(&w);
        }
}

static void exec_needs_a_running_box(void **state)
{
        (void)state;
        static const char *const command[] = {"cmd", NULL};
        struct world w;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        struct boxlet_error error;
        struct boxlet_process *p;
        make_world(&w);
        o.command = command;
        assert_int_equal(boxlet_box_exec(w.box, &o, &p, &error), -ENOENT); /* no socket */
        close_fd(&w.lock_fd);
        assert_int_equal(boxlet_box_exec(w.box, &o, &p, &error), -ESRCH);
        assert_non_null(strstr(error.text, "not running"));
        assert_int_equal(boxlet_box_attach(w.box, BOXLET_ATTACH_STDOUT, &p, &error), -ESRCH);
        assert_int_equal(boxlet_box_kill(w.box, SIGTERM, &error), -ESRCH);
        assert_int_equal(boxlet_box_stop(w.box, 0, &error), 0);
        end_world(&w);
}

static void script_attach(int fd)
{
        char byte;
        const char *request = hear(fd, FRAME_REQUEST, NULL);
        must(strstr(request, "\"op\":\"attach\"") != NULL && strstr(request, "\"stdout\":true") != NULL &&
                 strstr(request, "\"stderr\":false") != NULL && strstr(request, "\"start\":false") != NULL,
             70);
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_EVENT, "{\"event\": \"started\", \"pid\": 1}");
        say_text(fd, FRAME_EVENT, "{\"event\": \"of a newer monitor\"}");
        say_text(fd, FRAME_STDOUT, "out");
        say_exit(fd, 3, 0, 0);
        must(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 300) == 0,
             71); /* the client waits for our end */
        (void)byte;
}

static void init_has_ended_when_the_box_is_down(void **state)
{
        (void)state;
        struct world w;
        struct seen s = {0};
        struct boxlet_process *p;
        make_world(&w);
        serve(&w, "control.sock", script_attach);
        assert_int_equal(boxlet_box_attach(w.box, BOXLET_ATTACH_STDOUT, &p, NULL), 0);
        listen_to(p, &s);
        drive(p);
        assert_int_equal(s.started, 1);
        assert_int_equal(s.exit_code, 3);
        assert_false(s.failed);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_start_fails(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_ERROR,
                 "{\"errno\": 5, \"message\": \"kernel: it panicked\", \"stage\": \"kernel\", \"exit_code\": "
                 "125}");
}

static void script_monitor_dies(int fd)
{
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
}

static void a_start_that_fails_says_why(void **state)
{
        (void)state;
        static const struct {
                script_fn script;
                const char *words;
        } table[] = {{script_start_fails, "panicked"}, {script_monitor_dies, "monitor"}};
        for (size_t i = 0; i < 2; i++) {
                struct world w;
                struct seen s = {0};
                struct boxlet_process *p;
                make_world(&w);
                serve(&w, "control.sock", table[i].script);
                assert_int_equal(boxlet_box_attach(w.box, 0, &p, NULL), 0);
                listen_to(p, &s);
                drive(p);
                assert_int_equal(s.exit_code, 125);
                assert_true(s.failed);
                assert_non_null(strstr(s.error.text, table[i].words));
                boxlet_process_free(p);
                end_world(&w);
        }
}

static void script_unleash(int fd)
{
        char byte;
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_EVENT, "{\"event\": \"started\"}");
        say_text(fd, FRAME_STDOUT, "in the way");
        must(strcmp(hear(fd, FRAME_REQUEST, NULL), "{\"op\":\"unleash\"}") == 0, 80);
        say_text(fd, FRAME_REPLY, "{}");
        must(read(fd, &byte, 1) == 0, 81); /* an orderly end, after the reply */
}

static void detaching_waits_for_the_monitors_word(void **state)
{
        (void)state;
        struct world w;
        int pair[2];
        struct error err = ERROR_INIT;
        struct boxlet_process *p;
        struct seen s = {0};
        make_world(&w);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        w.peer = fork();
        if (w.peer == 0) {
                (void)close(pair[0]);
                say_hello(pair[1]);
                script_unleash(pair[1]);
                _exit(0);
        }
        (void)close(pair[1]);
        json_t *request = json_pack("{s:s}", "op", "attach");
        struct process_draft draft = {
            .boxlet = w.boxlet, .box_id = ID, .box_name = "box", .request = request, .ends_with_us = true};
        assert_int_equal(process_new_connected(&draft, pair[0], &p, &err), 0);
        json_decref(request);
        listen_to(p, &s);
        while (s.started == 0)
                assert_true(boxlet_process_dispatch(p, NULL) >= 0);
        assert_int_equal(boxlet_process_detach(p, NULL), 0);
        assert_int_equal(s.ended, 0);
        boxlet_process_free(p);
        end_world(&w);
}

static void script_detach(int fd)
{
        char byte;
        (void)hear(fd, FRAME_REQUEST, NULL);
        say_text(fd, FRAME_REPLY, "{}");
        must(strcmp(hear(fd, FRAME_REQUEST, NULL), "{\"op\":\"detach\"}") == 0, 90);
        say_text(fd, FRAME_STDOUT, "in the way");
        say_text(fd, FRAME_REPLY, "{}");
        must(read(fd, &byte, 1) == 0, 91);
}

static void an_exec_can_be_let_go_of(void **state)
{
        (void)state;
        struct world w;
        struct seen s;
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        make_world(&w);
        serve(&w, "vsock.sock", script_detach);
        struct boxlet_process *p = run(&w, &o, &s);
        assert_int_equal(boxlet_process_detach(p, NULL), 0); /* even before the first dispatch */
        assert_int_equal(s.ended, 0);
        assert_int_equal(s.total, 0);
        boxlet_process_free(p);
        end_world(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(exec_gives_output_and_code),
    cmocka_unit_test(a_signal_is_128_and_its_number),
    cmocka_unit_test(failures_have_their_code_and_words),
    cmocka_unit_test(a_box_that_ends_takes_its_execs_along),
    cmocka_unit_test(input_is_bounded_and_all_of_it_arrives),
    cmocka_unit_test(output_stops_while_the_client_says_so),
    cmocka_unit_test(what_is_asked_before_it_runs_is_kept),
    cmocka_unit_test(a_machine_that_does_not_say_ok),
    cmocka_unit_test(exec_needs_a_running_box),
    cmocka_unit_test(init_has_ended_when_the_box_is_down),
    cmocka_unit_test(a_start_that_fails_says_why),
    cmocka_unit_test(detaching_waits_for_the_monitors_word),
    cmocka_unit_test(an_exec_can_be_let_go_of),
};
UNIT_TEST_MAIN(cases)
