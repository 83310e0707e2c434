/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "vmm/tail.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct tail tail;

static size_t written(int fd, char *text, size_t size)
{
        ssize_t n = pread(fd, text, size - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        return (size_t)n;
}

static void a_flood_fills_no_disk_and_its_end_is_kept(void **state)
{
        (void)state;
        static char line[100], text[64 << 10];
        int fd = memfd_create("console", MFD_CLOEXEC);
        tail_init(&tail, fd, 1000);
        memset(line, 'x', sizeof(line));
        for (unsigned i = 0; i < 5000; i++)
                tail_add(&tail, line, sizeof(line));
        tail_add(&tail, "the last words\n", 15);
        assert_int_equal(written(fd, text, sizeof(text)), 1000);
        tail_end(&tail);
        size_t size = written(fd, text, sizeof(text));
        assert_true(size < 1000 + TAIL_BYTES + 80);
        assert_non_null(strstr(text, "[482631 bytes left out here]")); /* 500015 - 1000 - 16384 */
        assert_string_equal(text + size - 15, "the last words\n");
        (void)close(fd);
}

static void little_is_written_as_it_is(void **state)
{
        (void)state;
        char text[64];
        int fd = memfd_create("console", MFD_CLOEXEC);
        tail_init(&tail, fd, 10);
        tail_add(&tail, "hello", 5);
        tail_add(&tail, " there!", 7);
        tail_end(&tail);
        (void)written(fd, text, sizeof(text));
        assert_string_equal(text, "hello there!"); /* what went past the limit is all there at the end */
        (void)close(fd);
}

static void last_words_are_whole_lines_of_plain_text(void **state)
{
        (void)state;
        char words[32];
        tail_init(&tail, -1, 100);
        tail_last_words(&tail, words, sizeof(words));
        assert_string_equal(words, "");
        tail_add(&tail, "one\n\033[31mtwo\n", 13);
        tail_last_words(&tail, words, sizeof(words));
        assert_string_equal(words, "one  [31mtwo");
        tail_add(&tail, "a very long line indeed\nthe end\n", 32);
        tail_last_words(&tail, words, sizeof(words));
        assert_string_equal(words, "the end");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_flood_fills_no_disk_and_its_end_is_kept),
    cmocka_unit_test(little_is_written_as_it_is),
    cmocka_unit_test(last_words_are_whole_lines_of_plain_text),
};

UNIT_TEST_MAIN(cases)
