/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char text[1 << 20];

static size_t read_log(int fd)
{
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        return (size_t)n;
}

static void a_line_is_one_line(void **state)
{
        (void)state;
        int fd = memfd_create("log", MFD_CLOEXEC);
        log_warning("before there is a log");
        log_init("name", fd, LOG_LEVEL_INFO);
        log_info("guest said '%s'", "one\ntwo\033[2J\177");
        log_debug("not wanted");
        size_t n = read_log(fd);
        assert_non_null(strstr(text, "name: info: guest said 'one two [2J '\n"));
        assert_ptr_equal(strchr(text, '\n'), text + n - 1);
        (void)close(fd);
}

static void *say_much(void *unused)
{
        for (unsigned i = 0; i < 1000; i++)
                log_info("%0100u", i);
        return unused;
}

/* Whoever speaks, and how many: no more than the limit, then a line that says so. */
static void a_limit_holds(void **state)
{
        (void)state;
        static const char last[] = "(more was to be said than the log has room for)\n";
        pthread_t threads[4];
        int fd = memfd_create("log", MFD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0); /* as monitor.log is */
        log_init("name", fd, LOG_LEVEL_INFO);
        log_info("before the limit");
        size_t before = read_log(fd);
        log_limit(50000);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, say_much, NULL), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        size_t n = read_log(fd) - before;
        assert_in_range(n, 49800, 50000 + sizeof(last) - 1);
        const char *found = strstr(text, last);
        assert_non_null(found);
        assert_null(strstr(found + 1, last));
        (void)close(fd);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_line_is_one_line),
    cmocka_unit_test(a_limit_holds),
};
UNIT_TEST_MAIN(cases)
