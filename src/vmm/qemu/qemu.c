/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine in a QEMU process. It gets descriptors only (plan.c), its stderr is a pipe that we read, the
 * guest's console a socket that we read, both bounded by struct tail. Its vsock and fs devices are ours, over
 * vhost-user on a socket pair.
 *
 * How it ended is decided in one place, how_it_ended(), when its pidfd says so:
 *     stopped by us                              -> the monitor knows
 *     it was to become a template, and did       -> MACHINE_TEMPLATE_MADE (we killed it)
 *     vhost-user or its monitor went wrong       -> MACHINE_DEVICE_ERROR (we killed it)
 *     before it had looked at the vsock device   -> MACHINE_START_FAILED, with its last words
 *     status 0, and no signal told it to end     -> MACHINE_GUEST_RESET: that is what -no-reboot does
 *     anything else                              -> MACHINE_ENGINE_DIED, with status and last words
 */
#include "vmm/qemu/qemu.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "vmm/qemu/plan.h"
#include "vmm/qemu/qmp.h"
#include "vmm/qemu/template.h"
#include "vmm/tail.h"
#include "vmm/virtio/vhost_user.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONSOLE_LIMIT (UINT64_C(1) << 20)
#define WORDS_LIMIT   (UINT64_C(64) << 10)

struct stream {
        int fd;
        struct source *source;
        struct tail tail;
};

struct qemu_machine {
        struct machine machine; /* first: ops get this pointer */
        struct loop *loop;
        const struct config *config;
        struct device *vsock; /* NULL: a template is made */
        struct device *fs;    /* NULL: no shares */
        pid_t pid;
        int pidfd;
        struct source *child;
        int vhost_socket;
        struct vhost_user *transport;
        int fs_socket;
        struct vhost_user *fs_transport;
        int monitor_socket;
        struct qmp *monitor;
        struct stream console;
        struct stream words;
        bool ready;
        bool stopped;
        bool made; /* the template is whole */
        bool ended;
        char device_error[256];
};

static void close_stream(struct stream *s)
{
        source_free(s->source);
        s->source = NULL;
        close_fd(&s->fd);
}

static void drain(struct stream *s)
{
        char bytes[4096];
        for (unsigned i = 0; i < 64 && s->fd >= 0; i++) {
                ssize_t n = read(s->fd, bytes, sizeof(bytes));
                if (n > 0)
                        tail_add(&s->tail, bytes, (size_t)n);
                else if (n == 0 || errno != EINTR) {
                        if (n == 0 || errno != EAGAIN)
                                close_stream(s);
                        return;
                }
        }
}

static void on_stream(struct source *source, int fd, uint32_t events, void *data)
{
        drain(data);
}

static void fail(struct qemu_machine *q, const char *what, const char *why)
{
        log_error("%s: %s", what, why);
        (void)snprintf(q->device_error, sizeof(q->device_error), "%s: %s", what, why); /* cut if too long */
        (void)process_signal(q->pidfd, SIGKILL); /* fails only if it is dead */
}

/* The guest of a copy runs, or a template is written. */
static void on_monitor(void *data, const char *why)
{
        struct qemu_machine *q = data;
        qmp_free(q->monitor);
        q->monitor = NULL;
        close_fd(&q->monitor_socket);
        if (why != NULL) {
                fail(q, q->config->template == CONFIG_TEMPLATE_USE ? "begin as a copy" : "make a template",
                     why);
        } else if (q->config->template == CONFIG_TEMPLATE_MAKE) {
                q->made = true;
                (void)process_signal(q->pidfd, SIGKILL); /* as in fail() */
        }
}

static int speak(struct qemu_machine *q, const struct qmp_dialogue *dialogue)
{
        return qmp_new(q->loop, q->monitor_socket, dialogue, on_monitor, q, &q->monitor);
}

/* The console of a machine that is to become a template. */
static void on_template_console(struct source *source, int fd, uint32_t events, void *data)
{
        struct qemu_machine *q = data;
        struct qmp_dialogue dialogue = template_save;
        char words[400];
        drain(&q->console);
        tail_last_words(&q->console.tail, words, sizeof(words));
        if (q->monitor != NULL || q->monitor_socket < 0 || strstr(words, TEMPLATE_READY) == NULL)
                return;
        dialogue.passed_fd = q->config->template_state_fd;
        int r = speak(q, &dialogue);
        if (r < 0)
                fail(q, "make a template", strerror(-r));
}

static void describe(const struct qemu_machine *q, int code, char *text, size_t size)
{
        char words[400];
        tail_last_words(&q->words.tail, words, sizeof(words));
        if (words[0] == '\0' && q->config->template == CONFIG_TEMPLATE_MAKE)
                tail_last_words(&q->console.tail, words, sizeof(words)); /* why the agent did not want it */
        int n = code > 128 ? snprintf(text, size, "QEMU was killed by signal %d (%s)", code - 128,
                                      strsignal(code - 128))
                           : snprintf(text, size, "QEMU ended with status %d", code);
        if (n > 0 && (size_t)n < size && words[0] != '\0')
                (void)snprintf(text + n, size - (size_t)n, ": %s", words); /* cut if too long */
}

