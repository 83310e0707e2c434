/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out the mounts of a container plan, in the new mount namespace, before and after pivot_root(2).
 *
 * 1. Every destination is opened under the container's root (RESOLVE_IN_ROOT) and then addressed as
 *    /proc/self/fd/N: between the look and the mount nobody can put a link there.
 * 2. A descriptor opened before a mount shows what lies under it: to change flags of what was mounted, the
 * path is opened again.
 */
#include "agent/mounts.h"

#include "agent/volume.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct fd_path {
        char text[32];
};

static struct fd_path fd_path(int fd)
{
        struct fd_path path;
        (void)snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd); /* always fits */
        return path;
}

int mounts_begin(const char *root, int *ret_root_fd, struct error *err)
{
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return error_errno(err, -errno, "make mounts private");
        if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) < 0)
                return error_errno(err, -errno, "bind '%s' to itself", root);
        int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "open '%s'", root);
        *ret_root_fd = fd;
        return 0;
}

/*
 * A walk that makes what is missing. `done` is a path below the root without links or dots, `rest` is what is
 * still to be gone. Nobody else is at work in the root: no process of the container runs yet.
 */
struct making {
        int root_fd;
        bool folder;
        char done[PATH_MAX];
        char rest[PATH_MAX];
        unsigned hops;
};

#define HOPS_MAX 40 /* as many links as the kernel follows */

static int open_done(const struct making *m)
{
        return path_open_in_root(m->root_fd, m->done[0] != '\0' ? m->done : ".", O_PATH | O_DIRECTORY, 0);
}

static void step_up(struct making *m)
{
        char *slash = strrchr(m->done, '/');
        *(slash != NULL ? slash : m->done) = '\0';
}

static int step_down(struct making *m, const char *name)
{
        size_t used = strlen(m->done);
        int n = snprintf(m->done + used, sizeof(m->done) - used, "%s%s", used > 0 ? "/" : "", name);
        return n < 0 || (size_t)n >= sizeof(m->done) - used ? -ENAMETOOLONG : 0;
}

/* The link's target goes in front of what is left. */
static int step_through(struct making *m, int dir, const char *name)
{
        char target[PATH_MAX], rest[PATH_MAX];
        ssize_t length = readlinkat(dir, name, target, sizeof(target) - 1);
        if (length < 0)
                return -errno;
        target[length] = '\0';
        int n = snprintf(rest, sizeof(rest), "%s/%s", target, m->rest);
        if (n < 0 || (size_t)n >= sizeof(rest))
                return -ENAMETOOLONG;
        if (++m->hops > HOPS_MAX)
                return -ELOOP;
        memcpy(m->rest, rest, (size_t)n + 1);
        if (target[0] == '/')
                m->done[0] = '\0';
        return 0;
}

static int make_here(int dir, const char *name, bool folder)
{
        if (folder)
                return mkdirat(dir, name, 0755) < 0 ? -errno : 0;
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        (void)close(fd); /* empty */
        return 0;
}

/* Goes on by one component. Returns 1 while there are more. */
static int step(struct making *m)
{
        char name[NAME_MAX + 1];
        struct stat st;
        size_t skip = strspn(m->rest, "/"), length = strcspn(m->rest + skip, "/");
        if (length == 0)
                return 0;
        if (length > NAME_MAX)
                return -ENAMETOOLONG;
        memcpy(name, m->rest + skip, length);
        name[length] = '\0';
        memmove(m->rest, m->rest + skip + length, strlen(m->rest + skip + length) + 1);
        bool last = m->rest[strspn(m->rest, "/")] == '\0';
        if (strcmp(name, ".") == 0)
                return 1;
        if (strcmp(name, "..") == 0) {
                step_up(m);
                return 1;
        }
        cleanup_fd int dir = open_done(m);
        if (dir < 0)
                return dir;
        int r = 0;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                r = errno == ENOENT ? make_here(dir, name, !last || m->folder) : -errno;
        else if (S_ISLNK(st.st_mode))
                return (r = step_through(m, dir, name)) < 0 ? r : 1;
        if (r == 0)
                r = step_down(m, name);
        return r < 0 ? r : 1;
}

