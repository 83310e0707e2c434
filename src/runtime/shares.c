/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is shared is looked at when the box is created, so that a mistake is known at once, and opened when it
 * is started, by the monitor: a path means what it means then.
 */
#include "runtime/shares.h"

#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define AGENT_SHARES "/run/box/shares/" /* docs/protocol.md, section 3 */

static int check_one(const struct mount_request *request, struct error *err)
{
        struct stat st;
        if (stat(request->source, &st) < 0) {
                if (errno == ENOENT && request->make_source)
                        return 0;
                return error_errno(err, -errno, "share '%.300s'", request->source);
        }
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "share '%.300s': only folders and regular files can be shared",
                                 request->source);
        return 0;
}

int shares_check(const struct mount_list *list, struct error *err)
{
        int r = 0;
        for (size_t i = 0; i < list->count && r == 0; i++) {
                if (list->entries[i].kind == MOUNT_SHARE)
                        r = check_one(&list->entries[i], err);
        }
        return r;
}

int shares_make(const struct mount_list *list, struct error *err)
{
        for (size_t i = 0; i < list->count; i++) {
                const struct mount_request *request = &list->entries[i];
                struct stat st;
                if (request->kind != MOUNT_SHARE || !request->make_source || stat(request->source, &st) == 0)
                        continue;
                int r = path_mkdir_all(request->source, 0755);
                if (r < 0)
                        return error_errno(err, r, "make folder '%.300s' to share it", request->source);
        }
        return 0;
}

json_t *shares_describe(const struct mount_list *list)
{
        static const char *const caches[] = {
            [MOUNT_CACHE_AUTO] = "auto", [MOUNT_CACHE_ALWAYS] = "always", [MOUNT_CACHE_NONE] = "none"};
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < list->count; i++) {
                const struct mount_request *request = &list->entries[i];
                if (request->kind != MOUNT_SHARE)
                        continue;
                json_t *one = json_pack("{s:s, s:b, s:s}", "source", request->source, "readonly",
                                        (int)request->readonly, "cache", caches[request->cache]);
                if (json_array_append_new(array, one) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

json_t *shares_mount(const struct mount_request *request, unsigned number)
{
        char source[sizeof(AGENT_SHARES) + 12];
        (void)snprintf(source, sizeof(source), AGENT_SHARES "%u", number); /* always fits */
        return json_pack("{s:s, s:s, s:s, s:[s, s, s]}", "destination", request->target, "type", "bind",
                         "source", source, "options", "rbind", "nodev", request->readonly ? "ro" : "rw");
}
