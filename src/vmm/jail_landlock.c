/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock, which belongs to threads: no path leads anywhere, or, in the threads that serve files, anywhere
 * but beneath the shares. Where there is an empty root, this is the second wall; where a plain user may not
 * have one, the first. The numbers are of the kernel's include/uapi/linux/landlock.h, which the headers of
 * Debian 12 know in an older version; a kernel is asked only for what its version has.
 *
 * A kernel whose version is 1 refuses every rename and link from folder to folder, so there the threads that
 * serve files do without.
 */
#include "vmm/jail_parts.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VERSION_QUERY 1U /* LANDLOCK_CREATE_RULESET_VERSION */
#define PATH_BENEATH  1U /* LANDLOCK_RULE_PATH_BENEATH */
#define NET_ALL       3U /* version 4: bind and connect TCP */
#define SCOPE_SOCKETS 1U /* version 6: abstract unix sockets. Not signals: QEMU has to be ended */

/* struct landlock_ruleset_attr of version 6 */
struct ruleset {
        uint64_t files;
        uint64_t net;
        uint64_t scoped;
};

/* All rights on files that a version knows: 13 at first, REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5. */
static uint64_t all_rights(long version)
{
        unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
        return (UINT64_C(1) << bits) - 1;
}

/* LANDLOCK_ACCESS_FS_*. Not among them: to execute, to make devices and to have ioctls of them. */
#define WRITE_FILE (UINT64_C(1) << 1)
#define READ_FILE  (UINT64_C(1) << 2)
#define READ_DIR   (UINT64_C(1) << 3)
#define REMOVE     (UINT64_C(3) << 4)    /* folders, files */
#define MAKE       (UINT64_C(0x1b) << 7) /* folders, files, sockets, fifos */
#define MAKE_LINK  (UINT64_C(1) << 12)
#define REFER      (UINT64_C(1) << 13)
#define TRUNCATE   (UINT64_C(1) << 14)

/* struct landlock_path_beneath_attr */
struct beneath {
        uint64_t rights;
        int32_t fd;
} __attribute__((packed));

static long ask_version(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_QUERY);
}

bool jail_has_landlock(void)
{
        return ask_version() >= 1;
}

static int make_ruleset(long version)
{
        struct ruleset all = {.files = all_rights(version), .net = NET_ALL, .scoped = SCOPE_SOCKETS};
        size_t size = version >= 6 ? sizeof(all) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
        return (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
}

int jail_forbid_files(struct error *err)
{
        long version = ask_version();
        if (version < 1)
                return error_set(err, -EOPNOTSUPP, "this kernel has no Landlock");
        cleanup_fd int fd = make_ruleset(version);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return error_errno(err, -errno, "forbid files");
        return 0;
}

static int allow_beneath(int ruleset_fd, const struct jail_share *share, long version)
{
        struct stat st;
        struct beneath rule = {.rights = READ_FILE, .fd = share->fd};
        if (fstat(share->fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                rule.rights |= READ_DIR;
        if (!share->readonly)
                rule.rights |= WRITE_FILE | TRUNCATE;
        if (!share->readonly && S_ISDIR(st.st_mode))
                rule.rights |= REMOVE | MAKE | MAKE_LINK | REFER;
        rule.rights &= all_rights(version);
        return syscall(SYS_landlock_add_rule, ruleset_fd, PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int jail_shares_new(const struct jail_share *shares, size_t count, int *ret_ruleset, struct error *err)
{
        long version = ask_version();
        if (version < 2)
                return error_set(err, -EOPNOTSUPP, "this kernel has no Landlock that knows renames");
        cleanup_fd int fd = make_ruleset(version);
        if (fd < 0)
                return error_errno(err, -errno, "forbid files");
        for (size_t i = 0; i < count; i++) {
                int r = allow_beneath(fd, &shares[i], version);
                if (r < 0)
                        return error_errno(err, r, "forbid files but share %zu", i);
        }
        *ret_ruleset = take_fd(&fd);
        return 0;
}

int jail_only_shares(int ruleset, struct error *err)
{
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? error_errno(err, -errno, "forbid files")
                                                                   : 0;
}