static enum machine_end how_it_ended(const struct qemu_machine *q, int code, char *detail, size_t size)
{
        char words[400];
        detail[0] = '\0';
        if (q->made)
                return MACHINE_TEMPLATE_MADE;
        if (q->device_error[0] != '\0') {
                (void)snprintf(detail, size, "%s", q->device_error);
                return MACHINE_DEVICE_ERROR;
        }
        tail_last_words(&q->words.tail, words, sizeof(words));
        /* QEMU's orderly answer to SIGTERM and the like has status 0, too: vl.c says so on stderr */
        if (q->ready && code == 0 && strstr(words, "terminating on signal") == NULL)
                return MACHINE_GUEST_RESET;
        describe(q, code, detail, size);
        return q->ready ? MACHINE_ENGINE_DIED : MACHINE_START_FAILED;
}

static void on_child(struct source *s, int pidfd, void *data)
{
        struct qemu_machine *q = data;
        char detail[ERROR_TEXT_MAX];
        int code = 0;
        int r = process_wait(pidfd, &code);
        source_free(q->child);
        q->child = NULL;
        close_fd(&q->pidfd);
        if (r < 0)
                log_error("cannot wait for QEMU: %s", strerror(-r));
        drain(&q->words);
        drain(&q->console);
        tail_end(&q->words.tail);
        tail_end(&q->console.tail);
        enum machine_end end = how_it_ended(q, code, detail, sizeof(detail));
        q->ended = true;
        q->machine.events.ended(q->machine.events.data, end, detail);
}

static void on_device_ready(void *data)
{
        struct qemu_machine *q = data;
        q->ready = true;
        q->machine.events.running(q->machine.events.data);
}

static void on_device_ended(void *data, const char *why)
{
        struct qemu_machine *q = data;
        if (why == NULL)
                return; /* QEMU closed it: it is about to die, which its pidfd tells */
        fail(q, "vhost-user", why);
}

static void qemu_stop(struct machine *m)
{
        struct qemu_machine *q = (struct qemu_machine *)m;
        q->stopped = true;
        if (q->pidfd >= 0)
                (void)process_signal(q->pidfd, SIGKILL); /* fails only if it is dead */
}

/* A stopped process executes nothing of its guest; SIGKILL ends it all the same. */
static int qemu_pause(struct machine *m, bool paused)
{
        struct qemu_machine *q = (struct qemu_machine *)m;
        return q->pidfd < 0 ? -ESRCH : process_signal(q->pidfd, paused ? SIGSTOP : SIGCONT);
}

static int open_stream(struct qemu_machine *q, struct stream *s, int *fd, int to, uint64_t limit)
{
        bool watch = s == &q->console && q->config->template == CONFIG_TEMPLATE_MAKE;
        s->fd = take_fd(fd);
        tail_init(&s->tail, to, limit);
        int r = fd_set_nonblocking(s->fd);
        if (r < 0)
                return r;
        return watch ? loop_add_io(q->loop, s->fd, EPOLLIN, on_template_console, q, &s->source)
                     : loop_add_io(q->loop, s->fd, EPOLLIN, on_stream, s, &s->source);
}

/* Our ends of the pairs; their ends are handed to QEMU, then closed. */
struct pairs {
        int memory; /* no pair: one end for both */
        int monitor[2];
        int vsock[2];
        int fs[2];
        int console[2];
        int words[2];
};

static void pairs_close(struct pairs *p)
{
        close_fd(&p->memory);
        for (int i = 0; i < 2; i++) {
                close_fd(&p->monitor[i]);
                close_fd(&p->vsock[i]);
                close_fd(&p->fs[i]);
                close_fd(&p->console[i]);
                close_fd(&p->words[i]);
        }
}

