/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a box: take its lock, write box.json, start the monitor with the lock and one end of a socket
 * pair, and speak to it over the other. From the lock on, the box counts as living; if anything fails before
 * the monitor runs, the lock goes with our descriptor and the box is as it was.
 *
 * The monitor is no child of the client's process: an intermediate process makes it and ends (base/process.h,
 * `detached`), so the client gets no SIGCHLD, has no zombie, and may end when it likes.
 */
#include "runtime/runtime.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "runtime/control.h"
#include "runtime/engine.h"
#include "runtime/extras.h"
#include "runtime/forward.h"
#include "runtime/life.h"
#include "runtime/process.h"
#include "runtime/profile.h"
#include "runtime/publish.h"
#include "runtime/start.h"
#include "runtime/tell.h"
#include "runtime/template.h"
#include "runtime/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_VOLUME_FD 6 /* in the monitor: box, lock and client come before */
#define ATTACH_FLAGS    (BOXLET_ATTACH_STDIN | BOXLET_ATTACH_STDOUT | BOXLET_ATTACH_STDERR)

/* Everything a start needs, gathered before the monitor is made. */
struct start {
        struct state_box record;
        json_t *config, *events;
        char *monitor, *vmm, *agent, *qemu, *passt, *kernel, *rootfs;
        char *template; /* NULL: the machine boots */
        struct engine engine;
        int box_fd, lock_fd;
        bool handed_over; /* the monitor has all of it */
        bool for_files;   /* the machine is to boot, and nothing is to run in it: start_for_files() */
        struct volume_set volumes;
        struct forward_set forwards;
};

static void start_done(struct start *s)
{
        char *const paths[] = {s->monitor, s->vmm,    s->agent,  s->qemu,
                               s->passt,   s->kernel, s->rootfs, s->template};
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                free(paths[i]);
        state_box_done(&s->record);
        json_decref(s->config);
        json_decref(s->events);
        volume_let_go(&s->volumes);
        forward_done(&s->forwards, s->handed_over);
        close_fd(&s->lock_fd);
        close_fd(&s->box_fd);
}

static bool has_network(const json_t *config)
{
        const char *network = json_string_value(json_object_get(config, "network"));
        return network == NULL || strcmp(network, "none") != 0;
}

static int find_programs(struct boxlet *b, struct start *s, struct error *err)
{
        const char *kernel = json_string_value(json_object_get(s->config, "kernel"));
        const struct profile *profile =
            profile_get(json_is_true(json_object_get(s->config, "support_docker")));
        int r = places_find(&b->places, PLACE_MONITOR, &s->monitor, err);
        if (r == 0)
                r = places_find(&b->places, PLACE_VMM, &s->vmm, err);
        if (r == 0)
                r = places_find(&b->places, PLACE_AGENT, &s->agent, err);
        if (r == 0 && s->engine.needs_qemu)
                r = places_find(&b->places, PLACE_QEMU, &s->qemu, err);
        if (r == 0 && has_network(s->config) && !s->for_files)
                r = places_find(&b->places, PLACE_PASST, &s->passt, err);
        if (r == 0)
                r = places_find_kernel(&b->places, kernel, profile->kernel_flavour, profile->kernel_remedy,
                                       &s->kernel, err);
        return r;
}

/* The image's root file system as a path; made again if somebody removed it. */
static int find_rootfs(struct boxlet *b, struct start *s, struct error *err)
{
        cleanup_image struct image *image = NULL;
        cleanup_fd int fd = -1;
        struct image_store *store;
        char link[32], path[PATH_MAX];
        int r = boxlet_store(b, &store, err);
        if (r == 0)
                r = image_find(store, s->record.image_id, &image, err);
        if (r == 0)
                r = image_open_rootfs(store, image, NULL, &fd, err);
        if (r < 0)
                return r;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path));
        if (n < 0 || n >= (ssize_t)sizeof(path))
                return error_errno(err, n < 0 ? -errno : -ENAMETOOLONG, "find the image's root file system");
        s->rootfs = strndup(path, (size_t)n);
        return s->rootfs == NULL ? error_set(err, -ENOMEM, "start box: out of memory") : 0;
}

