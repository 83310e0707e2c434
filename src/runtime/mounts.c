/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of mounts of a box. Sorted by the depth of the target, so that carrying it out from front to back
 * never mounts over something that was just put below (docker does the same); what is equally deep keeps the
 * order of the command line.
 */
#include "runtime/mounts.h"

#include "base/cleanup.h"
#include "runtime/mount_words.h"
#include "runtime/profile.h"
#include "runtime/shares.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_VOLUMES "/run/box/volumes/" /* docs/protocol.md, section 3 */

void mounts_done(struct mount_list *list)
{
        for (size_t i = 0; i < list->count; i++)
                mount_request_done(&list->entries[i]);
        free(list->entries);
        *list = (struct mount_list){0};
}

static size_t depth(const char *path)
{
        size_t slashes = 0;
        for (; *path != '\0'; path++)
                slashes += *path == '/';
        return slashes;
}

/* Puts it into its place; takes what it holds in any case. */
static int insert(struct mount_list *list, struct mount_request *request, struct error *err)
{
        size_t at = list->count;
        struct mount_request *grown = NULL;
        int r = 0;
        for (size_t i = 0; i < list->count; i++) {
                if (strcmp(list->entries[i].target, request->target) == 0)
                        r = error_set(err, -EINVAL, "'%.300s' is mounted twice in the box", request->target);
        }
        if (r == 0 && list->count >= MOUNTS_MAX)
                r = error_set(err, -E2BIG, "more than %d mounts", MOUNTS_MAX);
        if (r == 0) {
                grown = reallocarray(list->entries, list->count + 1, sizeof(*grown));
                r = grown == NULL ? error_set(err, -ENOMEM, "read the mounts: out of memory") : 0;
        }
        if (r < 0) {
                mount_request_done(request);
                return r;
        }
        list->entries = grown;
        for (; at > 0 && depth(grown[at - 1].target) > depth(request->target); at--)
                grown[at] = grown[at - 1];
        grown[at] = *request;
        list->count++;
        return 0;
}

typedef int (*parse_fn)(const char *, const char *, struct mount_request *, struct error *);

static int parse_all(struct mount_list *list, const char *const *texts, const char *working_dir,
                     parse_fn parse, struct error *err)
{
        int r = 0;
        for (; r == 0 && texts != NULL && *texts != NULL; texts++) {
                struct mount_request request;
                r = parse(*texts, working_dir, &request, err);
                if (r == 0)
                        r = insert(list, &request, err);
        }
        return r;
}

int mounts_parse(const char *const *volumes, const char *const *mounts, const char *working_dir,
                 struct mount_list *ret_list, struct error *err)
{
        struct mount_list list = {0};
        int r = parse_all(&list, volumes, working_dir, mount_words_volume, err);
        if (r == 0)
                r = parse_all(&list, mounts, working_dir, mount_words_mount, err);
        if (r < 0) {
                mounts_done(&list);
                return r;
        }
        *ret_list = list;
        return 0;
}

int mounts_put(json_t *mounts, json_t *mount, struct error *err)
{
        size_t i;
        json_t *other;
        int r = mount == NULL ? -1 : 0;
        json_array_foreach (mounts, i, other) {
                if (r == 0 && strcmp(json_text(other, "destination"), json_text(mount, "destination")) == 0) {
                        r = json_array_set_new(mounts, i, mount);
                        return r < 0 ? error_set(err, -ENOMEM, "create box: out of memory") : 0;
                }
        }
        if (r == 0)
                r = json_array_append_new(mounts, mount);
        return r < 0 ? error_set(err, -ENOMEM, "create box: out of memory") : 0;
}

static int put_tmpfs(json_t *mounts, const struct mount_request *request, struct error *err)
{
        char size[40], mode[16];
        cleanup_json json_t *options = json_pack("[s, s, s]", "noexec", "nosuid", "nodev");
        (void)snprintf(size, sizeof(size), "size=%llu", (unsigned long long)request->tmpfs_bytes);
        (void)snprintf(mode, sizeof(mode), "mode=%o", (unsigned)request->tmpfs_mode & 07777); /* both fit */
        if (options == NULL ||
            (request->tmpfs_bytes != 0 && json_array_append_new(options, json_string(size)) < 0) ||
            (request->tmpfs_mode >= 0 && json_array_append_new(options, json_string(mode)) < 0) ||
            (request->readonly && json_array_append_new(options, json_string("ro")) < 0))
                return error_set(err, -ENOMEM, "create box: out of memory");
        return mounts_put(mounts,
                          json_pack("{s:s, s:s, s:s, s:O}", "destination", request->target, "type", "tmpfs",
                                    "source", "tmpfs", "options", options),
                          err);
}

