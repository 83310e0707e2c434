/* SPDX-License-Identifier: Apache-2.0 */
/* unix-echo PATH: sends every byte of each connection back; at its end, says how many there were and ends. */
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int serve(int fd)
{
        static char bytes[65536];
        unsigned long long total = 0;
        ssize_t n;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
                total += (unsigned long long)n;
                for (ssize_t at = 0, w; at < n; at += w) {
                        w = write(fd, bytes + at, (size_t)(n - at));
                        if (w <= 0)
                                return 1;
                }
        }
        dprintf(fd, "%llu bytes\n", total);
        return 0;
}

int main(int argc, char **argv)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        (void)signal(SIGCHLD, SIG_IGN);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)strncpy(address.sun_path, argc > 1 ? argv[1] : "", sizeof(address.sun_path) - 1);
        (void)unlink(address.sun_path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
                return 1;
        printf("listening\n");
        (void)fflush(stdout);
        for (;;) {
                int connection = accept(fd, NULL, NULL);
                if (connection >= 0 && fork() == 0)
                        return serve(connection);
                (void)close(connection);
        }
}
