/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet_doctor: can this machine run boxes, and if not, what is to be done? Each question is one function
 * below; what it finds is a line. "missing" is what keeps boxes from running as they do by default, "note"
 * what makes them slower or fewer.
 */
#include "runtime/runtime.h"

#include "base/path.h"
#include "base/process.h"
#include "runtime/engine.h"
#include "runtime/probe.h"
#include "runtime/profile.h"
#include "runtime/template.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM_LOW   (2ULL << 30)
#define ROOM_NONE  (64ULL << 20)
#define MEMORY_LOW (768ULL << 20) /* a box of 512 MiB, and what runs it */
#define FILES_LOW  1024           /* a file server keeps this many open */

struct doctor {
        struct boxlet *boxlet; /* NULL: the home cannot be opened */
        struct places *places;
        bool kvm;
        json_t *lines;
        bool no_memory;
};

static void say(struct doctor *d, const char *check, const char *status, const char *remedy,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
static void say(struct doctor *d, const char *check, const char *status, const char *remedy,
                const char *format, ...)
{
        struct error text = ERROR_INIT;
        char words[600];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(words, sizeof(words), format, args); /* cut when very long */
        va_end(args);
        (void)error_set(&text, -1, "%s", words); /* makes it printable */
        if (json_array_append_new(d->lines, json_pack("{s:s, s:s, s:s, s:s?}", "Check", check, "Status",
                                                      status, "Text", text.text, "Remedy", remedy)) < 0)
                d->no_memory = true;
}

static void ask_kvm(struct doctor *d)
{
        struct probe probe;
        probe_kvm(d->boxlet != NULL ? d->boxlet->home_fd : -1, &probe);
        d->kvm = probe.usable;
        if (probe.usable)
                say(d, "KVM", "ok", NULL, "%s", probe.reason);
        else if (access("/dev/kvm", F_OK) == 0 && access("/dev/kvm", R_OK | W_OK) < 0)
                say(d, "KVM", "note",
                    "add yourself to the group of /dev/kvm (usermod -aG kvm USER), and log in again",
                    "%s: boxes run on an emulated CPU, some ten times slower", probe.reason);
        else
                say(d, "KVM", "note", "nothing, or a host whose KVM serves",
                    "%s: boxes run on an emulated CPU, some ten times slower", probe.reason);
}

static void ask_program(struct doctor *d, enum place place, const char *check, bool needed,
                        const char *without)
{
        struct error err = ERROR_INIT;
        char *path = NULL;
        if (places_find(d->places, place, &path, &err) == 0)
                say(d, check, "ok", NULL, "%s", path);
        else if (needed)
                say(d, check, "missing", "see there", "%s", err.text);
        else
                say(d, check, "note", NULL, "%s (%s)", err.text, without);
        free(path);
}

static void ask_programs(struct doctor *d)
{
        ask_program(d, PLACE_MONITOR, "boxlet-monitor", true, NULL);
        ask_program(d, PLACE_VMM, "boxlet-vmm", true, NULL);
        ask_program(d, PLACE_AGENT, "agent", true, NULL);
        ask_program(d, PLACE_QEMU, "QEMU", !d->kvm, "only --engine qemu needs it here");
        ask_program(d, PLACE_PASST, "passt", true, NULL);
        ask_program(d, PLACE_MKFS, "mkfs.ext4", true, NULL);
}

static void ask_kernel(struct doctor *d, bool support_docker)
{
        const struct profile *profile = profile_get(support_docker);
        const char *check = support_docker ? "kernel docker" : "kernel lean";
        struct error err = ERROR_INIT;
        char *path = NULL;
        int r =
            places_find_kernel(d->places, NULL, profile->kernel_flavour, profile->kernel_remedy, &path, &err);
        if (r == 0)
                say(d, check, "ok", NULL, "%s", path);
        else if (support_docker)
                say(d, check, "note", NULL, "%s (only --support-docker needs it)", err.text);
        else
                say(d, check, "missing", "see there", "%s", err.text);
        free(path);
}

static long read_number(const char *path)
{
        cleanup_free char *text = NULL;
        return path_read_at(AT_FDCWD, path, 64, &text, NULL) < 0 ? -1 : strtol(text, NULL, 10);
}

/* A child that does nothing but be in a user namespace. It has no exit signal: the client does not notice. */
static int try_user_namespace(void)
{
        int code;
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER, NULL, NULL, NULL, NULL);
        if (pid == 0)
                _exit(0);
        if (pid < 0)
                return -errno;
        cleanup_fd int pidfd =
            (int)syscall(SYS_pidfd_open, pid, 0); /* not waited for yet: the pid is its own */
        return pidfd < 0 ? -errno : process_wait(pidfd, &code);
}

static void ask_namespaces(struct doctor *d)
{
        int r = try_user_namespace();
        const char *remedy =
            "allow user namespaces in what boxlet runs in (a container's seccomp profile, an LSM)";
        if (r == 0) {
                say(d, "user namespaces", "ok", NULL, "can be made");
                return;
        }
        if (read_number("/proc/sys/kernel/unprivileged_userns_clone") == 0)
                remedy = "sysctl -w kernel.unprivileged_userns_clone=1";
        else if (read_number("/proc/sys/user/max_user_namespaces") == 0)
                remedy = "sysctl -w user.max_user_namespaces=10000";
        /* root does without them */
        say(d, "user namespaces", geteuid() == 0 ? "note" : "missing", remedy, "cannot be made: %s",
            strerror(-r));
}

