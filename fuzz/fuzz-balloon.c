/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon and a hostile driver. Input: steps, see device-world.h; more of them:
 *
 *     7 255 _  ask for statistics, or set a target: which, value
 *
 * Memory of ours on both sides of the guest's must keep what is in it.
 */
#include "device-world.h"

#include "vmm/virtio/balloon.h"

#include <sys/mman.h>

#define GUARD 65536U

static uint64_t features(uint8_t choice)
{
        return choice & 63;
}

static struct balloon *balloon;
static uint64_t stats_seen;

static void on_stats(void *data, const uint64_t stats[BALLOON_STAT_COUNT])
{
        for (unsigned i = 0; i < BALLOON_STAT_COUNT; i++)
                stats_seen += stats[i];
}

static void step_more(struct world *w, struct input *in)
{
        if (next_byte(in) & 1)
                (void)balloon_ask_stats(balloon);
        else
                balloon_set_target(balloon, (uint64_t)next_byte(in) << 12);
}

/* The world on memory of which pages can really go, with ours around it. */
static uint8_t *surround(struct world *w)
{
        uint8_t *all =
            mmap(NULL, WORLD_MEMORY + 2 * GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED)
                abort();
        memset(all, 0x5a, GUARD);
        memset(all + GUARD + WORLD_MEMORY, 0x5a, GUARD);
        memcpy(all + GUARD, w->guest.bytes, WORLD_MEMORY);
        free(w->guest.bytes);
        w->guest.bytes = all + GUARD;
        memory_done(&w->guest.memory);
        if (memory_add(&w->guest.memory, GUEST_BASE, WORLD_MEMORY, GUEST_BASE, w->guest.bytes) < 0)
                abort();
        return all;
}

static void check_guard(const uint8_t *bytes)
{
        for (unsigned i = 0; i < GUARD; i += 512) {
                if (bytes[i] != 0x5a)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = {data, size};
        static struct world w;
        struct balloon_options options = {.stats = on_stats};
        world_init(&w);
        uint8_t *all = surround(&w);
        if (loop_new(&w.loop) < 0 || balloon_new(w.loop, &options, &balloon) < 0)
                abort();
        w.device = balloon_device(balloon);
        w.features = features;
        w.step_more = step_more;
        world_run(&w, &in);
        balloon_free(balloon);
        loop_free(w.loop);
        check_guard(all);
        check_guard(all + GUARD + WORLD_MEMORY);
        (void)munmap(all, WORLD_MEMORY + 2 * GUARD);
        return 0;
}