int mounts_open_target(int root_fd, const char *path, bool folder)
{
        int fd = path_open_in_root(root_fd, path, O_PATH, 0);
        if (fd != -ENOENT)
                return fd;
        struct making m = {.root_fd = root_fd, .folder = folder};
        if (strlen(path) >= sizeof(m.rest))
                return -ENAMETOOLONG;
        memcpy(m.rest, path, strlen(path) + 1);
        int r;
        while ((r = step(&m)) > 0)
                ;
        return r < 0 ? r : path_open_in_root(root_fd, path, O_PATH, 0);
}

/* Calls mount(2) on path inside the root, as it is now. */
static int mount_on(int root_fd, const char *path, const char *source, const char *type, unsigned long flags,
                    const char *data)
{
        cleanup_fd int fd = path_open_in_root(root_fd, path, O_PATH, 0);
        if (fd < 0)
                return fd;
        return mount(source, fd_path(fd).text, type, flags, data) < 0 ? -errno : 0;
}

static int mount_bind(int root_fd, const struct mount_plan *m)
{
        unsigned long flags = m->options.flags;
        struct stat st;
        if (stat(m->source, &st) < 0)
                return -errno;
        cleanup_fd int target = mounts_open_target(root_fd, m->destination, S_ISDIR(st.st_mode));
        if (target < 0)
                return target;
        if (mount(m->source, fd_path(target).text, NULL, flags & (MS_BIND | MS_REC), NULL) < 0)
                return -errno;
        if ((flags & ~(unsigned long)(MS_BIND | MS_REC)) == 0)
                return 0;
        return mount_on(root_fd, m->destination, NULL, NULL,
                        (flags & ~(unsigned long)MS_REC) | MS_BIND | MS_REMOUNT, NULL);
}

/* File systems whose superblock is the kernel's, or is written to while it is set up: read-only by the mount
 * alone. */
static bool is_readonly_by_mount(const char *type)
{
        static const char *const types[] = {"proc", "sysfs", "cgroup2", "mqueue", "devpts", "tmpfs"};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                if (strcmp(type, types[i]) == 0)
                        return true;
        }
        return false;
}

/* Where a file system is to be mounted. A folder that is made for a tmpfs is everybody's, as a tmpfs of its
 * own accord is. */
static int open_place(int root_fd, const struct mount_plan *m)
{
        int fd = path_open_in_root(root_fd, m->destination, O_PATH, 0);
        if (fd != -ENOENT)
                return fd;
        cleanup_fd int made = mounts_open_target(root_fd, m->destination, true);
        if (made >= 0 && strcmp(m->type, "tmpfs") == 0 && chmod(fd_path(made).text, 01777) < 0)
                return -errno;
        return made < 0 ? made : take_fd(&made);
}

/* A tmpfs that does not say its mode takes that of the folder it hides. */
static int tmpfs_data(int target, const struct mount_plan *m, char *ret_data, size_t size)
{
        struct stat st;
        int n;
        if (strcmp(m->type, "tmpfs") != 0 || strstr(m->options.data, "mode=") != NULL)
                n = snprintf(ret_data, size, "%s", m->options.data);
        else if (fstat(target, &st) < 0)
                return -errno;
        else
                n = snprintf(ret_data, size, "%s%smode=%o", m->options.data,
                             *m->options.data != '\0' ? "," : "", (unsigned)(st.st_mode & 07777));
        return n < 0 || (size_t)n >= size ? -E2BIG : 0;
}

