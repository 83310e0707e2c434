/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_PASSWD_H
#define AGENT_PASSWD_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

#define PASSWD_GROUPS_MAX 256

/* Who a process is to be. */
struct passwd_user {
        uid_t uid;
        gid_t gid;
        gid_t groups[PASSWD_GROUPS_MAX]; /* additional ones */
        size_t group_count;
        char home[4096]; /* "" when the file does not say */
};

/*
 * Finds "name|uid[:group|gid]" in the contents of /etc/passwd and /etc/group (NULL where the file is
 * missing), by Docker's rules: a number needs no entry; a user without a group given gets the primary group
 * of the entry (0 without an entry) and every group that lists its name; with a group given it gets that one
 * only. An empty text is "0". Returns 0, -ENOENT with err for a name that is not there, -EINVAL.
 */
int passwd_find(const char *text, const char *passwd, const char *group, struct passwd_user *ret_user,
                struct error *err);

/* Home of the first entry with that uid, "" if there is none. */
void passwd_home(const char *passwd, uid_t uid, char *ret_home, size_t size);

#endif