static bool shares_blocks(int home_fd)
{
        cleanup_fd int from = path_open_anonymous_at(home_fd, O_RDWR);
        cleanup_fd int to = path_open_anonymous_at(home_fd, O_RDWR);
        char block[4096] = {1};
        return from >= 0 && to >= 0 && pwrite(from, block, sizeof(block), 0) == (ssize_t)sizeof(block) &&
               ioctl(to, FICLONE, from) == 0;
}

static void ask_room(struct doctor *d)
{
        struct statvfs fs;
        if (d->boxlet == NULL)
                return;
        if (fstatvfs(d->boxlet->home_fd, &fs) < 0) {
                say(d, "disk room", "missing", "see there", "look at '%s': %s", d->boxlet->home,
                    strerror(errno));
                return;
        }
        uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
        say(d, "disk room",
            room < ROOM_NONE  ? "missing"
            : room < ROOM_LOW ? "note"
                              : "ok",
            room < ROOM_LOW ? "'boxlet system df' and 'boxlet system prune', or another $BOXLET_HOME" : NULL,
            "%llu MiB free in '%s'", (unsigned long long)(room >> 20), d->boxlet->home);
        if (shares_blocks(d->boxlet->home_fd))
                say(d, "snapshots", "ok", NULL,
                    "the file system shares blocks: copies of disks take no time and no room");
        else
                say(d, "snapshots", "note", "a home on btrfs or XFS",
                    "the file system cannot share blocks: disks are copied");
}

static uint64_t available_memory(void)
{
        cleanup_free char *text = NULL;
        if (path_read_at(AT_FDCWD, "/proc/meminfo", 1U << 16, &text, NULL) < 0)
                return UINT64_MAX;
        const char *line = strstr(text, "MemAvailable:");
        return line == NULL ? UINT64_MAX : strtoull(line + strlen("MemAvailable:"), NULL, 10) << 10;
}

static void ask_limits(struct doctor *d)
{
        struct rlimit files, processes;
        uint64_t memory = available_memory();
        say(d, "memory", memory < MEMORY_LOW ? "note" : "ok",
            memory < MEMORY_LOW ? "smaller boxes (-m), or fewer of them" : NULL, "%llu MiB available",
            (unsigned long long)(memory >> 20));
        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0)
                return; /* cannot fail for these */
        say(d, "open files", files.rlim_max < FILES_LOW ? "note" : "ok",
            files.rlim_max < FILES_LOW ? "a higher limit (ulimit -n)" : NULL, "at most %llu",
            (unsigned long long)files.rlim_max);
        if (processes.rlim_cur != RLIM_INFINITY && processes.rlim_cur < 256)
                say(d, "processes", "note", "a higher limit (ulimit -u)", "at most %llu",
                    (unsigned long long)processes.rlim_cur);
}

static void ask_template(struct doctor *d)
{
        char why[300] = "";
        if (d->boxlet == NULL)
                return;
        template_complaint(d->boxlet->home_fd, why, sizeof(why));
        if (why[0] != '\0')
                say(d, "starts", "note", "it is tried again after ten minutes",
                    "no machine to begin as a copy of: every box boots: %s", why);
        else
                say(d, "starts", "ok", NULL,
                    "boxes on engine qemu begin as copies of a machine that has booted");
}

static void ask_home(struct doctor *d, const struct boxlet_error *error)
{
        if (d->boxlet != NULL)
                say(d, "home", "ok", NULL, "%s", d->boxlet->home);
        else
                say(d, "home", "missing", "see there", "%s", error->text);
}

int boxlet_doctor(const struct boxlet_options *options, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet_error home_error = {0};
        struct places places = {0};
        cleanup_json json_t *lines = json_array();
        struct doctor d = {.places = &places, .lines = lines};
        int r = api_options(&o, sizeof(o), options, "struct boxlet_options", &err);
        if (r == 0 && lines == NULL)
                r = error_set(&err, -ENOMEM, "doctor: out of memory");
        if (r == 0)
                r = places_init(&places, o.libexec, o.kernel_dir, &err);
        if (r < 0)
                return api_result(error, &err, r);
        if (boxlet_open(&o, &d.boxlet, &home_error) < 0)
                d.boxlet = NULL;
        ask_home(&d, &home_error);
        ask_kvm(&d);
        ask_programs(&d);
        ask_kernel(&d, false);
        ask_kernel(&d, true);
        ask_namespaces(&d);
        ask_room(&d);
        ask_limits(&d);
        ask_template(&d);
        boxlet_close(d.boxlet);
        places_done(&places);
        char *text = d.no_memory ? NULL : json_dumps(lines, JSON_INDENT(4));
        if (text == NULL)
                return api_result(error, &err, error_set(&err, -ENOMEM, "doctor: out of memory"));
        *ret_json = text;
        return 0;
}
