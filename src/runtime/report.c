/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in a box and what it uses: the agent's report, which is the guest's word, beside what the host's
 * kernel says about the box's processes (the monitor and its descendants).
 */
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/transfer.h"

#include "base/clock.h"
#include "base/path.h"
#include "runtime/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPORT_MAX     (16U << 20)
#define DESCENDANT_MAX 64

static int ask(int box_fd, const char *op, json_t **ret_report, struct error *err)
{
        cleanup_json json_t *request = json_pack("{s:s}", "op", op);
        cleanup_transfer struct transfer *t = NULL;
        cleanup_free char *text = NULL;
        size_t size;
        int r = transfer_open(box_fd, request, NULL, &t, NULL, err);
        if (r == 0)
                r = transfer_read_all(t, REPORT_MAX, &text, &size, err);
        return r < 0 ? r : json_parse(text, size, "the box's report", ret_report, err);
}

/* Needs the box to run as it is: nothing is to be seen of one that does not. */
static int ask_running(struct boxlet_box *box, const char *op, json_t **ret_report, int *ret_box_fd,
                       struct error *err)
{
        cleanup_fd int box_fd = -1;
        int r = machine_open_running(box, &box_fd, err);
        if (r == 0)
                r = ask(box_fd, op, ret_report, err);
        if (r == 0)
                *ret_box_fd = take_fd(&box_fd);
        return r;
}

static int64_t number(const json_t *object, const char *key, int64_t fallback)
{
        const json_t *value = json_object_get(object, key);
        return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value)
                                                                        : fallback;
}

/* ---- top ---- */

/* As ps -ef: hours and minutes today, else the day. */
static void start_time(int64_t age_ms, char place[16])
{
        time_t now = time(NULL), then = now - (time_t)(age_ms / 1000);
        struct tm tm, today;
        if (localtime_r(&then, &tm) == NULL || localtime_r(&now, &today) == NULL ||
            strftime(place, 16, tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year ? "%H:%M" : "%b%d",
                     &tm) == 0)
                (void)strcpy(place, "?");
}

/* Device numbers of terminals: 136 and up are pts (Documentation/admin-guide/devices.txt). */
static void terminal_name(int64_t device, char place[32])
{
        int64_t major = device >> 8 & 0xfff, minor = (device & 0xff) | (device >> 12 & 0xfff00);
        if (major >= 136 && major <= 143)
                (void)snprintf(place, 32, "pts/%lld", (long long)(minor + (major - 136) * 256));
        else if (device == 0)
                (void)strcpy(place, "?");
        else
                (void)snprintf(place, 32, "%lld:%lld", (long long)major, (long long)minor);
}

static json_t *describe(const json_t *process)
{
        const char *command = json_string_value(json_object_get(process, "command"));
        int64_t cpu_ms = number(process, "cpu_ms", 0), age_ms = number(process, "age_ms", 0);
        char begun[16], terminal[32];
        int64_t share = age_ms > 0 && cpu_ms < INT64_MAX / 100 ? cpu_ms * 100 / age_ms : 0;
        start_time(age_ms, begun);
        terminal_name(number(process, "terminal", 0), terminal);
        json_t *row = json_array();
        if (row == NULL || command == NULL) {
                json_decref(row);
                return NULL;
        }
        int failed = json_array_append_new(row, json_sprintf("%lld", (long long)number(process, "uid", 0)));
        failed |= json_array_append_new(row, json_sprintf("%lld", (long long)number(process, "pid", 0)));
        failed |= json_array_append_new(row, json_sprintf("%lld", (long long)number(process, "ppid", 0)));
        failed |= json_array_append_new(row, json_sprintf("%lld", (long long)(share > 99 ? 99 : share)));
        failed |= json_array_append_new(row, json_string(begun));
        failed |= json_array_append_new(row, json_string(terminal));
        failed |=
            json_array_append_new(row, json_sprintf("%02lld:%02lld:%02lld", (long long)(cpu_ms / 3600000),
                                                    (long long)(cpu_ms / 60000 % 60),
                                                    (long long)(cpu_ms / 1000 % 60)));
        failed |= json_array_append_new(row, json_string(command));
        if (failed) {
                json_decref(row);
                return NULL;
        }
        return row;
}

static int top(struct boxlet_box *box, char **ret_json, struct error *err)
{
        cleanup_json json_t *report = NULL;
        cleanup_json json_t *rows = json_array();
        cleanup_fd int box_fd = -1;
        const json_t *process;
        size_t i;
        int r = ask_running(box, "processes", &report, &box_fd, err);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(report, "processes"), i, process) {
                if (rows == NULL || json_array_append_new(rows, describe(process)) < 0)
                        return error_set(err, -EBADMSG, "the box's report makes no sense");
        }
        cleanup_json json_t *whole = json_pack("{s:[s,s,s,s,s,s,s,s], s:O}", "Titles", "UID", "PID", "PPID",
                                               "C", "STIME", "TTY", "TIME", "CMD", "Processes", rows);
        *ret_json = whole == NULL ? NULL : json_print(whole, NULL);
        return *ret_json == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int boxlet_box_top(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = top(box, ret_json, &err);
        if (r < 0)
                (void)error_wrap(&err, "list the processes of box '%s'", box->name);
        return api_result(error, &err, r);
}

/* ---- stats ---- */

struct host_use {
        bool known;
        int64_t cpu_ns, memory_bytes;
};

