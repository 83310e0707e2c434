/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

/* Runs a shell script with `out` as descriptor 1; returns its exit code and what it wrote. */
static int shell(const char *script, const struct process_fd *more, size_t more_count, char *ret_text,
                 size_t size)
{
        int pipe_fds[2], code;
        pid_t pid;
        struct error err = ERROR_INIT;
        cleanup_fd int pidfd = -1;
        struct process_fd fds[4];
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        fds[0] = (struct process_fd){.from = pipe_fds[1], .to = 1};
        for (size_t i = 0; i < more_count; i++)
                fds[i + 1] = more[i];
        struct process_plan plan = {
            .path = "sh",
            .argv = (const char *const[]){"sh", "-c", script, NULL},
            .fds = fds,
            .fd_count = more_count + 1,
            .working_dir_fd = -1,
        };
        assert_int_equal(process_spawn(&plan, &pid, &pidfd, &err), 0);
        (void)close(pipe_fds[1]);
        ssize_t n = fd_read_full(pipe_fds[0], ret_text, size - 1);
        assert_true(n >= 0);
        ret_text[n] = '\0';
        (void)close(pipe_fds[0]);
        assert_int_equal(process_wait(pidfd, &code), 0);
        return code;
}

static void the_exit_code_comes_back(void **state)
{
        (void)state;
        char text[256];
        assert_int_equal(shell("echo hi; exit 3", NULL, 0, text, sizeof(text)), 3);
        assert_string_equal(text, "hi\n");
        assert_int_equal(shell("kill -9 $$", NULL, 0, text, sizeof(text)), 128 + SIGKILL);
}

static void the_child_has_exactly_the_listed_descriptors(void **state)
{
        (void)state;
        char text[256];
        /* not close-on-exec: a leak would show beside 3, which is the folder that the shell lists */
        cleanup_fd int loose = open("/dev/null", O_RDONLY);
        cleanup_fd int wanted = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        struct process_fd more = {.from = wanted, .to = 7};
        assert_int_equal(shell("cd /proc/self/fd; echo *; readlink 7 0 2", &more, 1, text, sizeof(text)), 0);
        assert_string_equal(text, "0 1 2 3 7\n/dev/zero\n/dev/null\n/dev/null\n");
}

static void descriptors_may_swap_numbers(void **state)
{
        (void)state;
        char text[256];
        int a = open("/dev/zero", O_RDONLY | O_CLOEXEC), b = open("/dev/full", O_RDONLY | O_CLOEXEC);
        struct process_fd more[] = {{.from = a, .to = b}, {.from = b, .to = a}};
        char script[64];
        (void)snprintf(script, sizeof(script), "readlink /proc/self/fd/%d /proc/self/fd/%d", a, b);
        assert_int_equal(shell(script, more, 2, text, sizeof(text)), 0);
        assert_string_equal(text, "/dev/full\n/dev/zero\n");
        (void)close(a);
        (void)close(b);
}

static void a_program_that_is_not_there_is_an_error_now(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        pid_t pid;
        int pidfd;
        struct process_plan plan = {
            .path = "/no/such/program",
            .argv = (const char *const[]){"program", NULL},
            .working_dir_fd = -1,
        };
        assert_int_equal(process_spawn(&plan, &pid, &pidfd, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/no/such/program"));
        plan.path = "/etc/passwd";
        assert_int_equal(process_spawn(&plan, &pid, &pidfd, &err), -EACCES);
}

static void signals_are_defaults_in_the_child(void **state)
{
        (void)state;
        char text[256];
        sigset_t set;
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGINT, SIG_IGN);
        assert_int_equal(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status", NULL, 0, text, sizeof(text)), 0);
        assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void start_times_tell_processes_apart(void **state)
{
        (void)state;
        uint64_t mine, again;
        char id[37];
        assert_int_equal(process_start_time(getpid(), &mine), 0);
        assert_int_equal(process_start_time(getpid(), &again), 0);
        assert_true(mine > 0 && mine == again);
        assert_int_equal(process_start_time(0x3fffffff, &again), -ESRCH);
        assert_int_equal(process_boot_id(id), 0);
        assert_int_equal(strlen(id), 36);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_exit_code_comes_back),
    cmocka_unit_test(the_child_has_exactly_the_listed_descriptors),
    cmocka_unit_test(descriptors_may_swap_numbers),
    cmocka_unit_test(a_program_that_is_not_there_is_an_error_now),
    cmocka_unit_test(signals_are_defaults_in_the_child),
    cmocka_unit_test(start_times_tell_processes_apart),
};

UNIT_TEST_MAIN(cases)
