/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup v2 by its files. What is read is the kernel's, what is written comes from a checked plan.
 */
#include "agent/cgroup.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define AGENT_MEMORY_MIN "8388608" /* bytes; an idle agent has less than 2 MiB */

static int write_file(int fd, const char *file, const char *value)
{
        cleanup_fd int out = openat(fd, file, O_WRONLY | O_CLOEXEC);
        if (out < 0)
                return -errno;
        return write(out, value, strlen(value)) < 0 ? -errno : 0;
}

int cgroup_delegate(int fd, struct error *err)
{
        static const char *const wanted[] = {"cpu", "memory", "pids", "io", "cpuset"};
        cleanup_free char *there = NULL;
        int r = path_read_at(fd, "cgroup.controllers", 4096, &there, NULL);
        if (r < 0)
                return error_errno(err, r, "read cgroup controllers");
        for (char *save = NULL, *name = strtok_r(there, " \n", &save); name != NULL;
             name = strtok_r(NULL, " \n", &save)) {
                for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
                        char text[16];
                        if (strcmp(name, wanted[i]) != 0)
                                continue;
                        (void)snprintf(text, sizeof(text), "+%s", name); /* one of our short names */
                        r = write_file(fd, "cgroup.subtree_control", text);
                        if (r < 0)
                                return error_errno(err, r, "enable the cgroup controller '%s'", name);
                }
        }
        return 0;
}

static int make_one(int parent_fd, const char *name, int *ret_fd, struct error *err)
{
        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return error_errno(err, -errno, "make cgroup '%s'", name);
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "open cgroup '%s'", name);
        *ret_fd = fd;
        return 0;
}

int cgroup_make(int parent_fd, const char *path, int *ret_fd, struct error *err)
{
        cleanup_fd int at = -1;
        for (const char *p = path + strspn(path, "/"); *p != '\0'; p += strspn(p, "/")) {
                size_t length = strcspn(p, "/");
                char name[NAME_MAX + 1];
                int next;
                if (length > NAME_MAX)
                        return error_errno(err, -ENAMETOOLONG, "make cgroup '%.64s'", p);
                memcpy(name, p, length);
                name[length] = '\0';
                p += length;
                int r = at >= 0 ? cgroup_delegate(at, err) : 0;
                if (r == 0)
                        r = make_one(at >= 0 ? at : parent_fd, name, &next, err);
                if (r < 0)
                        return r;
                close_fd(&at);
                at = next;
        }
        *ret_fd = take_fd(&at);
        return 0;
}

int cgroup_begin(const char *folder, int *ret_root_fd, struct error *err)
{
        cleanup_fd int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_fd int own = -1;
        if (root < 0)
                return error_errno(err, -errno, "open '%s'", folder);
        int r = make_one(root, "agent", &own, err);
        if (r < 0)
                return r;
        r = write_file(own, "cgroup.procs", "0");
        if (r < 0)
                return error_errno(err, r, "enter the agent's cgroup");
        r = cgroup_delegate(root, err);
        /* What the agent has in memory is not to lie in a swap file of the container's, nor to give way to
         * the container's. A kernel without the memory controller has no such files. */
        (void)write_file(own, "memory.swap.max", "0");
        (void)write_file(own, "memory.min", AGENT_MEMORY_MIN);
        if (r == 0)
                *ret_root_fd = take_fd(&root);
        return r;
}

int cgroup_apply(int fd, const struct resources *resources, struct error *err)
{
        for (size_t i = 0; i < resources->setting_count; i++) {
                const struct cgroup_setting *s = &resources->settings[i];
                int r = write_file(fd, s->file, s->value);
                if (r < 0)
                        return error_errno(err, r, "set '%s' of the container to '%s'", s->file, s->value);
        }
        return 0;
}

int cgroup_kill(int fd)
{
        return write_file(fd, "cgroup.kill", "1");
}

int cgroup_read(int fd, const char *file, const char *key, int64_t *ret_value)
{
        cleanup_free char *text = NULL;
        int r = path_read_at(fd, file, 16384, &text, NULL);
        if (r < 0)
                return r;
        const char *p = text;
        size_t length = key != NULL ? strlen(key) : 0;
        while (key != NULL && !(strncmp(p, key, length) == 0 && p[length] == ' ')) {
                p = strchr(p, '\n');
                if (p == NULL || *++p == '\0')
                        return -ENOENT;
        }
        p += key != NULL ? length + 1 : 0;
        long long value = -1;
        if (strncmp(p, "max", 3) != 0 && sscanf(p, "%lld", &value) != 1)
                return -EIO;
        *ret_value = value;
        return 0;
}

bool cgroup_populated(int fd)
{
        int64_t value;
        return cgroup_read(fd, "cgroup.events", "populated", &value) < 0 || value != 0;
}