static int put_volume(json_t *mounts, const struct mount_request *request, struct error *err)
{
        json_t *options = json_pack("[s, s]", "bind", request->readonly ? "ro" : "rw");
        return mounts_put(mounts,
                          json_pack("{s:s, s:s, s:s+, s:o}", "destination", request->target, "type", "bind",
                                    "source", AGENT_VOLUMES, request->source, "options", options),
                          err);
}

/* Takes `path` out of the image's own volumes. */
static void drop_volume(json_t *volumes, const char *path)
{
        size_t i;
        json_t *other;
        json_array_foreach (volumes, i, other) {
                if (strcmp(json_string_value(other), path) == 0) {
                        (void)json_array_remove(volumes, i); /* i is in range */
                        return;
                }
        }
}

static int check_tmpfs(const json_t *mounts, const struct mount_request *request, struct error *err)
{
        size_t i;
        json_t *mount;
        json_array_foreach ((json_t *)mounts, i, mount) {
                if (strcmp(json_text(mount, "destination"), request->target) == 0 &&
                    strcmp(json_text(mount, "type"), "tmpfs") == 0 &&
                    strcmp(json_text(mount, "source"), "tmpfs") == 0 &&
                    strcmp(request->target, "/dev") != 0 && !profile_gives_way(mount))
                        return error_set(err, -EINVAL, "'%.300s' is mounted twice in the box",
                                         request->target);
        }
        return 0;
}

int mounts_apply(const struct mount_list *list, json_t *document, json_t *volumes, struct error *err)
{
        json_t *mounts = json_object_get(document, "mounts");
        unsigned share = 0;
        for (size_t i = 0; i < list->count; i++) {
                const struct mount_request *request = &list->entries[i];
                drop_volume(volumes, request->target);
                int r = check_tmpfs(mounts, request, err);
                if (r == 0 && request->kind == MOUNT_TMPFS)
                        r = put_tmpfs(mounts, request, err);
                if (r == 0 && request->kind == MOUNT_SHARE)
                        r = mounts_put(mounts, shares_mount(request, share++), err);
                if (r == 0 && request->kind == MOUNT_VOLUME && request->source != NULL)
                        r = put_volume(mounts, request, err);
                if (r == 0 && request->kind == MOUNT_VOLUME && request->source == NULL &&
                    profile_uncover(mounts, request->target) < 0)
                        r = error_set(err, -ENOMEM, "create box: out of memory");
                if (r == 0 && request->kind == MOUNT_VOLUME && request->source == NULL &&
                    json_array_append_new(volumes, json_string(request->target)) < 0)
                        r = error_set(err, -ENOMEM, "create box: out of memory");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The disk of that volume among those of the machine. */
static json_t *find_disk(const json_t *disks, const char *name)
{
        size_t i;
        json_t *disk;
        json_array_foreach ((json_t *)disks, i, disk) {
                if (strcmp(json_text(disk, "volume"), name) == 0)
                        return disk;
        }
        return NULL;
}

/* A volume that is mounted twice is read-only if it is so everywhere. */
static int add_disk(json_t *disks, const struct mount_request *request)
{
        json_t *disk = find_disk(disks, request->source);
        int r = 0;
        if (disk == NULL) {
                disk = json_pack("{s:s, s:n, s:b}", "volume", request->source, "path", "readonly", 1);
                r = json_array_append_new(disks, disk);
        }
        if (r == 0 && !request->readonly)
                r = json_object_set_new(disk, "readonly", json_false());
        if (r == 0 && !request->no_copy && json_is_null(json_object_get(disk, "path")))
                r = json_object_set_new(disk, "path", json_string(request->target));
        return r;
}

json_t *mounts_disks(const struct mount_list *list)
{
        json_t *disks = json_array();
        for (size_t i = 0; disks != NULL && i < list->count; i++) {
                const struct mount_request *request = &list->entries[i];
                if (request->kind == MOUNT_VOLUME && request->source != NULL &&
                    add_disk(disks, request) < 0) {
                        json_decref(disks);
                        return NULL;
                }
        }
        return disks;
}

json_t *mounts_describe(const struct mount_list *list)
{
        static const char *const types[] = {"bind", "volume", "tmpfs"};
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < list->count; i++) {
                const struct mount_request *request = &list->entries[i];
                const char *source = request->source == NULL ? "" : request->source;
                bool is_volume = request->kind == MOUNT_VOLUME;
                json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:b}", "Type", types[request->kind],
                                        is_volume ? "Name" : "Source", source, "Destination", request->target,
                                        "Mode", request->readonly ? "ro" : "", "RW", (int)!request->readonly);
                if (json_array_append_new(array, one) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
