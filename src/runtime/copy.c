/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files between the host and a box, by docker cp's rules.
 *
 *     out: agent packs -> tar -> unpacked here, or written on as a tar
 *     in:  packed here, or any tar read by libarchive -> tar -> agent unpacks
 *
 * What comes out of a box is a hostile tar. It is unpacked by wire/unpack.c, which never leaves the folder it
 * is given, follows no link, and here makes neither devices nor set-id files. Written on as a tar, each entry
 * is read, its name checked, and written anew, so that nothing but a plain tar gets out.
 */
#include "runtime/copy.h"

#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/tar_input.h"
#include "runtime/transfer.h"

#include "base/fd.h"
#include "wire/pack.h"
#include "wire/place.h"
#include "wire/tar.h"
#include "wire/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One call. */
struct copy {
        struct boxlet_box *box;
        struct boxlet_copy_options options;
        const char *local; /* NULL: fd */
        int fd;
        const char *path; /* in the box */
};

static int open_on_host(void *data, const char *path, int flags)
{
        (void)data;
        int fd = open(path, O_PATH | O_CLOEXEC | flags);
        return fd < 0 ? -errno : fd;
}

static struct transfer_watch watch_of(const struct copy *c, uint64_t total)
{
        return (struct transfer_watch){c->options.progress, c->options.progress_data, "files", total};
}

/* ---- out ---- */

static int find_destination(const struct copy *c, const json_t *reply, struct place_found *place,
                            struct error *err)
{
        struct place_world world = {open_on_host, NULL};
        char name[NAME_MAX + 1];
        struct place_source source = {.name = name};
        int r = place_base_name(c->path, name, &source.contents);
        if (r < 0)
                return error_errno(err, r, "'%s'", c->path);
        source.folder = json_is_true(json_object_get(reply, "folder"));
        source.contents = source.contents && source.folder;
        return place_find(&world, c->local, &source, place, err);
}

static int unpack_here(const struct copy *c, const json_t *reply, struct tar_reader *reader,
                       struct error *err)
{
        struct place_found place;
        struct unpack_report report;
        int r = find_destination(c, reply, &place, err);
        if (r < 0)
                return r;
        cleanup_fd int folder_fd = take_fd(&place.folder_fd);
        struct unpack_options options = {
            .root_fd = folder_fd,
            .top = place.is_contents ? NULL : place.name,
            .keep_owner = c->options.archive != 0,
        };
        r = unpack(reader, &options, &report, err);
        if (r == 0 && report.left_out > 0)
                r = error_set(err, -EPERM,
                              "all is copied but %llu device nodes, which are not made on the host ('%s'): a "
                              "tar on standard output has them",
                              (unsigned long long)report.left_out, report.first);
        return r;
}

/* The tar's names get the source's own in front; what is in a folder ("dir/.") has none. */
static int rename_entry(struct tar_entry *e, const char *top, char name[TAR_NAME_MAX],
                        char link[TAR_NAME_MAX], struct error *err)
{
        bool is_top = strcmp(e->name, ".") == 0;
        const char *slash = top[0] != '\0' ? "/" : "";
        if (!is_top && !tar_name_is_plain(e->name))
                return error_set(err, -EBADMSG, "refused the name '%s' in the tar: it leads out", e->name);
        int n = is_top ? snprintf(name, TAR_NAME_MAX, "%s", top[0] != '\0' ? top : ".")
                       : snprintf(name, TAR_NAME_MAX, "%s%s%s", top, slash, e->name);
        if (n < 0 || n >= TAR_NAME_MAX)
                return error_set(err, -ENAMETOOLONG, "read '%s': the path is too long", e->name);
        if (e->type == TAR_FOLDER && n + 1 < TAR_NAME_MAX && strcmp(name, ".") != 0)
                (void)strcpy(name + n, "/"); /* as tar programs write it */
        e->name = name;
        if (e->type != TAR_HARD_LINK)
                return 0;
        n = snprintf(link, TAR_NAME_MAX, "%s%s%s", top, slash, e->link);
        if (!tar_name_is_plain(e->link) || n < 0 || n >= TAR_NAME_MAX)
                return error_set(err, -EBADMSG, "refused a hard link to '%s' in the tar", e->link);
        e->link = link;
        return 0;
}

