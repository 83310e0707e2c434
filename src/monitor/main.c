/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet-monitor: one process for each box that runs, started by libboxlet (docs/protocol.md, section 6).
 * Descriptors come in by number; everything else is read from the box's folder.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "monitor/box.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_MISUSE 2

static const char usage[] = "usage: boxlet-monitor --box-fd N --lock-fd N [--client-fd N] [--hold]\n"
                            "Runs one box. boxlet starts it; there is no use in doing that by hand.\n";

/* An inherited descriptor, which is not to be inherited further. */
static int parse_fd(const char *text, int *ret_fd)
{
        char *end;
        errno = 0;
        long fd = strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || fd < 3 || fd > 1 << 20)
                return -EINVAL;
        int r = fd_set_cloexec((int)fd, 1);
        if (r == 0)
                *ret_fd = (int)fd;
        return r;
}

static int parse(int argc, char **argv, struct box_plan *plan)
{
        static const struct option options[] = {{"box-fd", required_argument, NULL, 'b'},
                                                {"lock-fd", required_argument, NULL, 'l'},
                                                {"client-fd", required_argument, NULL, 'c'},
                                                {"hold", no_argument, NULL, 'h'},
                                                {"help", no_argument, NULL, '?'},
                                                {NULL, 0, NULL, 0}};
        int r = 0;
        for (int o; r == 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
                if (o == 'b')
                        r = parse_fd(optarg, &plan->box_fd);
                else if (o == 'l')
                        r = parse_fd(optarg, &plan->lock_fd);
                else if (o == 'c')
                        r = parse_fd(optarg, &plan->client_fd);
                else if (o == 'h')
                        plan->hold = true;
                else
                        r = -EINVAL;
        }
        return r == 0 && optind == argc && plan->box_fd >= 0 && plan->lock_fd >= 0 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
        struct box_plan plan = {.box_fd = -1, .lock_fd = -1, .client_fd = -1, .log_fd = -1};
        struct error err = ERROR_INIT;
        struct loop *loop;
        struct box *box;
        if (parse(argc, argv, &plan) < 0) {
                (void)fputs(usage, stderr);
                return EXIT_MISUSE;
        }
        (void)setsid(); /* fails when the caller made one for us */
        (void)signal(SIGPIPE, SIG_IGN);
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* Linux 3.4: cannot fail */
        plan.log_fd = openat(plan.box_fd, "monitor.log",
                             O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (plan.log_fd < 0)
                plan.log_fd = STDERR_FILENO;
        const char *debug = getenv("BOXLET_DEBUG");
        log_init("boxlet-monitor", plan.log_fd,
                 debug != NULL && strcmp(debug, "1") == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        int r = loop_new(&loop);
        if (r < 0)
                return EXIT_FAILURE;
        r = box_new(loop, &plan, &box, &err);
        if (r < 0) {
                log_error("%s", err.text);
        } else {
                r = loop_run(loop);
                box_free(box);
        }
        loop_free(loop);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
