/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "box-world.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtime/runtime.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct boxlet *box_world_open(struct box_world *w, const char *name)
{
        char home[600], libexec[600];
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet *b;
        (void)snprintf(home, sizeof(home), "%s/%s", w->path, name);
        (void)snprintf(libexec, sizeof(libexec), "%s/libexec", w->path);
        o.home = home;
        o.libexec = o.kernel_dir = libexec;
        if (boxlet_open(&o, &b, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return b;
}

static void write_file(int dir_fd, const char *name, const char *text, mode_t mode)
{
        assert_int_equal(path_write_atomic_at(dir_fd, name, text, strlen(text), mode), 0);
}

void box_world_begin(struct box_world *w)
{
        static const char *const changes[] = {"CMD [\"/run\", \"it\"]", NULL};
        char root[600];
        if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0 || access("/sbin/mkfs.ext4", X_OK) < 0)
                unit_skip("QEMU or mkfs.ext4 is not installed");
        *w = (struct box_world){0};
        (void)snprintf(w->path, sizeof(w->path), "%s", unit_folder(&w->fd));
        (void)snprintf(root, sizeof(root), "%s/root", w->path);
        assert_int_equal(mkdirat(w->fd, "libexec", 0700), 0);
        assert_int_equal(mkdirat(w->fd, "root", 0700), 0);
        write_file(w->fd, "libexec/boxlet-monitor", "#!/bin/sh\n", 0700);
        write_file(w->fd, "libexec/boxlet-vmm", "", 0700);
        write_file(w->fd, "libexec/agent.cpio", "", 0600);
        write_file(w->fd, "libexec/vmlinux-lean", "", 0600);
        write_file(w->fd, "root/run", "#!/bin/sh\n", 0700);
        w->boxlet = box_world_open(w, "home");
        if (boxlet_image_import(w->boxlet, -1, root, "tiny", changes, NULL, NULL, &w->error) < 0)
                fail_msg("%s", w->error.text);
}

void box_world_end(struct box_world *w)
{
        boxlet_close(w->boxlet);
}

struct boxlet_box *box_world_create(struct box_world *w, const char *name)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct boxlet_box *box;
        o.image = "tiny";
        o.name = name;
        o.network = "none";
        o.disk_bytes = 64 << 20;
        o.pull = BOXLET_PULL_NEVER;
        if (boxlet_box_create(w->boxlet, &o, &box, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return box;
}

int box_world_file(struct box_world *w, const struct boxlet_box *box, const char *name, int flags)
{
        char path[256];
        (void)w;
        (void)snprintf(path, sizeof(path), "%s/%s", boxlet_box_id(box), name);
        return openat(box->boxlet->boxes_fd, path, flags | O_CLOEXEC, 0600);
}

void box_world_write(struct box_world *w, const struct boxlet_box *box, const char *file, off_t at,
                     const char *text)
{
        cleanup_fd int fd = box_world_file(w, box, file, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

void box_world_expect(struct box_world *w, const struct boxlet_box *box, const char *file, off_t at,
                      const char *text)
{
        char got[64] = {0};
        cleanup_fd int fd = box_world_file(w, box, file, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, got, strlen(text), at), strlen(text));
        assert_string_equal(got, text);
}

unsigned box_world_count(struct box_world *w, const char *folder)
{
        unsigned count = 0;
        int fd = openat(w->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
                count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
        return count;
}

/* ---- a box that runs ---- */

struct agent {
        enum box_agent kind;
        struct loop *loop;
};

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct agent *agent = data;
        struct error no = ERROR_INIT;
        cleanup_json json_t *request = NULL;
        cleanup_json json_t *reply = json_object();
        if (json_parse((const char *)frame->payload, frame->size, "request", &request, err) < 0)
                return err->code;
        bool freeze = strcmp(json_string_value(json_object_get(request, "op")), "freeze") == 0;
        if (freeze && agent->kind == BOX_AGENT_REFUSES) {
                (void)error_set(&no, -EBUSY, "the guest says no");
                return channel_send_error(channel, &no);
        }
        if (!freeze && agent->kind == BOX_AGENT_TIMES_OUT) {
                (void)error_set(&no, -ETIMEDOUT, "the time was up");
                return channel_send_error(channel, &no);
        }
        if (!freeze && agent->kind == BOX_AGENT_LEAVES)
                return error_set(err, -EIO, "gone");
        return channel_send_json(channel, FRAME_REPLY, reply);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct agent *agent = data;
        (void)err;
        channel_free(channel);
        loop_quit(agent->loop, 0);
}

static const struct channel_ops ops = {.frame = on_frame, .closed = on_closed};

static _Noreturn void serve(int listener, enum box_agent kind)
{
        struct agent agent = {.kind = kind};
        for (;;) {
                struct channel *channel;
                char line[64];
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0 || fd_read_full(fd, line, strlen("CONNECT 1025\n")) < 0 ||
                    fd_write_full(fd, "OK 7\n", 5) < 0 || loop_new(&agent.loop) < 0 ||
                    channel_new(agent.loop, fd, NULL, &ops, &agent, &channel) < 0)
                        _exit(1);
                (void)loop_run(agent.loop);
                loop_free(agent.loop);
        }
}

void box_world_run(struct box_world *w, const struct boxlet_box *box, enum box_agent kind,
                   struct box_running *ret_running)
{
        cleanup_fd int folder = box_world_file(w, box, ".", O_RDONLY | O_DIRECTORY);
        cleanup_fd int listener = unix_listen_at(folder, "vsock.sock", SOCK_STREAM, 8);
        ret_running->lock_fd = box_world_file(w, box, "lock", O_RDWR);
        assert_true(listener >= 0 && ret_running->lock_fd >= 0);
        assert_int_equal(flock(ret_running->lock_fd, LOCK_EX | LOCK_NB), 0);
        ret_running->pid = fork();
        if (ret_running->pid == 0)
                serve(listener, kind);
}

void box_world_stop(struct box_running *running)
{
        assert_int_equal(kill(running->pid, SIGKILL), 0);
        assert_int_equal(waitpid(running->pid, NULL, 0), running->pid);
        (void)close(running->lock_fd);
}
