/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities: a process giving up its own (capset(2), prctl(2)).
 * The system call is used directly: libcap would be one more library for two calls.
 */
#include "agent/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The bits the running kernel knows. */
static uint64_t known(void)
{
        int last = 0;
        while (last < 63 && prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0) >= 0)
                last++;
        return (UINT64_C(2) << last) - 1;
}

int capability_limit(const struct capability_sets *sets, struct error *err)
{
        for (int bit = 0; bit < 64; bit++) {
                int held = prctl(PR_CAPBSET_READ, bit, 0, 0, 0);
                if (held < 0)
                        break; /* past the last one */
                if (held == 1 && !(sets->bounding >> bit & 1) && prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0)
                        return error_errno(err, -errno, "drop capability %d from the bounding set", bit);
        }
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                return error_errno(err, -errno, "keep capabilities");
        return 0;
}

int capability_apply(const struct capability_sets *sets, struct error *err)
{
        uint64_t mask = known();
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];
        for (int i = 0; i < 2; i++) {
                data[i].effective = (uint32_t)((sets->effective & sets->permitted & mask) >> 32 * i);
                data[i].permitted = (uint32_t)((sets->permitted & mask) >> 32 * i);
                data[i].inheritable = (uint32_t)((sets->inheritable & mask) >> 32 * i);
        }
        if (syscall(SYS_capset, &header, data) < 0)
                return error_errno(err, -errno, "set capabilities");
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return error_errno(err, -errno, "clear ambient capabilities");
        for (int bit = 0; bit < 64; bit++) {
                if ((sets->ambient & mask) >> bit & 1 &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) < 0)
                        return error_errno(err, -errno, "raise ambient capability %d", bit);
        }
        if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
                return error_errno(err, -errno, "stop keeping capabilities");
        return 0;
}
