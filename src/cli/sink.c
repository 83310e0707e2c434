/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to inherited descriptors without blocking. O_NONBLOCK belongs to the open file description, which
 * the shell and every program of a pipeline share, so it is never set on what we were given. Pipes and
 * terminals are opened a second time through /proc/self/fd, which makes a description of our own; regular
 * files are not (their offset and O_APPEND are in the shared one) and need not be. SIGPIPE is the caller's to
 * ignore.
 *
 * Invariant: bytes leave in the order they came: while something is kept, everything new is kept behind it.
 */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The reader of a process's output is paused at the first kept byte, so that what is kept is one frame; this
 * is far above that. */
#define KEPT_MAX (8u << 20)

void sink_init(struct sink *sink, int fd)
{
        struct stat st;
        *sink = (struct sink){.fd = fd, .way = SINK_FILE};
        buffer_init(&sink->kept, KEPT_MAX);
        if (fstat(fd, &st) < 0)
                return;
        if (S_ISSOCK(st.st_mode))
                sink->way = SINK_SOCKET;
        if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
                return;
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        sink->way = again >= 0 ? SINK_NONBLOCKING : SINK_CAREFUL;
        if (again >= 0) {
                sink->fd = again;
                sink->owned = true;
        }
}

void sink_done(struct sink *sink)
{
        if (sink->owned)
                (void)close(sink->fd);
        sink->fd = -1;
        sink->owned = false;
        buffer_done(&sink->kept);
}

bool sink_is_full(const struct sink *sink)
{
        return sink->kept.length > 0;
}

/* One write that does not block; -EAGAIN when it would. */
static ssize_t write_some(const struct sink *sink, const void *bytes, size_t size)
{
        ssize_t n;
        if (sink->way == SINK_CAREFUL) {
                struct pollfd p = {.fd = sink->fd, .events = POLLOUT};
                if (poll(&p, 1, 0) == 0)
                        return -EAGAIN;
                size = size < PIPE_BUF ? size : PIPE_BUF;
        }
        do {
                n = sink->way == SINK_SOCKET ? send(sink->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                             : write(sink->fd, bytes, size);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

int sink_write(struct sink *sink, const void *bytes, size_t size)
{
        const char *at = bytes;
        while (!sink_is_full(sink) && size > 0) {
                ssize_t n = write_some(sink, at, size);
                if (n == -EAGAIN)
                        break;
                if (n < 0)
                        return (int)n;
                at += n;
                size -= (size_t)n;
        }
        return size > 0 ? buffer_append(&sink->kept, at, size) : 0;
}

int sink_flush(struct sink *sink)
{
        while (sink_is_full(sink)) {
                ssize_t n = write_some(sink, buffer_content(&sink->kept), sink->kept.length);
                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return (int)n;
                buffer_consume(&sink->kept, (size_t)n);
        }
        return 0;
}
