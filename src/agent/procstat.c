/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/stat and status: written by the kernel, but for the name in parentheses. */
#include "agent/procstat.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PF_EXITING 0x4 /* <linux/sched.h> of the kernel itself */

static char *read_file(pid_t pid, const char *name)
{
        char path[48];
        char *text = NULL;
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name); /* our own short names */
        return path_read_at(AT_FDCWD, path, 16384, &text, NULL) < 0 ? NULL : text;
}

bool procstat_is_exiting(pid_t pid)
{
        cleanup_free char *text = read_file(pid, "stat");
        const char *end = text == NULL ? NULL : strrchr(text, ')'); /* the name may hold anything */
        unsigned flags;
        char state;
        if (end == NULL || sscanf(end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
                return false;
        return state == 'Z' || (flags & PF_EXITING) != 0;
}

static uint64_t signal_set(const char *status, const char *name)
{
        const char *line = strstr(status, name);
        uint64_t set = 0;
        if (line == NULL || sscanf(line + strlen(name), "%" SCNx64, &set) != 1)
                return UINT64_MAX;
        return set;
}

bool procstat_listens(pid_t pid, int signal)
{
        cleanup_free char *text = read_file(pid, "status");
        if (text == NULL)
                return true;
        uint64_t set = signal_set(text, "\nSigBlk:") | signal_set(text, "\nSigCgt:");
        return (set >> (signal - 1) & 1) != 0;
}
