/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet logs: what a box printed, each stream to its own. The bytes are printed as they are, for that is
 * what a log is for; with -t, each line begins with its time.
 */
#include "cli/cli.h"
#include "cli/value.h"

#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct logs_plan {
        struct text_list operands;
        bool follow, times;
        int64_t tail, since_ns, until_ns;
};

#define AT(member) offsetof(struct logs_plan, member)

static const struct cli_option options[] = {
    {'f', "follow", OPTION_FLAG, AT(follow), NULL, "Go on until the box ends"},
    {0, "since", OPTION_TIME, AT(since_ns), "TIME",
     "Begin at this time: RFC 3339, unix time, or how long ago (10m)"},
    {'n', "tail", OPTION_TAIL, AT(tail), "LINES", "Begin this many lines before the end; all by default"},
    {'t', "timestamps", OPTION_FLAG, AT(times), NULL, "Begin each line with its time"},
    {0, "until", OPTION_TIME, AT(until_ns), "TIME", "End at this time"},
    {0},
};

static const struct refused_option refused[] = {
    {0, "details", NULL},
    {0},
};

struct printer {
        bool times;
        bool inside[2]; /* in the midst of a line of stdout, stderr */
        int failed;     /* -errno of a write */
};

static void defaults(void *data)
{
        ((struct logs_plan *)data)->tail = -1;
}

static int print_chunk(int stream, int64_t time_ns, const void *bytes, size_t size, void *data)
{
        struct printer *printer = data;
        const char *at = bytes;
        char time[VALUE_TIME_MAX + 1];
        int fd = stream == 2 ? STDERR_FILENO : STDOUT_FILENO;
        bool *inside = &printer->inside[stream == 2];
        int r = 0;
        (void)snprintf(time, sizeof(time), "%s ", value_print_time(time_ns, (char[VALUE_TIME_MAX]){0}));
        while (size > 0 && r == 0) {
                const char *end = printer->times ? memchr(at, '\n', size) : NULL;
                size_t line = end != NULL ? (size_t)(end - at) + 1 : size;
                if (printer->times && !*inside)
                        r = fd_write_full(fd, time, strlen(time));
                if (r == 0)
                        r = fd_write_full(fd, at, line);
                *inside = at[line - 1] != '\n';
                at += line;
                size -= line;
        }
        printer->failed = r;
        return r < 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct logs_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_box *box = NULL;
        struct boxlet_log_options log = BOXLET_LOG_OPTIONS_INIT;
        struct printer printer = {.times = plan->times};
        int code = cli_open(cli);
        if (code != 0)
                return code;
        log.since_ns = plan->since_ns;
        log.until_ns = plan->until_ns;
        log.tail = plan->tail;
        log.follow = plan->follow;
        int r = boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error);
        if (r >= 0)
                r = boxlet_box_logs(box, &log, print_chunk, &printer, &error);
        if (printer.failed == -EPIPE)
                code = CLI_SIGNALLED(SIGPIPE);
        else if (printer.failed < 0)
                code = cli_complain(cli, "write: %s", strerror(-printer.failed));
        else if (r < 0)
                code = cli_fail(cli, &error);
        boxlet_box_free(box);
        return code;
}

const struct command command_logs = {
    .name = "logs",
    .operands = "BOX",
    .summary = "Show what a box has printed",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = 1,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct logs_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