static char *read_of(pid_t pid, const char *name)
{
        char path[64], *text = NULL;
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name); /* our own short names */
        return path_read_at(AT_FDCWD, path, 65536, &text, NULL) < 0 ? NULL : text;
}

/* What only it uses of memory that is shared (the guest's is, between machine and devices): Pss, where the
 * kernel lets us look, else what is resident. */
static int64_t memory_of(pid_t pid)
{
        cleanup_free char *rollup = read_of(pid, "smaps_rollup");
        const char *line = rollup == NULL ? NULL : strstr(rollup, "\nPss:");
        long long kibibytes, pages;
        if (line != NULL && sscanf(line + 5, "%lld", &kibibytes) == 1)
                return kibibytes * 1024;
        cleanup_free char *statm = read_of(pid, "statm");
        return statm != NULL && sscanf(statm, "%*d %lld", &pages) == 1 ? pages * sysconf(_SC_PAGESIZE) : 0;
}

/* The parent and the CPU time of a process. */
static bool read_stat(pid_t pid, pid_t *ret_parent, int64_t *ret_cpu_ns)
{
        cleanup_free char *text = read_of(pid, "stat");
        const char *end = text == NULL ? NULL : strrchr(text, ')'); /* the name may hold anything */
        unsigned long user, system;
        int parent;
        if (end == NULL || sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &parent,
                                  &user, &system) != 3)
                return false;
        *ret_parent = parent;
        *ret_cpu_ns = (int64_t)(user + system) * (1000000000 / sysconf(_SC_CLK_TCK));
        return true;
}

static bool is_among(pid_t pid, const pid_t *family, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (family[i] == pid)
                        return true;
        }
        return false;
}

/* Adds descendants until a look at all processes finds no more. */
static size_t find_family(pid_t family[DESCENDANT_MAX])
{
        size_t count = 1, before = 0;
        while (count > before && count < DESCENDANT_MAX) {
                cleanup_dir DIR *proc = opendir("/proc");
                const struct dirent *entry;
                before = count;
                while (proc != NULL && (entry = readdir(proc)) != NULL && count < DESCENDANT_MAX) {
                        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent;
                        int64_t cpu_ns;
                        if (pid > 0 && !is_among(pid, family, count) && read_stat(pid, &parent, &cpu_ns) &&
                            is_among(parent, family, count))
                                family[count++] = pid;
                }
        }
        return count;
}

static struct host_use host_use_of(int box_fd)
{
        struct host_use use = {.known = true};
        pid_t family[DESCENDANT_MAX];
        if (control_monitor_pid(box_fd, &family[0]) < 0)
                return (struct host_use){0};
        size_t count = find_family(family);
        for (size_t i = 0; i < count; i++) {
                pid_t parent;
                int64_t cpu_ns;
                if (!read_stat(family[i], &parent, &cpu_ns))
                        continue;
                use.cpu_ns += cpu_ns;
                use.memory_bytes += memory_of(family[i]);
        }
        return use;
}

static json_t *known(const json_t *report, const char *key)
{
        int64_t value = number(report, key, -1);
        return value < 0 ? json_null() : json_integer(value);
}

/* The page cache that is easily given back is not counted, as docker does not. */
static json_t *memory_usage(const json_t *report)
{
        int64_t all = number(report, "memory_bytes", -1), cache = number(report, "inactive_bytes", 0);
        return all < 0 ? json_null() : json_integer(cache < all ? all - cache : all);
}

static json_t *cpu_time(const json_t *report)
{
        int64_t us = number(report, "cpu_us", -1);
        return us < 0 || us > INT64_MAX / 1000 ? json_null() : json_integer(us * 1000);
}

/* What its cgroup or, if that has no limit, its machine has. */
static json_t *memory_limit(const json_t *report)
{
        int64_t limit = number(report, "memory_limit_bytes", -1);
        return limit >= 0 ? json_integer(limit) : known(report, "machine_bytes");
}

static int stats(struct boxlet_box *box, char **ret_json, struct error *err)
{
        cleanup_json json_t *report = NULL;
        cleanup_fd int box_fd = -1;
        int r = ask_running(box, "stats", &report, &box_fd, err);
        if (r < 0)
                return r;
        int64_t now_ns = clock_wall_ns();
        struct host_use host = host_use_of(box_fd);
        cleanup_json json_t *json =
            json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "Id",
                      box->id, "Name", box->name, "Time", (json_int_t)now_ns, "CPUs", known(report, "cpus"),
                      "CPUTime", cpu_time(report), "MemoryUsage", memory_usage(report), "MemoryLimit",
                      memory_limit(report), "MachineMemory", known(report, "machine_bytes"), "PIDs",
                      known(report, "pids"), "NetworkReceived", known(report, "received_bytes"),
                      "NetworkSent", known(report, "sent_bytes"), "DiskRead", known(report, "read_bytes"),
                      "DiskWritten", known(report, "written_bytes"), "HostCPUTime",
                      host.known ? json_integer(host.cpu_ns) : json_null(), "HostMemory",
                      host.known ? json_integer(host.memory_bytes) : json_null());
        *ret_json = json == NULL ? NULL : json_print(json, NULL);
        return *ret_json == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int boxlet_box_stats(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = stats(box, ret_json, &err);
        if (r < 0)
                (void)error_wrap(&err, "measure box '%s'", box->name);
        return api_result(error, &err, r);
}
