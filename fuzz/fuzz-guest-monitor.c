/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest says to the monitor: on the control connection (guest.c), and as the agent that runs
 * init and a command (work.c, container.c). The input's first byte chooses: 0 the control connection, else
 * the container; bit 1: with a command beside init. Whatever is said, each end is told once, and the last
 * word is that no connection is left.
 */
#include "monitor/container.h"
#include "monitor/guest.h"
#include "talk.h"

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUNDS_MAX 100000

struct world {
        struct loop *loop;
        const uint8_t *data;
        size_t size;
        unsigned connections;
        int ends[2];
        struct container *container;
        unsigned booted, failed, halted, started, exited, wound_down;
        bool gone;
};

static int listener = -1, folder = -1;

static void clean(void)
{
        talk_unlisten(folder);
}

/* ---- the control connection ---- */

static void on_booted(struct guest *g, void *data)
{
        struct world *w = data;
        (void)g;
        talk_require(++w->booted == 1 && w->failed == 0);
}

static void on_boot_failed(struct guest *g, const char *stage, const struct error *err, void *data)
{
        struct world *w = data;
        (void)g;
        talk_require(++w->failed == 1 && w->booted == 0 && stage[0] != '\0' && err->code < 0 &&
                     err->text[0] != '\0');
}

static void on_halted(struct guest *g, void *data)
{
        struct world *w = data;
        (void)data;
        if (w->halted++ == 0)
                (void)guest_shutdown(g);
}

static void on_guest_gone(struct guest *g, const struct error *err, void *data)
{
        struct world *w = data;
        (void)g;
        (void)err;
        talk_require(!w->gone);
        w->gone = true;
}

static const struct guest_ops guest_ops = {.booted = on_booted,
                                           .failed = on_boot_failed,
                                           .halted = on_halted,
                                           .gone = on_guest_gone};

static void control(struct world *w)
{
        struct guest *guest;
        int ends[2];
        json_t *boot = json_pack("{s:s}", "op", "boot");
        talk_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        talk_say(ends[1], NULL, w->data, w->size, 0);
        talk_require(guest_new(w->loop, ends[0], boot, &guest_ops, w, &guest) == 0);
        for (unsigned round = 0; !w->gone; round++)
                talk_require(round < ROUNDS_MAX && loop_step(w->loop, 1000) > 0);
        guest_free(guest);
        close(ends[1]);
        json_decref(boot);
}

/* ---- the container ---- */

static void on_started(int64_t pid, void *data)
{
        struct world *w = data;
        talk_require(++w->started == 1 && pid > 0 && w->failed + w->exited == 0);
}

static void on_failed(const struct error *err, int exit_code, void *data)
{
        struct world *w = data;
        talk_require(++w->failed == 1 && w->exited == 0 && err->code < 0 && exit_code >= 125 &&
                     exit_code <= 127);
}

static void on_output(unsigned stream, bool foreground, const void *bytes, size_t size, void *data)
{
        struct world *w = data;
        (void)stream;
        (void)bytes;
        talk_require(size <= FRAME_STREAM_MAX);
        /* a foreground that is stopped for a moment, and asked things of */
        if (foreground && size % 7 == 3) {
                container_pause(w->container, true);
                (void)container_send(w->container, FRAME_STDIN, "x", 1);
                container_pause(w->container, false);
        }
}

static void on_exited(const struct frame_exit *status, void *data)
{
        struct world *w = data;
        talk_require(++w->exited == 1 && w->failed == 0 && status->signal <= 64);
        (void)container_wind_down(w->container, SIGTERM);
}

static void on_wound_down(void *data)
{
        struct world *w = data;
        talk_require(++w->wound_down == 1 && w->exited == 1);
}

static void on_drained(void *data)
{
        (void)data;
}

static void on_lost(const char *what, const struct error *err, void *data)
{
        (void)data;
        talk_require(what[0] != '\0' && err != NULL);
}

static void on_gone(void *data)
{
        struct world *w = data;
        talk_require(!w->gone);
        w->gone = true;
}

static const struct container_ops container_ops = {.started = on_started,
                                                   .failed = on_failed,
                                                   .output = on_output,
                                                   .exited = on_exited,
                                                   .wound_down = on_wound_down,
                                                   .drained = on_drained,
                                                   .lost = on_lost,
                                                   .gone = on_gone};

static void on_connection(struct source *s, int fd, uint32_t events, void *data)
{
        struct world *w = data;
        (void)s;
        (void)events;
        int end = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (end < 0)
                return;
        talk_require(w->connections < 2);
        w->ends[w->connections] = end;
        talk_say(end, "OK 1\n", w->data, w->size, w->connections++);
}

static void containers(struct world *w, bool has_command)
{
        struct source *source;
        struct error err = ERROR_INIT;
        json_t *process = json_pack("{s:[s]}", "args", "x"), *spec = json_pack("{s:O}", "process", process);
        struct config config = {.spec = spec,
                                .command = process,
                                .has_command = has_command,
                                .stdin_open = true};
        if (listener < 0) {
                listener = talk_listen(&folder);
                talk_require(atexit(clean) == 0);
        }
        talk_require(loop_add_io(w->loop, listener, EPOLLIN, on_connection, w, &source) == 0);
        talk_require(container_new(w->loop, folder, &config, 0, 0, &container_ops, w, &w->container, &err) ==
                     0);
        for (unsigned round = 0; !w->gone; round++)
                talk_require(round < ROUNDS_MAX && loop_step(w->loop, 1000) > 0);
        container_free(w->container);
        source_free(source);
        for (unsigned i = 0; i < w->connections; i++)
                close(w->ends[i]);
        json_decref(spec);
        json_decref(process);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        struct world w = {.data = data + 1, .size = size - 1};
        talk_require(loop_new(&w.loop) == 0);
        if (data[0] == 0)
                control(&w);
        else
                containers(&w, (data[0] & 2) != 0);
        loop_free(w.loop);
        return 0;
}
