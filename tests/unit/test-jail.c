/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_SANITIZER 1
#endif
#endif

/* Runs fn in a jailed child; its exit status, or 128 + signal. */
static int in_jail(int (*fn)(void))
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct error err = ERROR_INIT;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || jail_before_guest(&err) < 0)
                        _exit(99);
                _exit(fn());
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#ifndef WITH_SANITIZER /* such builds do not limit system calls: they need some of their own */
static int open_a_file(void)
{
        return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}
static int run_a_program(void)
{
        return execl("/bin/true", "true", (char *)NULL);
}
static int connect_somewhere(void)
{
        return socket(AF_INET, SOCK_STREAM, 0) < 0;
}
static int make_memory_executable(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int protect_as_executable(void)
{
        void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static int start_a_process(void)
{
        return fork() == 0;
}
static int trace_another(void)
{
        return (int)syscall(SYS_ptrace, 16, 1, 0, 0);
}
static int make_other_sockets(void)
{
        int pair[2];
        return socketpair(AF_INET, SOCK_STREAM, 0, pair);
}
static int lock_a_file(void)
{
        return fcntl(0, F_SETOWN, 1);
}

static void forbidden_calls_end_the_process(void **state)
{
        (void)state;
        static int (*const forbidden[])(void) = {open_a_file,
                                                 run_a_program,
                                                 connect_somewhere,
                                                 make_memory_executable,
                                                 protect_as_executable,
                                                 start_a_process,
                                                 trace_another,
                                                 make_other_sockets,
                                                 lock_a_file};
        for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
                int code = in_jail(forbidden[i]);
                if (code != 128 + SIGSYS)
                        fail_msg("call %zu ended with %d", i, code);
        }
}
#endif

static int do_the_work(void)
{
        int pair[2];
        char text[8];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
            send(pair[0], "word", 4, MSG_NOSIGNAL) != 4 || recv(pair[1], text, sizeof(text), 0) != 4)
                return 1;
        void *memory = malloc(1 << 20);
        if (memory == NULL || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
                return 2;
        free(memory);
        return close(pair[0]) < 0 || close(pair[1]) < 0;
}

static void the_work_is_allowed(void **state)
{
        (void)state;
        assert_int_equal(in_jail(do_the_work), 0);
}

static void others_are_closed(void **state)
{
        (void)state;
        pid_t pid = fork();
        if (pid == 0) {
                struct error err = ERROR_INIT;
                int base = fcntl(0, F_DUPFD_CLOEXEC, 20);
                for (int fd = base + 1; fd < base + 12; fd++)
                        (void)dup2(0, fd);
                const int keep[] = {base + 7, -1, base + 2, 2, base + 7, base + 3};
                if (jail_close_others(keep, 6, &err) < 0)
                        _exit(1);
                for (int fd = 3; fd < base + 40; fd++) {
                        bool open = fcntl(fd, F_GETFD) >= 0;
                        if (open != (fd == base + 2 || fd == base + 3 || fd == base + 7))
                                _exit(2);
                }
                _exit(fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void privileges_are_gone_before_the_engine(void **state)
{
        (void)state;
        pid_t pid = fork();
        if (pid == 0) {
                struct error err = ERROR_INIT;
                struct rlimit core;
                int signal = 0;
                if (jail_before_engine(&err) < 0)
                        _exit(1);
                if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
                        _exit(2);
                if (prctl(PR_GET_PDEATHSIG, &signal) < 0 || signal != SIGKILL)
                        _exit(3);
                _exit(getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static const struct CMUnitTest cases[] = {
#ifndef WITH_SANITIZER
    cmocka_unit_test(forbidden_calls_end_the_process),
#endif
    cmocka_unit_test(the_work_is_allowed),
    cmocka_unit_test(others_are_closed),
    cmocka_unit_test(privileges_are_gone_before_the_engine),
};

UNIT_TEST_MAIN(cases)
