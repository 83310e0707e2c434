/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/journal.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int add(int folder, const char *line, int64_t maximum)
{
        return journal_append(folder, "j", line, strlen(line), maximum);
}

static void expect(int folder, const char *name, const char *content)
{
        cleanup_free char *text = NULL;
        assert_int_equal(path_read_at(folder, name, 1 << 24, &text, NULL), 0);
        assert_string_equal(text, content);
}

static void lines_are_added_and_the_oldest_go(void **state)
{
        int folder;
        (void)state;
        (void)unit_folder(&folder);
        assert_int_equal(add(folder, "one\n", 10), 0);
        assert_int_equal(add(folder, "two\n", 10), 0);
        expect(folder, "j", "one\ntwo\n");
        assert_int_equal(add(folder, "three\n", 10), 0); /* past the limit: it is renamed with it */
        expect(folder, "j.1", "one\ntwo\nthree\n");
        assert_int_equal(faccessat(folder, "j", F_OK, 0), -1);
        assert_int_equal(add(folder, "four\n", 10), 0);
        expect(folder, "j", "four\n");
        assert_int_equal(add(folder, "and a long one\n", 10), 0);
        expect(folder, "j.1", "four\nand a long one\n");
}

static void a_torn_line_costs_itself_only(void **state)
{
        int folder;
        (void)state;
        (void)unit_folder(&folder);
        assert_int_equal(path_write_atomic_at(folder, "j", "one\n{\"to", 8, 0600), 0);
        assert_int_equal(add(folder, "two\n", 100), 0);
        assert_int_equal(add(folder, "three\n", 100), 0);
        expect(folder, "j", "one\n{\"to\ntwo\nthree\n");
}

/* The kernel writes up to the limit of the file's size, as it does on a full disk. */
static void what_does_not_fit_is_told(void **state)
{
        int folder;
        const struct rlimit little = {10, 10};
        (void)state;
        (void)unit_folder(&folder);
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(add(folder, "one\n", 100), 0);
        pid_t pid = fork();
        if (pid == 0) {
                (void)setrlimit(RLIMIT_FSIZE, &little);
                int first = add(folder, "cut off\n", 100), second = add(folder, "x\n", 100);
                _exit(first == -ENOSPC && second == -EFBIG ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(add(folder, "two\n", 100), 0);
        expect(folder, "j", "one\ncut of\ntwo\n");
}

static void a_stopped_renamer_stops_nobody(void **state)
{
        int folder;
        (void)state;
        (void)unit_folder(&folder);
        cleanup_fd int lock = openat(folder, "j.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(flock(lock, LOCK_EX), 0);
        for (int i = 0; i < 5; i++)
                assert_int_equal(add(folder, "a line\n", 10), 0);
        expect(folder, "j", "a line\na line\na line\na line\na line\n");
        close_fd(&lock);
        assert_int_equal(add(folder, "z\n", 10), 0);
        assert_int_equal(faccessat(folder, "j", F_OK, 0), -1);
}

static void a_link_is_not_followed(void **state)
{
        int folder;
        (void)state;
        (void)unit_folder(&folder);
        assert_int_equal(symlinkat("elsewhere", folder, "j"), 0);
        assert_int_equal(add(folder, "one\n", 10), -ELOOP);
        assert_int_equal(faccessat(folder, "elsewhere", F_OK, 0), -1);
}

/* Numbers of all writers that arrive whole; none is there twice. */
static unsigned count_lines(int folder, const char *name, bool seen[8][500])
{
        cleanup_free char *text = NULL;
        unsigned count = 0, writer, number;
        if (path_read_at(folder, name, 1 << 24, &text, NULL) < 0)
                return 0;
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), count++) {
                char tail[8];
                assert_int_equal(sscanf(line, "writer %u line %u %7s", &writer, &number, tail), 3);
                assert_string_equal(tail, "end");
                assert_false(seen[writer][number]);
                seen[writer][number] = true;
        }
        return count;
}

static void many_writers_lose_nothing(void **state)
{
        enum { WRITERS = 8, LINES = 500 };
        static bool seen[WRITERS][LINES];
        int folder;
        (void)state;
        (void)unit_folder(&folder);
        for (int i = 0; i < WRITERS; i++) {
                if (fork() != 0)
                        continue;
                for (int line = 0; line < LINES; line++) {
                        char text[64];
                        (void)snprintf(text, sizeof(text), "writer %d line %d end\n", i, line);
                        /* renamed once: 8 * 500 lines of at most 22 bytes are less than twice the limit */
                        if (add(folder, text, 60000) < 0)
                                _exit(1);
                }
                _exit(0);
        }
        for (int i = 0; i < WRITERS; i++) {
                int status;
                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        unsigned count = count_lines(folder, "j", seen) + count_lines(folder, "j.1", seen);
        assert_int_equal(count, WRITERS * LINES);
        assert_int_equal(faccessat(folder, "j.1", F_OK, 0), 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(lines_are_added_and_the_oldest_go),
    cmocka_unit_test(a_torn_line_costs_itself_only),
    cmocka_unit_test(what_does_not_fit_is_told),
    cmocka_unit_test(a_stopped_renamer_stops_nobody),
    cmocka_unit_test(a_link_is_not_followed),
    cmocka_unit_test(many_writers_lose_nothing),
};

UNIT_TEST_MAIN(cases)
