/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_MONITOR_DRIVER_H
#define UNIT_MONITOR_DRIVER_H

/* A boxlet-monitor with a box of fake-vmm's, and its clients frame by frame; for tests. */
#include "harness.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"
#include "wire/frame.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct peer {
        int fd;
        struct buffer in;
        struct frame frame;
        bool lent;
};

struct fixture {
        const char *folder;
        int parent_fd, box_fd, lock_fd, pidfd;
        pid_t pid;
        struct peer first;
        int more_fds[2]; /* for the monitor, as 6 and 7; 0: none */
};

/* ---- a client ---- */

static inline void peer_init(struct peer *p, int fd)
{
        struct frame_hello hello;
        struct buffer out = BUFFER_INIT(64);
        p->fd = fd;
        p->lent = false;
        buffer_init(&p->in, FRAME_DOCUMENT_MAX + FRAME_HEADER_SIZE + 65536);
        frame_hello_make(&hello);
        assert_int_equal(frame_append(&out, FRAME_HELLO, &hello, sizeof(hello)), 0);
        assert_int_equal(fd_write_full(fd, buffer_content(&out), out.length), 0);
        buffer_done(&out);
}

static inline void peer_done(struct peer *p)
{
        close_fd(&p->fd);
        buffer_done(&p->in);
}

static inline void peer_send(struct peer *p, enum frame_type type, const void *payload, size_t size)
{
        struct buffer out = BUFFER_INIT(FRAME_STREAM_MAX + 64);
        assert_int_equal(frame_append(&out, type, payload, size), 0);
        assert_int_equal(fd_write_full(p->fd, buffer_content(&out), out.length), 0);
        buffer_done(&out);
}

static inline void peer_ask(struct peer *p, const char *json)
{
        peer_send(p, FRAME_REQUEST, json, strlen(json));
}

/* The next frame that is no HELLO; its type, or 0 at the end of the connection. */
static inline int peer_next(struct peer *p)
{
        if (p->lent)
                frame_release(&p->in, &p->frame);
        p->lent = false;
        for (;;) {
                char *place;
                int r = frame_next(&p->in, &p->frame, NULL);
                assert_true(r >= 0);
                if (r == 1 && p->frame.type == FRAME_HELLO) {
                        frame_release(&p->in, &p->frame);
                        continue;
                }
                if (r == 1) {
                        p->lent = true;
                        return p->frame.type;
                }
                assert_int_equal(buffer_reserve(&p->in, 4096, &place), 0);
                ssize_t n = read(p->fd, place, 4096);
                if (n == 0 || (n < 0 && errno == ECONNRESET))
                        return 0;
                assert_true(n > 0);
                buffer_grow(&p->in, (size_t)n);
        }
}

static inline void peer_expect(struct peer *p, int type)
{
        int got = peer_next(p);
        if (got == FRAME_ERROR && type != FRAME_ERROR)
                (void)fprintf(stderr, "error: %.*s\n", (int)p->frame.size, (const char *)p->frame.payload);
        assert_int_equal(got, type);
}

/* Output up to the next frame of another kind, put behind what text holds; that frame's type. */
static inline int peer_output(struct peer *p, int type, char *text, size_t size)
{
        size_t used = strlen(text);
        int got;
        while ((got = peer_next(p)) == type ||
               ((got == FRAME_STDOUT || got == FRAME_STDERR) && p->frame.size == 0)) {
                assert_true(used + p->frame.size < size);
                memcpy(text + used, p->frame.payload, p->frame.size);
                used += p->frame.size;
                text[used] = '\0';
        }
        return got;
}

static inline void skip_output(struct peer *p)
{
        int type;
        do {
                type = peer_next(p);
        } while (type == FRAME_STDOUT || type == FRAME_STDERR);
}

static inline void peer_expect_started(struct peer *p)
{
        peer_expect(p, FRAME_REPLY);
        peer_expect(p, FRAME_EVENT);
}

static inline void expect_exit_frame(const struct peer *p, int code, int signal)
{
        struct frame_exit status;
        assert_int_equal(p->frame.type, FRAME_EXIT);
        assert_int_equal(p->frame.size, sizeof(status));
        memcpy(&status, p->frame.payload, sizeof(status));
        assert_int_equal(status.code, code);
        assert_int_equal(status.signal, signal);
}

static inline json_t *peer_json(const struct peer *p)
{
        json_t *json = NULL;
        assert_int_equal(json_parse((const char *)p->frame.payload, p->frame.size, "frame", &json, NULL), 0);
        return json;
}

/* The frame at hand is an ERROR with that stage and exit code whose message holds words. */
static inline void expect_error_frame(const struct peer *p, const char *stage, int exit_code,
                                      const char *words)
{
        cleanup_json json_t *json = peer_json(p);
        assert_int_equal(p->frame.type, FRAME_ERROR);
        const char *message = json_string_value(json_object_get(json, "message"));
        if (strstr(message, words) == NULL)
                (void)fprintf(stderr, "message: %s\n", message);
        assert_non_null(strstr(message, words));
        assert_string_equal(json_string_value(json_object_get(json, "stage")), stage);
        assert_int_equal(json_integer_value(json_object_get(json, "exit_code")), exit_code);
}

