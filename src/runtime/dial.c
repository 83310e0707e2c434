/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.sock's dialogue for callers that wait: a line there, a line back. Hostile: what the machine says. */
#include "runtime/dial.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define LINE_MAX_BYTES 64
#define RETRY_MS       5

/* The line "OK <port>\n" byte by byte: what follows it is not ours. */
static int read_answer(int fd, int64_t deadline_ms)
{
        char line[LINE_MAX_BYTES];
        for (size_t size = 0; size < sizeof(line);) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                int64_t left = deadline_ms - clock_monotonic_ms();
                int r = left <= 0 ? 0 : poll(&p, 1, (int)left);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0)
                        return -ETIMEDOUT;
                ssize_t n = recv(fd, line + size, 1, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ECONNREFUSED;
                if (line[size] == '\n')
                        return strncmp(line, "OK ", 3) == 0 ? 0 : -EPROTO;
                size++;
        }
        return -EPROTO;
}

int dial_work(int box_fd, int64_t deadline_ms, int *ret_fd)
{
        static const char line[] = "CONNECT 1025\n";
        int fd;
        while ((fd = unix_connect_at(box_fd, "vsock.sock", SOCK_STREAM | SOCK_NONBLOCK)) == -EAGAIN &&
               clock_monotonic_ms() < deadline_ms)
                (void)poll(NULL, 0, RETRY_MS); /* a listening unix socket has no event for "room again" */
        cleanup_fd int owned = fd;
        if (fd < 0)
                return fd;
        ssize_t n = send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
        if (n != (ssize_t)sizeof(line) - 1)
                return n < 0 ? -errno : -EIO; /* a new socket's buffer takes 13 bytes */
        int r = read_answer(fd, deadline_ms);
        if (r == 0)
                *ret_fd = take_fd(&owned);
        return r;
}
