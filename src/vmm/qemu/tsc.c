/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the host's time stamp counter counts. An emulated CPU has the host's counter, and a guest that
 * measures it against the emulated timer chip fails on a busy host and is left with a clock of 4 ms steps: so
 * we tell it. Two readings of the counter, each between two readings of the clock that are close together, 2
 * ms apart: good to about 25 parts in a million, where the guest's own measuring allows 500.
 */
#include "vmm/qemu/tsc.h"

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

#define SPAN_NS     2000000
#define TRIES       16
#define INVARIANT   (1u << 8) /* CPUID 0x80000007 EDX: constant in all power states */
#define KHZ_AT_MOST 20000000u

struct reading {
        uint64_t ticks, ns;
};

static uint64_t clock_ns(void)
{
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC_RAW, &now); /* cannot fail: the clock exists since Linux 2.6.28 */
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The reading, of several, that was least disturbed. */
static struct reading read_both(void)
{
        struct reading best = {0};
        uint64_t best_gap = UINT64_MAX;
        for (unsigned i = 0; i < TRIES; i++) {
                uint64_t before = clock_ns(), ticks = __rdtsc(), gap = clock_ns() - before;
                if (gap < best_gap) {
                        best_gap = gap;
                        best = (struct reading){.ticks = ticks, .ns = before + gap / 2};
                }
        }
        return best;
}

unsigned qemu_tsc_khz(void)
{
        unsigned a, b, c, d = 0;
        if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & INVARIANT) == 0)
                return 0;
        struct reading start = read_both();
        struct timespec span = {.tv_nsec = SPAN_NS};
        (void)nanosleep(&span, NULL); /* a shorter sleep only costs precision */
        struct reading end = read_both();
        if (end.ns <= start.ns || end.ticks <= start.ticks)
                return 0;
        uint64_t khz = (end.ticks - start.ticks) * 1000000 / (end.ns - start.ns);
        return khz <= KHZ_AT_MOST ? (unsigned)khz : 0;
}

#else
unsigned qemu_tsc_khz(void)
{
        return 0;
}
#endif
