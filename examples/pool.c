/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of boxes that share out work: shell commands are read from standard input, one a line, and each runs
 * in the next box that has nothing to do. All of it is one thread and one poll loop.
 *
 *     cc pool.c $(pkg-config --cflags --libs boxlet) -o pool
 *     seq 100 | sed 's,.*,echo & squared is $((& * &)),' | ./pool busybox 10
 *
 * A box's init only waits; the work is executed beside it. The boxes are in the foreground: they end when
 * this program does, however it ends.
 */
#include <boxlet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOXES_MAX 64

struct worker {
        unsigned number;
        int runs, failed; /* its box is up; its box has ended */
        struct boxlet_box *box;
        struct boxlet_process *init, *job; /* job: NULL while there is none */
        int job_ended;
};

static int on_output(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                     size_t size, void *data)
{
        const struct worker *w = data;
        (void)process;
        if (size > 0)
                fprintf(stream == BOXLET_STDERR ? stderr : stdout, "[%u] %.*s", w->number, (int)size,
                        (const char *)bytes);
        return 0;
}

static void on_box_started(struct boxlet_process *process, void *data)
{
        (void)process;
        ((struct worker *)data)->runs = 1;
}

static void on_box_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                         void *data)
{
        struct worker *w = data;
        (void)process;
        fprintf(stderr, "[%u] the box has ended: %s (%d)\n", w->number,
                error != NULL ? error->text : "init's end", exit_code);
        w->failed = 1;
}

static void on_job_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                         void *data)
{
        struct worker *w = data;
        (void)process;
        if (exit_code != 0)
                fprintf(stderr, "[%u] exit code %d%s%s\n", w->number, exit_code, error != NULL ? ": " : "",
                        error != NULL ? error->text : "");
        w->job_ended = 1;
}

static int worker_begin(struct worker *w, struct boxlet *boxlet, const char *image,
                        struct boxlet_error *error)
{
        static const char *const wait[] = {"sleep", "2147483647", NULL};
        struct boxlet_box_options options = BOXLET_BOX_OPTIONS_INIT;
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .output = on_output,
                                               .started = on_box_started,
                                               .ended = on_box_ended,
                                               .data = w};
        options.image = image;
        options.command = wait;
        options.network = "none";
        options.memory_bytes = 128U << 20;
        options.auto_remove = 1;
        int r = boxlet_box_create(boxlet, &options, &w->box, error);
        if (r >= 0)
                r = boxlet_box_start(w->box, 0, &w->init, error);
        return r < 0 ? r : boxlet_process_set_events(w->init, &events);
}

/* Gives it the next command; 0 when there are no more. */
static int worker_feed(struct worker *w, struct boxlet_error *error)
{
        static char *line;
        static size_t room;
        struct boxlet_exec_options options = BOXLET_EXEC_OPTIONS_INIT;
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .output = on_output,
                                               .ended = on_job_ended,
                                               .data = w};
        if (getline(&line, &room, stdin) < 0)
                return 0;
        const char *const command[] = {"sh", "-c", line, NULL};
        options.command = command;
        w->job_ended = 0;
        int r = boxlet_box_exec(w->box, &options, &w->job, error);
        if (r >= 0)
                r = boxlet_process_set_events(w->job, &events);
        return r < 0 ? r : 1;
}

static int pool_run(struct worker *workers, nfds_t count, struct boxlet_error *error)
{
        struct pollfd fds[2 * BOXES_MAX];
        int more = 1;
        for (;;) {
                nfds_t at_work = 0, n = 0;
                for (nfds_t i = 0; i < count; i++) {
                        struct worker *w = &workers[i];
                        if (w->runs && !w->failed && w->job == NULL && more &&
                            (more = worker_feed(w, error)) < 0)
                                return more;
                        at_work += w->failed ? 0 : w->job != NULL || (more && !w->runs);
                        fds[n++] = (struct pollfd){.fd = w->failed ? -1 : boxlet_process_fd(w->init),
                                                   .events = POLLIN};
                        fds[n++] = (struct pollfd){.fd = w->job != NULL ? boxlet_process_fd(w->job) : -1,
                                                   .events = POLLIN};
                }
                if (at_work == 0) /* nothing is left, or nobody to do it */
                        return more ? -ECHILD : 0;
                if (poll(fds, n, -1) < 0 && errno != EINTR)
                        return -errno;
                for (nfds_t i = 0; i < count; i++) {
                        struct worker *w = &workers[i];
                        if (fds[2 * i].revents != 0)
                                boxlet_process_dispatch(w->init,
                                                        NULL); /* its end is told by on_box_ended() */
                        if (fds[2 * i + 1].revents != 0 && boxlet_process_dispatch(w->job, NULL) <= 0 &&
                            w->job_ended) {
                                boxlet_process_free(w->job);
                                w->job = NULL;
                        }
                }
        }
}

int main(int argc, char **argv)
{
        static struct worker workers[BOXES_MAX];
        struct boxlet *boxlet;
        struct boxlet_error error = {0};
        int count = argc == 3 ? atoi(argv[2]) : 0;
        if (count < 1 || count > BOXES_MAX) {
                fprintf(stderr, "usage: pool IMAGE BOXES <COMMANDS (1 to %d boxes)\n", BOXES_MAX);
                return 2;
        }
        int r = boxlet_open(NULL, &boxlet, &error);
        for (int i = 0; i < count && r >= 0; i++) {
                workers[i].number = (unsigned)i;
                r = worker_begin(&workers[i], boxlet, argv[1], &error);
        }
        if (r >= 0)
                r = pool_run(workers, (nfds_t)count, &error);
        for (int i = 0; i < count; i++) {
                boxlet_process_free(workers[i].job);
                boxlet_process_free(workers[i].init); /* ends the box, which then removes itself */
                boxlet_box_free(workers[i].box);
        }
        if (r < 0)
                fprintf(stderr, "pool: %s\n", error.text[0] != '\0' ? error.text : strerror(-r));
        boxlet_close(boxlet);
        return r < 0;
}
