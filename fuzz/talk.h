/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_TALK_H
#define FUZZ_TALK_H

/*
 * What a guest says, made of the fuzzer's input. The input is records: type (bit 7: on the second
 * connection), length (2 bytes, little endian), payload. Each becomes a frame after a good HELLO; type 0 puts
 * its payload in as it is, with no header. A connection's other end is a socket on which all of it lies
 * ready, followed by the end.
 */
#include "base/buffer.h"
#include "base/fd.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TALK_MAX (64U << 10) /* less than a socket's buffer */

static inline void talk_require(bool holds)
{
        if (!holds)
                abort();
}

/* The bytes of one connection, number 0 or 1. */
static inline void talk_make(const uint8_t *data, size_t size, unsigned number, struct buffer *ret_bytes)
{
        struct frame_hello hello;
        frame_hello_make(&hello);
        buffer_init(ret_bytes, 2 * TALK_MAX);
        talk_require(frame_append(ret_bytes, FRAME_HELLO, &hello, sizeof(hello)) == 0);
        while (size >= 3) {
                size_t length = (size_t)data[1] | (size_t)data[2] << 8;
                const uint8_t *payload = data + 3;
                length = length < size - 3 ? length : size - 3;
                if ((unsigned)(data[0] >> 7) == number &&
                    ret_bytes->length + length + FRAME_HEADER_SIZE < TALK_MAX) {
                        enum frame_type type = (enum frame_type)(data[0] & 0x7f);
                        if (type == 0)
                                talk_require(buffer_append(ret_bytes, payload, length) == 0);
                        else
                                (void)frame_append(ret_bytes, type, payload, length); /* no frame: not said */
                }
                data = payload + length;
                size -= 3 + length;
        }
}

/* Says it all on that socket, after a line if there is one. */
static inline void talk_say(int fd, const char *line, const uint8_t *data, size_t size, unsigned number)
{
        struct buffer bytes;
        talk_make(data, size, number, &bytes);
        if (line != NULL)
                talk_require(fd_write_full(fd, line, strlen(line)) == 0);
        talk_require(fd_write_full(fd, buffer_content(&bytes), bytes.length) == 0);
        talk_require(shutdown(fd, SHUT_WR) == 0);
        buffer_done(&bytes);
}

/* A folder with a listening vsock.sock in it, made once. */
static inline int talk_listen(int *ret_folder)
{
        char path[] = "/tmp/fuzz-talk.XXXXXX";
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        talk_require(mkdtemp(path) != NULL);
        int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)strcpy(address.sun_path, path); /* both fit */
        (void)strcat(address.sun_path, "/vsock.sock");
        talk_require(folder >= 0 && listener >= 0);
        talk_require(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                     listen(listener, 8) == 0);
        *ret_folder = folder;
        return listener;
}

/* The folder goes when the program ends in order. */
static inline void talk_unlisten(int folder)
{
        char path[64], target[256];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        (void)unlinkat(folder, "vsock.sock", 0);
        target[n > 0 ? n : 0] = '\0';
        (void)rmdir(target);
}

#endif