/* An emulated machine is a copy of one that has booted, where that can be had. */
static void find_template(struct boxlet *b, struct start *s)
{
        const char *wanted = getenv("BOXLET_TEMPLATE");
        const struct template_machine machine = {.vmm = s->vmm,
                                                 .qemu = s->qemu,
                                                 .kernel = s->kernel,
                                                 .agent = s->agent,
                                                 .cpus =
                                                     json_integer_value(json_object_get(s->config, "cpus")),
                                                 .memory_bytes = json_integer_value(
                                                     json_object_get(s->config, "memory_bytes"))};
        /* the last slot of a copy is for shares only */
        bool fits = s->volumes.count <= engine_volume_slots(&s->engine, has_network(s->config), true);
        if (fits && strcmp(s->engine.engine, "qemu") == 0 && strcmp(s->engine.accel, "tcg") == 0 &&
            !json_is_true(json_object_get(s->config, "debug_console")) &&
            (wanted == NULL || strcmp(wanted, "no") != 0))
                s->template = template_get(b->home, b->home_fd, &machine);
}

/* box.json of docs/protocol.md, section 6. */
static json_t *box_json(const struct start *s)
{
        const json_t *c = s->config;
        json_t *shares = json_object_get(c, "shares"); /* boxes made by an older version have none */
        bool docker = json_is_true(json_object_get(c, "support_docker"));
        json_t *network =
            has_network(c) ? json_pack("{s:O, s:O*}", "publish", json_object_get(c, "publish"),
                                       "nested_names", docker ? json_object_get(c, "support_docker") : NULL)
                           : json_null();
        return json_pack("{s:i, s:s, s:s, s:{s:s, s:s?, s:s?}, s:{s:s, s:s, s:O, s:O, s:s, s:s, s:O*, s:O*, "
                         "s:s*}, s:{s:s, s:s, "
                         "s:O, s:O}, s:o, s:O,"
                         " s:{s:O, s:O*, s:O, s:O, s:O}, s:O, s:O*}",
                         "version", 1, "id", s->record.id, "name", s->record.name, "programs", "vmm", s->vmm,
                         "qemu", s->qemu, "passt", s->passt, "machine", "engine", s->engine.engine, "accel",
                         s->engine.accel, "cpus", json_object_get(c, "cpus"), "memory_bytes",
                         json_object_get(c, "memory_bytes"), "kernel", s->kernel, "initrd", s->agent,
                         "debug_console", json_object_get(c, "debug_console"), "jail",
                         json_object_get(c, "jail"), "template", s->template, "root", "image", s->rootfs,
                         "disk", "disk.ext4", "readonly", json_object_get(c, "readonly"), "volumes",
                         json_object_get(c, "volumes"), "network", network, "hostname",
                         json_object_get(c, "hostname"), "container", "spec", json_object_get(c, "spec"),
                         "command", json_object_get(c, "command"), "stdin", json_object_get(c, "stdin"),
                         "stop_signal", json_object_get(c, "stop_signal"), "stop_timeout_ms",
                         json_object_get(c, "stop_timeout_ms"), "auto_remove",
                         json_object_get(c, "auto_remove"), "shares", shares);
}

/* The machine is for the files only: nothing of the box's shows. */
static int strip_for_files(json_t *json)
{
        int failed = json_object_set_new(json, "network", json_null());
        failed |= json_object_set_new(json, "auto_remove", json_false());
        return failed;
}

/* Written in place: nobody reads it but the monitor that is started after it, under the lock we hold. */
static int write_box_json(const struct start *s, struct error *err)
{
        size_t size;
        cleanup_json json_t *json = box_json(s);
        if (json != NULL && s->volumes.count > 0 &&
            json_object_set_new(json, "disks",
                                volume_box_json(json_object_get(s->config, "disks"), FIRST_VOLUME_FD)) < 0)
                return error_set(err, -ENOMEM, "start box '%s': out of memory", s->record.name);
        if (json != NULL && s->forwards.count > 0 &&
            json_object_set_new(json, "forwards",
                                forward_box_json(&s->forwards, FIRST_VOLUME_FD + (int)s->volumes.count)) < 0)
                return error_set(err, -ENOMEM, "start box '%s': out of memory", s->record.name);
        bool whole = json != NULL && (s->for_files ? strip_for_files(json) == 0
                                                   : extras_hand_on(s->config, json) == 0 &&
                                                         json_object_set(json, "events", s->events) == 0);
        cleanup_free char *text = whole ? json_print(json, &size) : NULL;
        if (text == NULL)
                return error_set(err, -ENOMEM, "start box '%s': out of memory", s->record.name);
        cleanup_fd int fd =
            openat(s->box_fd, "box.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r = fd < 0 ? -errno : fd_write_full(fd, text, size);
        return r < 0 ? error_errno(err, r, "start box '%s': write box.json", s->record.name) : 0;
}

/* What the last run left: its state must not be taken for this one's. */
static int clear_last_run(const struct start *s, struct error *err)
{
        static const char *const names[] = {"state.json", "control.sock", "vsock.sock", LIFE_KEPT_NAME};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) - (s->for_files ? 1 : 0); i++) {
                if (unlinkat(s->box_fd, names[i], 0) < 0 && errno != ENOENT)
                        return error_errno(err, -errno, "start box '%s': remove '%s'", s->record.name,
                                           names[i]);
        }
        return 0;
}

