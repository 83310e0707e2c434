/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the command line of `run` and `create` to struct boxlet_box_options. What docker knows and a box has
 * not is listed here by name.
 */
#include "cli/box-plan.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "cli/progress.h"
#include "cli/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct box_plan, member)
#define NANO       UINT64_C(1000000000)

const struct cli_option box_plan_options[] = {
    {0, "annotation", OPTION_LIST, AT(annotations), "KEY=VALUE", "Put an annotation into the OCI document"},
    {0, "cap-add", OPTION_LIST, AT(cap_add), "CAPABILITY", "Give a Linux capability (ALL for all)"},
    {0, "cap-drop", OPTION_LIST, AT(cap_drop), "CAPABILITY", "Take a Linux capability (ALL for all)"},
    {0, "cidfile", OPTION_PATH, AT(id_file), "FILE",
     "Write the id of the box into a file, which must not exist", NULL, OPERAND_FILE},
    {0, "cmd", OPTION_LIST, AT(cmd), "ARG",
     "Argument for the entry point, which is init then; a COMMAND runs beside it, as the foreground"},
    {0, "cpus", OPTION_TEXT, AT(cpus), "NUMBER",
     "Virtual CPUs; 2 by default, or as many as the host has; 1.5 are two that get three quarters of their "
     "time"},
    {0, "debug-console", OPTION_FLAG, AT(debug_console), NULL,
     "Keep all that the guest's kernel says in console.log; slow"},
    {0, "disk-size", OPTION_SIZE, AT(disk), "SIZE", "Room on the box's own disk; 10g by default"},
    {0, "docker-socket", OPTION_PATH, AT(docker_socket), "PATH",
     "With --support-docker: a unix socket on the host that leads to the engine in the box", NULL,
     OPERAND_FILE},
    {0, "engine", OPTION_CHOICE, AT(engine), "ENGINE", "What runs the machine", "auto|kvm|qemu|qemu-kvm",
     OPERAND_CHOICE},
    {0, "entrypoint", OPTION_TEXT, AT(entrypoint), "PROGRAM",
     "Replace the image's ENTRYPOINT; \"\" for none"},
    {'e', "env", OPTION_LIST, AT(env), "NAME[=VALUE]",
     "Set an environment variable; NAME alone passes on yours"},
    {0, "env-file", OPTION_LIST, AT(env_files), "FILE", "Read environment variables from a file", NULL,
     OPERAND_FILE},
    {0, "env-host", OPTION_FLAG, AT(env_host), NULL, "Pass on all of your environment, under the others"},
    {0, "health-cmd", OPTION_TEXT, AT(health_cmd), "COMMAND",
     "Check the health of the box by this shell command; 'none' for no check"},
    {0, "health-interval", OPTION_DURATION, AT(health_interval_ms), "TIME", "Between checks; 30s by default"},
    {0, "health-retries", OPTION_COUNT, AT(health_retries), "NUMBER",
     "Failures in a row that make it unhealthy; 3 by default"},
    {0, "health-start-interval", OPTION_DURATION, AT(health_start_interval_ms), "TIME",
     "Between checks in the start period; 5s by default"},
    {0, "health-start-period", OPTION_DURATION, AT(health_start_period_ms), "TIME",
     "How long failures do not count after the start; 0s by default"},
    {0, "health-timeout", OPTION_DURATION, AT(health_timeout_ms), "TIME",
     "When a check is killed with all it started; 30s by default"},
    {'h', "hostname", OPTION_TEXT, AT(hostname), "NAME",
     "Host name in the box; the start of its id by default"},
    {0, "idle-stop", OPTION_DURATION, AT(idle_stop_ms), "TIME",
     "Stop it when for so long nobody was in it, and it printed, received and sent nothing"},
    {0, "init", OPTION_FLAG, AT(init), NULL, "Run a small init as process 1, which reaps what is orphaned"},
    {'i', "interactive", OPTION_FLAG, AT(interactive), NULL, "Keep standard input open"},
    {0, "jail", OPTION_CHOICE, AT(jail), "HOW",
     "Jail the machine's process as far as the host allows, or refuse to start where a part is missing",
     "auto|require", OPERAND_CHOICE},
    {0, "kernel", OPTION_PATH, AT(kernel), "FILE", "Boot this kernel (an uncompressed vmlinux)", NULL,
     OPERAND_FILE},
    {'l', "label", OPTION_LIST, AT(labels), "KEY[=VALUE]", "Put a label on the box"},
    {0, "label-file", OPTION_LIST, AT(label_files), "FILE", "Read labels from a file, a line for each", NULL,
     OPERAND_FILE},
    {0, "log-driver", OPTION_CHOICE, AT(log_driver), "DRIVER", "Where its output is kept: there is one",
     "json-file", OPERAND_CHOICE},
    {0, "log-opt", OPTION_LIST, AT(log_opts), "KEY=VALUE",
     "max-size=SIZE of a file of the log, 8m by default; max-file=NUMBER of them, 2 by default"},
    {'m', "memory", OPTION_SIZE, AT(memory), "SIZE", "Memory of the machine; 512m by default"},
    {0, "mount", OPTION_LIST, AT(mounts), "type=TYPE,target=PATH[,KEY=VALUE]",
     "Mount a volume, a folder of the host (bind) or memory (tmpfs), as docker's --mount"},
    {0, "name", OPTION_TEXT, AT(name), "NAME", "Name of the box; one is made up by default"},
    {0, "network", OPTION_TEXT, AT(network), "NETWORK", "Network of the box: default or none", "default|none",
     OPERAND_CHOICE},
    {0, "net", OPTION_TEXT, AT(network), "NETWORK", NULL},
    {0, "no-healthcheck", OPTION_FLAG, AT(no_health), NULL, "No health checks, whatever the image says"},
    {0, "pidfile", OPTION_PATH, AT(pid_file), "FILE",
     "File that has the process id of the box's monitor while the box runs", NULL, OPERAND_FILE},
    {0, "pids-limit", OPTION_COUNT, AT(pids_limit), "NUMBER",
     "At most so many processes and threads in the box; 0 for no limit, as by default"},
    {0, "platform", OPTION_CHOICE, AT(platform), "PLATFORM", "Platform of the image", "linux/amd64",
     OPERAND_CHOICE},
    {'p', "publish", OPTION_LIST, AT(publish), "[[IP:]HOST:]BOX[/PROTO]",
     "Publish a port of the box, or a range FIRST-LAST, on the host; host port 0 or none for any free one"},
    {0, "pull", OPTION_CHOICE, AT(pull), "WHEN", "When to fetch the image from its registry",
     "missing|always|never", OPERAND_CHOICE},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Show no progress of the pull"},
    {0, "read-only", OPTION_FLAG, AT(read_only), NULL, "Make the root file system read-only"},
    {0, "restart", OPTION_TEXT, AT(restart), "POLICY",
     "Whether it is started again when it has ended: no, on-failure[:N], always or unless-stopped"},
    {0, "rm", OPTION_FLAG, AT(auto_remove), NULL, "Remove the box when it has ended"},
    {0, "stop-after", OPTION_DURATION, AT(stop_after_ms), "TIME", "Stop it when it has run for so long"},
    {0, "stop-signal", OPTION_TEXT, AT(stop_signal), "SIGNAL", "Signal that asks the box to stop"},
    {0, "stop-timeout", OPTION_DURATION, AT(stop_timeout_ms), "TIME",
     "How long a stop waits before it kills; 10s by default, 120s with --support-docker"},
    {0, "support-docker", OPTION_FLAG, AT(support_docker), NULL,
     "Let it run a Docker engine (--privileged is the same): everything in the box is root, the machine is "
     "the wall; 2g of memory by "
     "default"},
    {0, "privileged", OPTION_FLAG, AT(support_docker), NULL, NULL},
    {0, "tmpfs", OPTION_LIST, AT(tmpfs), "PATH[:OPTIONS]", "Mount a file system in memory"},
    {'t', "tty", OPTION_FLAG, AT(terminal), NULL, "Run on a terminal of its own"},
    {0, "ulimit", OPTION_LIST, AT(ulimits), "NAME=SOFT[:HARD]", "Set a resource limit"},
    {'u', "user", OPTION_TEXT, AT(user), "USER[:GROUP]", "Run as this user (and group), by name or number"},
    {'v', "volume", OPTION_LIST, AT(volumes), "[SOURCE:]PATH[:OPTIONS]",
     "Mount a volume (by its name) or a folder of the host (/FOLDER or ./FOLDER); ro: read-only"},
    {'w', "workdir", OPTION_TEXT, AT(working_dir), "PATH", "Working folder"},
    {0},
};

