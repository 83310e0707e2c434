/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the container, and what it uses, as one JSON document. Runs in a process of its own beside the
 * agent: it sees every process of the machine and picks those below the container's cgroup. Command lines are
 * the container's words: any bytes, cut and made text here.
 */
#include "agent/transfer.h"

#include "agent/cgroup.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 10000
#define COMMAND_MAX   4096
#define SECTOR        512

static int send_document(const struct transfer_call *call, const json_t *document, struct error *err)
{
        size_t size;
        cleanup_free char *text = document == NULL ? NULL : json_print(document, &size);
        if (text == NULL)
                return error_errno(err, -ENOMEM, "make a report");
        int r = transfer_accept(call, NULL, err);
        return r < 0 ? r : transfer_write((void *)call, text, size, err);
}

/* ---- processes ---- */

static char *read_of(const char *pid, const char *name, size_t maximum, size_t *ret_size)
{
        char path[64], *text = NULL;
        (void)snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, name); /* our own short names */
        return path_read_at(AT_FDCWD, path, maximum, &text, ret_size) < 0 ? NULL : text;
}

/* The cgroup of a process, as this one sees it: "/box/init". free() it. */
static char *cgroup_of(const char *pid)
{
        cleanup_free char *text = read_of(pid, "cgroup", 8192, NULL);
        const char *line = text == NULL ? NULL : strstr(text, "0::/");
        return line == NULL ? NULL : strndup(line + 3, strcspn(line + 3, "\n"));
}

/* The container's cgroup is beside the agent's own. free() it. */
static char *container_cgroup(const struct agent *agent)
{
        cleanup_free char *own = cgroup_of("self");
        const char *slash = own == NULL ? NULL : strrchr(own, '/');
        char *path;
        if (slash == NULL ||
            asprintf(&path, "%.*s/%s", (int)(slash - own), own, agent->container->cgroup) < 0)
                return NULL;
        return path;
}

static bool is_below(const char *pid, const char *cgroup)
{
        cleanup_free char *path = cgroup_of(pid);
        size_t length = strlen(cgroup);
        return path != NULL && strncmp(path, cgroup, length) == 0 &&
               (path[length] == '/' || path[length] == '\0');
}

/* The pid as the container knows it: the second of "NSpid:", if it has a pid namespace. */
static long inner_pid(const char *status, long outer)
{
        const char *line = strstr(status, "\nNSpid:");
        long first, second;
        return line != NULL && sscanf(line + 7, "%ld %ld", &first, &second) == 2 ? second : outer;
}

static long inner_pid_of(long outer)
{
        char pid[24];
        (void)snprintf(pid, sizeof(pid), "%ld", outer); /* 20 characters at most */
        cleanup_free char *status = read_of(pid, "status", 16384, NULL);
        const char *line = status == NULL ? NULL : strstr(status, "\nNSpid:");
        long first, second;
        /* a parent outside of the container is nobody there */
        return line != NULL && sscanf(line + 7, "%ld %ld", &first, &second) == 2 ? second : 0;
}

/* The arguments with blanks between them, or "[name]"; what is no UTF-8 text becomes '?'. */
static json_t *command_of(const char *pid, const char *name)
{
        size_t size = 0;
        cleanup_free char *text = read_of(pid, "cmdline", COMMAND_MAX, &size);
        if (text == NULL) { /* longer than that: its beginning will do */
                char path[64];
                (void)snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid); /* as above */
                cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
                text = calloc(1, COMMAND_MAX + 1);
                ssize_t n = fd < 0 || text == NULL ? 0 : read(fd, text, COMMAND_MAX);
                size = n > 0 ? (size_t)n : 0;
        }
        while (size > 0 && text[size - 1] == '\0')
                size--;
        for (size_t i = 0; i < size; i++) {
                if (text[i] == '\0')
                        text[i] = ' ';
        }
        if (size == 0)
                return json_sprintf("[%s]", name);
        text[size] = '\0';
        json_t *whole = json_stringn(text, size);
        for (size_t i = 0; whole == NULL && i < size; i++) {
                if ((unsigned char)text[i] >= 0x80)
                        text[i] = '?';
        }
        return whole != NULL ? whole : json_stringn(text, size);
}

static json_t *describe(const char *pid, double uptime)
{
        cleanup_free char *stat = read_of(pid, "stat", 4096, NULL);
        cleanup_free char *status = read_of(pid, "status", 16384, NULL);
        char *open = stat == NULL ? NULL : strchr(stat, '(');
        char *end = stat == NULL ? NULL : strrchr(stat, ')'); /* the name may hold anything */
        const char *uid_line = status == NULL ? NULL : strstr(status, "\nUid:");
        long parent, terminal, uid = 0;
        unsigned long user, system;
        unsigned long long start;
        char state;
        if (open == NULL || end == NULL || end < open || uid_line == NULL ||
            sscanf(end + 1,
                   " %c %ld %*d %*d %ld %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu", &state,
                   &parent, &terminal, &user, &system, &start) != 6 ||
            sscanf(uid_line + 5, " %*d %ld", &uid) != 1)
                return NULL; /* it has ended */
        *end = '\0';
        double hertz = (double)sysconf(_SC_CLK_TCK);
        double age = uptime - (double)start / hertz;
        return json_pack("{s:I, s:I, s:I, s:s#, s:I, s:I, s:I, s:o}", "pid",
                         (json_int_t)inner_pid(status, strtol(pid, NULL, 10)), "ppid",
                         (json_int_t)inner_pid_of(parent), "uid", (json_int_t)uid, "state", &state, 1,
                         "terminal", (json_int_t)(terminal > 0 ? terminal : 0), "cpu_ms",
                         (json_int_t)((double)(user + system) * 1000 / hertz), "age_ms",
                         (json_int_t)(age > 0 ? age * 1000 : 0), "command", command_of(pid, open + 1));
}

