/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a box's log: log.N, ..., log.1, log in this order, then following it. While following, inotify on
 * the box's folder tells of new lines, of rotation and of the final state.json; a pidfd tells that the
 * monitor was killed. Nothing is polled by time.
 *
 * Rotation: the file that is open is read to its end before `log` is looked at again; if that is another file
 * by then, it is read next. Two rotations between two looks lose what the second dropped, as a reader that
 * came later would.
 */
#include "runtime/runtime.h"

#include "base/buffer.h"
#include "runtime/control.h"
#include "runtime/life.h"
#include "runtime/logline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define FILES_MAX      32
#define LINE_MAX_BYTES (1U << 20)
#define CHUNK          (64U << 10)

struct reader {
        int box_fd, fd;
        struct buffer input;
        bool skip_line; /* one that is too long is dropped up to its newline */
        int64_t since_ns;
        int64_t to_skip; /* lines before the tail */
        bool count_only;
        int64_t count;
        boxlet_log_fn fn;
        void *data;
        int answer; /* of fn, when not 0 */
};

static int take_line(struct reader *r, const char *text, size_t size)
{
        struct logline line;
        int code = logline_parse(text, size, &line);
        if (code < 0)
                return code == -EBADMSG ? 0 : code;
        if (line.time_ns >= r->since_ns) {
                if (r->count_only)
                        r->count++;
                else if (r->to_skip > 0)
                        r->to_skip--;
                else
                        r->answer = r->fn(line.stream, line.time_ns, line.bytes, line.size, r->data);
        }
        free(line.bytes);
        return 0;
}

static int take_lines(struct reader *r)
{
        int code = 0;
        while (code == 0 && r->answer == 0 && r->input.length > 0) {
                const char *text = buffer_content(&r->input);
                const char *newline = memchr(text, '\n', r->input.length);
                if (newline == NULL)
                        return 0;
                size_t size = (size_t)(newline - text);
                if (!r->skip_line)
                        code = take_line(r, text, size);
                r->skip_line = false;
                buffer_consume(&r->input, size + 1);
        }
        return code;
}

/* Reads the open file to its present end. */
static int read_on(struct reader *r)
{
        int code = 0;
        while (code == 0 && r->answer == 0) {
                char *place;
                if (r->input.length > LINE_MAX_BYTES - CHUNK) {
                        r->skip_line = true;
                        buffer_clear(&r->input);
                }
                code = buffer_reserve(&r->input, CHUNK, &place);
                if (code < 0)
                        return code;
                ssize_t n = read(r->fd, place, CHUNK);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                buffer_grow(&r->input, (size_t)n);
                code = take_lines(r);
        }
        return code;
}

static void forget_part(struct reader *r)
{
        buffer_clear(&r->input);
        r->skip_line = false;
}

static int read_file(struct reader *r, const char *name)
{
        close_fd(&r->fd);
        forget_part(r);
        r->fd = openat(r->box_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (r->fd < 0)
                return errno == ENOENT ? 0 : -errno;
        return read_on(r);
}

/* Oldest first; `log` stays open. */
static int read_all(struct reader *r)
{
        char name[16];
        struct stat st;
        int last = 0, code = 0;
        for (int i = 1; i <= FILES_MAX; i++) {
                (void)snprintf(name, sizeof(name), "log.%d", i);
                if (fstatat(r->box_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        last = i;
        }
        for (int i = last; code == 0 && r->answer == 0 && i > 0; i--) {
                (void)snprintf(name, sizeof(name), "log.%d", i);
                code = read_file(r, name);
        }
        return code == 0 && r->answer == 0 ? read_file(r, "log") : code;
}

/* Reads what is new, across a rotation. */
static int read_new(struct reader *r)
{
        struct stat ours, named;
        int code = r->fd < 0 ? 0 : read_on(r);
        if (code < 0 || r->answer != 0)
                return code;
        if (fstatat(r->box_fd, "log", &named, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (r->fd >= 0 && fstat(r->fd, &ours) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
                return 0;
        code = r->fd < 0 ? 0 : read_on(r); /* written between our last look and the rename */
        return code == 0 && r->answer == 0 ? read_file(r, "log") : code;
}

static bool lives(int box_fd)
{
        cleanup_life_report struct life_report report;
        life_read(box_fd, true, &report);
        return report.life == LIFE_RUNNING;
}

static int wait_for_news(int notify_fd, int pidfd)
{
        char events[4096];
        struct pollfd fds[2] = {{.fd = notify_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        int n;
        do {
                n = poll(fds, 2, -1); /* a descriptor below 0 is ignored */
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        while (read(notify_fd, events, sizeof(events)) > 0)
                ; /* which of them does not matter: everything is looked at */
        return 0;
}

static int follow(struct reader *r)
{
        cleanup_fd int notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        cleanup_fd int pidfd = -1;
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", r->box_fd);
        if (notify_fd < 0 ||
            inotify_add_watch(notify_fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF) < 0)
                return -errno;
        int code = 0;
        while (code == 0 && r->answer == 0) {
                if (pidfd < 0)
                        (void)control_monitor_pidfd(
                            r->box_fd, &pidfd); /* it may just be starting: state.json wakes us */
                bool goes_on = lives(r->box_fd);
                code = read_new(r); /* after the question: what was written before the end is read */
                if (!goes_on || code < 0 || r->answer != 0)
                        break;
                code = wait_for_news(notify_fd, pidfd);
        }
        return code;
}

static int logs(struct boxlet_box *box, const struct boxlet_log_options *o, struct reader *r,
                struct error *err)
{
        int code = box_open_folder(box->boxlet, box->id, &r->box_fd, err);
        if (code < 0)
                return code;
        r->since_ns = o->since_ns;
        if (o->tail >= 0) {
                r->count_only = true;
                code = read_all(r);
                r->count_only = false;
                r->to_skip = r->count > o->tail ? r->count - o->tail : 0;
        }
        if (code == 0)
                code = read_all(r);
        if (code == 0 && r->answer == 0 && o->follow)
                code = follow(r);
        return code < 0 ? error_errno(err, code, "read the log of box '%s'", box->name) : 0;
}

int boxlet_box_logs(struct boxlet_box *box, const struct boxlet_log_options *options, boxlet_log_fn fn,
                    void *data, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_log_options defaults = BOXLET_LOG_OPTIONS_INIT, o = defaults;
        struct reader r = {
            .box_fd = -1, .fd = -1, .fn = fn, .data = data, .input = BUFFER_INIT(LINE_MAX_BYTES + CHUNK)};
        int code = api_options(&o, sizeof(o), options, "struct boxlet_log_options", &err);
        if (code == 0)
                code = logs(box, &o, &r, &err);
        close_fd(&r.fd);
        close_fd(&r.box_fd);
        buffer_done(&r.input);
        return api_result(error, &err, code);
}