const struct refused_option box_plan_refused[] = {
    {0, "add-host", NULL},
    {0, "allow-net", NULL},
    {'a', "attach", "without -d, stdout and stderr are attached, and stdin with -i"},
    {0, "blkio-weight", NULL},
    {0, "blkio-weight-device", NULL},
    {0, "cgroup-parent", "a box is a machine of its own"},
    {0, "cgroupns", "a box is a machine of its own"},
    {0, "cpu-count", "use --cpus"},
    {0, "cpu-percent", "use --cpus"},
    {0, "cpu-period", "use --cpus"},
    {0, "cpu-quota", "use --cpus"},
    {0, "cpu-rt-period", NULL},
    {0, "cpu-rt-runtime", NULL},
    {'c', "cpu-shares", "use --cpus"},
    {0, "cpuset-cpus", "use --cpus, or start boxlet under taskset"},
    {0, "cpuset-mems", NULL},
    {0, "device", "a box sees no device of the host"},
    {0, "device-cgroup-rule", "a box sees no device of the host"},
    {0, "device-read-bps", NULL},
    {0, "device-read-iops", NULL},
    {0, "device-write-bps", NULL},
    {0, "device-write-iops", NULL},
    {0, "disable-content-trust", NULL},
    {0, "dns", "the box asks the host's resolver"},
    {0, "dns-option", "the box asks the host's resolver"},
    {0, "dns-search", "the box asks the host's resolver"},
    {0, "domainname", NULL},
    {0, "expose", "use -p to publish a port"},
    {0, "gpus", "a box sees no device of the host"},
    {0, "group-add", NULL},
    {0, "ip", NULL},
    {0, "ip6", NULL},
    {0, "ipc", "a box is a machine of its own"},
    {0, "isolation", "a box is always a virtual machine"},
    {0, "kernel-memory", NULL},
    {0, "link", NULL},
    {0, "link-local-ip", NULL},
    {0, "mac-address", NULL},
    {0, "memory-reservation", "use --memory"},
    {0, "memory-swap", "use --memory"},
    {0, "memory-swappiness", NULL},
    {0, "net-alias", NULL},
    {0, "network-alias", NULL},
    {0, "oom-kill-disable", NULL},
    {0, "oom-score-adj", NULL},
    {0, "pid", "a box is a machine of its own"},
    {'P', "publish-all", "name each port with -p"},
    {0, "runtime", "see --engine"},
    {0, "security-opt", NULL},
    {0, "shm-size", "use --tmpfs /dev/shm:size=SIZE"},
    {0, "storage-opt", "use --disk-size"},
    {0, "sysctl", NULL},
    {0, "use-api-socket", NULL},
    {0, "userns", "a box is a machine of its own"},
    {0, "uts", "a box is a machine of its own"},
    {0, "volume-driver", NULL},
    {0, "volumes-from", NULL},
    {0},
};

