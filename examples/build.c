/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a folder in a box of its own: the folder goes in, the command runs in it, its output is shown line
 * by line with the time at which it came, and one path comes back out. Nothing the build does can touch the
 * host.
 *
 *     cc build.c $(pkg-config --cflags --libs boxlet) -o build
 *     ./build gcc ./source 'make' /src/program ./program
 */
#include <boxlet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct stream {
        struct timespec start;
        char line[1024];
        size_t length;
};

static void show(struct stream *s)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        double seconds =
            (double)(now.tv_sec - s->start.tv_sec) + (double)(now.tv_nsec - s->start.tv_nsec) / 1e9;
        printf("%8.2f  %.*s\n", seconds, (int)s->length, s->line);
        fflush(stdout);
        s->length = 0;
}

/* Both outputs, in the order in which they come; a line that is too long is shown in parts. */
static int on_output(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                     size_t size, void *data)
{
        struct stream *s = data;
        (void)process;
        (void)stream;
        for (size_t i = 0; i < size; i++) {
                char c = ((const char *)bytes)[i];
                if (c != '\n')
                        s->line[s->length++] = c;
                if (c == '\n' || s->length == sizeof(s->line))
                        show(s);
        }
        return 0;
}

static int run_command(struct boxlet_box *box, const char *text, int *ret_exit_code,
                       struct boxlet_error *error)
{
        const char *const command[] = {"sh", "-c", text, NULL};
        struct stream s = {.length = 0};
        struct boxlet_exec_options options = BOXLET_EXEC_OPTIONS_INIT;
        struct boxlet_process_events events = {.size = sizeof(events), .output = on_output, .data = &s};
        struct boxlet_process *process;
        options.command = command;
        options.working_dir = "/src";
        clock_gettime(CLOCK_MONOTONIC, &s.start);
        int r = boxlet_box_exec(box, &options, &process, error);
        if (r < 0)
                return r;
        r = boxlet_process_set_events(process, &events);
        if (r >= 0)
                r = boxlet_process_wait(process, ret_exit_code, error);
        if (s.length > 0)
                show(&s);
        boxlet_process_free(process);
        return r;
}

/* argv: image, folder, command, path in the box, path here. */
static int build(struct boxlet_box *box, char **argv, int *ret_exit_code, struct boxlet_error *error)
{
        int r = boxlet_box_copy_in(box, argv[2], -1, "/src", NULL, error);
        if (r >= 0)
                r = run_command(box, argv[3], ret_exit_code, error);
        if (r >= 0 && *ret_exit_code == 0)
                r = boxlet_box_copy_out(box, argv[4], argv[5], -1, NULL, error);
        return r;
}

static void on_started(struct boxlet_process *process, void *data)
{
        (void)process;
        *(int *)data = 1;
}

/* A box can be worked in once its init runs. */
static int wait_until_started(struct boxlet_process *init, struct boxlet_error *error)
{
        int started = 0, r = 1;
        struct boxlet_process_events events = {.size = sizeof(events),
                                               .started = on_started,
                                               .data = &started};
        boxlet_process_set_events(init, &events);
        while (!started && r > 0) {
                struct pollfd fd = {.fd = boxlet_process_fd(init), .events = POLLIN};
                if (poll(&fd, 1, -1) > 0)
                        r = boxlet_process_dispatch(init, error);
        }
        return started ? 0 : r < 0 ? r : -ECHILD;
}

static int build_in_new_box(struct boxlet *boxlet, char **argv, int *ret_exit_code,
                            struct boxlet_error *error)
{
        static const char *const wait[] = {"sleep", "2147483647", NULL};
        struct boxlet_box_options options = BOXLET_BOX_OPTIONS_INIT;
        struct boxlet_box *box;
        struct boxlet_process *init;
        options.image = argv[1];
        options.command = wait;
        options.network = "none";
        options.auto_remove = 1;
        int r = boxlet_box_create(boxlet, &options, &box, error);
        if (r < 0)
                return r;
        r = boxlet_box_start(box, 0, &init, error);
        if (r >= 0) {
                r = wait_until_started(init, error);
                if (r >= 0)
                        r = build(box, argv, ret_exit_code, error);
                boxlet_process_free(init); /* ends the box, which removes itself */
        }
        boxlet_box_free(box);
        return r;
}

int main(int argc, char **argv)
{
        struct boxlet *boxlet;
        struct boxlet_error error = {0};
        int exit_code = 125;
        if (argc != 6) {
                fprintf(stderr, "usage: build IMAGE FOLDER COMMAND RESULT-IN-BOX RESULT\n");
                return 2;
        }
        int r = boxlet_open(NULL, &boxlet, &error);
        if (r >= 0) {
                r = build_in_new_box(boxlet, argv, &exit_code, &error);
                boxlet_close(boxlet);
        }
        if (r < 0)
                fprintf(stderr, "build: %s\n", error.text);
        return r < 0 ? 125 : exit_code;
}
