/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the journal of events: journal.1, then journal, then what is added, with inotify on their folder.
 *
 * When the journal was renamed while it was open, the open file is kept and read on: a writer that had it
 * open may still add a line (base/journal.h). It is let go of at the next rotation. What is no event (a line
 * that was written in part) is passed over.
 */
#include "runtime/tell.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#define CHUNK      (64U << 10)
#define LINE_LIMIT (4U * EVENT_LINE_MAX) /* a longer one is none of ours */
#define NS_OF_MS   1000000

/* One of the two files. */
struct tail {
        int fd;
        struct buffer input;
};

struct events {
        int folder_fd;
        struct tail current, old;
        int64_t since_ns, until_ns;
        boxlet_event_fn fn;
        void *data;
        int answer; /* of fn, when not 0 */
};

static void tail_close(struct tail *t)
{
        close_fd(&t->fd);
        buffer_done(&t->input);
        buffer_init(&t->input, LINE_LIMIT + CHUNK);
}

static int take_line(struct events *e, const char *text, size_t size)
{
        cleanup_json json_t *json = NULL;
        struct error ignored = ERROR_INIT;
        int64_t time_ns;
        if (json_parse(text, size, "event", &json, &ignored) < 0 ||
            json_get_integer(json, "timeNano", 0, INT64_MAX, &time_ns, &ignored) < 0)
                return 0;
        if (time_ns < e->since_ns || (e->until_ns > 0 && time_ns > e->until_ns))
                return 0;
        cleanup_free char *line = strndup(text, size);
        if (line == NULL)
                return -ENOMEM;
        e->answer = e->fn(line, e->data);
        return 0;
}

/* Reads it to its present end. */
static int read_on(struct events *e, struct tail *t)
{
        int code = 0;
        while (t->fd >= 0 && code == 0 && e->answer == 0) {
                char *place;
                if (t->input.length > LINE_LIMIT)
                        buffer_clear(&t->input); /* its end is no event either */
                code = buffer_reserve(&t->input, CHUNK, &place);
                if (code < 0)
                        return code;
                ssize_t n = read(t->fd, place, CHUNK);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                buffer_grow(&t->input, (size_t)n);
                while (code == 0 && e->answer == 0) {
                        const char *content = buffer_content(&t->input);
                        const char *end = memchr(content, '\n', t->input.length);
                        if (end == NULL)
                                break;
                        code = take_line(e, content, (size_t)(end - content));
                        buffer_consume(&t->input, (size_t)(end - content) + 1);
                }
        }
        return code;
}

static int open_file(const struct events *e, const char *name, int *ret_fd)
{
        *ret_fd = openat(e->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return *ret_fd < 0 && errno != ENOENT ? -errno : 0;
}

static bool is_same(int a, int b)
{
        struct stat one, other;
        return a >= 0 && b >= 0 && fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
               one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

/* Both files, the newer one first: if it is renamed in between, it is met twice. */
static int open_both(struct events *e)
{
        int r;
        do {
                tail_close(&e->current);
                tail_close(&e->old);
                r = open_file(e, EVENT_JOURNAL, &e->current.fd);
                if (r == 0)
                        r = open_file(e, EVENT_JOURNAL ".1", &e->old.fd);
        } while (r == 0 && is_same(e->current.fd, e->old.fd));
        return r;
}

/* What was added, across a rotation. */
static int read_new(struct events *e)
{
        struct stat ours, named;
        int r = read_on(e, &e->old);
        if (r == 0)
                r = read_on(e, &e->current);
        if (r < 0 || e->answer != 0)
                return r;
        if (fstatat(e->folder_fd, EVENT_JOURNAL, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno; /* the next event makes it */
        if (e->current.fd >= 0 && fstat(e->current.fd, &ours) == 0 && ours.st_ino == named.st_ino &&
            ours.st_dev == named.st_dev)
                return 0;
        tail_close(&e->old);
        e->old = e->current;
        e->current.fd = -1;
        buffer_init(&e->current.input, LINE_LIMIT + CHUNK);
        r = open_file(e, EVENT_JOURNAL, &e->current.fd);
        if (r == 0)
                r = read_on(e, &e->old); /* written between our last look and the rename */
        return r == 0 ? read_on(e, &e->current) : r;
}

static int follow(struct events *e, int notify_fd)
{
        char bytes[4096];
        int r = 0;
        for (;;) {
                int left = clock_poll_ms(e->until_ns);
                r = read_new(e); /* after the question: what was written before the end is read */
                if (r < 0 || e->answer != 0 || left == 0)
                        return r;
                struct pollfd fd = {.fd = notify_fd, .events = POLLIN};
                if (poll(&fd, 1, left) < 0 && errno != EINTR)
                        return -errno;
                while (read(notify_fd, bytes, sizeof(bytes)) > 0)
                        ; /* which file it was does not matter */
        }
}

static int watch(const struct events *e, int *ret_fd)
{
        char path[32];
        *ret_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", e->folder_fd);
        if (*ret_fd < 0 || inotify_add_watch(*ret_fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
                return -errno;
        return 0;
}

static int events(struct events *e, const struct boxlet_event_options *o)
{
        cleanup_fd int notify_fd = -1;
        e->since_ns = o->since_ns < 0 ? 0 : o->since_ns;
        e->until_ns = o->until_ns;
        int r = o->follow ? watch(e, &notify_fd) : 0; /* before the first look */
        if (r == 0)
                r = open_both(e);
        if (r == 0 && o->since_ns < 0) {
                const struct tail *tails[] = {&e->old, &e->current};
                for (size_t i = 0; i < 2; i++) {
                        if (tails[i]->fd >= 0 && lseek(tails[i]->fd, 0, SEEK_END) < 0)
                                return -errno;
                }
        }
        if (r == 0)
                r = read_on(e, &e->old);
        if (r == 0 && e->answer == 0)
                r = read_on(e, &e->current);
        return r == 0 && e->answer == 0 && o->follow ? follow(e, notify_fd) : r;
}

int boxlet_events(struct boxlet *b, const struct boxlet_event_options *options, boxlet_event_fn fn,
                  void *data, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_event_options defaults = BOXLET_EVENT_OPTIONS_INIT, o = defaults;
        struct events e = {.folder_fd = -1, .current = {.fd = -1}, .old = {.fd = -1}, .fn = fn, .data = data};
        int r = api_options(&o, sizeof(o), options, "struct boxlet_event_options", &err);
        if (r == 0) {
                e.folder_fd = tell_folder(b);
                r = e.folder_fd < 0 ? e.folder_fd : events(&e, &o);
                if (r < 0)
                        (void)error_errno(&err, r, "read the journal of events");
        }
        tail_close(&e.current);
        tail_close(&e.old);
        close_fd(&e.folder_fd);
        return api_result(error, &err, r);
}