void box_plan_defaults(void *data)
{
        struct box_plan *plan = data;
        plan->stop_timeout_ms = -1;
        plan->pull = "missing";
        plan->engine = getenv("BOXLET_ENGINE"); /* checked by the library */
        if (plan->engine != NULL && plan->engine[0] == '\0')
                plan->engine = NULL;
}

static int check_log(struct box_plan *plan, struct error *err)
{
        for (size_t i = 0; i < plan->log_opts.count; i++) {
                const char *text = plan->log_opts.items[i];
                if (strncmp(text, "max-size=", 9) == 0) {
                        if (value_size(text + 9, &plan->log_size) < 0 || plan->log_size == 0)
                                return error_set(err, -EINVAL,
                                                 "invalid value '%s' for --log-opt: not a size; a log always "
                                                 "has a limit",
                                                 text);
                } else if (strncmp(text, "max-file=", 9) == 0) {
                        if (value_count(text + 9, &plan->log_files) < 0 || plan->log_files < 1 ||
                            plan->log_files > 100)
                                return error_set(err, -EINVAL,
                                                 "invalid value '%s' for --log-opt: there are 1 to 100 files",
                                                 text);
                } else {
                        return error_set(err, -ENOTSUP,
                                         "--log-opt %s is not supported: there are max-size and max-file",
                                         text);
                }
        }
        return 0;
}

