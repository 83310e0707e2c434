/* SPDX-License-Identifier: Apache-2.0 */
/* The program boxlet. Descriptors 0 to 2 are made sure of first: a file that is opened later must not become
 * somebody's standard output. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        for (int fd = 0; fd <= 2; fd++) {
                /* open() takes the lowest free number, which is fd; kept over exec like any standard stream
                 */
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
                        return CLI_BOXLET_FAILED;
        }
        return cli_main(argc, argv);
}
