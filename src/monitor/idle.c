/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The moment of the last activity moves with every frame and every output, the timer does not: when it fires
 * too early it is armed for what is left. When the last one who was there goes, that is an activity too.
 */
#include "monitor/idle.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct idle {
        struct source *timer;
        int64_t limit_ms;
        void (*fn)(void *data);
        void *data;
        bool running;
        struct idle_facts facts;
        int64_t closing; /* own connections that are done with, and still counted */
};

static bool is_busy(const struct idle_facts *f)
{
        return f->attached > 0 || f->connections > f->own || f->paused;
}

int64_t idle_left(const struct idle_facts *f, int64_t limit_ms, int64_t now_ms)
{
        if (is_busy(f))
                return -1;
        int64_t passed = now_ms - f->touched_ms;
        return passed >= limit_ms ? 0 : limit_ms - passed;
}

/* To the tick of the kernel, and cheap: it is asked for each frame. */
static int64_t clock_ms(void)
{
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t); /* cannot fail for this clock */
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void arm(struct idle *i)
{
        int64_t left = i->running ? idle_left(&i->facts, i->limit_ms, clock_ms()) : -1;
        (void)source_arm(i->timer, left); /* an armed timerfd cannot refuse */
}

static void on_timer(struct source *s, void *data)
{
        struct idle *i = data;
        (void)s;
        if (i->running && idle_left(&i->facts, i->limit_ms, clock_ms()) == 0)
                i->fn(i->data);
        else
                arm(i);
}

int idle_new(struct loop *loop, int64_t limit_ms, void (*fn)(void *data), void *data, struct idle **ret_idle)
{
        struct idle *i = calloc(1, sizeof(*i));
        if (i == NULL)
                return -ENOMEM;
        *i = (struct idle){.limit_ms = limit_ms, .fn = fn, .data = data};
        int r = loop_add_timer(loop, on_timer, i, &i->timer);
        if (r < 0) {
                free(i);
                return r;
        }
        *ret_idle = i;
        return 0;
}

void idle_free(struct idle *i)
{
        if (i == NULL)
                return;
        source_free(i->timer);
        free(i);
}

/* Somebody came or went. */
static void look_again(struct idle *i)
{
        i->facts.touched_ms = clock_ms();
        arm(i);
}

void idle_begin(struct idle *i, int64_t own)
{
        if (i == NULL)
                return;
        i->running = true;
        i->facts.own = own;
        i->facts.paused = false;
        look_again(i);
}

void idle_end(struct idle *i)
{
        if (i == NULL)
                return;
        i->running = false;
        i->facts.connections = i->closing = 0;
        arm(i);
}

void idle_touch(struct idle *i)
{
        if (i != NULL)
                i->facts.touched_ms = clock_ms();
}

void idle_attached(struct idle *i, int64_t clients)
{
        if (i == NULL || i->facts.attached == clients)
                return;
        i->facts.attached = clients;
        look_again(i);
}

void idle_connections(struct idle *i, int64_t count)
{
        if (i == NULL)
                return;
        bool was_busy = is_busy(&i->facts);
        if (count < i->facts.connections && i->closing > 0) {
                i->closing--;
                i->facts.own--;
        }
        i->facts.connections = count;
        if (was_busy || is_busy(&i->facts))
                look_again(i);
}

void idle_check_begins(struct idle *i)
{
        if (i != NULL)
                i->facts.own++;
}

void idle_check_ended(struct idle *i)
{
        if (i == NULL)
                return;
        if (i->facts.connections < i->facts.own)
                i->facts.own--; /* it is not counted any more, or never was */
        else
                i->closing++;
}

void idle_paused(struct idle *i, bool paused)
{
        if (i == NULL)
                return;
        i->facts.paused = paused;
        look_again(i);
}
