/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet system start-all and stop-all: what the service of a host's user does when the host comes up and
 * goes down (boxlet.service). Which boxes are to come back the library knows; they are started in the order
 * they were made. One that cannot be started does not keep the others from it.
 */
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "cli/stop.h"

#include <stdlib.h>
#include <string.h>

struct all_plan {
        struct text_list operands;
        int64_t timeout_ms;
};

/* The array of `boxlet ls`, or NULL after having said why not; *ret_code is the exit code then. */
static json_t *list_boxes(struct cli *cli, bool all, int *ret_code)
{
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        char *text = NULL;
        json_t *json = NULL;
        *ret_code = cli_open(cli);
        if (*ret_code != 0)
                return NULL;
        if (boxlet_box_list(cli->boxlet, all, &text, &error) < 0)
                *ret_code = cli_fail(cli, &error);
        else if (json_parse(text, strlen(text), "the list of boxes", &json, &err) < 0)
                *ret_code = cli_complain(cli, "%s", err.text);
        boxlet_free(text);
        return json;
}

static const char *id_at(const json_t *list, size_t index)
{
        const char *id = json_string_value(json_object_get(json_array_get(list, index), "Id"));
        return id == NULL ? "" : id;
}

static int start_box(struct cli *cli, struct boxlet_box *box)
{
        struct boxlet_error error = {0};
        struct boxlet_process *process = NULL;
        int wanted = boxlet_box_wants_start(box, &error);
        if (wanted == 0)
                return 0;
        int r = wanted < 0 ? wanted : boxlet_box_start(box, BOXLET_START_DETACHED, &process, &error);
        int code = r < 0 ? cli_fail(cli, &error) : session_await_start(cli, process, box);
        if (code == 0)
                printf("%s\n", boxlet_box_name(box));
        return code == 0 ? 0 : CLI_FAILURE;
}

static int start_all(struct cli *cli, void *data)
{
        int code;
        cleanup_json json_t *list = list_boxes(cli, true, &code);
        (void)data;
        for (size_t i = json_array_size(list); i > 0; i--) { /* the list begins with the newest */
                struct boxlet_error error = {0};
                struct boxlet_box *box = NULL;
                if (boxlet_box_get(cli->boxlet, id_at(list, i - 1), &box, &error) < 0)
                        continue; /* removed meanwhile */
                int one = start_box(cli, box);
                code = one != 0 ? one : code;
                boxlet_box_free(box);
        }
        return code;
}

static int stop_all(struct cli *cli, void *data)
{
        const struct all_plan *plan = data;
        int code;
        cleanup_json json_t *list = list_boxes(cli, false, &code);
        size_t count = json_array_size(list);
        cleanup_free const char **ids = calloc(count + 1, sizeof(*ids));
        if (ids == NULL)
                return cli_complain(cli, "out of memory");
        for (size_t i = 0; i < count; i++)
                ids[i] = id_at(list, i);
        return code != 0 ? code : stop_boxes(cli, ids, count, plan->timeout_ms, true);
}

static void stop_defaults(void *data)
{
        ((struct all_plan *)data)->timeout_ms = -1;
}

static const struct cli_option stop_options[] = {
    {'t', "timeout", OPTION_DURATION, offsetof(struct all_plan, timeout_ms), "TIME",
     "How long to wait before they are killed; each box's own (10s) by default"},
    {0},
};

const struct command command_system_start_all = {
    .name = "start-all",
    .summary = "Start the boxes that are to run after a reboot of the host",
    .description = "Those that were started before, do not run, and have the restart policy always, or "
                   "unless-stopped if nobody stopped or killed them. Prints their names.",
    .plan_size = sizeof(struct all_plan),
    .carry_out = start_all,
};

const struct command command_system_stop_all = {
    .name = "stop-all",
    .summary = "Stop all boxes because the host goes down",
    .description = "As 'boxlet stop' of every box that runs, but start-all brings them back by their policy. "
                   "Prints their ids.",
    .options = stop_options,
    .plan_size = sizeof(struct all_plan),
    .defaults = stop_defaults,
    .carry_out = stop_all,
};
