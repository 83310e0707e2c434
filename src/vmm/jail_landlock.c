/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: no path leads anywhere. Where there is an empty root, this is the second wall; where a plain user
 * may not have one, the first. The numbers are of the kernel's include/uapi/linux/landlock.h, which the
 * headers of Debian 12 know in an older version; a kernel is asked only for what its version has.
 */
#include "vmm/jail_parts.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VERSION_QUERY 1U /* LANDLOCK_CREATE_RULESET_VERSION */
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

int jail_forbid_files(struct error *err)
{
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_QUERY);
        if (version < 1)
                return error_set(err, -EOPNOTSUPP, "this kernel has no Landlock");
        struct ruleset all = {.files = all_rights(version), .net = NET_ALL, .scoped = SCOPE_SOCKETS};
        size_t size = version >= 6 ? sizeof(all) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
        cleanup_fd int fd = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                return error_errno(err, -errno, "forbid files");
        return 0;
}
