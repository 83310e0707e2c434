/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors: whole reads and writes, unix sockets under a directory, passing descriptors. All return
 * -errno. */

/* Reads until size bytes or the end; returns how many. Retries EINTR. */
ssize_t fd_read_full(int fd, void *bytes, size_t size);

/* Writes all of it to a blocking descriptor (a socket gets MSG_NOSIGNAL; others may raise SIGPIPE as usual).
 */
int fd_write_full(int fd, const void *bytes, size_t size);

/* Reads a whole regular file or stream of at most maximum bytes; -EFBIG past it. Text is NUL-terminated;
 * free() it. */
int fd_read_all(int fd, size_t maximum, char **ret_bytes, size_t *ret_size);

/* A file in memory without a name, with those bytes, to be read from its beginning; the caller's. name: for
 * /proc only. */
int fd_of_bytes(const char *name, const void *bytes, size_t size, int *ret_fd);

int fd_set_nonblocking(int fd);
int fd_set_cloexec(int fd, int on);

/*
 * Unix stream or seqpacket sockets named inside a directory given by descriptor: the length of the
 * directory's own path does not matter (sun_path holds 108 bytes only). type is SOCK_STREAM or
 * SOCK_SEQPACKET, optionally with SOCK_NONBLOCK; the result is close-on-exec. Listening replaces a stale
 * socket file of that name and makes it 0600.
 */
int unix_listen_at(int dir_fd, const char *name, int type, int backlog);
int unix_connect_at(int dir_fd, const char *name, int type);

/* Sends bytes (at least one) with count descriptors (at most FD_PASS_MAX); receives at most as many. Received
 * ones are close-on-exec and belong to the caller; unexpected extra ones are closed. Returns bytes moved, 0
 * at the end. */
#define FD_PASS_MAX 8
ssize_t fd_send(int socket, const void *bytes, size_t size, const int *fds, size_t count);
ssize_t fd_receive(int socket, void *bytes, size_t size, int *fds, size_t maximum, size_t *ret_count);

#endif
