/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet-vmm: one machine, from a configuration document to its end. It is started by the monitor with open
 * descriptors and numbers (docs/protocol.md section 2), starts the engine, jails itself, and then serves the
 * guest until the machine ends or the monitor does. Exit status: 0 after an `ended` event was sent; 125 if
 * the configuration is unusable.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/jail.h"
#include "vmm/kvm/kvm.h"
#include "vmm/link.h"
#include "vmm/qemu/qemu.h"
#include "vmm/shares.h"
#include "vmm/virtio/vsock_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_LIMIT      (UINT64_C(1) << 20) /* of monitor.log, which is the monitor's as well */
#define GUEST_CID      3
#define CONTROL_PORT   1024
#define CONNECTION_MAX 1024

struct vmm {
        struct loop *loop;
        struct jail jail;
        struct config config;
        struct link *link;
        struct vsock_host *vsock;
        struct shares shares; /* nothing in it if nothing is shared */
        struct machine *machine;
        struct devices *devices; /* engine kvm's; with QEMU only vsock and shares are ours */
        bool agent_spoke;
        bool watched; /* the monitor wants to know of vsock connections */
        bool quit;    /* the monitor wants the end */
        const char *reason;
        char detail[ERROR_TEXT_MAX];
};

static void on_running(void *data)
{
        struct vmm *v = data;
        if (link_send_running(v->link) < 0)
                log_warning("cannot tell the monitor that the machine runs");
}

static const char *reason_of(enum machine_end end)
{
        switch (end) {
        case MACHINE_GUEST_RESET:
                return "guest-reset";
        case MACHINE_GUEST_SHUTDOWN:
                return "guest-shutdown";
        case MACHINE_GUEST_CRASHED:
                return "guest-crashed";
        case MACHINE_GUEST_HUNG:
                return "guest-hung";
        case MACHINE_STOPPED:
                return "quit";
        case MACHINE_TEMPLATE_MADE:
                return "template-made";
        case MACHINE_ENGINE_DIED:
                return "engine-died";
        case MACHINE_ENGINE_MISSING:
                return "engine-missing";
        case MACHINE_START_FAILED:
                return "start-failed";
        case MACHINE_DEVICE_ERROR:
                break;
        }
        return "device-error";
}

static void on_ended(void *data, enum machine_end end, const char *detail)
{
        struct vmm *v = data;
        if (v->devices != NULL)
                devices_end(v->devices);
        v->reason = v->quit && end != MACHINE_GUEST_HUNG ? "quit" : reason_of(end);
        (void)snprintf(v->detail, sizeof(v->detail), "%s",
                       v->quit && end != MACHINE_GUEST_HUNG ? "" : detail); /* cut if too long */
        loop_quit(v->loop, 0);
}

static void on_quit(void *data)
{
        struct vmm *v = data;
        v->quit = true;
        if (v->machine != NULL)
                v->machine->ops->stop(v->machine);
}

/* The monitor waits for our word: without it, it says that the machine does not answer. */
static void on_pause(bool paused, void *data)
{
        struct vmm *v = data;
        int r = v->machine == NULL ? -EAGAIN : v->machine->ops->pause(v->machine, paused);
        if (r == 0)
                r = link_send_paused(v->link, paused);
        if (r < 0)
                log_warning("cannot %s the machine: %s", paused ? "pause" : "resume", strerror(-r));
}

static void on_counted(void *data, unsigned count)
{
        struct vmm *v = data;
        if (v->watched && link_send_connections(v->link, count) < 0)
                log_warning("cannot tell the monitor how many connections there are");
}

static void on_watch(void *data)
{
        struct vmm *v = data;
        v->watched = true;
        on_counted(v, v->vsock != NULL ? vsock_host_count(v->vsock) : 0);
}

