/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console, or the entropy device (first byte odd), and a hostile driver. Input: steps, see
 * device-world.h; more of them for the console, whose other end is a small pipe:
 *
 *     7 255 _  read from the pipe: count, in 64 bytes; 255 closes it
 */
#include "device-world.h"

#include "vmm/virtio/console.h"
#include "vmm/virtio/rng.h"

#include <fcntl.h>
#include <signal.h>

static int pipe_fd;

static uint64_t features(uint8_t choice)
{
        return choice;
}

static void step_more(struct world *w, struct input *in)
{
        static uint8_t bytes[255 * 64];
        unsigned count = next_byte(in);
        if (pipe_fd < 0)
                return;
        if (count == 255) {
                (void)close(pipe_fd);
                pipe_fd = -1;
        } else {
                (void)!read(pipe_fd, bytes, count * 64U);
        }
}

static void run_console(struct world *w, struct input *in)
{
        struct virtio_console *console;
        int pair[2];
        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
                abort();
        (void)fcntl(pair[1], F_SETPIPE_SZ, 4096);
        pipe_fd = pair[0];
        struct virtio_console_options options = {.fd = pair[1], .limit = next_byte(in) * 1024U};
        if (virtio_console_new(w->loop, &options, &console) < 0)
                abort();
        w->device = virtio_console_device(console);
        w->step_more = step_more;
        world_run(w, in);
        virtio_console_free(console);
        (void)close(pair[1]);
        if (pipe_fd >= 0)
                (void)close(pipe_fd);
}

static void run_rng(struct world *w, struct input *in)
{
        struct rng *rng;
        if (rng_new(w->loop, &rng) < 0)
                abort();
        w->device = rng_device(rng);
        world_run(w, in);
        rng_free(rng);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = {data, size};
        static struct world w;
        (void)signal(SIGPIPE, SIG_IGN);
        world_init(&w);
        w.features = features;
        if (loop_new(&w.loop) < 0)
                abort();
        if (next_byte(&in) & 1)
                run_rng(&w, &in);
        else
                run_console(&w, &in);
        loop_free(w.loop);
        guest_done(&w.guest);
        return 0;
}
