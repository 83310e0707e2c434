/* SPDX-License-Identifier: Apache-2.0 */
/* udp-echo PORT: sends every datagram back to where it came from (Debian's busybox has no UDP server). */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"))};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return 1;
        for (;;) {
                char datagram[2048];
                struct sockaddr_in from;
                socklen_t length = sizeof(from);
                ssize_t n = recvfrom(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &length);
                if (n < 0 || sendto(fd, datagram, (size_t)n, 0, (struct sockaddr *)&from, length) < 0)
                        return 1;
        }
}
