/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "rootfs-build.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int memory_file(const void *bytes, size_t size)
{
        int fd = memfd_create("layer", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, bytes, size), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static int add_all(struct rootfs_builder *builder, const struct tar *layers, size_t count, struct error *err)
{
        int r = 0;
        for (size_t i = 0; i < count && r == 0; i++) {
                cleanup_fd int fd = memory_file(layers[i].bytes, layers[i].size);
                r = rootfs_builder_add_layer(builder, fd, "test", NULL, err);
        }
        return r;
}

int try_build(const struct tar *layers, size_t count, const struct rootfs_limits *limits,
              struct rootfs_statistics *ret_statistics, struct error *err)
{
        struct rootfs_builder *builder;
        cleanup_fd int fd = memory_file("", 0);
        int r = rootfs_builder_new(fd, -1, limits, NULL, NULL, &builder, err);
        if (r < 0)
                return r;
        r = add_all(builder, layers, count, err);
        if (r == 0)
                r = rootfs_builder_finish(builder, ret_statistics, err);
        rootfs_builder_free(builder);
        return r < 0 ? r : take_fd(&fd);
}

void run_fsck(int fd)
{
        char path[64];
        int status;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
                (void)dup2(null, STDOUT_FILENO);
                (void)execlp("fsck.erofs", "fsck.erofs", "--extract", path, (char *)NULL);
                _exit(errno == ENOENT ? 127 : 126);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 127) {
                assert_null(getenv("BOXLET_MUST_WORK"));
                return;
        }
        assert_int_equal(WEXITSTATUS(status), 0);
}

int build(const struct tar *layers, size_t count, struct erofs_view *view)
{
        struct error err = ERROR_INIT;
        int fd = try_build(layers, count, NULL, NULL, &err);
        if (fd < 0)
                fail_msg("build: %s", err.text);
        assert_true(erofs_view_open(fd, view));
        const char *wrong = erofs_view_check(view);
        if (wrong != NULL)
                fail_msg("the image is wrong: %s", wrong);
        run_fsck(fd);
        return fd;
}

void unbuild(int fd, struct erofs_view *view)
{
        erofs_view_close(view);
        (void)close(fd);
}

int build_ended(struct tar *layers, size_t count, struct erofs_view *view)
{
        for (size_t i = 0; i < count; i++)
                tar_end(&layers[i]);
        int fd = build(layers, count, view);
        for (size_t i = 0; i < count; i++)
                tar_done(&layers[i]);
        return fd;
}

void refuse(struct tar *layer, int code, const char *part)
{
        struct error err = ERROR_INIT;
        tar_end(layer);
        int r = try_build(layer, 1, NULL, NULL, &err);
        if (r != code || strstr(err.text, part) == NULL)
                fail_msg("expected %d and '%s', got %d: %s", code, part, r, err.text);
        assert_ptr_equal(strstr(err.text, "layer 'test': "), err.text);
        assert_int_equal(err.code, code);
        tar_done(layer);
}

struct erofs_node must_find(const struct erofs_view *view, const char *path)
{
        struct erofs_node node;
        if (!erofs_view_find(view, path, &node))
                fail_msg("%s is not in the image", path);
        return node;
}

void must_miss(const struct erofs_view *view, const char *path)
{
        struct erofs_node node;
        if (erofs_view_find(view, path, &node))
                fail_msg("%s is in the image", path);
}

static void must_contain(const struct erofs_view *view, const char *path, unsigned kind, const char *text)
{
        struct erofs_node node = must_find(view, path);
        cleanup_free char *got = calloc(1, node.size + 1);
        assert_int_equal(node.mode & S_IFMT, kind);
        assert_non_null(got);
        assert_true(erofs_view_read(view, &node, 0, got, node.size));
        if (node.size != strlen(text) || strcmp(got, text) != 0)
                fail_msg("%s holds '%.200s', expected '%.200s'", path, got, text);
}

void must_read(const struct erofs_view *view, const char *path, const char *text)
{
        must_contain(view, path, S_IFREG, text);
}

void must_link(const struct erofs_view *view, const char *path, const char *target)
{
        must_contain(view, path, S_IFLNK, target);
}

static void add_names(const struct erofs_view *view, const char *folder, char *names, size_t room)
{
        struct erofs_node node = must_find(view, folder);
        size_t count;
        cleanup_free char *list = erofs_view_list(view, &node, &count);
        const char *name = list;
        for (size_t i = 0; i < count; i++, name += strlen(name) + 1) {
                char path[512];
                (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
                size_t used = strlen(names);
                assert_true(used + strlen(path) + 2 < room);
                (void)snprintf(names + used, room - used, "%s ", path);
                node = must_find(view, path);
                if (S_ISDIR(node.mode))
                        add_names(view, path, names, room);
        }
}

const char *all_names(const struct erofs_view *view)
{
        static char names[8192];
        names[0] = '\0';
        add_names(view, "", names, sizeof(names));
        return names;
}
