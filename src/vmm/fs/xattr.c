/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: those of the namespace user, on files and folders, without the ones that are ours.
 * security.*, trusted.* and system.* mean something to the host's kernel, and are not the guest's to read or
 * write: capabilities of a file in a share would be some on the host.
 *
 * system calls (files): getxattr lgetxattr setxattr lsetxattr listxattr removexattr lremovexattr
 */
#include "vmm/fs/call.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static bool is_ours(const char *name)
{
        return strncmp(name, OWNER_PREFIX, strlen(OWNER_PREFIX)) == 0;
}

/* Is it one that a guest may have? */
static int check_name(const char *name, int hidden)
{
        if (strncmp(name, "user.", 5) != 0 || name[5] == '\0' || strlen(name) > XATTR_NAME_MAX)
                return -EOPNOTSUPP;
        return is_ours(name) ? hidden : 0;
}

static bool has_attributes(const struct call *c)
{
        return node_type(c->node) == S_IFREG || node_type(c->node) == S_IFDIR;
}

/* The name behind the fixed fields, which ends where the request ends; NULL when it does not. */
static const char *name_at(const struct call *c, size_t at)
{
        const char *name = (const char *)c->args + at;
        size_t length = strnlen(name, c->args_size - at);
        return at + length + 1 == c->args_size ? name : NULL;
}

static int path_of(const struct call *c, char *path, size_t size)
{
        int fd = node_fd(c->fs->nodes, c->node);
        (void)snprintf(path, size, "%d", fd); /* below /proc/self/fd, see attr.c */
        return fd < 0 ? fd : 0;
}

/* size 0 asks how long it is. */
static int answer(struct call *c, const void *value, size_t length, uint32_t asked)
{
        struct fuse_getxattr_out out = {.size = (uint32_t)length};
        if (asked == 0)
                return fs_reply(c, &out, sizeof(out));
        return length > asked ? -ERANGE : fs_reply(c, value, length);
}

int fs_op_getxattr(struct call *c)
{
        struct fuse_getxattr_in in;
        char path[16];
        memcpy(&in, c->args, sizeof(in));
        const char *name = name_at(c, sizeof(in));
        if (name == NULL)
                return -EINVAL;
        int r = check_name(name, -ENODATA);
        if (r < 0)
                return r;
        if (c->node == NULL || !has_attributes(c))
                return -ENODATA;
        r = path_of(c, path, sizeof(path));
        if (r < 0)
                return r;
        /* into the room of the request, of which nothing is needed any more but the name: behind that */
        uint8_t *value = c->scratch->arguments + c->args_size;
        size_t room = sizeof(c->scratch->arguments) - c->args_size;
        ssize_t n = getxattr(path, name, value, room < XATTR_SIZE_MAX ? room : XATTR_SIZE_MAX);
        return n < 0 ? -errno : answer(c, value, (size_t)n, in.size);
}

int fs_op_listxattr(struct call *c)
{
        struct fuse_getxattr_in in;
        char path[16];
        memcpy(&in, c->args, sizeof(in));
        if (c->node == NULL || !has_attributes(c))
                return answer(c, "", 0, in.size);
        int r = path_of(c, path, sizeof(path));
        if (r < 0)
                return r;
        char *names = (char *)c->scratch->arguments;
        ssize_t n = listxattr(path, names, XATTR_LIST_MAX);
        if (n < 0)
                return errno == ENOTSUP ? answer(c, "", 0, in.size) : -errno;
        names[n] = '\0';
        size_t kept = 0;
        for (ssize_t at = 0; at < n;) {
                size_t length = strlen(names + at) + 1;
                if (check_name(names + at, -ENODATA) == 0) {
                        memmove(names + kept, names + at, length);
                        kept += length;
                }
                at += (ssize_t)length;
        }
        return answer(c, names, kept, in.size);
}

int fs_op_setxattr(struct call *c)
{
        struct { /* struct fuse_setxattr_in, before FUSE_SETXATTR_EXT */
                uint32_t size;
                uint32_t flags;
        } in;
        char path[16];
        _Static_assert(sizeof(in) == FUSE_COMPAT_SETXATTR_IN_SIZE, "linux/fuse.h");
        memcpy(&in, c->args, sizeof(in));
        const char *name = (const char *)c->args + sizeof(in);
        size_t length = strnlen(name, c->args_size - sizeof(in));
        if (sizeof(in) + length + 1 > c->args_size || in.size != c->args_size - sizeof(in) - length - 1 ||
            in.size > XATTR_SIZE_MAX || (in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)) != 0)
                return -EINVAL;
        int r = check_name(name, -EPERM);
        if (r == 0)
                r = has_attributes(c) ? path_of(c, path, sizeof(path)) : -EPERM;
        if (r < 0)
                return r;
        return setxattr(path, name, name + length + 1, in.size, (int)in.flags) < 0 ? -errno : 0;
}

int fs_op_removexattr(struct call *c)
{
        char path[16];
        const char *name = name_at(c, 0);
        if (name == NULL)
                return -EINVAL;
        int r = check_name(name, -ENODATA);
        if (r == 0)
                r = has_attributes(c) ? path_of(c, path, sizeof(path)) : -ENODATA;
        if (r < 0)
                return r;
        return removexattr(path, name) < 0 ? -errno : 0;
}
