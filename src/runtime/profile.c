/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two profiles. The default one never depends on whether the docker kernel is installed: its document is
 * the same to the byte (tests/unit/test-spec.c holds it).
 *
 * The docker one is for a machine that is the engine's own. It takes nothing away that dockerd, runc or a
 * container started with --privileged may need; what keeps such a box from its host is the virtual machine
 * alone. What it adds beside permissions:
 * - cgroup without "ro" asks the agent for delegation: init and execs in leaves, controllers enabled.
 * - mounts of the root are shared, as a systemd machine has them, so that bind-propagation works inside.
 * - /run is in memory and begins as the image has it: a pid file of the last run must not name a process of
 *   this one.
 */
#include "runtime/profile.h"

#include "base/cleanup.h"
#include "runtime/words.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define DOCKER_MEMORY_MIN (256ULL << 20)
#define RUN_FOLDER        "/run"
#define DOCKER_DISK_MIN   (1ULL << 30)
/* dockerd gives its containers 15 s, and then ends its own parts; on an emulated CPU all of it takes long */
#define DOCKER_STOP_MS 120000
#define ENGINE_DATA    "/var/lib/docker"

static const char *const default_rlimits[] = {"nofile=1024:524288" /* what a service has on Debian 12 */,
                                              NULL};
/* dockerd's unit file asks for no limits at all; the kernel allows 2^20 descriptors at most (fs.nr_open) */
static const char *const docker_rlimits[] = {"nofile=1048576:1048576", "nproc=-1:-1", "core=-1:-1", NULL};
static const char *const no_paths[] = {NULL};
static const char *const docker_paths[] = {ENGINE_DATA, NULL};

const struct profile *profile_get(bool support_docker)
{
        static const struct profile profiles[] = {
            {"lean", "make kernel", 512ULL << 20, PROFILE_MEMORY_MIN, 10000, WORDS_DEFAULT_CAPABILITIES,
             default_rlimits, no_paths},
            {"docker", "make kernel-docker", 2ULL << 30, DOCKER_MEMORY_MIN, DOCKER_STOP_MS,
             WORDS_ALL_CAPABILITIES, docker_rlimits, docker_paths},
        };
        return &profiles[support_docker];
}

/* Whether a mount on `path`, which is clean (words_clean_path), would hide `below`: the path itself or a
 * folder above it. */
static bool hides(const char *path, const char *below)
{
        size_t size = strlen(path);
        if (size == 1)
                return true;
        return strncmp(path, below, size) == 0 && (below[size] == '\0' || below[size] == '/');
}

/* What the engine needs and a mount on path would hide; NULL: nothing. The last one may lie on
 * a disk of the client's. */
static const char *hidden_by(const char *path, bool is_disk)
{
        static const char *const needed[] = {"/sys/fs/cgroup", "/proc/sys", "/dev/pts",
                                             "/dev/net/tun",   "/dev/fuse", ENGINE_DATA};
        size_t count = sizeof(needed) / sizeof(needed[0]) - is_disk;
        for (size_t i = 0; i < count; i++) {
                if (hides(path, needed[i]))
                        return needed[i];
        }
        return NULL;
}

static int check_tmpfs(const char *const *tmpfs, struct error *err)
{
        for (; tmpfs != NULL && *tmpfs != NULL; tmpfs++) {
                cleanup_free char *path = strndup(*tmpfs, strcspn(*tmpfs, ":"));
                if (path == NULL)
                        return error_set(err, -ENOMEM, "create box: out of memory");
                if (path[0] != '/')
                        continue; /* refused with its form (words_tmpfs) */
                words_clean_path(path);
                const char *hidden = hidden_by(path, false);
                if (hidden != NULL)
                        return error_set(err, -EINVAL,
                                         "create box: --support-docker and --tmpfs %s contradict each "
                                         "other: it would hide %s, which the engine needs",
                                         *tmpfs, hidden);
        }
        return 0;
}

int profile_check_mounts(const struct mount_list *mounts, struct error *err)
{
        for (size_t i = 0; i < mounts->count; i++) {
                const struct mount_request *m = &mounts->entries[i];
                const char *hidden = hidden_by(m->target, m->kind == MOUNT_VOLUME && !m->readonly);
                if (hidden == NULL)
                        continue;
                if (strcmp(hidden, ENGINE_DATA) == 0)
                        return error_set(
                            err, -EINVAL,
                            "create box: --support-docker and a %s on %s contradict each other: the "
                            "engine's data needs a disk it can write to, such as -v NAME:" ENGINE_DATA,
                            m->kind == MOUNT_SHARE   ? "folder of the host"
                            : m->kind == MOUNT_TMPFS ? "tmpfs"
                                                     : "read-only volume",
                            m->target);
                return error_set(err, -EINVAL,
                                 "create box: --support-docker and a mount on %s contradict each other: it "
                                 "would hide %s, which the engine needs",
                                 m->target, hidden);
        }
        return 0;
}

