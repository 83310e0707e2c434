/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the machine's own tests: a guest that does on its vsock what it is told, one process a connection.
 *
 * It connects to the host's port 1024, writes "hello <ms since boot>\n", and obeys words there: "reset",
 * "panic", "flood". It serves port 1025; the first line of a connection says what it is for: echo        all
 * that comes goes back; at the end of input, the end of output sink N      reads N bytes, answers their sum
 *     source N    writes N bytes
 *     refuse      closes at once
 *     sleep       reads nothing for ever
 *     disk PATH   first 8 bytes of a block device, and its size
 *     read PATH   how long reading a block device takes
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <linux/vm_sockets.h>
#include <time.h>
#include <termios.h>
#include <unistd.h>

static char block[256 << 10];

static void say(const char *text)
{
        ssize_t n = write(2, text, strlen(text));
        (void)n;
}

static int write_all(int fd, const char *bytes, size_t size)
{
        while (size > 0) {
                ssize_t n = write(fd, bytes, size);
                if (n < 0)
                        return -1;
                bytes += n;
                size -= (size_t)n;
        }
        return 0;
}

static int read_line(int fd, char *line, size_t size)
{
        size_t n = 0;
        while (n + 1 < size && read(fd, line + n, 1) == 1) {
                if (line[n] == '\n') {
                        line[n] = '\0';
                        return 0;
                }
                n++;
        }
        return -1;
}

static void do_echo(int fd)
{
        ssize_t n;
        while ((n = read(fd, block, sizeof(block))) > 0) {
                if (write_all(fd, block, (size_t)n) < 0)
                        return;
        }
}

static void do_sink(int fd, unsigned long long left)
{
        unsigned long long sum = 0;
        char text[64];
        while (left > 0) {
                ssize_t n = read(fd, block, sizeof(block));
                if (n <= 0)
                        break;
                sum += (unsigned char)block[0];
                left -= (unsigned long long)n;
        }
        (void)snprintf(text, sizeof(text), "left %llu sum %llu\n", left, sum);
        (void)write_all(fd, text, strlen(text));
}

static void do_source(int fd, unsigned long long left)
{
        memset(block, 'x', sizeof(block));
        while (left > 0) {
                size_t n = left < sizeof(block) ? (size_t)left : sizeof(block);
                if (write_all(fd, block, n) < 0)
                        return;
                left -= n;
        }
}

static void do_disk(int fd, const char *path)
{
        char text[128], head[9] = {0};
        int disk = open(path, O_RDONLY);
        if (disk < 0 || read(disk, head, 8) != 8) {
                (void)snprintf(text, sizeof(text), "error %d\n", errno);
        } else {
                int readonly = 0;
                (void)ioctl(disk, BLKROGET, &readonly);
                (void)snprintf(text, sizeof(text), "%s %lld %s\n", head, (long long)lseek(disk, 0, SEEK_END),
                               readonly ? "ro" : "rw");
        }
        (void)write_all(fd, text, strlen(text));
}

static long long now_us(void)
{
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How long it takes to read a disk through, and 1000 times 4 KiB here and there, past the guest's cache. */
static void do_read(int fd, const char *path)
{
        char text[128];
        static char place[64 << 10] __attribute__((aligned(4096)));
        unsigned long long seed = 1;
        int disk = open(path, O_RDONLY | O_DIRECT);
        long long size = lseek(disk, 0, SEEK_END), begin = now_us();
        for (long long at = 0; at < size; at += (long long)sizeof(place)) {
                if (pread(disk, place, sizeof(place), at) <= 0)
                        break;
        }
        long long middle = now_us();
        for (unsigned i = 0; i < 1000; i++) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                if (pread(disk, place, 4096,
                          (long long)((seed >> 20) % ((unsigned long long)size / 4096) * 4096)) <= 0)
                        break;
        }
        (void)snprintf(text, sizeof(text), "through %lld us, 1000 places %lld us\n", middle - begin,
                       now_us() - middle);
        (void)write_all(fd, text, strlen(text));
}

static void serve(int fd)
{
        char line[256];
        if (read_line(fd, line, sizeof(line)) < 0)
                return;
        if (strcmp(line, "echo") == 0)
                do_echo(fd);
        else if (strncmp(line, "sink ", 5) == 0)
                do_sink(fd, strtoull(line + 5, NULL, 10));
        else if (strncmp(line, "source ", 7) == 0)
                do_source(fd, strtoull(line + 7, NULL, 10));
        else if (strcmp(line, "sleep") == 0)
                (void)pause();
        else if (strncmp(line, "disk ", 5) == 0)
                do_disk(fd, line + 5);
        else if (strncmp(line, "read ", 5) == 0)
                do_read(fd, line + 5);
}

static int listen_port(void)
{
        struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1025, .svm_cid = VMADDR_CID_ANY};
        int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
                say("guest: cannot listen\n");
        return listener;
}

static _Noreturn void serve_port(int listener)
{
        (void)signal(SIGCHLD, SIG_IGN);
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0)
                        continue;
                if (fork() == 0) {
                        (void)close(listener);
                        serve(fd);
                        _exit(0);
                }
                (void)close(fd);
        }
}

static void flood(void)
{
        struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1024, .svm_cid = VMADDR_CID_HOST};
        unsigned refused = 0;
        char text[64];
        for (unsigned i = 0; i < 2000; i++) {
                int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
                address.svm_port = 1024 + i % 5;
                if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                        refused++;
                (void)close(fd);
        }
        (void)snprintf(text, sizeof(text), "flood %u\n", refused);
        (void)write_all(3, text, strlen(text));
}

static int connect_control(void)
{
        struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1024, .svm_cid = VMADDR_CID_HOST};
        int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -1;
        return dup2(fd, 3);
}

int main(void)
{
        char line[64];
        struct timespec now;
        (void)mount("dev", "/dev", "devtmpfs", 0, NULL);
        (void)mount("proc", "/proc", "proc", 0, NULL);
        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        int listener = listen_port(); /* before the host hears of us */
        if (fork() == 0)
                serve_port(listener);
        (void)close(listener);
        while (connect_control() < 0) {
                say("guest: cannot reach the host\n");
                (void)sleep(1);
        }
        (void)snprintf(line, sizeof(line), "hello %lld\n",
                       (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
        (void)write_all(3, line, strlen(line));
        while (read_line(3, line, sizeof(line)) == 0) {
                if (strcmp(line, "reset") == 0)
                        (void)reboot(RB_AUTOBOOT);
                else if (strcmp(line, "panic") == 0)
                        return 1; /* PID 1 may not end */
                else if (strcmp(line, "flood") == 0)
                        flood();
                else if (strncmp(line, "print ", 6) == 0) {
                        say(line + 6);
                        say("\n");
                        (void)tcdrain(1); /* a panic would cut what is still on its way */
                }
        }
        (void)reboot(RB_AUTOBOOT);
        return 1;
}
