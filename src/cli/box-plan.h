/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_BOX_PLAN_H
#define CLI_BOX_PLAN_H

/* What `run` and `create` have in common: everything that makes a box. */
#include "cli/cli.h"
#include "cli/env.h"

struct box_plan {
        struct text_list operands;
        const char *name, *entrypoint, *hostname, *user, *working_dir;
        const char *network, *engine, *kernel, *pull, *platform, *stop_signal, *docker_socket, *cpus;
        const char *id_file, *pid_file, *restart, *jail;
        struct text_list env, env_files, publish, tmpfs, ulimits, cap_add, cap_drop, labels, cmd, volumes,
            mounts, label_files, annotations, log_opts;
        int64_t stop_timeout_ms, pids_limit, stop_after_ms, idle_stop_ms;
        uint64_t memory, disk, log_size, nano_cpus; /* nano_cpus: made by box_plan_check() of cpus */
        int64_t log_files, health_interval_ms, health_timeout_ms, health_start_period_ms,
            health_start_interval_ms, health_retries;
        const char *log_driver, *health_cmd;
        bool terminal, interactive, read_only, init, auto_remove, quiet, support_docker, debug_console,
            env_host, no_health;
        struct env environment, label_set; /* made by box_plan_check() */
};

extern const struct cli_option box_plan_options[];
extern const struct refused_option box_plan_refused[];

void box_plan_defaults(void *plan);
int box_plan_check(void *plan, struct error *err);
void box_plan_done(void *plan);

/* The options for the library; they borrow from the plan. */
void box_plan_options_for(const struct box_plan *plan, struct boxlet_box_options *ret_options);

/* Makes the box, pulling its image with progress if need be. */
int box_plan_create(struct cli *cli, const struct box_plan *plan, struct boxlet_box **ret_box,
                    struct boxlet_error *error);

#endif
