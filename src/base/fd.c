/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor helpers. Unix sockets are reached through /proc/self/fd/<dir>/<name>, because sun_path is 108
 * bytes and a home directory may be longer. SCM_RIGHTS messages are read with room for FD_PASS_MAX
 * descriptors, and whatever the caller has no place for is closed, so that a peer cannot fill our descriptor
 * table.
 *
 * system calls (loop): read write close sendto sendmsg recvmsg fcntl(1=F_GETFL) fcntl(1=F_SETFL)
 * fcntl(1=F_GETFD) fcntl(1=F_SETFD)
 */
#include "base/fd.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

ssize_t fd_read_full(int fd, void *bytes, size_t size)
{
        size_t done = 0;
        while (done < size) {
                ssize_t n = read(fd, (char *)bytes + done, size - done);
                if (n == 0)
                        break;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int fd_write_full(int fd, const void *bytes, size_t size)
{
        size_t done = 0;
        int is_socket = 1;
        while (done < size) {
                ssize_t n = is_socket ? send(fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL)
                                      : write(fd, (const char *)bytes + done, size - done);
                if (n < 0 && errno == ENOTSOCK && is_socket) {
                        is_socket = 0;
                        continue;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t)n;
        }
        return 0;
}

int fd_read_all(int fd, size_t maximum, char **ret_bytes, size_t *ret_size)
{
        size_t capacity = maximum < 4096 ? maximum + 1 : 4096, length = 0;
        cleanup_free char *bytes = malloc(capacity);
        if (bytes == NULL)
                return -ENOMEM;
        for (;;) {
                ssize_t n = fd_read_full(fd, bytes + length, capacity - length);
                if (n < 0)
                        return (int)n;
                length += (size_t)n;
                if (length > maximum)
                        return -EFBIG;
                if (length < capacity)
                        break;
                capacity = capacity > maximum / 2 ? maximum + 1 : capacity * 2;
                char *grown = realloc(bytes, capacity);
                if (grown == NULL)
                        return -ENOMEM;
                bytes = grown;
        }
        bytes[length] = '\0';
        *ret_bytes = take_ptr(&bytes);
        if (ret_size != NULL)
                *ret_size = length;
        return 0;
}

int fd_of_bytes(const char *name, const void *bytes, size_t size, int *ret_fd)
{
        cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC);
        int r = fd < 0 ? -errno : fd_write_full(fd, bytes, size);
        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r < 0)
                return r;
        *ret_fd = take_fd(&fd);
        return 0;
}

int fd_set_nonblocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int fd_set_cloexec(int fd, int on)
{
        return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

static int address_at(int dir_fd, const char *name, struct sockaddr_un *ret_address)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        *ret_address = address;
        return 0;
}

int unix_listen_at(int dir_fd, const char *name, int type, int backlog)
{
        struct sockaddr_un address;
        int r = address_at(dir_fd, name, &address);
        if (r < 0)
                return r;
        cleanup_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        /* fchmod before bind() sets the mode that the socket file is made with: no moment in which others may
         * enter */
        if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        if (listen(fd, backlog) < 0)
                return -errno;
        return take_fd(&fd);
}

int unix_connect_at(int dir_fd, const char *name, int type)
{
        struct sockaddr_un address;
        int r = address_at(dir_fd, name, &address);
        if (r < 0)
                return r;
        cleanup_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return take_fd(&fd);
}

union control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
};

ssize_t fd_send(int socket, const void *bytes, size_t size, const int *fds, size_t count)
{
        if (count > FD_PASS_MAX || size == 0)
                return -EINVAL;
        struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
        union control control = {0};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        if (count > 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
        }
        ssize_t n;
        do {
                n = sendmsg(socket, &message, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static void keep_fds(const struct cmsghdr *c, int *fds, size_t maximum, size_t *count)
{
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                if (*count < maximum)
                        fds[(*count)++] = fd;
                else
                        (void)close(fd); /* nobody asked for it */
        }
}

ssize_t fd_receive(int socket, void *bytes, size_t size, int *fds, size_t maximum, size_t *ret_count)
{
        struct iovec iov = {.iov_base = bytes, .iov_len = size};
        union control control = {0};
        struct msghdr message = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n;
        do {
                n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        size_t count = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        keep_fds(c, fds, maximum, &count);
        }
        *ret_count = count;
        return n;
}
