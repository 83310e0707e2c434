/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules, for a destination D and a source S called s:
 *
 *     D               S a file            S a folder               S "folder/."
 *     is a folder     D/s                 D/s                      into D
 *     is a file       replaces it         refused                  refused
 *     is not there    made as D           made as D                made as D
 *     ends in "/"     must be a folder    as above                 as above
 *
 * The folder that D lies in must be there. Links in D lead where they lead, the last one too, so that a file
 * replaces what D points to.
 */
#include "wire/place.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_HOPS_MAX 40

static bool ends_in_slash(const char *path)
{
        size_t length = strlen(path);
        return length > 0 && path[length - 1] == '/';
}

/* Splits path into its folder ("." or "/" if it names none) and last component, without slashes at the end.
 */
static int split(const char *path, char folder[PATH_MAX], char name[NAME_MAX + 1])
{
        size_t end = strlen(path);
        while (end > 0 && path[end - 1] == '/')
                end--;
        size_t start = end;
        while (start > 0 && path[start - 1] != '/')
                start--;
        if (end - start > NAME_MAX || start >= PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(name, path + start, end - start);
        name[end - start] = '\0';
        memcpy(folder, path, start);
        folder[start] = '\0';
        if (start == 0)
                (void)strcpy(folder, end == 0 && path[0] == '/' ? "/" : ".");
        return 0;
}

static bool is_dots(const char *name)
{
        return name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int place_base_name(const char *path, char ret_name[NAME_MAX + 1], bool *ret_contents)
{
        char folder[PATH_MAX];
        int r = split(path, folder, ret_name);
        if (r == 0)
                *ret_contents = is_dots(ret_name);
        return r;
}

/* Finds the folder and name of a path that is no folder itself, following the links at its end. */
static int find_name(const struct place_world *world, const char *path, struct place_found *place,
                     struct error *err)
{
        char at[PATH_MAX], folder[PATH_MAX], target[PATH_MAX];
        int n = snprintf(at, sizeof(at), "%s", path);
        for (int hops = 0; n >= 0 && (size_t)n < sizeof(at); hops++) {
                int r = hops == LINK_HOPS_MAX ? -ELOOP : split(at, folder, place->name);
                if (r == 0 && is_dots(place->name))
                        r = -ENOENT;
                if (r < 0)
                        return error_errno(err, r, "find '%s'", path);
                close_fd(&place->folder_fd);
                place->folder_fd = world->open(world->data, folder, O_DIRECTORY);
                if (place->folder_fd < 0) {
                        r = place->folder_fd;
                        place->folder_fd = -1;
                        return error_errno(err, r, "open the folder of '%s'", path);
                }
                ssize_t length = readlinkat(place->folder_fd, place->name, target, sizeof(target) - 1);
                if (length < 0)
                        return 0; /* no link, or nothing yet */
                target[length] = '\0';
                n = target[0] == '/' ? snprintf(at, sizeof(at), "%s", target)
                                     : snprintf(at, sizeof(at), "%s/%s", folder, target);
        }
        return error_errno(err, -ENAMETOOLONG, "find '%s'", path);
}

static int find(const struct place_world *world, const char *path, const struct place_source *source,
                struct place_found *place, struct error *err)
{
        struct stat st;
        cleanup_fd int fd = world->open(world->data, path, 0);
        if (fd < 0 && fd != -ENOENT)
                return error_errno(err, fd, "find '%s'", path);
        if (fd >= 0 && fstat(fd, &st) < 0)
                return error_errno(err, -errno, "find '%s'", path);
        if (fd >= 0 && S_ISDIR(st.st_mode)) {
                place->folder_fd = take_fd(&fd);
                place->is_contents = source == NULL || source->contents;
                if (!place->is_contents)
                        (void)snprintf(place->name, sizeof(place->name), "%s", source->name);
                return 0;
        }
        if (source == NULL)
                return fd < 0 ? error_errno(err, -ENOENT, "find the folder '%s'", path)
                              : error_set(err, -ENOTDIR, "unpack a tar into '%s': it is no folder", path);
        if (fd >= 0 && source->folder)
                return error_set(err, -ENOTDIR, "copy a folder to '%s': there is a file of that name", path);
        if (ends_in_slash(path) && !source->folder)
                return fd >= 0 ? error_set(err, -ENOTDIR, "copy to '%s': it is no folder", path)
                               : error_set(err, -ENOENT, "copy to '%s': there is no such folder", path);
        return find_name(world, path, place, err);
}

int place_find(const struct place_world *world, const char *path, const struct place_source *source,
               struct place_found *ret_place, struct error *err)
{
        struct place_found place = {.folder_fd = -1};
        int r = find(world, path, source, &place, err);
        if (r < 0)
                close_fd(&place.folder_fd);
        *ret_place = place;
        return r;
}