static int on_control(void *data, uint32_t port, int fd)
{
        struct vmm *v = data;
        if (!v->agent_spoke && v->machine->ops->note != NULL)
                v->machine->ops->note(v->machine, "the agent's first message");
        v->agent_spoke = true;
        return link_send_connection(v->link, port, fd);
}

static int make_machine(struct vmm *v, const struct machine_events *events, struct error *err)
{
        struct device *vsock = v->vsock != NULL ? vsock_host_device(v->vsock) : NULL;
        struct device *fs = v->shares.fs != NULL ? virtio_fs_device(v->shares.fs) : NULL;
        if (v->config.engine == CONFIG_ENGINE_QEMU) {
                int r = qemu_machine_new(v->loop, &v->config, vsock, fs, events, &v->machine);
                return r < 0 ? error_errno(err, r, "set up the machine") : 0;
        }
        struct devices_options devices = {.config = &v->config,
                                          .vsock = vsock,
                                          .fs = fs,
                                          .disk_thread = jail_disk_thread};
        struct kvm_options options = {.config = &v->config, .enter = jail_vcpu_thread};
        int r = devices_new(v->loop, &devices, &v->devices, err);
        if (r < 0)
                return r;
        options.devices = devices_list(v->devices, &options.device_count);
        r = kvm_machine_new(v->loop, &options, events, &v->machine);
        return r < 0 ? error_errno(err, r, "set up the machine") : 0;
}

