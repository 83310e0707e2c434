/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event with a monotonic stamp, written with a single write(2) so that lines of several
 * processes that share a file stay whole. Control bytes are replaced as in errors: the text may quote a
 * guest. The bytes are counted before they are written, so that threads do not exceed a limit together.
 *
 * system calls (all): write
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_program;
static int log_fd = -1;
static enum log_level log_maximum;
static atomic_uint_least64_t log_bytes;
static uint64_t log_bytes_max = UINT64_MAX;

void log_init(const char *program, int fd, enum log_level maximum)
{
        log_program = program;
        log_fd = fd;
        log_maximum = maximum;
}

void log_limit(uint64_t bytes)
{
        atomic_store(&log_bytes, 0);
        log_bytes_max = bytes;
}

static void put(const char *line, size_t length)
{
        uint64_t before = atomic_fetch_add(&log_bytes, length);
        if (before > log_bytes_max)
                return;
        if (length > log_bytes_max - before) {
                line = "(more was to be said than the log has room for)\n";
                length = strlen(line);
        }
        if (write(log_fd, line, length) < 0)
                return; /* a log that cannot be written must not stop the work */
}

void log_write(enum log_level level, const char *format, ...)
{
        static const char *const names[] = {"error", "warning", "info", "debug"};
        if (log_fd < 0 || level > log_maximum)
                return;
        char line[1024];
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        int head = snprintf(line, sizeof(line), "[%6lld.%06ld] %s: %s: ", (long long)now.tv_sec,
                            now.tv_nsec / 1000, log_program, names[level]);
        va_list args;
        va_start(args, format);
        int body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
        va_end(args);
        if (body < 0)
                return;
        size_t length = (size_t)head + (size_t)body;
        if (length > sizeof(line) - 2)
                length = sizeof(line) - 2;
        for (size_t i = 0; i < length; i++) {
                if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                        line[i] = ' ';
        }
        line[length++] = '\n';
        put(line, length);
}
