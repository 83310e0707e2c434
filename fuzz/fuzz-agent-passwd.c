/* SPDX-License-Identifier: Apache-2.0 */
/* Three texts divided by NUL: whom to look for, /etc/passwd, /etc/group. */
#include "agent/passwd.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take(const uint8_t **data, size_t *size)
{
        const uint8_t *end = memchr(*data, 0, *size);
        size_t length = end != NULL ? (size_t)(end - *data) : *size;
        char *text = strndup((const char *)*data, length);
        size_t used = length + (end != NULL ? 1 : 0);
        *data += used;
        *size -= used;
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint8_t nothing[1];
        if (data == NULL)
                data = nothing;
        char *who = take(&data, &size), *passwd = take(&data, &size), *group = take(&data, &size);
        struct passwd_user user;
        struct error err = ERROR_INIT;
        char home[16];
        if (who != NULL && passwd != NULL && group != NULL) {
                if (passwd_find(who, passwd, group, &user, &err) == 0 &&
                    (user.group_count < 1 || user.group_count > PASSWD_GROUPS_MAX ||
                     user.groups[0] != user.gid || strlen(user.home) >= sizeof(user.home)))
                        abort();
                (void)passwd_find(who, NULL, group, &user, &err);
                passwd_home(passwd, 0, home, sizeof(home));
        }
        free(who);
        free(passwd);
        free(group);
        return 0;
}
