/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits byte streams into lines, encodes them and appends them to a file, one write(2) for each chunk
 * that arrives. A reader may follow the file at any time.
 *
 * Invariants:
 * 1. The file holds whole entries only: an entry that was written in part (the disk is full) is cut off
 * again, and what a killed predecessor left half-written is cut off at open.
 * 2. Memory is bounded: one line of LOGFILE_LINE_MAX for each stream and one chunk's encoding.
 */
#include "monitor/logfile.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "monitor/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define OUT_MAX     (1U << 20)
#define OUT_FLUSH   (OUT_MAX - LINE_ENTRY_MAX(LOGFILE_LINE_MAX))
#define OUT_KEEP    (64U << 10) /* capacity past this is given back when a chunk is written */
#define REPAIR_LOOK (256U << 10)

struct logfile {
        int dir_fd, fd;
        int64_t size, file_maximum, files;
        struct {
                size_t length;
                char bytes[LOGFILE_LINE_MAX];
        } lines[LOGFILE_STREAMS];
        struct buffer out;
};

/* Cuts off an entry that has no newline. */
static int repair(int fd, int64_t *size)
{
        if (*size == 0)
                return 0;
        size_t look = *size < (int64_t)REPAIR_LOOK ? (size_t)*size : REPAIR_LOOK;
        cleanup_free char *tail = malloc(look);
        if (tail == NULL)
                return -ENOMEM;
        ssize_t n = pread(fd, tail, look, *size - (int64_t)look);
        if (n < 0)
                return -errno;
        const char *newline = memrchr(tail, '\n', (size_t)n);
        int64_t whole = newline == NULL ? 0 : *size - (int64_t)look + (newline - tail) + 1;
        if (whole != *size && ftruncate(fd, whole) < 0)
                return -errno;
        *size = whole;
        return 0;
}

static int open_log(struct logfile *log)
{
        struct stat st;
        cleanup_fd int fd =
            openat(log->dir_fd, "log", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        log->size = st.st_size;
        int r = repair(fd, &log->size);
        if (r < 0)
                return r;
        log->fd = take_fd(&fd);
        return 0;
}

static int rotate(struct logfile *log)
{
        char from[32], to[32];
        close_fd(&log->fd);
        for (int64_t i = log->files - 1; i > 0; i--) {
                (void)snprintf(from, sizeof(from), i == 1 ? "log" : "log.%lld", (long long)i - 1);
                (void)snprintf(to, sizeof(to), "log.%lld", (long long)i);
                if (renameat(log->dir_fd, from, log->dir_fd, to) < 0 && errno != ENOENT)
                        return -errno;
        }
        if (log->files == 1 && unlinkat(log->dir_fd, "log", 0) < 0 && errno != ENOENT)
                return -errno;
        return open_log(log);
}

/* Writes the encoded entries, which fit one file together or are one entry. */
static int flush(struct logfile *log)
{
        int r = 0;
        size_t size = log->out.length;
        if (size == 0)
                return 0;
        if (log->fd < 0)
                r = open_log(log);
        if (r == 0 && log->size > 0 && log->size + (int64_t)size > log->file_maximum)
                r = rotate(log);
        if (r == 0)
                r = fd_write_full(log->fd, buffer_content(&log->out), size);
        if (r == 0)
                log->size += (int64_t)size;
        else if (log->fd >= 0 && ftruncate(log->fd, log->size) < 0)
                close_fd(&log->fd); /* the next open repairs what this could not cut off */
        buffer_clear(&log->out);
        if (log->out.capacity > OUT_KEEP)
                buffer_done(&log->out);
        return r;
}

static int add_line(struct logfile *log, unsigned stream, const char *bytes, size_t size, bool partial)
{
        int r = 0;
        int64_t limit = log->file_maximum < (int64_t)OUT_FLUSH ? log->file_maximum : (int64_t)OUT_FLUSH;
        if (log->out.length > 0 && (int64_t)(log->out.length + LINE_ENTRY_MAX(size)) > limit)
                r = flush(log);
        int encoded =
            line_encode(&log->out, clock_wall_ns(), (stream & LOGFILE_STDERR) != 0, bytes, size, partial);
        return encoded < 0 ? encoded : r;
}

/* Puts bytes behind the line that has begun; a line that is full is written as partial. */
static int add_to_line(struct logfile *log, unsigned stream, const char *bytes, size_t size)
{
        int r = 0;
        char *line = log->lines[stream].bytes;
        size_t *length = &log->lines[stream].length;
        while (size > 0) {
                size_t n = LOGFILE_LINE_MAX - *length < size ? LOGFILE_LINE_MAX - *length : size;
                memcpy(line + *length, bytes, n);
                *length += n;
                bytes += n;
                size -= n;
                if (*length < LOGFILE_LINE_MAX)
                        break;
                size_t whole = line_whole_characters(line, *length);
                int added = add_line(log, stream, line, whole, true);
                r = added < 0 ? added : r;
                memmove(line, line + whole, *length - whole);
                *length -= whole;
        }
        return r;
}

int logfile_write(struct logfile *log, unsigned stream, const void *bytes, size_t size)
{
        const char *p = bytes;
        int r = 0, step;
        while (size > 0) {
                const char *newline = memchr(p, '\n', size);
                size_t n = newline == NULL ? size : (size_t)(newline - p);
                if (newline != NULL && log->lines[stream].length == 0 && n <= LOGFILE_LINE_MAX) {
                        step = add_line(log, stream, p, n, false);
                        r = step < 0 ? step : r;
                } else {
                        step = add_to_line(log, stream, p, n);
                        r = step < 0 ? step : r;
                        if (newline != NULL) {
                                step = add_line(log, stream, log->lines[stream].bytes,
                                                log->lines[stream].length, false);
                                r = step < 0 ? step : r;
                                log->lines[stream].length = 0;
                        }
                }
                n += newline != NULL;
                p += n;
                size -= n;
        }
        step = flush(log);
        return step < 0 ? step : r;
}

int logfile_finish(struct logfile *log, unsigned stream)
{
        int r = 0;
        if (log->lines[stream].length > 0)
                r = add_line(log, stream, log->lines[stream].bytes, log->lines[stream].length, true);
        log->lines[stream].length = 0;
        int flushed = flush(log);
        return r < 0 ? r : flushed;
}

int logfile_new(int dir_fd, int64_t maximum_bytes, int64_t files, struct logfile **ret_log, struct error *err)
{
        struct logfile *log = calloc(1, sizeof(*log));
        if (log == NULL)
                return error_set(err, -ENOMEM, "open the log: out of memory");
        log->dir_fd = dir_fd;
        log->fd = -1;
        log->file_maximum = maximum_bytes / files;
        log->files = files;
        buffer_init(&log->out, OUT_MAX);
        int r = open_log(log);
        if (r < 0) {
                free(log);
                return error_errno(err, r, "open the log");
        }
        *ret_log = log;
        return 0;
}

void logfile_free(struct logfile *log)
{
        if (log == NULL)
                return;
        for (unsigned stream = 0; stream < LOGFILE_STREAMS; stream++)
                (void)logfile_finish(log, stream); /* the box is down: nobody is left to be told */
        close_fd(&log->fd);
        buffer_done(&log->out);
        free(log);
}
