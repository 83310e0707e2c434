/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet stop: several boxes at once, so that the slowest one says how long it takes, not the sum of all. */
#include "cli/stop.h"

#include <pthread.h>

#define AT_ONCE 16

struct stop_plan {
        struct text_list operands;
        int64_t timeout_ms;
};

static const struct cli_option options[] = {
    {'t', "timeout", OPTION_DURATION, offsetof(struct stop_plan, timeout_ms), "TIME",
     "How long to wait before it is killed; the box's own (10s) by default"},
    {0, "time", OPTION_DURATION, offsetof(struct stop_plan, timeout_ms), "TIME", NULL},
    {0},
};

static const struct refused_option refused[] = {
    {'s', "signal", "see --stop-signal of 'boxlet run', or 'boxlet kill -s'"},
    {0},
};

static void defaults(void *data)
{
        ((struct stop_plan *)data)->timeout_ms = -1;
}

/* One box, in a thread of its own with a handle of its own. */
struct stop {
        const char *name;
        int64_t timeout_ms;
        bool shutdown;
        int result;
        bool joined;
        pthread_t thread;
        struct boxlet_error error;
};

static int stop_one(struct stop *stop)
{
        struct boxlet *boxlet = NULL;
        struct boxlet_box *box = NULL;
        int r = boxlet_open(NULL, &boxlet, &stop->error);
        if (r >= 0)
                r = boxlet_box_get(boxlet, stop->name, &box, &stop->error);
        if (r >= 0)
                r = stop->shutdown ? boxlet_box_shutdown(box, stop->timeout_ms, &stop->error)
                                   : boxlet_box_stop(box, stop->timeout_ms, &stop->error);
        boxlet_box_free(box);
        boxlet_close(boxlet);
        return r;
}

static void *run_thread(void *data)
{
        struct stop *stop = data;
        stop->result = stop_one(stop);
        return NULL;
}

/* At most AT_ONCE boxes; they are told in the order they were named. */
static int stop_batch(struct cli *cli, struct stop *stops, size_t count)
{
        int code = 0;
        for (size_t i = 0; i < count; i++) {
                stops[i].joined =
                    count > 1 && pthread_create(&stops[i].thread, NULL, run_thread, &stops[i]) == 0;
                if (!stops[i].joined)
                        stops[i].result = stop_one(&stops[i]);
        }
        for (size_t i = 0; i < count; i++) {
                if (stops[i].joined)
                        (void)pthread_join(stops[i].thread, NULL); /* cannot fail for a thread of ours */
                if (stops[i].result < 0)
                        code = cli_fail(cli, &stops[i].error);
                else
                        printf("%s\n", stops[i].name);
        }
        return code;
}

int stop_boxes(struct cli *cli, const char *const *names, size_t count, int64_t timeout_ms, bool shutdown)
{
        int code = 0;
        for (size_t done = 0; done < count;) {
                struct stop stops[AT_ONCE] = {{0}};
                size_t batch = 0;
                for (; batch < AT_ONCE && done < count; batch++, done++) {
                        stops[batch].name = names[done];
                        stops[batch].timeout_ms = timeout_ms;
                        stops[batch].shutdown = shutdown;
                }
                int one = stop_batch(cli, stops, batch);
                code = one != 0 ? one : code;
        }
        return code;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct stop_plan *plan = data;
        return stop_boxes(cli, plan->operands.items, plan->operands.count, plan->timeout_ms, false);
}

const struct command command_stop = {
    .name = "stop",
    .operands = "BOX...",
    .summary = "Stop running boxes",
    .description =
        "Sends the box's stop signal, and SIGKILL when the time is over; ends when the box is down.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct stop_plan),
    .defaults = defaults,
    .carry_out = carry_out,
};
