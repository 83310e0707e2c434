/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts boxlet-vmm and listens to it.
 *
 *     RUNNING -> LAST_WORDS [on_packet]    "ended" came: the process exits by itself
 *     RUNNING -> QUITTING   [machine_quit] it was asked to end
 *     LAST_WORDS, QUITTING -> KILLED [on_deadline] it did not in time
 *     any -> (down) [on_exit]              the process ended and was reaped
 *
 * boxlet-vmm listens to the guest and so may be in the guest's hands: its packets are parsed with limits, and
 * nothing it says is believed beyond its own machine.
 */
#include "monitor/machine.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "monitor/shares.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define QUIT_PATIENCE_MS 2000
#define PACKET_MAX       4096
#define VSOCK_BACKLOG    128

struct machine {
        const struct machine_ops *ops;
        void *data;
        int socket, pidfd;
        struct source *socket_source, *child_source, *deadline;
        struct machine_end end;
        bool complained;
};

/* The descriptors of the child, by the numbers they get there. */
enum {
        CHILD_CONFIG = 3,
        CHILD_MONITOR,
        CHILD_VSOCK,
        CHILD_CONSOLE,
        CHILD_KERNEL,
        CHILD_INITRD,
        CHILD_IMAGE,
        CHILD_DISK,
        CHILD_NET,
        CHILD_KVM,
        CHILD_MEMORY, /* a template's, and its state */
        CHILD_STATE,
        CHILD_VOLUMES,    /* and up: CONFIG_DISKS_MAX */
        CHILD_SHARES = 64 /* and up */
};

struct files {
        int kernel, initrd, image, disk, kvm;
        int memory, state; /* of the template; -1: none */
        struct shares shares;
};

static void close_files(struct files *f)
{
        close_fd(&f->kernel);
        close_fd(&f->initrd);
        close_fd(&f->image);
        close_fd(&f->disk);
        close_fd(&f->kvm);
        close_fd(&f->memory);
        close_fd(&f->state);
        shares_close(&f->shares);
}

static int open_one(int dir_fd, const char *path, int flags, const char *what, int *ret_fd, struct error *err)
{
        *ret_fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOCTTY);
        return *ret_fd < 0 ? error_errno(err, -errno, "open the %s '%s'", what, path) : 0;
}

static bool is_kvm(const struct config *c)
{
        return strcmp(c->engine, "kvm") == 0;
}

static int open_kvm(int *ret_fd, struct error *err)
{
        *ret_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        return *ret_fd < 0
                   ? error_set(err, -errno, "open '/dev/kvm': %s: see `boxlet info`, or use --engine qemu",
                               strerror(errno))
                   : 0;
}

bool machine_drop_template(const char *path)
{
        cleanup_fd int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder >= 0 && unlinkat(folder, TEMPLATE_STATE, 0) == 0;
}