int report_processes(const struct transfer_call *call, struct error *err)
{
        cleanup_dir DIR *proc = opendir("/proc");
        cleanup_free char *text = NULL;
        cleanup_free char *cgroup = NULL;
        cleanup_json json_t *list = json_array();
        const struct dirent *entry;
        double uptime = 0;
        if (call->agent->init == NULL)
                return error_set(err, -ESRCH, "processes: the container is not running");
        cgroup = container_cgroup(call->agent);
        if (proc == NULL || list == NULL || cgroup == NULL)
                return error_errno(err, proc == NULL ? -errno : -ENOMEM, "read /proc");
        if (path_read_at(AT_FDCWD, "/proc/uptime", 256, &text, NULL) == 0)
                uptime = strtod(text, NULL);
        while ((entry = readdir(proc)) != NULL && json_array_size(list) < PROCESSES_MAX) {
                if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !is_below(entry->d_name, cgroup))
                        continue;
                json_t *one = describe(entry->d_name, uptime);
                if (one != NULL && json_array_append_new(list, one) < 0)
                        return error_errno(err, -ENOMEM, "list processes");
        }
        cleanup_json json_t *document = json_pack("{s:O}", "processes", list);
        return send_document(call, document, err);
}

/* ---- use ---- */

static void set(json_t *object, const char *name, int64_t value)
{
        (void)json_object_set_new(object, name, json_integer(value)); /* a gap says enough */
}

static void add_cgroup(json_t *use, int box_fd)
{
        static const struct {
                const char *name, *file, *key;
        } values[] = {
            {"memory_bytes", "memory.current", NULL},
            {"memory_limit_bytes", "memory.max", NULL},
            {"inactive_bytes", "memory.stat", "inactive_file"},
            {"cpu_us", "cpu.stat", "usage_usec"},
            {"pids", "pids.current", NULL},
            {"pids_limit", "pids.max", NULL},
        };
        for (size_t i = 0; box_fd >= 0 && i < sizeof(values) / sizeof(values[0]); i++) {
                int64_t value;
                if (cgroup_read(box_fd, values[i].file, values[i].key, &value) == 0)
                        set(use, values[i].name, value);
        }
}

/* proc(5), net/dev: "  eth0: bytes packets errs drop fifo frame compressed multicast bytes ..." */
static void add_network(json_t *use)
{
        cleanup_free char *text = NULL;
        unsigned long long received, sent;
        if (path_read_at(AT_FDCWD, "/proc/self/net/dev", 65536, &text, NULL) < 0)
                return;
        const char *line = strstr(text, "eth0:");
        if (line == NULL || sscanf(line + 5, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &received, &sent) != 2)
                return;
        set(use, "received_bytes", (int64_t)received);
        set(use, "sent_bytes", (int64_t)sent);
}

/* Documentation/admin-guide/iostats.rst: major minor name reads merged SECTORS ms writes merged SECTORS. */
static void add_disks(json_t *use)
{
        cleanup_free char *text = NULL;
        uint64_t in = 0, out = 0;
        if (path_read_at(AT_FDCWD, "/proc/diskstats", 65536, &text, NULL) < 0)
                return;
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
             line = strtok_r(NULL, "\n", &save)) {
                unsigned long long sectors_in, sectors_out;
                char name[32];
                if (sscanf(line, "%*u %*u %31s %*u %*u %llu %*u %*u %*u %llu", name, &sectors_in,
                           &sectors_out) != 3 ||
                    strncmp(name, "vd", 2) != 0)
                        continue;
                in += sectors_in * SECTOR;
                out += sectors_out * SECTOR;
        }
        set(use, "read_bytes", (int64_t)in);
        set(use, "written_bytes", (int64_t)out);
}

static void add_machine(json_t *use)
{
        cleanup_free char *text = NULL;
        static const struct {
                const char *name, *key;
        } values[] = {{"machine_bytes", "MemTotal:"}, {"available_bytes", "MemAvailable:"}};
        if (path_read_at(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0)
                return;
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                const char *line = strstr(text, values[i].key);
                unsigned long long kibibytes;
                if (line != NULL && sscanf(line + strlen(values[i].key), "%llu", &kibibytes) == 1)
                        set(use, values[i].name, (int64_t)kibibytes * 1024);
        }
        set(use, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
}

int report_stats(const struct transfer_call *call, struct error *err)
{
        cleanup_json json_t *use = json_object();
        if (use != NULL) {
                add_cgroup(use, call->agent->box_fd);
                add_network(use);
                add_disks(use);
                add_machine(use);
        }
        return send_document(call, use, err);
}