/* tmpcopyup: hidden, the folder that the mount lies on, is what it begins with. */
static int copy_up(int root_fd, const struct mount_plan *m, int hidden)
{
        struct error err = ERROR_INIT;
        cleanup_fd int target = path_open_in_root(root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
        return target < 0 ? target : volume_copy(hidden, target, &err);
}

static int mount_new(int root_fd, const struct mount_plan *m)
{
        const char *type = strcmp(m->type, "cgroup") == 0 ? "cgroup2" : m->type;
        unsigned long flags = m->options.flags;
        char data[PATH_MAX];
        cleanup_fd int target = open_place(root_fd, m);
        if (target < 0)
                return target;
        int r = tmpfs_data(target, m, data, sizeof(data));
        if (r < 0)
                return r;
        bool later = (flags & MS_RDONLY) != 0 && is_readonly_by_mount(type);
        if (mount(m->source[0] != '\0' ? m->source : type, fd_path(target).text, type,
                  later ? flags & ~(unsigned long)MS_RDONLY : flags, data) < 0)
                return -errno;
        r = m->options.copy_up ? copy_up(root_fd, m, target) : 0;
        if (r < 0)
                return r;
        return later ? mount_on(root_fd, m->destination, NULL, NULL, flags | MS_BIND | MS_REMOUNT, NULL) : 0;
}

static int mount_one(int root_fd, const struct mount_plan *m)
{
        int r;
        if (m->options.flags & MS_REMOUNT)
                r = mount_on(root_fd, m->destination, NULL, NULL, m->options.flags, m->options.data);
        else if (m->options.flags & MS_BIND)
                r = mount_bind(root_fd, m);
        else
                r = mount_new(root_fd, m);
        if (r == 0 && m->options.propagation != 0)
                r = mount_on(root_fd, m->destination, NULL, NULL, m->options.propagation, NULL);
        return r;
}

static bool has_mount(const struct container_plan *plan, const char *destination)
{
        for (size_t i = 0; i < plan->mount_count; i++) {
                if (strcmp(plan->mounts[i].destination, destination) == 0)
                        return true;
        }
        return false;
}

static int mount_files(int root_fd, const struct container_plan *plan, const char *files, struct error *err)
{
        static const char *const names[] = {"hosts", "hostname", "resolv.conf"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char source[PATH_MAX], destination[64];
                struct mount_plan m = {.source = source, .destination = destination};
                (void)snprintf(source, sizeof(source), "%s/%s", files, names[i]); /* our own short names */
                (void)snprintf(destination, sizeof(destination), "/etc/%s", names[i]); /* the same */
                m.options.flags = MS_BIND;
                if (has_mount(plan, destination) || access(source, F_OK) < 0)
                        continue;
                int r = mount_bind(root_fd, &m);
                if (r < 0)
                        return error_errno(err, r, "mount '%s' in the container", destination);
        }
        return 0;
}

int mounts_carry_out(int root_fd, const struct container_plan *plan, const char *files, struct error *err)
{
        for (size_t i = 0; i < plan->mount_count; i++) {
                const struct mount_plan *m = &plan->mounts[i];
                int r = mount_one(root_fd, m);
                if (r < 0)
                        return error_errno(err, r, "mount '%s' (%s) in the container", m->destination,
                                           m->options.flags & MS_BIND ? m->source : m->type);
        }
        return files != NULL ? mount_files(root_fd, plan, files, err) : 0;
}

static int make_device(int root_fd, const struct device_plan *device)
{
        char folder[PATH_MAX];
        const char *name = strrchr(device->path, '/') + 1; /* absolute: checked when it was parsed */
        size_t length = (size_t)(name - device->path);
        if (length >= sizeof(folder) || *name == '\0')
                return -EINVAL;
        memcpy(folder, device->path, length);
        folder[length] = '\0';
        cleanup_fd int dir = mounts_open_target(root_fd, folder, true);
        if (dir < 0)
                return dir;
        if (mknodat(dir, name, device->mode, makedev(device->device_major, device->device_minor)) < 0)
                return errno == EEXIST ? 0 : -errno;
        if (fchownat(dir, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static int make_links(int root_fd)
{
        static const struct {
                const char *name;
                const char *target;
        } links[] = {
            {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
            {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},         {"core", "/proc/kcore"},
        };
        cleanup_fd int dev = path_open_in_root(root_fd, "/dev", O_PATH | O_DIRECTORY, 0);
        if (dev < 0)
                return dev;
        for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
                if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

int mounts_make_devices(int root_fd, const struct container_plan *plan, struct error *err)
{
        static const struct {
                char path[16];
                unsigned device_major, device_minor;
        } usual[] = {
            {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
            {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
        };
        mode_t before = umask(0);
        int r = 0;
        for (size_t i = 0; i < plan->mount_count; i++) {
                if (strcmp(plan->mounts[i].destination, "/dev") == 0 &&
                    plan->mounts[i].options.flags & MS_BIND)
                        goto out; /* somebody else's /dev is left as it is */
        }
        for (size_t i = 0; r == 0 && i < sizeof(usual) / sizeof(usual[0]); i++) {
                struct device_plan device = {.path = (char *)usual[i].path,
                                             .mode = S_IFCHR | 0666,
                                             .device_major = usual[i].device_major,
                                             .device_minor = usual[i].device_minor};
                r = make_device(root_fd, &device);
                if (r < 0)
                        r = error_errno(err, r, "make '%s' in the container", usual[i].path);
        }
        for (size_t i = 0; r == 0 && i < plan->device_count; i++) {
                r = make_device(root_fd, &plan->devices[i]);
                if (r < 0)
                        r = error_errno(err, r, "make '%s' in the container", plan->devices[i].path);
        }
        if (r == 0) {
                r = make_links(root_fd);
                if (r < 0)
                        r = error_errno(err, r, "make links in the container's /dev");
        }
out:
        (void)umask(before);
        return r;
}

int mounts_make_console(int root_fd, unsigned pts_number, struct error *err)
{
        char path[32];
        (void)snprintf(path, sizeof(path), "/dev/pts/%u", pts_number); /* always fits */
        cleanup_fd int source = path_open_in_root(root_fd, path, O_PATH | O_NOFOLLOW, 0);
        if (source < 0)
                return error_errno(err, source, "open '%s' in the container", path);
        cleanup_fd int target = mounts_open_target(root_fd, "/dev/console", false);
        if (target < 0)
                return error_errno(err, target, "make '/dev/console' in the container");
        if (mount(fd_path(source).text, fd_path(target).text, NULL, MS_BIND, NULL) < 0)
                return error_errno(err, -errno, "mount '/dev/console' in the container");
        return 0;
}

static int change_root(int root_fd, struct error *err)
{
        cleanup_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (old < 0 || fchdir(root_fd) < 0)
                return error_errno(err, -errno, "enter the container's root");
        /* both at one place: the old root lies on top of the new one, and goes from there (pivot_root(2)) */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return error_errno(err, -errno, "change root");
        if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return error_errno(err, -errno, "leave the old root");
        return 0;
}

static int mask(int root_fd, const char *path)
{
        struct stat st;
        cleanup_fd int fd = path_open_in_root(root_fd, path, O_PATH, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return fd < 0 ? fd : -errno;
        if (S_ISDIR(st.st_mode))
                return mount("tmpfs", fd_path(fd).text, "tmpfs", MS_RDONLY, NULL) < 0 ? -errno : 0;
        cleanup_fd int null = path_open_in_root(root_fd, "/dev/null", O_PATH | O_NOFOLLOW, 0);
        if (null < 0 || fstat(null, &st) < 0)
                return null < 0 ? null : -errno;
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                return -ENODEV;
        return mount(fd_path(null).text, fd_path(fd).text, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int make_readonly(int root_fd, const char *path)
{
        struct statvfs st;
        cleanup_fd int fd = path_open_in_root(root_fd, path, O_PATH, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return 0;
        if (fd < 0 || fstatvfs(fd, &st) < 0)
                return fd < 0 ? fd : -errno;
        if (mount(fd_path(fd).text, fd_path(fd).text, NULL, MS_BIND | MS_REC, NULL) < 0)
                return -errno;
        /* ST_NOSUID, ST_NODEV, ... have the values of MS_NOSUID, MS_NODEV, ...: keep what the mount has */
        unsigned long keep = st.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME);
        return mount_on(root_fd, path, NULL, NULL, keep | MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
}

int mounts_finish(int root_fd, const struct container_plan *plan, struct error *err)
{
        int r = change_root(root_fd, err);
        if (r < 0)
                return r;
        cleanup_fd int new_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (new_root < 0)
                return error_errno(err, -errno, "open the container's root");
        for (char *const *path = plan->readonly_paths; *path != NULL; path++) {
                r = make_readonly(new_root, *path);
                if (r < 0)
                        return error_errno(err, r, "make '%s' read-only", *path);
        }
        for (char *const *path = plan->masked_paths; *path != NULL; path++) {
                r = mask(new_root, *path);
                if (r < 0)
                        return error_errno(err, r, "mask '%s'", *path);
        }
        if (plan->readonly_root && mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
                return error_errno(err, -errno, "make the root read-only");
        if (mount(NULL, "/", NULL, plan->propagation, NULL) < 0)
                return error_errno(err, -errno, "set the propagation of the root");
        return 0;
}