static int pairs_open(struct pairs *p, const struct qemu_machine *q)
{
        static const int stream = SOCK_STREAM | SOCK_CLOEXEC;
        *p = (struct pairs){-1, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
        bool fails =
            (q->vsock != NULL && socketpair(AF_UNIX, stream, 0, p->vsock) < 0) ||
            (q->fs != NULL && socketpair(AF_UNIX, stream, 0, p->fs) < 0) ||
            (q->config->template != CONFIG_TEMPLATE_NONE && socketpair(AF_UNIX, stream, 0, p->monitor) < 0) ||
            socketpair(AF_UNIX, stream, 0, p->console) < 0 || pipe2(p->words, O_CLOEXEC) < 0;
        int r = fails ? -errno : 0;
        if (r == 0 && q->config->template == CONFIG_TEMPLATE_MAKE) {
                p->memory = fcntl(q->config->template_memory_fd, F_DUPFD_CLOEXEC, 0);
                r = p->memory < 0 ? -errno : 0;
        } else if (r == 0) {
                r = template_memory_new(q->config->memory_bytes, &p->memory);
        }
        if (r < 0)
                pairs_close(p);
        return r;
}

static int spawn(struct qemu_machine *q, const struct qemu_plan *plan, struct error *err)
{
        static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
        struct process_plan process = {.path = q->config->qemu,
                                       .argv = (const char *const *)plan->words,
                                       .environ = environment,
                                       .fds = plan->fds,
                                       .fd_count = plan->fd_count,
                                       .parent_death_signal = SIGKILL,
                                       .working_dir_fd = -1};
        return process_spawn(&process, &q->pid, &q->pidfd, err);
}

static int watch(struct qemu_machine *q, struct pairs *p)
{
        struct vhost_user_events events = {.ready = on_device_ready, .ended = on_device_ended, .data = q};
        int r = loop_add_child(q->loop, q->pidfd, on_child, q, &q->child);
        if (r == 0)
                r = open_stream(q, &q->console, &p->console[0], q->config->console_fd, CONSOLE_LIMIT);
        if (r == 0)
                r = open_stream(q, &q->words, &p->words[0], q->config->log_fd, WORDS_LIMIT);
        q->monitor_socket = take_fd(&p->monitor[0]);
        if (r == 0 && q->vsock != NULL) {
                q->vhost_socket = take_fd(&p->vsock[0]);
                r = vhost_user_new(q->loop, q->vhost_socket, q->vsock, &events, &q->transport);
        }
        if (r == 0 && q->fs != NULL) {
                events.ready = NULL; /* the vsock device says it for all */
                q->fs_socket = take_fd(&p->fs[0]);
                r = vhost_user_new(q->loop, q->fs_socket, q->fs, &events, &q->fs_transport);
        }
        return r;
}

static int begin_as_copy(struct qemu_machine *q, int memory_fd, struct error *err)
{
        int r = template_copy_memory(q->config->template_memory_fd, memory_fd); /* QEMU starts meanwhile */
        if (r == 0)
                r = speak(q, &template_begin);
        return r < 0 ? error_errno(err, r, "begin as a copy of the template") : 0;
}

static int start_with(struct qemu_machine *q, struct pairs *p, struct error *err)
{
        struct qemu_plan plan = {.word_count = 0};
        struct qemu_ends ends = {.memory = p->memory,
                                 .monitor = p->monitor[1],
                                 .vsock = p->vsock[1],
                                 .fs = p->fs[1],
                                 .console = p->console[1],
                                 .words = p->words[1]};
        int r = qemu_plan_make(q->config, &ends, &plan, err);
        if (r == 0)
                r = qemu_plan_check(&plan, err);
        if (r == 0)
                r = spawn(q, &plan, err);
        qemu_plan_done(&plan);
        if (r < 0)
                return r;
        r = watch(q, p);
        if (r < 0)
                return error_errno(err, r, "watch QEMU");
        return q->config->template == CONFIG_TEMPLATE_USE ? begin_as_copy(q, p->memory, err) : 0;
}

static int qemu_start(struct machine *m, struct error *err)
{
        struct qemu_machine *q = (struct qemu_machine *)m;
        struct pairs pairs;
        int r = pairs_open(&pairs, q);
        if (r < 0)
                return error_errno(err, r, "make sockets for QEMU");
        r = start_with(q, &pairs, err);
        pairs_close(&pairs);
        return r;
}

static void qemu_free(struct machine *m)
{
        struct qemu_machine *q = (struct qemu_machine *)m;
        int code;
        if (q == NULL)
                return;
        source_free(q->child);
        if (q->pidfd >= 0) {
                (void)process_signal(q->pidfd, SIGKILL); /* fails only if it is dead */
                (void)process_wait(q->pidfd, &code);     /* how it ended matters no more */
        }
        close_fd(&q->pidfd);
        vhost_user_free(q->transport);
        close_fd(&q->vhost_socket);
        vhost_user_free(q->fs_transport);
        close_fd(&q->fs_socket);
        qmp_free(q->monitor);
        close_fd(&q->monitor_socket);
        close_stream(&q->console);
        close_stream(&q->words);
        free(q);
}

static const struct machine_ops qemu_ops = {
    .name = "qemu",
    .start = qemu_start,
    .stop = qemu_stop,
    .pause = qemu_pause,
    .free = qemu_free,
};

int qemu_machine_new(struct loop *loop, const struct config *config, struct device *vsock, struct device *fs,
                     const struct machine_events *events, struct machine **ret_machine)
{
        struct qemu_machine *q = calloc(1, sizeof(*q));
        if (q == NULL)
                return -ENOMEM;
        q->machine.ops = &qemu_ops;
        q->machine.events = *events;
        q->loop = loop;
        q->config = config;
        q->vsock = vsock;
        q->fs = fs;
        q->pidfd = q->vhost_socket = q->fs_socket = q->monitor_socket = q->console.fd = q->words.fd = -1;
        *ret_machine = &q->machine;
        return 0;
}
