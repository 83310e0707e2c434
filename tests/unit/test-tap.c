/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "monitor/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
        struct loop *loop;
        struct tap *tap;
        int machine, passt; /* the far ends */
        int passed;
};

static void count(void *data)
{
        ((struct world *)data)->passed++;
}

static void begin(struct world *w)
{
        int a[2], b[2];
        memset(w, 0, sizeof(*w));
        assert_int_equal(loop_new(&w->loop), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, b), 0);
        w->machine = a[0];
        w->passt = b[0];
        assert_int_equal(tap_new(w->loop, a[1], b[1], count, w, &w->tap), 0);
}

static void finish(struct world *w)
{
        tap_free(w->tap);
        close_fd(&w->machine);
        close_fd(&w->passt);
        loop_free(w->loop);
}

static void pump(struct world *w)
{
        while (loop_step(w->loop, 0) > 0)
                ;
}

static void bytes_go_both_ways(void **state)
{
        (void)state;
        struct world w;
        char bytes[32] = {0};
        begin(&w);
        pump(&w);
        assert_int_equal(w.passed, 0);
        assert_int_equal(write(w.machine, "to passt", 8), 8);
        pump(&w);
        assert_int_equal(w.passed, 1);
        assert_int_equal(read(w.passt, bytes, sizeof(bytes)), 8);
        assert_memory_equal(bytes, "to passt", 8);
        assert_int_equal(write(w.passt, "to it", 5), 5);
        pump(&w);
        assert_int_equal(read(w.machine, bytes, sizeof(bytes)), 5);
        assert_memory_equal(bytes, "to it", 5);
        assert_int_equal(w.passed, 2);
        finish(&w);
}

/* More than all buffers hold, with a reader that stops in between: nothing is lost, the other way goes on. */
static void a_reader_that_stops_holds_up_its_way_only(void **state)
{
        (void)state;
        struct world w;
        static uint8_t chunk[4096], got[4096];
        size_t sent = 0, received = 0;
        char one;
        begin(&w);
        for (int stuck = 0; stuck < 3;) {
                for (size_t i = 0; i < sizeof(chunk); i++)
                        chunk[i] = (uint8_t)((sent + i) * 2654435761U >> 24);
                ssize_t n = write(w.machine, chunk, sizeof(chunk));
                stuck = n < 0 ? stuck + 1 : 0;
                sent += n > 0 ? (size_t)n : 0;
                pump(&w);
                assert_true(sent < 64U << 20); /* it is bounded */
        }
        assert_int_equal(write(w.passt, "x", 1), 1);
        pump(&w);
        assert_int_equal(read(w.machine, &one, 1), 1);
        assert_int_equal(loop_step(w.loop, 50), 0); /* and it does not spin */
        while (received < sent) {
                ssize_t n = read(w.passt, got, sizeof(got));
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal(got[i], (uint8_t)((received + (size_t)i) * 2654435761U >> 24));
                received += n > 0 ? (size_t)n : 0;
                pump(&w);
        }
        assert_int_equal(read(w.passt, got, 1), -1);
        finish(&w);
}

static void the_end_of_one_side_is_the_others(void **state)
{
        (void)state;
        struct world w;
        char byte;
        begin(&w);
        assert_int_equal(write(w.machine, "last", 4), 4);
        close_fd(&w.machine);
        pump(&w);
        char bytes[8];
        assert_int_equal(read(w.passt, bytes, sizeof(bytes)), 4);
        assert_int_equal(read(w.passt, &byte, 1), 0);
        assert_int_equal(loop_step(w.loop, 20), 0);
        finish(&w);
        begin(&w);
        close_fd(&w.passt);
        pump(&w);
        assert_int_equal(read(w.machine, &byte, 1), 0);
        finish(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(bytes_go_both_ways),
    cmocka_unit_test(a_reader_that_stops_holds_up_its_way_only),
    cmocka_unit_test(the_end_of_one_side_is_the_others),
};

UNIT_TEST_MAIN(cases)