static int write_entry(const struct pack_sink *sink, struct tar_reader *reader, const struct tar_entry *e,
                       struct buffer *b, struct error *err)
{
        char bytes[32 << 10];
        static const char zeros[TAR_BLOCK];
        int64_t n;
        size_t padding = tar_padding(e->size);
        buffer_clear(b);
        int r = tar_encode(e, b);
        if (r < 0)
                return error_errno(err, r, "write the tar");
        r = sink->write(sink->data, buffer_content(b), b->length, err);
        while (r == 0 && (n = tar_reader_content(reader, bytes, sizeof(bytes), err)) != 0)
                r = n < 0 ? (int)n : sink->write(sink->data, bytes, (size_t)n, err);
        return r < 0 ? r : sink->write(sink->data, zeros, padding, err);
}

int copy_tar_on(struct tar_reader *reader, const char *top, const struct pack_sink *sink, struct error *err)
{
        char name[TAR_NAME_MAX], link[TAR_NAME_MAX];
        cleanup_buffer struct buffer b = BUFFER_INIT(2 * (size_t)TAR_RECORDS_MAX);
        struct tar_entry e;
        int r;
        while ((r = tar_reader_next(reader, &e, err)) > 0) {
                r = rename_entry(&e, top, name, link, err);
                if (r == 0 && strcmp(name, ".") != 0)
                        r = write_entry(sink, reader, &e, &b, err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        buffer_clear(&b);
        r = tar_encode_end(&b);
        return r < 0 ? error_errno(err, r, "write the tar")
                     : sink->write(sink->data, buffer_content(&b), b.length, err);
}

int copy_to_fd(void *data, const void *bytes, size_t size, struct error *err)
{
        const int *fd = data;
        int r = fd_write_full(*fd, bytes, size);
        return r < 0 ? error_errno(err, r, "write the tar") : 0;
}

static int write_tar(const struct copy *c, struct tar_reader *reader, const char *top, struct error *err)
{
        int fd = c->fd;
        struct pack_sink sink = {copy_to_fd, &fd};
        return copy_tar_on(reader, top, &sink, err);
}

static int copy_out(const struct copy *c, int box_fd, struct error *err)
{
        cleanup_json json_t *request = json_pack("{s:s, s:s, s:b}", "op", "archive", "path", c->path,
                                                 "follow", c->options.follow_links != 0);
        cleanup_json json_t *reply = NULL;
        cleanup_transfer struct transfer *t = NULL;
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct transfer_watch watch = watch_of(c, 0);
        char name[NAME_MAX + 1];
        bool contents;
        if (request == NULL)
                return error_set(err, -EINVAL, "'%s': the path is not UTF-8", c->path);
        int r = transfer_open(box_fd, request, &watch, &t, &reply, err);
        if (r == 0)
                r = transfer_end_input(t, err);
        if (r < 0)
                return r;
        struct tar_source source = {transfer_read, t};
        r = tar_reader_new(&source, &reader);
        if (r == 0)
                r = place_base_name(c->path, name, &contents);
        if (r < 0)
                return error_errno(err, r, "'%s'", c->path);
        if (c->local != NULL)
                r = unpack_here(c, reply, reader, err);
        else
                r = write_tar(c, reader, contents ? "" : name, err);
        if (r < 0 && r != -EPERM)
                return r;
        int finished = transfer_finish(t, r < 0 ? NULL : err);
        return r < 0 ? r : finished;
}

/* ---- in ---- */

/* As the agent's: open for reading if it is a file or a folder. A link is itself unless it is to be followed;
 * a path that ends in a slash is what it leads to. */
static int open_source(const struct copy *c, struct stat *ret_st, struct error *err)
{
        int flags = O_CLOEXEC | (c->options.follow_links ? 0 : O_NOFOLLOW);
        cleanup_fd int fd = open(c->local, O_PATH | flags);
        if (fd < 0 || fstat(fd, ret_st) < 0)
                return error_errno(err, -errno, "open '%s'", c->local);
        if (!S_ISREG(ret_st->st_mode) && !S_ISDIR(ret_st->st_mode))
                return take_fd(&fd);
        cleanup_fd int again = open(c->local, O_RDONLY | O_NONBLOCK | O_NOCTTY | flags);
        if (again < 0 || fstat(again, ret_st) < 0)
                return error_errno(err, -errno, "open '%s'", c->local);
        return take_fd(&again);
}

static int send_tree(struct transfer *t, int fd, struct error *err)
{
        struct pack_sink sink = {transfer_write, t};
        cleanup_pack struct pack *pack = NULL;
        int r = pack_new(&sink, 0, &pack);
        if (r < 0)
                return error_errno(err, r, "read files");
        r = pack_tree(pack, fd, ".", err);
        return r < 0 ? r : pack_end(pack, err);
}

/* What the source is; nothing for a tar. */
static int add_source(const struct copy *c, const struct stat *st, json_t *request, struct error *err)
{
        char name[NAME_MAX + 1];
        bool contents;
        if (c->local == NULL)
                return 0;
        int r = place_base_name(c->local, name, &contents);
        if (r < 0)
                return error_errno(err, r, "'%s'", c->local);
        json_t *source =
            json_pack("{s:b, s:b, s:s}", "folder", S_ISDIR(st->st_mode), "contents", contents, "name", name);
        return json_object_set_new(request, "source", source) < 0
                   ? error_set(err, -EINVAL, "'%s': the name is not UTF-8", c->local)
                   : 0;
}

static int copy_in(const struct copy *c, int box_fd, struct error *err)
{
        bool keep_owner = c->local == NULL || c->options.archive != 0;
        cleanup_json json_t *request =
            json_pack("{s:s, s:s, s:b}", "op", "extract", "path", c->path, "keep_owner", keep_owner);
        cleanup_transfer struct transfer *t = NULL;
        struct stat st = {0};
        cleanup_fd int fd = c->local == NULL ? -1 : open_source(c, &st, err);
        if (request == NULL)
                return error_set(err, -EINVAL, "'%s': the path is not UTF-8", c->path);
        if (c->local != NULL && fd < 0)
                return fd;
        struct transfer_watch watch = watch_of(c, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
        int r = add_source(c, &st, request, err);
        if (r == 0)
                r = transfer_open(box_fd, request, &watch, &t, NULL, err);
        if (r < 0)
                return r;
        struct pack_sink sink = {transfer_write, t};
        r = c->local != NULL ? send_tree(t, fd, err) : tar_input_send(c->fd, &sink, err);
        return r < 0 ? r : transfer_finish(t, err);
}

/* ---- the calls ---- */

static int copy(struct copy *c, const struct boxlet_copy_options *options, bool out, struct error *err)
{
        struct boxlet_copy_options defaults = BOXLET_COPY_OPTIONS_INIT;
        struct machine machine;
        struct error later = ERROR_INIT; /* of the end, if the work failed before */
        c->options = defaults;
        int r = api_options(&c->options, sizeof(c->options), options, "struct boxlet_copy_options", err);
        if (r < 0)
                return r;
        if ((c->local == NULL) == (c->fd < 0) || c->path == NULL || c->path[0] == '\0')
                return error_set(err, -EINVAL,
                                 "copy: give a path in the box, and either a local path or a "
                                 "descriptor");
        r = machine_begin(c->box, &machine, err);
        if (r == 0) {
                r = out ? copy_out(c, machine.box_fd, err) : copy_in(c, machine.box_fd, err);
                int ended = machine_end(&machine, r < 0 ? &later : err);
                r = r < 0 ? r : ended;
        }
        if (r == 0)
                machine_tell(c->box, "copy", "path", c->path);
        return r < 0 ? error_wrap(err, out ? "copy from box '%s'" : "copy to box '%s'", c->box->name) : 0;
}

int boxlet_box_copy_out(struct boxlet_box *box, const char *path, const char *local, int fd,
                        const struct boxlet_copy_options *options, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct copy c = {.box = box, .local = local, .fd = fd, .path = path};
        return api_result(error, &err, copy(&c, options, true, &err));
}

int boxlet_box_copy_in(struct boxlet_box *box, const char *local, int fd, const char *path,
                       const struct boxlet_copy_options *options, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct copy c = {.box = box, .local = local, .fd = fd, .path = path};
        return api_result(error, &err, copy(&c, options, false, &err));
}
