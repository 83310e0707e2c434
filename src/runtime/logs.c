/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a box's log: log.N, ..., log.1, log in this order, then following it. While following, inotify on
 * the box's folder tells of new lines, of rotation and of the final state.json; a pidfd tells that the
 * monitor was killed. Nothing is polled by time.
 *
 * Rotation: all files are opened before the first is read, so that renaming does not matter, and dropping
 * only from then on. A rotation while they are opened shows as one file met twice: then it is begun again.
 * While following, `log` being another file than the one that is open means a rotation: what was written
 * since, perhaps over several of them, is found by the place of our file among all.
 */
#include "runtime/runtime.h"

#include "base/buffer.h"
#include "base/clock.h"
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
#include <time.h>

#define FILES_MAX      100 /* as in box.json */
#define OPEN_TRIES     100
#define NS_OF_MS       1000000
#define LINE_MAX_BYTES (1U << 20)
#define CHUNK          (64U << 10)

struct reader {
        int box_fd, fd;
        struct buffer input;
        bool skip_line;             /* one that is too long is dropped up to its newline */
        int64_t since_ns, until_ns; /* until_ns 0: no end */
        int64_t to_skip;            /* lines before the tail */
        int64_t left;               /* lines still to be given; below 0: any number */
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
        bool wanted = line.time_ns >= r->since_ns && (r->until_ns == 0 || line.time_ns <= r->until_ns);
        if (wanted && r->count_only) {
                r->count++;
        } else if (wanted && r->to_skip > 0) {
                r->to_skip--;
        } else if (wanted && r->left != 0) {
                r->left -= r->left > 0;
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

/* All files of the log, newest first. */
struct files {
        int fds[FILES_MAX];
        ino_t inodes[FILES_MAX];
        size_t count;
};

static void files_done(struct files *f)
{
        for (size_t i = 0; i < f->count; i++)
                close_fd(&f->fds[i]);
        f->count = 0;
}

#define cleanup_files __attribute__((cleanup(files_done)))

/* Where the file stands; count when it does not. */
static size_t files_find(const struct files *f, ino_t inode)
{
        size_t i = 0;
        while (i < f->count && f->inodes[i] != inode)
                i++;
        return i;
}

/* 1 when a rotation came between. */
static int files_try(int box_fd, struct files *f)
{
        for (int i = 0; i < FILES_MAX; i++) {
                char name[16] = "log";
                struct stat st;
                if (i > 0)
                        (void)snprintf(name, sizeof(name), "log.%d", i);
                cleanup_fd int fd = openat(box_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 && errno == ENOENT)
                        continue; /* in the middle of a rotation any may be missing */
                if (fd < 0 || fstat(fd, &st) < 0)
                        return -errno;
                if (files_find(f, st.st_ino) < f->count)
                        return 1;
                f->inodes[f->count] = st.st_ino;
                f->fds[f->count++] = take_fd(&fd);
        }
        return 0;
}

static int files_open(int box_fd, struct files *f)
{
        int code = 1;
        for (int i = 0; i < OPEN_TRIES && code == 1; i++) {
                files_done(f);
                code = files_try(box_fd, f);
        }
        return code == 1 ? -EBUSY : code;
}

static int read_from_start(struct reader *r, int fd)
{
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        close_fd(&r->fd);
        r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        forget_part(r);
        return r->fd < 0 ? -errno : read_on(r);
}

/* The `count` newest, oldest of them first; the newest stays open. */
static int read_files(struct reader *r, const struct files *f, size_t count)
{
        int code = 0;
        while (code == 0 && r->answer == 0 && count > 0)
                code = read_from_start(r, f->fds[--count]);
        return code;
}

/* Reads what is new, across any number of rotations. */
static int read_new(struct reader *r)
{
        struct stat ours = {0}, named;
        cleanup_files struct files files = {.count = 0};
        int code = r->fd < 0 ? 0 : read_on(r);
        if (code < 0 || r->answer != 0)
                return code;
        if (fstatat(r->box_fd, "log", &named, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (r->fd >= 0 && fstat(r->fd, &ours) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
                return 0;
        code = r->fd < 0 ? 0 : read_on(r); /* written between our last look and the rename */
        if (code == 0 && r->answer == 0)
                code = files_open(r->box_fd, &files);
        /* if ours is not among them, all that is there came after it */
        return code == 0 && r->answer == 0 ? read_files(r, &files, files_find(&files, ours.st_ino)) : code;
}

static bool lives(int box_fd)
{
        cleanup_life_report struct life_report report;
        life_read(box_fd, true, &report);
        return life_is_up(report.life);
}

static int wait_for_news(int notify_fd, int pidfd, int timeout_ms)
{
        char events[4096];
        struct pollfd fds[2] = {{.fd = notify_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        int n;
        do {
                n = poll(fds, 2, timeout_ms); /* a descriptor below 0 is ignored */
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
                int left = clock_poll_ms(r->until_ns);
                bool goes_on = left != 0 && lives(r->box_fd);
                code = read_new(r); /* after the question: what was written before the end is read */
                if (!goes_on || code < 0 || r->answer != 0)
                        break;
                code = wait_for_news(notify_fd, pidfd, left);
        }
        return code;
}

static int logs(struct boxlet_box *box, const struct boxlet_log_options *o, struct reader *r,
                struct error *err)
{
        cleanup_files struct files files = {.count = 0};
        int code = box_open_folder(box->boxlet, box->id, &r->box_fd, err);
        if (code < 0)
                return code;
        r->since_ns = o->since_ns;
        r->until_ns = o->until_ns;
        r->left = o->tail >= 0 && !o->follow ? o->tail : -1; /* lines may come between counting and reading */
        code = files_open(r->box_fd, &files);
        if (code == 0 && o->tail >= 0) {
                r->count_only = true;
                code = read_files(r, &files, files.count);
                r->count_only = false;
                r->to_skip = r->count > o->tail ? r->count - o->tail : 0;
        }
        if (code == 0)
                code = read_files(r, &files, files.count);
        files_done(&files);
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