static int make(struct vmm *v, struct error *err)
{
        struct link_events link_events = {.quit = on_quit, .pause = on_pause, .watch = on_watch, .data = v};
        struct machine_events machine_events = {.running = on_running, .ended = on_ended, .data = v};
        struct vsock_host_options vsock = {.guest_cid = GUEST_CID,
                                           .connection_max = CONNECTION_MAX,
                                           .listen_fd = v->config.vsock_fd,
                                           .control_port = CONTROL_PORT,
                                           .control = on_control,
                                           .counted = on_counted,
                                           .data = v};
        int r = loop_new(&v->loop);
        if (r == 0)
                r = link_new(v->loop, v->config.monitor_fd, &link_events, &v->link);
        if (r == 0 && v->config.vsock_fd >= 0)
                r = vsock_host_new(v->loop, &vsock, &v->vsock);
        if (r == 0 && v->config.share_count > 0) {
                r = shares_start(v->loop, &v->config, v->jail.own_ids, &v->shares, err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return error_errno(err, r, "set up the machine");
        return make_machine(v, &machine_events, err);
}

static void unmake(struct vmm *v)
{
        if (v->machine != NULL)
                v->machine->ops->free(v->machine);
        devices_free(v->devices);
        vsock_host_free(v->vsock);
        shares_stop(&v->shares);
        link_free(v->link);
        loop_free(v->loop);
        config_done(&v->config);
}

/* Descriptors that the engine has now, or has done with, and we need not. */
static void close_handed_over(struct config *c)
{
        close_fd(&c->kernel_fd);
        close_fd(&c->initrd_fd);
        close_fd(&c->kvm_fd);
        if (c->engine == CONFIG_ENGINE_KVM)
                return; /* the devices are ours, and use theirs */
        close_fd(&c->net_fd);
        close_fd(&c->template_memory_fd);
        if (c->template == CONFIG_TEMPLATE_USE)
                close_fd(&c->template_state_fd);
        for (unsigned i = 0; i < c->disk_count; i++)
                close_fd(&c->disks[i].fd);
}

/* Tells what the host does not give the jail; false if that is too much. */
static bool is_jailed_enough(struct vmm *v)
{
        char lacks[256];
        jail_describe(v->jail.lacks, lacks, sizeof(lacks));
        if (lacks[0] == '\0')
                return true;
        log_info("the jail: %s", lacks);
        if (link_send_jail(v->link, lacks) < 0)
                log_warning("cannot tell the monitor what the jail is without");
        if (!v->config.jail_required || !jail_too_weak(v->jail.lacks))
                return true;
        v->reason = reason_of(MACHINE_START_FAILED);
        (void)snprintf(v->detail, sizeof(v->detail), "--jail require: the jail is too weak on this host: %s",
                       lacks); /* fits */
        return false;
}

/* Runs the machine to its end; v->reason says which. */
static void run(struct vmm *v)
{
        struct error err = ERROR_INIT;
        if (!is_jailed_enough(v))
                return;
        int r = v->machine->ops->start(v->machine, &err);
        close_handed_over(&v->config);
        if (r == 0 && jail_before_guest(&v->jail, &err) < 0) {
                v->reason = reason_of(MACHINE_START_FAILED);
                (void)snprintf(v->detail, sizeof(v->detail), "%s", err.text); /* cut if too long */
                return;
        }
        if (r < 0) {
                v->reason = reason_of(r == -ENOENT ? MACHINE_ENGINE_MISSING : MACHINE_START_FAILED);
                (void)snprintf(v->detail, sizeof(v->detail), "%s", err.text); /* cut if too long */
                return;
        }
        if (v->machine->ops->run != NULL)
                v->machine->ops->run(v->machine);
        if ((r = loop_run(v->loop)) < 0) {
                v->reason = reason_of(MACHINE_DEVICE_ERROR);
                (void)snprintf(v->detail, sizeof(v->detail), "event loop: %s", strerror(-r));
        }
}

static int read_config(int fd, struct config *ret_config, struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = fd_read_all(fd, CONFIG_TEXT_MAX, &text, &size);
        if (r < 0)
                return error_errno(err, r, "read configuration");
        return config_parse(text, size, ret_config, err);
}

static int close_others(const struct config *c, struct error *err)
{
        int keep[CONFIG_FDS_MAX];
        size_t n = 0;
        keep[n++] = c->kernel_fd;
        keep[n++] = c->initrd_fd;
        keep[n++] = c->console_fd;
        keep[n++] = c->vsock_fd;
        keep[n++] = c->monitor_fd;
        keep[n++] = c->log_fd;
        keep[n++] = c->net_fd;
        keep[n++] = c->kvm_fd;
        keep[n++] = c->template_memory_fd;
        keep[n++] = c->template_state_fd;
        for (unsigned i = 0; i < c->disk_count; i++)
                keep[n++] = c->disks[i].fd;
        for (unsigned i = 0; i < c->share_count; i++)
                keep[n++] = c->shares[i].fd;
        return jail_close_others(keep, n, err);
}

static int refuse(const char *why)
{
        (void)fprintf(stderr, "boxlet-vmm: %s\n", why);
        return 125;
}

int main(int argc, char **argv)
{
        struct vmm v = {.shares = {.proc_fd = -1}};
        struct error err = ERROR_INIT;
        char *end = NULL;
        if (argc != 3 || strcmp(argv[1], "--config-fd") != 0)
                return refuse("usage: boxlet-vmm --config-fd N (it is started by boxlet-monitor)");
        long fd = strtol(argv[2], &end, 10);
        if (*end != '\0' || fd < 0 || fd > 1023)
                return refuse("--config-fd wants the number of a descriptor");
        if (read_config((int)fd, &v.config, &err) < 0)
                return refuse(err.text);
        if (config_check_fds(&v.config, &err) < 0 || close_others(&v.config, &err) < 0) {
                config_done(&v.config);
                return refuse(err.text);
        }
        log_init("boxlet-vmm", v.config.log_fd,
                 getenv("BOXLET_DEBUG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        log_limit(LOG_LIMIT);
        if (jail_before_engine(&v.jail, v.config.share_count > 0, &err) < 0 || make(&v, &err) < 0) {
                unmake(&v);
                return refuse(err.text);
        }
        run(&v);
        if (link_send_ended(v.link, v.reason, v.detail) < 0 && !v.quit)
                log_warning("cannot tell the monitor of the end: %s: %s", v.reason, v.detail);
        unmake(&v);
        return 0;
}
