/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's one loop: work connections come in, children are reaped, and at the end everything is taken
 * down.
 *
 *     WORKING -> ENDING    [agent_stop]           a shutdown request, or the control connection ended
 *     ENDING  -> CLEAN     [agent_stop_continue]  no process of the container is left, or patience is
 *     CLEAN   -> out       [control_halted]       disks are clean; the host has been told
 *
 * Nothing the host or the container does ends this loop in another way: the agent is PID 1, and its end a
 * panic.
 */
#include "agent/agent.h"

#include "agent/boot.h"
#include "agent/cgroup.h"
#include "agent/control.h"
#include "agent/freeze.h"
#include "agent/job.h"
#include "agent/leaf.h"
#include "agent/names.h"
#include "agent/network.h"
#include "agent/rootfs.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/vm_sockets.h>

/* A process in uninterruptible sleep does not die; what then is still open is written out but not unmounted.
 */
#define KILL_PATIENCE_MS 3000

static bool is_host(const struct agent *agent, int fd)
{
        struct sockaddr_vm peer = {0};
        socklen_t size = sizeof(peer);
        if (!agent->setup->host_only)
                return true;
        return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.svm_family == AF_VSOCK &&
               peer.svm_cid == VMADDR_CID_HOST;
}

static void on_connection(struct source *s, int listen_fd, uint32_t events, void *data)
{
        struct agent *agent = data;
        (void)s;
        (void)events;
        cleanup_fd int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return; /* it left again, or there is no room now: the next round tries again */
        if (!is_host(agent, fd)) {
                log_warning("a work connection that is not the host's was refused");
                return;
        }
        int r = job_new(agent, take_fd(&fd));
        if (r < 0)
                log_warning("take a work connection: %s", strerror(-r));
}

/* One signal may stand for many children. */
static void on_children(struct source *s, int number, pid_t sender, void *data)
{
        struct agent *agent = data;
        int status;
        pid_t pid;
        (void)s;
        (void)number;
        (void)sender;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                job_reaped(agent, pid, status);
        if (agent->stopping)
                agent_stop_continue(agent);
}

/* ---- the end ---- */

static void finish(struct agent *agent)
{
        source_free(agent->stop_source);
        agent->stop_source = NULL;
        close_fd(&agent->stop_events_fd);
        source_free(agent->stop_timer);
        agent->stop_timer = NULL;
        freeze_free(agent->freeze);
        if (agent->setup->owns_machine && agent->has_disk)
                rootfs_unmount(agent->setup->run_folder);
        control_halted(agent);
}

void agent_stop_continue(struct agent *agent)
{
        if (agent->stop_source != NULL && agent->box_fd >= 0 && cgroup_populated(agent->box_fd))
                return;
        if (agent->stop_source != NULL && agent->init != NULL && !agent->init->reaped)
                return; /* a cgroup is empty before its last process is reaped, which is what EXIT waits for
                         */
        if (agent->stop_source != NULL)
                finish(agent);
}

static void on_box_change(struct source *s, int fd, uint32_t events, void *data)
{
        char text[128];
        (void)s;
        (void)events;
        (void)!pread(fd, text, sizeof(text), 0); /* takes the notice */
        agent_stop_continue(data);
}

static void on_patience(struct source *s, void *data)
{
        (void)s;
        log_warning("processes of the container did not end in %d ms", KILL_PATIENCE_MS);
        finish(data);
}

static int watch_box(struct agent *agent)
{
        agent->stop_events_fd = openat(agent->box_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (agent->stop_events_fd < 0)
                return -errno;
        int r = loop_add_io(agent->loop, agent->stop_events_fd, EPOLLPRI, on_box_change, agent,
                            &agent->stop_source);
        if (r == 0)
                r = loop_add_timer(agent->loop, on_patience, agent, &agent->stop_timer);
        if (r == 0)
                r = source_arm(agent->stop_timer, KILL_PATIENCE_MS);
        return r;
}

void agent_stop(struct agent *agent, bool tell_halted)
{
        if (agent->stopping)
                return;
        agent->stopping = true;
        boot_end(agent);          /* it has files open on the disk */
        job_end_transfers(agent); /* so have they */
        agent->tell_halted = tell_halted;
        freeze_release(agent->freeze); /* who waits for it cannot be killed */
        if (agent->box_fd < 0) {
                finish(agent);
                return;
        }
        int r = watch_box(agent);
        if (r == 0)
                r = cgroup_kill(agent->box_fd);
        if (r < 0) {
                log_error("end the container: %s", strerror(-r));
                finish(agent);
                return;
        }
        agent_stop_continue(agent);
}

/* ---- the beginning ----
 *
 * All that needs neither the host nor the box's devices comes before the host is reached: in a template it is
 * done once for all copies (slots.c). */

static int begin(struct agent *agent, struct error *err)
{
        int r = loop_new(&agent->loop);
        if (r < 0)
                return error_errno(err, r, "make the loop");
        r = cgroup_begin(agent->setup->cgroup_folder, &agent->cgroup_root_fd, err);
        if (r == 0 && agent->setup->owns_machine)
                r = network_raise_loopback(err);
        if (r < 0)
                return r;
        r = loop_add_signal(agent->loop, SIGCHLD, on_children, agent, &agent->child_source);
        if (r == 0)
                r = loop_add_io(agent->loop, agent->setup->listen_fd, EPOLLIN, on_connection, agent,
                                &agent->listen_source);
        if (r < 0)
                return error_errno(err, r, "watch children and connections");
        r = agent->setup->reach_host != NULL ? agent->setup->reach_host(err) : agent->setup->control_fd;
        return r < 0 ? r : control_begin(agent, r, err);
}

static void done(struct agent *agent)
{
        boot_end(agent);
        freeze_free(agent->freeze);
        names_free(agent->names);
        job_free_all(agent);
        leaf_free_all(agent);
        channel_free(agent->control);
        source_free(agent->listen_source);
        source_free(agent->child_source);
        source_free(agent->stop_source);
        source_free(agent->stop_timer);
        container_plan_free(agent->container);
        close_fd(&agent->cgroup_root_fd);
        close_fd(&agent->box_fd);
        close_fd(&agent->stop_events_fd);
        loop_free(agent->loop);
}

int agent_run(const struct agent_setup *setup, struct error *err)
{
        struct agent agent = {.setup = setup,
                              .cgroup_root_fd = -1,
                              .box_fd = -1,
                              .stop_events_fd = -1,
                              .asked_to_boot = !setup->owns_machine,
                              .booted = !setup->owns_machine};
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        (void)sigaction(SIGPIPE, &ignore,
                        NULL); /* writing to a process that closed its stdin is no reason to die */
        int r = begin(&agent, err);
        if (r == 0) {
                r = loop_run(agent.loop);
                if (r < 0)
                        (void)error_errno(err, r, "wait for events");
        }
        done(&agent);
        return r;
}