static int check_health(struct box_plan *plan, struct error *err)
{
        bool described = plan->health_interval_ms != 0 || plan->health_timeout_ms != 0 ||
                         plan->health_retries != 0 || plan->health_start_period_ms != 0 ||
                         plan->health_start_interval_ms != 0;
        if (plan->health_cmd != NULL && strcmp(plan->health_cmd, "none") == 0) {
                plan->health_cmd = NULL; /* as podman has it */
                plan->no_health = true;
        }
        if (plan->no_health && (described || plan->health_cmd != NULL))
                return error_set(err, -EINVAL, "--no-healthcheck does not go with other options of health");
        if (plan->health_retries > UINT32_MAX)
                return error_set(err, -EINVAL, "invalid value '%lld' for --health-retries: too many",
                                 (long long)plan->health_retries);
        return 0;
}

int box_plan_check(void *data, struct error *err)
{
        struct box_plan *plan = data;
        int signal;
        if (plan->operands.items[0][0] == '\0')
                return error_set(err, -EINVAL, "the name of the image is empty");
        if (plan->network != NULL && strcmp(plan->network, "bridge") == 0)
                plan->network = "default"; /* docker's name for it */
        if (plan->network != NULL && strcmp(plan->network, "default") != 0 &&
            strcmp(plan->network, "none") != 0)
                return error_set(err, -ENOTSUP, "--network %s is not supported: use default or none",
                                 plan->network);
        if (plan->cpus != NULL && value_cpus(plan->cpus, &plan->nano_cpus) < 0)
                return error_set(err, -EINVAL, "invalid value '%s' for --cpus: not a number such as 2 or 1.5",
                                 plan->cpus);
        if (plan->stop_signal != NULL && value_signal(plan->stop_signal, &signal) < 0)
                return error_set(err, -EINVAL, "invalid value '%s' for --stop-signal: not a signal",
                                 plan->stop_signal);
        if (plan->kernel != NULL && !text_is_utf8(plan->kernel))
                return error_set(err, -EINVAL, "the value of --kernel is not UTF-8 text");
        if (plan->pid_file != NULL && !text_is_utf8(plan->pid_file))
                return error_set(err, -EINVAL, "the value of --pidfile is not UTF-8 text");
        int r = check_log(plan, err);
        if (r == 0)
                r = check_health(plan, err);
        if (r == 0 && plan->env_host)
                r = env_add_host(&plan->environment, err);
        if (r == 0)
                r = env_fill(&plan->environment, &plan->env_files, &plan->env, err);
        plan->label_set.labels = true;
        return r < 0 ? r : env_fill(&plan->label_set, &plan->label_files, &plan->labels, err);
}

void box_plan_done(void *data)
{
        struct box_plan *plan = data;
        env_done(&plan->environment);
        env_done(&plan->label_set);
}

static enum boxlet_pull pull_policy(const char *name)
{
        if (strcmp(name, "always") == 0)
                return BOXLET_PULL_ALWAYS;
        return strcmp(name, "never") == 0 ? BOXLET_PULL_NEVER : BOXLET_PULL_MISSING;
}

