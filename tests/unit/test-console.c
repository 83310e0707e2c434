/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/fd.h"
#include "monitor/console.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fixture {
        struct loop *loop;
        struct console *console;
        int write_fd;
};

static void setup(struct fixture *f)
{
        int dir_fd;
        (void)unit_folder(&dir_fd);
        assert_int_equal(loop_new(&f->loop), 0);
        assert_int_equal(console_new(f->loop, dir_fd, &f->console, &f->write_fd, NULL), 0);
}

static void say(struct fixture *f, const char *text)
{
        assert_int_equal(fd_write_full(f->write_fd, text, strlen(text)), 0);
        console_drain(f->console);
}

static void teardown(struct fixture *f)
{
        (void)close(f->write_fd);
        console_free(f->console);
        loop_free(f->loop);
}

static void tail_is_short_and_clean(void **state)
{
        (void)state;
        struct fixture f;
        char text[64];
        setup(&f);
        console_tail(f.console, 3, text, sizeof(text));
        assert_string_equal(text, "");
        say(&f, "one\r\ntwo\r\n\x1b[31mthr\xff");
        say(&f, "ee\r\nfour\r\n\r\n");
        console_tail(f.console, 2, text, sizeof(text));
        assert_string_equal(text, "?[31mthr?ee\nfour");
        console_tail(f.console, 100, text, 9);
        assert_string_equal(text, "ee\nfour");
        for (int i = 0; i < 3000; i++)
                say(&f, "a line of the flood\n");
        say(&f, "last");
        console_tail(f.console, 2, text, sizeof(text));
        assert_string_equal(text, "a line of the flood\nlast");
        teardown(&f);
}

static void panic_is_recognised(void **state)
{
        (void)state;
        struct fixture f;
        char text[40];
        setup(&f);
        say(&f, "booting\n");
        assert_false(console_panic(f.console, text, sizeof(text)));
        say(&f, "[    1.2] Kernel pan");
        say(&f, "ic - not syncing: no init\r\n---[ end\n");
        assert_true(console_panic(f.console, text, sizeof(text)));
        assert_string_equal(text, "Kernel panic - not syncing: no init");
        teardown(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(tail_is_short_and_clean),
    cmocka_unit_test(panic_is_recognised),
};

UNIT_TEST_MAIN(cases)
