/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers of capabilities: the runtime writes names into a specification, the agent reads them from
 * it. */
#include "base/capability.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <strings.h>

/* In the order of linux/capability.h: the index is the number. */
static const char *const names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == CAPABILITY_COUNT, "each capability has its name");

int capability_number(const char *name)
{
        if (strncasecmp(name, "CAP_", 4) == 0)
                name += 4;
        for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
                if (strcasecmp(name, names[i]) == 0)
                        return (int)i;
        }
        return -EINVAL;
}

const char *capability_name(int number)
{
        assert(number >= 0 && number < CAPABILITY_COUNT);
        return names[number];
}
