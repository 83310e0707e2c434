/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest says to the program that runs an exec in it (process.c): the agent's end of an exec's
 * connection. The input's first byte: bit 0 the client reads slowly, bit 1 it asks for things before the
 * process runs, bit 2 it lets go of the handle when it is told that the process runs. Whatever is said, the
 * end is told once, with a code a shell can show.
 */
#include "runtime/process.h"
#include "runtime/runtime.h"
#include "talk.h"

#include <signal.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUNDS_MAX 100000

struct client {
        uint8_t ways;
        bool paused, ended, freed;
        unsigned outputs;
};

static int listener = -1, folder = -1;

static void clean(void)
{
        talk_unlisten(folder);
}

static int on_output(struct boxlet_process *p, enum boxlet_stream stream, const void *bytes, size_t size,
                     void *data)
{
        struct client *c = data;
        (void)p;
        (void)bytes;
        talk_require(!c->ended && !c->freed && size <= FRAME_STREAM_MAX &&
                     (stream == BOXLET_STDOUT || stream == BOXLET_STDERR));
        c->paused = (c->ways & 1) != 0 && ++c->outputs % 2 == 1;
        return c->paused;
}

static void on_started(struct boxlet_process *p, void *data)
{
        struct client *c = data;
        talk_require(!c->ended && !c->freed);
        if (c->ways & 4) {
                c->freed = true;
                boxlet_process_free(p);
        }
}

static void on_ended(struct boxlet_process *p, int exit_code, const struct boxlet_error *error, void *data)
{
        struct client *c = data;
        (void)p;
        talk_require(!c->ended && !c->freed && exit_code >= 0 && exit_code <= 255);
        talk_require(error == NULL || error->code < 0);
        c->ended = true;
}

static void run(struct boxlet_process *p, struct client *c)
{
        for (unsigned round = 0; !c->freed && boxlet_process_dispatch(p, NULL) == 1; round++) {
                talk_require(round < ROUNDS_MAX);
                if (c->paused && !c->freed) {
                        c->paused = false;
                        boxlet_process_resume(p);
                }
        }
        talk_require(c->ended != c->freed);
        if (!c->freed)
                boxlet_process_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct boxlet boxlet = {.references = 1};
        struct client client = {.ways = size > 0 ? data[0] : 0};
        struct boxlet_process_events events = {sizeof(events), on_output, on_started,
                                               on_ended,       NULL,      &client};
        struct boxlet_process *process;
        struct error err = ERROR_INIT;
        if (size < 1)
                return 0;
        if (listener < 0) {
                listener = talk_listen(&folder);
                talk_require(atexit(clean) == 0);
        }
        boxlet.boxes_fd = folder;
        json_t *request = json_pack("{s:s, s:{s:[s]}}", "op", "exec", "process", "args", "x");
        const struct process_draft draft = {.boxlet = &boxlet,
                                            .box_id = "b",
                                            .box_name = "b",
                                            .request = request,
                                            .is_exec = true,
                                            .has_stdin = true};
        talk_require(process_new_vsock(&draft, folder, &process, &err) == 0);
        talk_require(boxlet_process_set_events(process, &events) == 0);
        int end = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        talk_require(end >= 0);
        talk_say(end, "OK 1\n", data + 1, size - 1, 0);
        if (client.ways & 2) {
                (void)boxlet_process_resize(process, 24, 80, NULL);
                (void)boxlet_process_signal(process, SIGTERM, NULL);
                (void)boxlet_process_close_stdin(process, NULL);
        }
        run(process, &client);
        close(end);
        json_decref(request);
        talk_require(boxlet.references == 1);
        return 0;
}
