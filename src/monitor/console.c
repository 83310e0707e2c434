/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console. The guest decides what comes and how much, so the machine gets a pipe and not the
 * file: this side writes at most CONSOLE_FILE_MAX bytes to console.log, then starts it anew and keeps the one
 * before as console.log.1. The last bytes are kept in memory too: they go into error messages, where anything
 * but plain text is replaced.
 */
#include "monitor/console.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define CONSOLE_FILE_MAX (512U << 10)
#define CONSOLE_TAIL_MAX (8U << 10)
#define CONSOLE_CHUNK    (4U << 10)
#define CONSOLE_ROUNDS   64 /* chunks taken in one go: a guest that never stops does not stop us */

struct console {
        int dir_fd, pipe_fd, file_fd;
        struct source *source;
        size_t file_size;
        size_t tail_length;
        char tail[CONSOLE_TAIL_MAX];
        bool failed;
};

static int open_file(struct console *c)
{
        c->file_fd =
            openat(c->dir_fd, "console.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        c->file_size = 0;
        return c->file_fd < 0 ? -errno : 0;
}

static void write_file(struct console *c, const char *bytes, size_t size)
{
        int r = 0;
        if (c->file_size + size > CONSOLE_FILE_MAX) {
                close_fd(&c->file_fd);
                if (renameat(c->dir_fd, "console.log", c->dir_fd, "console.log.1") < 0)
                        r = -errno;
        }
        if (r == 0 && c->file_fd < 0)
                r = open_file(c);
        if (r == 0)
                r = fd_write_full(c->file_fd, bytes, size);
        if (r == 0)
                c->file_size += size;
        else if (!c->failed)
                log_warning("write console.log: %s", strerror(-r));
        c->failed = r < 0; /* said once, until it works again */
}

static void keep_tail(struct console *c, const char *bytes, size_t size)
{
        if (size > CONSOLE_TAIL_MAX) {
                bytes += size - CONSOLE_TAIL_MAX;
                size = CONSOLE_TAIL_MAX;
        }
        size_t keep = c->tail_length < CONSOLE_TAIL_MAX - size ? c->tail_length : CONSOLE_TAIL_MAX - size;
        memmove(c->tail, c->tail + c->tail_length - keep, keep);
        memcpy(c->tail + keep, bytes, size);
        c->tail_length = keep + size;
}

/* Returns false when there is nothing more now, or for ever. */
static bool take_chunk(struct console *c)
{
        char chunk[CONSOLE_CHUNK];
        ssize_t n = read(c->pipe_fd, chunk, sizeof(chunk));
        if (n > 0) {
                write_file(c, chunk, (size_t)n);
                keep_tail(c, chunk, (size_t)n);
                return true;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                source_free(c->source);
                c->source = NULL;
        }
        return false;
}

void console_drain(struct console *c)
{
        for (int i = 0; i < CONSOLE_ROUNDS && c->source != NULL && take_chunk(c); i++)
                ;
}

static void on_pipe(struct source *s, int fd, uint32_t events, void *data)
{
        (void)s;
        (void)fd;
        (void)events;
        console_drain(data);
}

int console_new(struct loop *loop, int dir_fd, struct console **ret_console, int *ret_write_fd,
                struct error *err)
{
        int fds[2];
        struct console *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_set(err, -ENOMEM, "open the console: out of memory");
        if (pipe2(fds, O_CLOEXEC) < 0) {
                int r = error_errno(err, -errno, "open the console");
                free(c);
                return r;
        }
        *c = (struct console){.dir_fd = dir_fd, .pipe_fd = fds[0], .file_fd = -1};
        cleanup_fd int write_fd = fds[1];
        (void)unlinkat(dir_fd, "console.log", 0); /* of an earlier start; not there is fine */
        (void)unlinkat(dir_fd, "console.log.1", 0);
        int r = open_file(c);
        if (r == 0)
                r = fd_set_nonblocking(c->pipe_fd);
        if (r == 0)
                r = loop_add_io(loop, c->pipe_fd, EPOLLIN, on_pipe, c, &c->source);
        if (r < 0) {
                console_free(c);
                return error_errno(err, r, "open the console");
        }
        *ret_write_fd = take_fd(&write_fd);
        *ret_console = c;
        return 0;
}

void console_free(struct console *c)
{
        if (c == NULL)
                return;
        source_free(c->source);
        close_fd(&c->pipe_fd);
        close_fd(&c->file_fd);
        free(c);
}

/* Printable text: what a terminal might obey is replaced, carriage returns go. */
static size_t clean(const char *from, size_t length, char *to, size_t size)
{
        size_t n = 0;
        for (size_t i = 0; i < length && n + 1 < size; i++) {
                unsigned char ch = (unsigned char)from[i];
                if (ch == '\r' || ch == '\0')
                        continue;
                to[n++] = (ch >= 0x20 && ch < 0x7f) || ch == '\n' || ch == '\t' ? (char)ch : '?';
        }
        to[n] = '\0';
        return n;
}

bool console_panic(const struct console *c, char *text, size_t size)
{
        static const char words[] = "Kernel panic";
        const char *found = memmem(c->tail, c->tail_length, words, sizeof(words) - 1);
        if (found == NULL)
                return false;
        size_t left = c->tail_length - (size_t)(found - c->tail);
        const char *end = memchr(found, '\n', left);
        (void)clean(found, end == NULL ? left : (size_t)(end - found), text, size);
        return true;
}

void console_tail(const struct console *c, unsigned lines, char *text, size_t size)
{
        size_t end = c->tail_length;
        while (end > 0 && (c->tail[end - 1] == '\n' || c->tail[end - 1] == '\r'))
                end--;
        size_t start = end;
        while (start > 0 && end - start < size - 1) {
                if (c->tail[start - 1] == '\n' && --lines == 0)
                        break;
                start--;
        }
        (void)clean(c->tail + start, end - start, text, size);
}
