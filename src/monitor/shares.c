/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares are opened here, by this user's rights and by their paths, at every start; boxlet-vmm gets
 * descriptors, with which nothing can be reached but what lies beneath them.
 */
#include "monitor/shares.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *source_of(const json_t *share)
{
        return json_string_value(json_object_get(share, "source"));
}

static int check_one(const json_t *share, struct error *err)
{
        const char *source, *cache;
        bool readonly;
        int r = json_get_string(share, "source", &source, err);
        if (r == 0)
                r = json_get_bool_or(share, "readonly", false, &readonly, err);
        if (r == 0)
                r = json_get_string_or(share, "cache", "auto", &cache, err);
        if (r == 0 && source[0] != '/')
                r = error_set(err, -EINVAL, "'source' is '%s', not an absolute path", source);
        if (r == 0 && strcmp(cache, "auto") != 0 && strcmp(cache, "always") != 0 &&
            strcmp(cache, "none") != 0)
                r = error_set(err, -EINVAL, "'cache' is '%s', not auto, always or none", cache);
        return r;
}

int shares_check(const json_t *list, struct error *err)
{
        if (json_array_size(list) > SHARES_MAX)
                return error_set(err, -EINVAL, "'shares' holds more than %d", SHARES_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
                if (check_one(json_array_get(list, i), err) < 0)
                        return error_wrap(err, "'shares'");
        }
        return 0;
}

static int open_one(const char *source, int *ret_fd, struct error *err)
{
        struct stat st;
        cleanup_fd int fd = open(source, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, -errno, "share '%s'", source);
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "share '%s': it is neither a folder nor a regular file",
                                 source);
        *ret_fd = take_fd(&fd);
        return 0;
}

int shares_open(const json_t *list, struct shares *ret_shares, struct error *err)
{
        ret_shares->count = 0;
        for (size_t i = 0; i < json_array_size(list) && i < SHARES_MAX; i++) {
                int r = open_one(source_of(json_array_get(list, i)), &ret_shares->fds[i], err);
                if (r < 0) {
                        shares_close(ret_shares);
                        return r;
                }
                ret_shares->count++;
        }
        return 0;
}

void shares_close(struct shares *shares)
{
        for (size_t i = 0; i < shares->count; i++)
                close_fd(&shares->fds[i]);
        shares->count = 0;
}

void shares_hand_over(const struct shares *shares, int first, struct process_fd *fds, size_t *count)
{
        for (size_t i = 0; i < shares->count; i++)
                fds[(*count)++] = (struct process_fd){shares->fds[i], first + (int)i};
}

json_t *shares_describe(const json_t *list, int first)
{
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < json_array_size(list); i++) {
                const json_t *share = json_array_get(list, i);
                const char *cache = json_string_value(json_object_get(share, "cache"));
                json_t *one = json_pack("{s:i, s:b, s:s}", "fd", first + (int)i, "readonly",
                                        json_is_true(json_object_get(share, "readonly")), "cache",
                                        cache != NULL ? cache : "auto");
                if (json_array_append_new(array, one) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