static int check_ports(const struct start *s, struct error *err)
{
        const json_t *list = json_object_get(s->config, "publish");
        struct publish_list ports = {0};
        size_t i;
        json_t *item;
        int r = 0;
        ports.entries = calloc(json_array_size(list) + 1, sizeof(*ports.entries));
        if (ports.entries == NULL)
                return error_set(err, -ENOMEM, "start box: out of memory");
        json_array_foreach ((json_t *)list, i, item) {
                struct publish *p = &ports.entries[ports.count++];
                const char *address = json_string_value(json_object_get(item, "address"));
                const char *protocol = json_string_value(json_object_get(item, "protocol"));
                (void)snprintf(p->address, sizeof(p->address), "%s", address == NULL ? "" : address);
                p->host_port = (uint16_t)json_integer_value(json_object_get(item, "host_port"));
                p->udp = protocol != NULL && strcmp(protocol, "udp") == 0;
        }
        r = publish_check_free(&ports, err);
        publish_done(&ports);
        return r < 0 ? error_wrap(err, "start box '%s'", s->record.name) : 0;
}

/* With b->lock held. */
static int prepare(struct boxlet *b, const char *id, struct start *s, struct error *err)
{
        int r = state_find(b->state, id, &s->record, err);
        if (r == 0)
                r = box_open_folder(b, id, &s->box_fd, err);
        if (r < 0)
                return r;
        r = life_take(s->box_fd, &s->lock_fd, err);
        if (r < 0)
                return error_wrap(err, "start box '%s'", s->record.name);
        r = json_parse(s->record.config, strlen(s->record.config), "the box's configuration", &s->config,
                       err);
        if (r == 0)
                r = engine_choose(json_string_value(json_object_get(s->config, "engine")), b->home_fd,
                                  &s->engine, err);
        if (r == 0)
                r = find_programs(b, s, err);
        if (r == 0 && !s->for_files)
                r = check_ports(s, err);
        if (r == 0) {
                r = volume_take_all(b, id, json_object_get(s->config, "disks"), &s->volumes, err);
                if (r < 0)
                        (void)error_wrap(err, "start box '%s'", s->record.name);
        }
        if (r == 0)
                r = find_rootfs(b, s, err);
        if (r == 0)
                find_template(b, s);
        forward_sweep(s->box_fd);
        if (r == 0 && s->for_files)
                r = life_keep(s->box_fd, err);
        if (r == 0 && !s->for_files)
                r = forward_listen(b, json_object_get(s->config, "forwards"), &s->forwards, err);
        if (r == 0)
                tell_dead(b, &s->record, s->box_fd);
        if (r == 0)
                r = clear_last_run(s, err);
        s->events = tell_box_json(b, &s->record);
        if (r == 0)
                r = write_box_json(s, err);
        if (r == 0 && !s->for_files)
                r = state_set_started(b->state, id, clock_wall_ns(), err);
        return r;
}

/* client_fd -1: nobody listens. */
static int spawn_monitor(struct start *s, int client_fd, bool hold, struct error *err)
{
        const char *argv[12] = {"boxlet-monitor", "--box-fd", "3", "--lock-fd", "4"};
        struct process_fd fds[3 + VOLUMES_MAX + FORWARDS_MAX] = {{s->box_fd, 3}, {s->lock_fd, 4}};
        size_t argc = 5, fd_count = 2;
        if (client_fd >= 0) {
                argv[argc++] = "--client-fd";
                argv[argc++] = "5";
                fds[fd_count++] = (struct process_fd){client_fd, 5};
        }
        for (size_t i = 0; i < s->volumes.count; i++)
                fds[fd_count++] = (struct process_fd){s->volumes.fds[i], FIRST_VOLUME_FD + (int)i};
        for (size_t i = 0; i < s->forwards.count; i++)
                fds[fd_count++] = (struct process_fd){s->forwards.entries[i].fd,
                                                      FIRST_VOLUME_FD + (int)(s->volumes.count + i)};
        if (hold)
                argv[argc++] = "--hold";
        struct process_plan plan = {
            .path = s->monitor,
            .argv = argv,
            .fds = fds,
            .fd_count = fd_count,
            .detached = true,
            .working_dir_fd = -1,
        };
        pid_t pid;
        int pidfd = -1;
        int r = process_spawn(&plan, &pid, &pidfd, err);
        close_fd(&pidfd);
        s->handed_over = r == 0;
        return r < 0 ? error_wrap(err, "start box '%s'", s->record.name) : 0;
}

