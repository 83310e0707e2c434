/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet update: what can change after a box was made. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

struct update_plan {
        struct text_list operands;
        const char *restart;
        int64_t cpus;
        uint64_t memory;
};

#define AT(member) offsetof(struct update_plan, member)

static const struct cli_option options[] = {
    {0, "cpus", OPTION_COUNT, AT(cpus), "NUMBER", "Virtual CPUs, from the next start on"},
    {'m', "memory", OPTION_SIZE, AT(memory), "SIZE", "Memory of the machine, from the next start on"},
    {0, "restart", OPTION_TEXT, AT(restart), "POLICY",
     "Whether it is started again: no, on-failure[:N], always or unless-stopped; at once"},
    {0},
};

static const struct refused_option refused[] = {
    {0, "blkio-weight", NULL},
    {0, "cpu-period", "use --cpus"},
    {0, "cpu-quota", "use --cpus"},
    {0, "cpu-rt-period", NULL},
    {0, "cpu-rt-runtime", NULL},
    {'c', "cpu-shares", "use --cpus"},
    {0, "cpuset-cpus", "use --cpus, or start boxlet under taskset"},
    {0, "cpuset-mems", NULL},
    {0, "disk-size", "a box keeps the disk it was made with"},
    {0, "kernel-memory", NULL},
    {0, "memory-reservation", "use --memory"},
    {0, "memory-swap", "use --memory"},
    {0, "pids-limit", "use --ulimit nproc=NUMBER of 'boxlet run'"},
    {0},
};

static int check(void *data, struct error *err)
{
        const struct update_plan *plan = data;
        if (plan->restart == NULL && plan->cpus == 0 && plan->memory == 0)
                return error_set(err, -EINVAL, "nothing to change: give --restart, --cpus or --memory");
        if (plan->cpus > UINT32_MAX)
                return error_set(err, -EINVAL, "invalid value '%lld' for --cpus: too many",
                                 (long long)plan->cpus);
        return 0;
}

static int update_one(struct cli *cli, const char *name, void *data, struct boxlet_error *error)
{
        const struct update_plan *plan = data;
        struct boxlet_box_update changes = BOXLET_BOX_UPDATE_INIT;
        struct boxlet_box *box = NULL;
        changes.restart = plan->restart;
        changes.cpus = (uint32_t)plan->cpus;
        changes.memory_bytes = plan->memory;
        int r = boxlet_box_get(cli->boxlet, name, &box, error);
        if (r >= 0)
                r = boxlet_box_update(box, &changes, error);
        if (r >= 0) {
                printf("%s\n", name);
                if ((plan->cpus != 0 || plan->memory != 0) && cli_box_is_up(boxlet_box_state(box, NULL)))
                        cli_note(cli, "box '%s' runs on as it is; its next start has the new size", name);
        }
        boxlet_box_free(box);
        return r;
}

static int carry_out(struct cli *cli, void *data)
{
        struct update_plan *plan = data;
        return cli_each(cli, &plan->operands, update_one, plan);
}

const struct command command_update = {
    .name = "update",
    .operands = "BOX...",
    .summary = "Change boxes that were made already",
    .description = "Prints the names of the boxes that were changed.",
    .options = options,
    .refused = refused,
    .minimum_operands = 1,
    .maximum_operands = -1,
    .first = OPERAND_BOX,
    .others = OPERAND_BOX,
    .plan_size = sizeof(struct update_plan),
    .check = check,
    .carry_out = carry_out,
};