void box_plan_options_for(const struct box_plan *plan, struct boxlet_box_options *ret_options)
{
        struct boxlet_box_options options = BOXLET_BOX_OPTIONS_INIT;
        options.image = plan->operands.items[0];
        options.command = plan->operands.count > 1 ? plan->operands.items + 1 : NULL;
        options.name = plan->name;
        options.entrypoint = plan->entrypoint;
        options.env = (const char *const *)plan->environment.strings;
        options.user = plan->user;
        options.working_dir = plan->working_dir;
        options.hostname = plan->hostname;
        options.publish = plan->publish.items;
        options.network = plan->network;
        options.cpus = (uint32_t)((plan->nano_cpus + NANO - 1) / NANO);
        options.nano_cpus = plan->nano_cpus % NANO != 0 ? plan->nano_cpus : 0;
        options.pids_limit = plan->pids_limit;
        options.memory_bytes = plan->memory;
        options.disk_bytes = plan->disk;
        options.engine = plan->engine;
        options.kernel = plan->kernel;
        options.tmpfs = plan->tmpfs.items;
        options.volumes = plan->volumes.items;
        options.mounts = plan->mounts.items;
        options.ulimits = plan->ulimits.items;
        options.cap_add = plan->cap_add.items;
        options.cap_drop = plan->cap_drop.items;
        options.labels = (const char *const *)plan->label_set.strings;
        options.annotations = plan->annotations.items;
        options.pid_file = plan->pid_file;
        options.log_file_bytes = plan->log_size;
        options.log_files = (uint32_t)plan->log_files;
        options.health_cmd = plan->health_cmd;
        options.health_interval_ms = plan->health_interval_ms;
        options.health_timeout_ms = plan->health_timeout_ms;
        options.health_start_period_ms = plan->health_start_period_ms;
        options.health_start_interval_ms = plan->health_start_interval_ms;
        options.health_retries = (uint32_t)plan->health_retries;
        options.no_health = plan->no_health;
        options.stop_signal = plan->stop_signal;
        options.stop_timeout_ms = plan->stop_timeout_ms;
        options.terminal = plan->terminal;
        options.stdin_open = plan->interactive;
        options.read_only = plan->read_only;
        options.init = plan->init;
        options.auto_remove = plan->auto_remove;
        options.pull = pull_policy(plan->pull);
        options.docker_socket = plan->docker_socket;
        options.support_docker = plan->support_docker;
        options.cmd = plan->cmd.items;
        options.debug_console = plan->debug_console;
        options.restart = plan->restart;
        options.stop_after_ms = plan->stop_after_ms;
        options.idle_stop_ms = plan->idle_stop_ms;
        options.jail = plan->jail;
        *ret_options = options;
}

/* Made before the box is, so that no other box can be meant by it. *ret_fd is -1 without a path. */
static int make_id_file(const char *path, int *ret_fd, struct boxlet_error *error)
{
        *ret_fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (path == NULL || *ret_fd >= 0)
                return 0;
        error->code = -errno;
        if (errno == EEXIST)
                (void)snprintf(error->text, sizeof(error->text),
                               "the file '%s' for the id exists: remove it if its box is gone", path);
        else
                (void)snprintf(error->text, sizeof(error->text), "make the file '%s' for the id: %s", path,
                               strerror(errno));
        return error->code;
}

/* A box whose id could not be written goes again. */
static int write_id_file(const char *path, int fd, struct boxlet_box *box, struct boxlet_error *error)
{
        const char *id = boxlet_box_id(box);
        int r = fd_write_full(fd, id, strlen(id));
        if (r == 0)
                return 0;
        (void)boxlet_box_remove(box, 1, NULL); /* what stays is shown by `ls -a` */
        boxlet_box_free(box);
        error->code = r;
        (void)snprintf(error->text, sizeof(error->text), "write the id into '%s': %s", path, strerror(-r));
        return r;
}

int box_plan_create(struct cli *cli, const struct box_plan *plan, struct boxlet_box **ret_box,
                    struct boxlet_error *error)
{
        cleanup_fd int id_fd = -1;
        struct boxlet_box *box = NULL;
        struct boxlet_box_options options;
        struct progress progress;
        if (make_id_file(plan->id_file, &id_fd, error) < 0)
                return error->code;
        box_plan_options_for(plan, &options);
        progress_begin(&progress, cli, plan->quiet);
        options.progress = progress_event;
        options.progress_data = &progress;
        int r = boxlet_box_create(cli->boxlet, &options, &box, error);
        progress_end(&progress);
        if (r >= 0 && id_fd >= 0)
                r = write_id_file(plan->id_file, id_fd, box, error);
        if (r < 0 && id_fd >= 0)
                (void)unlink(plan->id_file); /* an empty one is told the next time */
        if (r >= 0)
                *ret_box = box;
        return r;
}
