/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the container to the host and from it, as a tar (wire/tar.h). Runs in a process of its own, in the
 * container's mount namespace, as root. Paths are resolved in the container's root: a link of the container's
 * leads to where it leads for the container, and never out of it.
 */
#include "agent/transfer.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "wire/pack.h"
#include "wire/place.h"
#include "wire/tar.h"
#include "wire/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Opens what is to be read: for reading if it is a file or a folder, else with O_PATH. */
static int open_source(int root_fd, const char *path, bool follow, struct stat *ret_st, struct error *err)
{
        int flags = follow ? 0 : O_NOFOLLOW;
        cleanup_fd int fd = path_open_in_root(root_fd, path, O_PATH | flags, 0);
        if (fd < 0)
                return error_errno(err, fd, "find '%s' in the box", path);
        if (fstat(fd, ret_st) < 0)
                return error_errno(err, -errno, "find '%s' in the box", path);
        if (!S_ISREG(ret_st->st_mode) && !S_ISDIR(ret_st->st_mode))
                return take_fd(&fd);
        int again = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | flags, 0);
        if (again < 0)
                return error_errno(err, again, "open '%s' in the box", path);
        if (fstat(again, ret_st) < 0) {
                int r = -errno;
                (void)close(again);
                return error_errno(err, r, "open '%s' in the box", path);
        }
        return again;
}

static int send_tree(const struct transfer_call *call, int fd, unsigned flags, struct error *err)
{
        struct pack_sink sink = {transfer_write, (void *)call};
        cleanup_pack struct pack *pack = NULL;
        int r = pack_new(&sink, flags, &pack);
        if (r < 0)
                return error_errno(err, r, "read files");
        r = pack_tree(pack, fd, ".", err);
        return r < 0 ? r : pack_end(pack, err);
}

int copy_archive(const struct transfer_call *call, struct error *err)
{
        const char *path;
        bool follow;
        struct stat st;
        cleanup_fd int root_fd = -1;
        int r = json_get_string(call->request, "path", &path, err);
        if (r == 0)
                r = json_get_bool_or(call->request, "follow", false, &follow, err);
        if (r == 0)
                r = transfer_enter(call, &root_fd, err);
        if (r < 0)
                return r;
        cleanup_fd int fd = open_source(root_fd, path, follow, &st, err);
        if (fd < 0)
                return fd;
        size_t length = strlen(path);
        if (length > 0 && path[length - 1] == '/' && !S_ISDIR(st.st_mode))
                return error_errno(err, -ENOTDIR, "find '%s' in the box", path);
        r = transfer_accept(call,
                            json_pack("{s:b, s:I}", "folder", S_ISDIR(st.st_mode), "size",
                                      (json_int_t)(S_ISREG(st.st_mode) ? st.st_size : 0)),
                            err);
        return r < 0 ? r : send_tree(call, fd, 0, err);
}

int copy_export(const struct transfer_call *call, struct error *err)
{
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/root",
                       call->agent->setup->run_folder); /* our own short name */
        cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "open the box's root");
        int r = transfer_accept(call, NULL, err);
        return r < 0 ? r : send_tree(call, fd, PACK_ONE_MOUNT | PACK_ALL_XATTRS, err);
}

/* ---- in ---- */

static int open_in_box(void *data, const char *path, int flags)
{
        const int *root_fd = data;
        return path_open_in_root(*root_fd, path, O_PATH | flags, 0);
}

static int read_source(const json_t *request, struct place_source *ret_source, bool *ret_is_tar,
                       struct error *err)
{
        const json_t *source = json_object_get(request, "source");
        *ret_is_tar = source == NULL;
        if (source == NULL)
                return 0;
        int r = json_get_bool_or(source, "folder", false, &ret_source->folder, err);
        if (r == 0)
                r = json_get_bool_or(source, "contents", false, &ret_source->contents, err);
        if (r == 0)
                r = json_get_string(source, "name", &ret_source->name, err);
        if (r == 0 && (strlen(ret_source->name) > NAME_MAX || strchr(ret_source->name, '/') != NULL ||
                       (!ret_source->contents && !tar_name_is_plain(ret_source->name))))
                r = error_set(err, -EINVAL, "copy: '%.64s' is no name", ret_source->name);
        return r;
}

int copy_extract(const struct transfer_call *call, struct error *err)
{
        const char *path;
        struct place_source source = {0};
        struct place_found place;
        bool is_tar, keep_owner;
        cleanup_fd int root_fd = -1;
        int r = json_get_string(call->request, "path", &path, err);
        if (r == 0)
                r = json_get_bool_or(call->request, "keep_owner", false, &keep_owner, err);
        if (r == 0)
                r = read_source(call->request, &source, &is_tar, err);
        if (r == 0 && call->agent->init == NULL && call->agent->readonly_root)
                r = error_errno(err, -EROFS, "write '%s'", path);
        if (r == 0)
                r = transfer_enter(call, &root_fd, err);
        struct place_world world = {open_in_box, &root_fd};
        if (r == 0)
                r = place_find(&world, path, is_tar ? NULL : &source, &place, err);
        if (r < 0)
                return r;
        cleanup_fd int folder_fd = take_fd(&place.folder_fd);
        struct tar_source stream = {transfer_read, (void *)call};
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct unpack_options options = {.root_fd = folder_fd,
                                         .top = place.is_contents ? NULL : place.name,
                                         .keep_owner = keep_owner,
                                         .keep_privileges = true};
        r = tar_reader_new(&stream, &reader);
        if (r < 0)
                return error_errno(err, r, "write '%s'", path);
        r = transfer_accept(call, NULL, err);
        return r < 0 ? r : unpack(reader, &options, NULL, err);
}