/* Both or none: the template may be gone, and then the machine boots. */
static void open_template(const char *path, struct files *f)
{
        cleanup_fd int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return;
        f->memory = openat(folder, TEMPLATE_MEMORY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        f->state = openat(folder, TEMPLATE_STATE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (f->memory < 0 || f->state < 0) {
                close_fd(&f->memory);
                close_fd(&f->state);
        }
}

static int open_files(const struct machine_plan *plan, struct files *f, struct error *err)
{
        const struct config *c = plan->config;
        int r = open_one(AT_FDCWD, c->kernel, O_RDONLY, "guest kernel", &f->kernel, err);
        if (r == 0)
                r = open_one(AT_FDCWD, c->initrd, O_RDONLY, "guest agent", &f->initrd, err);
        if (r == 0)
                r = open_one(AT_FDCWD, c->image, O_RDONLY, "root file system", &f->image, err);
        if (r == 0 && c->disk != NULL)
                r = open_one(plan->box_fd, c->disk, O_RDWR | O_NOFOLLOW, "box disk", &f->disk, err);
        if (r == 0 && is_kvm(c))
                r = open_kvm(&f->kvm, err);
        if (r == 0)
                r = shares_open(c->shares, &f->shares, err);
        if (r == 0 && c->template != NULL && c->kernel_arguments[0] == '\0')
                open_template(c->template, f);
        return r;
}

static json_t *describe(const struct machine_plan *plan, bool from_template)
{
        const struct config *c = plan->config;
        json_t *disks = json_pack("[{s:i, s:b}]", "fd", CHILD_IMAGE, "readonly", 1);
        if (disks != NULL && c->disk != NULL)
                (void)json_array_append_new(disks, json_pack("{s:i, s:b}", "fd", CHILD_DISK, "readonly", 0));
        for (size_t i = 0; i < c->disk_count; i++)
                (void)json_array_append_new(disks, json_pack("{s:i, s:b}", "fd", CHILD_VOLUMES + (int)i,
                                                             "readonly", (int)c->disks[i].readonly));
        json_t *net =
            plan->net_fd < 0 ? json_null() : json_pack("{s:i, s:s}", "fd", CHILD_NET, "mac", plan->mac);
        json_t *template = from_template
                               ? json_pack("{s:i, s:i}", "memory_fd", CHILD_MEMORY, "state_fd", CHILD_STATE)
                               : NULL;
        json_t *kvm_fd = is_kvm(c) ? json_integer(CHILD_KVM) : NULL;
        return json_pack(
            "{s:s, s:s, s:I, s:I, s:i, s:i, s:s, s:o, s:o, s:i, s:i, s:i, s:i, s:s*, s:o, s:o*, s:b, s:s, "
            "s:o*}",
            "engine", c->engine, "accel", c->accel, "cpus", (json_int_t)c->cpus, "memory_bytes",
            (json_int_t)c->memory_bytes, "kernel_fd", CHILD_KERNEL, "initrd_fd", CHILD_INITRD,
            "kernel_arguments", c->kernel_arguments, "disks", disks, "net", net, "console_fd", CHILD_CONSOLE,
            "vsock_fd", CHILD_VSOCK, "monitor_fd", CHILD_MONITOR, "log_fd", 2, "qemu", c->qemu, "shares",
            shares_describe(c->shares, CHILD_SHARES), "kvm_fd", kvm_fd, "debug_console", c->debug_console,
            "jail", c->jail, "template", template);
}

static int make_config_fd(const struct machine_plan *plan, bool from_template, int *ret_fd, struct error *err)
{
        cleanup_json json_t *json = describe(plan, from_template);
        size_t size;
        cleanup_free char *text = json == NULL ? NULL : json_print(json, &size);
        if (text == NULL)
                return error_set(err, -ENOMEM, "describe the machine: out of memory");
        int r = fd_of_bytes("machine", text, size, ret_fd);
        return r < 0 ? error_errno(err, r, "describe the machine") : 0;
}

static int spawn(struct machine *m, const struct machine_plan *plan, const struct files *f, int monitor_fd,
                 int vsock_fd, struct error *err)
{
        cleanup_fd int config_fd = -1;
        int r = make_config_fd(plan, f->state >= 0, &config_fd, err);
        if (r < 0)
                return r;
        struct process_fd fds[13 + CONFIG_DISKS_MAX + SHARES_MAX] = {
            {config_fd, CHILD_CONFIG}, {monitor_fd, CHILD_MONITOR},
            {vsock_fd, CHILD_VSOCK},   {plan->console_fd, CHILD_CONSOLE},
            {f->kernel, CHILD_KERNEL}, {f->initrd, CHILD_INITRD},
            {f->image, CHILD_IMAGE},   {plan->log_fd, 2}};
        size_t count = 8;
        if (f->disk >= 0)
                fds[count++] = (struct process_fd){f->disk, CHILD_DISK};
        if (plan->net_fd >= 0)
                fds[count++] = (struct process_fd){plan->net_fd, CHILD_NET};
        for (size_t i = 0; i < plan->config->disk_count; i++)
                fds[count++] = (struct process_fd){plan->config->disks[i].fd, CHILD_VOLUMES + (int)i};
        if (f->kvm >= 0)
                fds[count++] = (struct process_fd){f->kvm, CHILD_KVM};
        if (f->state >= 0) {
                fds[count++] = (struct process_fd){f->memory, CHILD_MEMORY};
                fds[count++] = (struct process_fd){f->state, CHILD_STATE};
        }
        shares_hand_over(&f->shares, CHILD_SHARES, fds, &count);
        const char *const argv[] = {"boxlet-vmm", "--config-fd", "3", NULL};
        pid_t pid;
        struct process_plan process = {.path = plan->config->vmm,
                                       .argv = argv,
                                       .fds = fds,
                                       .fd_count = count,
                                       .parent_death_signal = SIGKILL,
                                       .working_dir_fd = -1};
        return process_spawn(&process, &pid, &m->pidfd, err);
}

static void copy_text(const json_t *json, const char *key, char *to, size_t size)
{
        const char *text = json_string_value(json_object_get(json, key));
        if (text == NULL)
                text = "";
        (void)strncpy(to, text, size - 1); /* to is zeroed: cut and ended */
}

static void take_event(struct machine *m, const json_t *json, int *fd)
{
        const char *event = json_string_value(json_object_get(json, "event"));
        int64_t number;
        if (event == NULL)
                return;
        if (strcmp(event, "connection") == 0 && *fd >= 0 &&
            json_get_integer(json, "port", 0, UINT32_MAX, &number, NULL) == 0) {
                m->ops->connection(m, (unsigned)number, take_fd(fd), m->data);
        } else if (strcmp(event, "paused") == 0 || strcmp(event, "resumed") == 0) {
                m->ops->paused(m, event[0] == 'p', m->data);
        } else if (strcmp(event, "connections") == 0 &&
                   json_get_integer(json, "count", 0, INT32_MAX, &number, NULL) == 0) {
                m->ops->connections(m, number, m->data);
        } else if (strcmp(event, "jail") == 0 && json_is_string(json_object_get(json, "lacks"))) {
                m->ops->jail_lacks(m, json_string_value(json_object_get(json, "lacks")), m->data);
        } else if (strcmp(event, "ended") == 0 && m->end.reason[0] == '\0') {
                copy_text(json, "reason", m->end.reason, sizeof(m->end.reason));
                copy_text(json, "detail", m->end.detail, sizeof(m->end.detail));
                (void)source_arm(m->deadline, QUIT_PATIENCE_MS); /* an armed timerfd cannot refuse */
        }
}

/* One packet. False when there is none now, or never again. */
static bool take_packet(struct machine *m)
{
        char bytes[PACKET_MAX];
        cleanup_fd int fd = -1;
        size_t count = 0;
        ssize_t n = fd_receive(m->socket, bytes, sizeof(bytes), &fd, 1, &count);
        if (n == -EAGAIN || n == -EINTR)
                return false;
        if (n <= 0) {
                source_free(m->socket_source);
                m->socket_source = NULL;
                (void)source_arm(m->deadline, QUIT_PATIENCE_MS); /* its end is to follow; as above */
                return false;
        }
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        if (json_parse(bytes, (size_t)n, "packet of boxlet-vmm", &json, &err) < 0) {
                if (!m->complained) /* once: the guest may have got hold of it */
                        log_warning("%s", err.text);
                m->complained = true;
        } else {
                take_event(m, json, &fd);
        }
        return true;
}

static void on_packet(struct source *s, int fd, uint32_t events, void *data)
{
        (void)s;
        (void)fd;
        (void)events;
        (void)take_packet(data);
}

static void on_deadline(struct source *s, void *data)
{
        struct machine *m = data;
        (void)s;
        (void)process_signal(m->pidfd, SIGKILL); /* gone already is fine */
}

static void on_exit_of_vmm(struct source *s, int pidfd, void *data)
{
        struct machine *m = data;
        source_free(s);
        m->child_source = NULL;
        if (process_wait(pidfd, &m->end.exit_code) < 0)
                m->end.exit_code = 255;
        close_fd(&m->pidfd);
        while (m->socket_source != NULL && take_packet(m)) /* its last words */
                ;
        (void)source_arm(m->deadline, -1); /* disarming cannot fail */
        m->ops->down(m, &m->end, m->data);
}

static int watch(struct machine *m, struct loop *loop)
{
        int r = fd_set_nonblocking(m->socket);
        if (r == 0)
                r = loop_add_timer(loop, on_deadline, m, &m->deadline);
        if (r == 0)
                r = loop_add_io(loop, m->socket, EPOLLIN, on_packet, m, &m->socket_source);
        if (r == 0)
                r = loop_add_child(loop, m->pidfd, on_exit_of_vmm, m, &m->child_source);
        return r;
}

static int start(struct machine *m, struct loop *loop, const struct machine_plan *plan, struct files *f,
                 struct error *err)
{
        int pair[2];
        int r = open_files(plan, f, err);
        if (r < 0)
                return r;
        cleanup_fd int vsock_fd = unix_listen_at(plan->box_fd, "vsock.sock", SOCK_STREAM, VSOCK_BACKLOG);
        if (vsock_fd < 0)
                return error_errno(err, vsock_fd, "listen on vsock.sock");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, -errno, "make a socket for boxlet-vmm");
        m->socket = pair[0];
        cleanup_fd int theirs = pair[1];
        r = spawn(m, plan, f, theirs, vsock_fd, err);
        if (r < 0)
                return r;
        r = watch(m, loop);
        return r < 0 ? error_errno(err, r, "watch boxlet-vmm") : 0;
}

int machine_start(struct loop *loop, const struct machine_plan *plan, const struct machine_ops *ops,
                  void *data, struct machine **ret_machine, struct error *err)
{
        struct files files = {
            .kernel = -1, .initrd = -1, .image = -1, .disk = -1, .kvm = -1, .memory = -1, .state = -1};
        struct machine *m = calloc(1, sizeof(*m));
        if (m == NULL)
                return error_set(err, -ENOMEM, "start the machine: out of memory");
        *m = (struct machine){.ops = ops, .data = data, .socket = -1, .pidfd = -1};
        int r = start(m, loop, plan, &files, err);
        close_files(&files);
        if (r < 0) {
                machine_free(m);
                return r;
        }
        *ret_machine = m;
        return 0;
}

static int say(struct machine *m, const char *text)
{
        if (m->socket_source == NULL)
                return -EPIPE;
        return send(m->socket, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int machine_pause(struct machine *m, bool paused)
{
        return say(m, paused ? "{\"op\":\"pause\"}" : "{\"op\":\"resume\"}");
}

int machine_watch(struct machine *m)
{
        return say(m, "{\"op\":\"watch\"}");
}

void machine_quit(struct machine *m)
{
        if (m->child_source == NULL || m->end.wanted)
                return;
        m->end.wanted = true;
        if (say(m, "{\"op\":\"quit\"}") < 0)
                (void)process_signal(m->pidfd, SIGKILL); /* it does not listen; gone already is fine */
        else
                (void)source_arm(m->deadline, QUIT_PATIENCE_MS); /* an armed timerfd cannot refuse */
}

void machine_free(struct machine *m)
{
        int code;
        if (m == NULL)
                return;
        source_free(m->child_source);
        source_free(m->socket_source);
        source_free(m->deadline);
        if (m->pidfd >= 0 && process_signal(m->pidfd, SIGKILL) == 0)
                (void)process_wait(m->pidfd, &code); /* nobody asks for it any more */
        close_fd(&m->pidfd);
        close_fd(&m->socket);
        free(m);
}
