/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp-echo PORT: sends every datagram back to where it came from, IPv4 and IPv6 (Debian's busybox has no UDP
 * server). udp-echo PORT ADDRESS: sends "datagram" there, prints what comes back within 5 s; again up to
 * three times.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static int ask(const struct sockaddr *address, socklen_t length)
{
        static const char text[] = "datagram\n";
        const struct timeval patience = {.tv_sec = 5};
        char answer[64];
        int fd = socket(address->sa_family, SOCK_DGRAM, 0);
        if (fd < 0 || connect(fd, address, length) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
                return 1;
        for (int i = 0; i < 3; i++) {
                ssize_t n = send(fd, text, strlen(text), 0) < 0 ? -1 : recv(fd, answer, sizeof(answer), 0);
                if (n > 0)
                        return fwrite(answer, (size_t)n, 1, stdout) == 1 ? 0 : 1;
        }
        return 1;
}

int main(int argc, char **argv)
{
        in_port_t port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"));
        struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = port};
        struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = port};
        if (argc > 2 && inet_pton(AF_INET6, argv[2], &address.sin6_addr) == 1)
                return ask((struct sockaddr *)&address, sizeof(address));
        if (argc > 2)
                return inet_pton(AF_INET, argv[2], &address4.sin_addr) == 1
                           ? ask((struct sockaddr *)&address4, sizeof(address4))
                           : 2;
        int fd = socket(AF_INET6, SOCK_DGRAM, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return 1;
        for (;;) {
                char datagram[2048];
                struct sockaddr_storage from;
                socklen_t length = sizeof(from);
                ssize_t n = recvfrom(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &length);
                if (n < 0 || sendto(fd, datagram, (size_t)n, 0, (struct sockaddr *)&from, length) < 0)
                        return 1;
        }
}