static json_t *attach_request(unsigned flags, bool start)
{
        bool leash = start && !(flags & BOXLET_START_DETACHED);
        if (!(flags & ATTACH_FLAGS))
                return json_pack("{s:s, s:b, s:b}", "op", "wait", "start", start, "leash", leash);
        return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "op", "attach", "stdin",
                         (flags & BOXLET_ATTACH_STDIN) != 0, "stdout", (flags & BOXLET_ATTACH_STDOUT) != 0,
                         "stderr", (flags & BOXLET_ATTACH_STDERR) != 0, "start", start, "leash", leash);
}

/* Takes fd. */
static int make_handle(struct boxlet_box *box, unsigned flags, bool start, int fd,
                       struct boxlet_process **ret_process, struct error *err)
{
        cleanup_json json_t *request = attach_request(flags, start);
        struct process_draft draft = {
            .boxlet = box->boxlet,
            .box_id = box->id,
            .box_name = box->name,
            .request = request,
            .has_stdin = (flags & BOXLET_ATTACH_STDIN) != 0,
            .ends_with_us = start && !(flags & BOXLET_START_DETACHED),
        };
        if (request == NULL) {
                (void)close(fd);
                return error_set(err, -ENOMEM, "start box '%s': out of memory", box->name);
        }
        return process_new_connected(&draft, fd, ret_process, err);
}

static int launch(struct boxlet_box *box, struct start *s, unsigned flags,
                  struct boxlet_process **ret_process, struct error *err)
{
        int pair[2];
        if (ret_process == NULL)
                return spawn_monitor(s, -1, false, err);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, -errno, "start box '%s'", box->name);
        cleanup_fd int ours = pair[0];
        cleanup_fd int theirs = pair[1];
        int r = spawn_monitor(s, theirs, true, err);
        return r < 0 ? r : make_handle(box, flags, true, take_fd(&ours), ret_process, err);
}

static int start(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                 struct error *err)
{
        struct boxlet *b = box->boxlet;
        struct start s = {.box_fd = -1, .lock_fd = -1};
        if (ret_process == NULL && !(flags & BOXLET_START_DETACHED))
                return error_set(err, -EINVAL, "start box '%s': a box that is not detached needs a handle",
                                 box->name);
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = prepare(b, box->id, &s, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r == 0)
                r = launch(box, &s, flags, ret_process, err);
        start_done(&s);
        return r;
}

int start_for_files(struct boxlet_box *box, struct boxlet_process **ret_process, struct error *err)
{
        struct boxlet *b = box->boxlet;
        struct start s = {.box_fd = -1, .lock_fd = -1, .for_files = true};
        int pair[2];
        (void)pthread_mutex_lock(&b->lock); /* as above */
        int r = prepare(b, box->id, &s, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                r = error_errno(err, -errno, "start box '%s'", box->name);
        if (r == 0) {
                cleanup_fd int ours = pair[0];
                cleanup_fd int theirs = pair[1];
                r = spawn_monitor(&s, theirs, true, err);
                close_fd(&theirs);
                if (r == 0)
                        r = make_handle(box, 0, false, take_fd(&ours), ret_process, err);
        }
        start_done(&s);
        return r;
}

int boxlet_box_start(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                     struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, start(box, flags, ret_process, &err));
}

static int attach(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                  struct error *err)
{
        cleanup_fd int box_fd = -1;
        int fd;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        r = life_look(box_fd, err);
        if (r == 0)
                return error_set(err, -ESRCH, "attach to box '%s': it is not running", box->name);
        if (r > 0)
                r = control_connect(box_fd, &fd, err);
        return r < 0 ? error_wrap(err, "attach to box '%s'", box->name)
                     : make_handle(box, flags, false, fd, ret_process, err);
}

int boxlet_box_attach(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                      struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, attach(box, flags, ret_process, &err));
}