/* ---- the box ---- */

static inline void write_file(int dir_fd, const char *name, const char *text)
{
        assert_int_equal(path_write_atomic_at(dir_fd, name, text, strlen(text), 0600), 0);
}

static inline void setup(struct fixture *f)
{
        memset(f, 0, sizeof(*f));
        f->folder = unit_folder(&f->parent_fd);
        f->box_fd = path_open_dir_at(f->parent_fd, ID, 0700);
        assert_true(f->box_fd >= 0);
        f->lock_fd = f->pidfd = f->first.fd = -1;
        write_file(f->parent_fd, "file", "x"); /* stands for the kernel, the agent, the image */
        write_file(f->box_fd, "disk.ext4", "x");
}

/* act: init's args as a JSON array. more: further members, each beginning with a comma. */
static inline void configure(const struct fixture *f, const char *behaviour, const char *act,
                             const char *container, const char *more)
{
        char text[4096];
        (void)
            snprintf(text, sizeof(text),
                     "{\"version\":1,\"id\":\"" ID "\",\"programs\":{\"vmm\":\"%s\"},\"hostname\":\"h\","
                     "\"machine\":{\"kernel\":\"%s/file\",\"initrd\":\"%s/file\",\"kernel_arguments\":\"%s\","
                     "\"boot_timeout_ms\":%d},\"root\":{\"image\":\"%s/file\",\"disk\":\"disk.ext4\"},"
                     "\"container\":{\"spec\":{\"process\":{\"terminal\":true,\"args\":%s}}%s}%s}",
                     FAKE_VMM, f->folder, f->folder, behaviour,
                     strcmp(behaviour, "silent") == 0 || strcmp(behaviour, "hung") == 0 ||
                             strcmp(behaviour, "start-hangs") == 0
                         ? 300
                         : 20000,
                     f->folder, act, container, more);
        write_file(f->box_fd, "box.json", text);
}

static inline void launch(struct fixture *f, bool hold)
{
        int pair[2];
        struct error err = ERROR_INIT;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        cleanup_fd int lock = openat(f->box_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(lock >= 0);
        assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
        const char *const argv[] = {
            "boxlet-monitor",       "--box-fd", "3", "--lock-fd", "4", "--client-fd", "5",
            hold ? "--hold" : NULL, NULL};
        const struct process_fd fds[] = {{f->box_fd, 3}, {lock, 4},           {pair[1], 5},
                                         {2, 2},         {f->more_fds[0], 6}, {f->more_fds[1], 7}};
        struct process_plan plan = {.path = MONITOR,
                                    .argv = argv,
                                    .fds = fds,
                                    .fd_count = f->more_fds[0] != 0 ? 6 : 4,
                                    .parent_death_signal = SIGKILL,
                                    .working_dir_fd = -1};
        assert_int_equal(process_spawn(&plan, &f->pid, &f->pidfd, &err), 0);
        (void)close(pair[1]);
        peer_init(&f->first, pair[0]);
}

static inline void connect_peer(const struct fixture *f, struct peer *p)
{
        int fd = unix_connect_at(f->box_fd, "control.sock", SOCK_STREAM);
        assert_true(fd >= 0);
        peer_init(p, fd);
}

#define ATTACH       "{\"op\":\"attach\",\"stdin\":true,\"stdout\":true,\"stderr\":true,\"start\":true}"
#define ATTACH_LEASH "{\"op\":\"attach\",\"stdin\":true,\"stdout\":true,\"start\":true,\"leash\":true}"
#define WAIT         "{\"op\":\"wait\",\"start\":true}"

static inline bool lock_is_free(const struct fixture *f)
{
        cleanup_fd int fd = openat(f->box_fd, "lock", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Waits for the monitor's end: exit code 0, no children, no sockets. */
static inline void reap(struct fixture *f)
{
        int code;
        struct stat st;
        assert_int_equal(process_wait(f->pidfd, &code), 0);
        assert_int_equal(code, 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(fstatat(f->box_fd, "control.sock", &st, 0), -1);
        assert_int_equal(fstatat(f->box_fd, "vsock.sock", &st, 0), -1);
}

static inline json_t *read_state(const struct fixture *f)
{
        cleanup_free char *text = NULL;
        size_t size;
        json_t *json = NULL;
        assert_int_equal(path_read_at(f->box_fd, "state.json", 65536, &text, &size), 0);
        assert_int_equal(json_parse(text, size, "state.json", &json, NULL), 0);
        return json;
}

static inline void expect_state(const struct fixture *f, const char *state, int exit_code)
{
        cleanup_json json_t *json = read_state(f);
        assert_string_equal(json_string_value(json_object_get(json, "state")), state);
        assert_int_equal(json_integer_value(json_object_get(json, "exit_code")), exit_code);
}

static inline void teardown(struct fixture *f)
{
        peer_done(&f->first);
        close_fd(&f->pidfd);
        close_fd(&f->box_fd);
}

#endif