int profile_check(const struct boxlet_box_options *o, struct error *err)
{
        if (!o->support_docker && o->docker_socket != NULL)
                return error_set(err, -EINVAL,
                                 "create box: --docker-socket needs --support-docker: there is no engine in "
                                 "any other box");
        if (!o->support_docker)
                return 0;
        if (o->cap_drop != NULL && o->cap_drop[0] != NULL)
                return error_set(
                    err, -EINVAL,
                    "create box: --support-docker and --cap-drop contradict each other: the engine "
                    "needs every capability");
        if (o->read_only)
                return error_set(
                    err, -EINVAL,
                    "create box: --support-docker and --read-only contradict each other: the engine "
                    "writes to its root");
        if (o->memory_bytes != 0 && o->memory_bytes < DOCKER_MEMORY_MIN)
                return error_set(err, -EINVAL,
                                 "create box: --support-docker needs at least %llu MiB of memory",
                                 DOCKER_MEMORY_MIN >> 20);
        if (o->disk_bytes != 0 && o->disk_bytes < DOCKER_DISK_MIN)
                return error_set(err, -EINVAL,
                                 "create box: --support-docker needs a disk of at least %llu GiB",
                                 DOCKER_DISK_MIN >> 30);
        return check_tmpfs(o->tmpfs, err);
}

/* Docker's mounts, in docker's order. docker_options NULL: as for the default; options NULL: not in the
 * default. */
static const struct {
        const char *destination, *type, *source, *options, *docker_options;
} mounts[] = {
    {"/proc", "proc", "proc", "nosuid,noexec,nodev", NULL},
    {"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k", NULL},
    {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5", NULL},
    {"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro", "nosuid,noexec,nodev"},
    {"/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev", "nosuid,noexec,nodev"},
    {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev", NULL},
    {"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=67108864", NULL},
    {RUN_FOLDER, "tmpfs", "tmpfs", NULL, "nosuid,nodev,tmpcopyup"},
};

static json_t *split_options(const char *text)
{
        json_t *array = json_array();
        while (array != NULL && text[0] != '\0') {
                size_t size = strcspn(text, ",");
                if (json_array_append_new(array, json_stringn(text, size)) < 0) {
                        json_decref(array);
                        return NULL;
                }
                text += size + (text[size] == ',');
        }
        return array;
}

json_t *profile_mounts(bool support_docker)
{
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < sizeof(mounts) / sizeof(mounts[0]); i++) {
                bool other = support_docker && mounts[i].docker_options != NULL;
                if (!other && mounts[i].options == NULL)
                        continue;
                json_t *mount =
                    json_pack("{s:s, s:s, s:s, s:o}", "destination", mounts[i].destination, "type",
                              mounts[i].type, "source", mounts[i].source, "options",
                              split_options(other ? mounts[i].docker_options : mounts[i].options));
                if (json_array_append_new(array, mount) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

bool profile_gives_way(const json_t *mount)
{
        const json_t *options = json_object_get(mount, "options");
        const char *place = json_string_value(json_object_get(mount, "destination"));
        const char *last = json_string_value(json_array_get(options, json_array_size(options) - 1));
        return place != NULL && strcmp(place, RUN_FOLDER) == 0 && last != NULL &&
               strcmp(last, "tmpcopyup") == 0; /* a client's has no such word */
}

int profile_uncover(json_t *array, const char *volume)
{
        size_t i;
        json_t *mount;
        size_t skip = strncmp(volume, "/var/run", 8) == 0 ? 4 : 0; /* a link to it, as a rule */
        if (!hides(RUN_FOLDER, volume + skip))
                return 0;
        json_array_foreach (array, i, mount) {
                if (profile_gives_way(mount))
                        return json_array_remove(array, i);
        }
        return 0;
}

static json_t *default_linux(void)
{
        return json_pack("{s:[{s:s},{s:s},{s:s},{s:s},{s:s}], s:[s,s,s,s,s,s,s,s,s,s,s], s:[s,s,s,s,s]}",
                         "namespaces", "type", "pid", "type", "mount", "type", "ipc", "type", "uts", "type",
                         "cgroup", "maskedPaths", "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                         "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "readonlyPaths",
                         "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger");
}

/* Beside the usual ones. The box's own disks are left out: nobody needs them, and they are mounted. */
static json_t *docker_devices(void)
{
        static const struct {
                const char *path, *type;
                int major, minor, mode;
        } devices[] = {
            {"/dev/fuse", "c", 10, 229, 0666}, {"/dev/net/tun", "c", 10, 200, 0666},
            {"/dev/kmsg", "c", 1, 11, 0600},   {"/dev/loop-control", "c", 10, 237, 0600},
            {"/dev/loop0", "b", 7, 0, 0600},   {"/dev/loop1", "b", 7, 1, 0600},
            {"/dev/loop2", "b", 7, 2, 0600},   {"/dev/loop3", "b", 7, 3, 0600},
        };
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < sizeof(devices) / sizeof(devices[0]); i++) {
                json_t *device = json_pack("{s:s, s:s, s:i, s:i, s:i}", "path", devices[i].path, "type",
                                           devices[i].type, "major", devices[i].major, "minor",
                                           devices[i].minor, "fileMode", devices[i].mode);
                if (json_array_append_new(array, device) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

/* IP forwarding is dockerd's to switch on. Each container costs a session keyring or two, and inotify
 * instances by the dozen. */
static json_t *docker_linux(void)
{
        return json_pack("{s:[{s:s},{s:s},{s:s},{s:s},{s:s}], s:o, s:{s:s,s:s,s:s}, s:{s:[{s:b,s:s}]}, s:s}",
                         "namespaces", "type", "pid", "type", "mount", "type", "ipc", "type", "uts", "type",
                         "cgroup", "devices", docker_devices(), "sysctl", "kernel.keys.root_maxkeys",
                         "1000000", "kernel.keys.root_maxbytes", "25000000", "fs.inotify.max_user_instances",
                         "8192", "resources", "devices", "allow", 1, "access", "rwm", "rootfsPropagation",
                         "rshared");
}

json_t *profile_linux(bool support_docker)
{
        return support_docker ? docker_linux() : default_linux();
}
