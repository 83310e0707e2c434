/* SPDX-License-Identifier: Apache-2.0 */
/* The program in a child process, with pipes and terminals of ours as its standard streams. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "fake-boxlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct child {
        pid_t pid;
        int calls;    /* a file with what was asked of the library, when the child has ended */
        int in, out;  /* our ends of its pipes, -1 with a terminal */
        int terminal; /* the master of its terminal, or -1 */
};

static void pause_ms(int ms)
{
        (void)poll(NULL, 0, ms);
}

static void be_child(struct child *child, const char *words)
{
        static char copy[256];
        char *argv[32] = {(char *)"boxlet"};
        int argc = 1;
        (void)snprintf(copy, sizeof(copy), "%s", words);
        for (char *word = strtok(copy, " "); word != NULL && argc < 31; word = strtok(NULL, " "))
                argv[argc++] = word;
        int code = cli_main(argc, argv);
        (void)fflush(NULL);
        (void)!write(child->calls, fake.calls, strlen(fake.calls));
        _exit(code);
}

/* type: SOCK_STREAM for sockets in place of pipes, 0 for pipes, -1 for a terminal. */
static struct child start(const char *words, int type)
{
        struct child child = {.calls = memfd_create("calls", MFD_CLOEXEC),
                              .in = -1,
                              .out = -1,
                              .terminal = -1};
        int in[2], out[2];
        if (type < 0) {
                struct winsize size = {.ws_row = 24, .ws_col = 80};
                child.pid = forkpty(&child.terminal, NULL, NULL, &size);
                assert_true(child.pid >= 0);
                if (child.pid == 0)
                        be_child(&child, words);
                return child;
        }
        if (type == 0) {
                assert_int_equal(pipe2(in, O_CLOEXEC), 0);
                assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        } else {
                assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, in), 0);
                assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out), 0);
        }
        child.pid = fork();
        assert_true(child.pid >= 0);
        if (child.pid == 0) {
                (void)dup2(in[0], STDIN_FILENO);
                (void)dup2(out[1], STDOUT_FILENO);
                (void)close(in[1]);
                (void)close(out[0]);
                be_child(&child, words);
        }
        (void)close(in[0]);
        (void)close(out[1]);
        child.in = in[1];
        child.out = out[0];
        return child;
}

/* Exit code as a shell tells it. */
static int finish(struct child *child, char *calls, size_t size)
{
        int status;
        assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
        ssize_t n = pread(child->calls, calls, size - 1, 0);
        assert_true(n >= 0);
        calls[n] = '\0';
        close_fd(&child->calls);
        close_fd(&child->in);
        close_fd(&child->out);
        close_fd(&child->terminal);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void fill(unsigned char *bytes, size_t size)
{
        unsigned seed = 1;
        for (size_t i = 0; i < size; i++) {
                seed = seed * 1103515245 + 12345;
                bytes[i] = (unsigned char)(seed >> 16);
        }
}

#define BIG (700 << 10)

/* Writes size bytes to the child while reading what comes back, slowly at first. */
static size_t exchange(struct child *child, const unsigned char *bytes, size_t size, unsigned char *back)
{
        size_t written = 0, read_back = 0;
        int flags = fcntl(child->in, F_GETFL);
        (void)fcntl(child->in, F_SETFL, flags | O_NONBLOCK);
        for (int round = 0;; round++) {
                struct pollfd p[2] = {{.fd = written < size ? child->in : -1, .events = POLLOUT},
                                      {.fd = child->out, .events = POLLIN}};
                assert_true(poll(p, 2, 20000) > 0);
                if (p[0].revents != 0) {
                        ssize_t n = write(child->in, bytes + written, size - written);
                        written += n > 0 ? (size_t)n : 0;
                        if (written == size)
                                close_fd(&child->in);
                }
                if (p[1].revents != 0) {
                        ssize_t n =
                            read(child->out, back + read_back, round < 20 ? 100 : BIG - read_back + 1);
                        if (n <= 0)
                                return read_back;
                        read_back += (size_t)n;
                        if (round < 20)
                                pause_ms(5);
                }
        }
}

static void echo_through(int type)
{
        static unsigned char bytes[BIG], back[BIG + 1];
        char calls[1024];
        fill(bytes, BIG);
        fake_reset();
        fake.echo = true;
        struct child child = start("run -i image", type);
        assert_int_equal(exchange(&child, bytes, BIG, back), BIG);
        assert_memory_equal(bytes, back, BIG);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 0);
}

static void binary_data_passes_unharmed_through_pipes(void **state)
{
        (void)state;
        echo_through(0);
}

static void binary_data_passes_unharmed_through_sockets(void **state)
{
        (void)state;
        echo_through(SOCK_STREAM);
}

static void slow_readers_lose_nothing_and_keep_their_flags(void **state)
{
        static char text[3 << 20];
        char calls[1024], bytes[65536];
        size_t got = 0;
        (void)state;
        memset(text, 'x', sizeof(text));
        fake_reset();
        fake.output = text;
        fake.output_size = sizeof(text);
        fake.exit_code = 9;
        struct child child = start("run image", 0);
        int other_end = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC); /* only to hold a number */
        pause_ms(300);
        for (ssize_t n; (n = read(child.out, bytes, sizeof(bytes))) > 0; got += (size_t)n) {
                /* the description that our read end belongs to is not the writer's: look at the writer's */
                char path[64], flags[256] = "";
                (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/1", (int)child.pid);
                cleanup_fd int info = open(path, O_RDONLY | O_CLOEXEC);
                if (info >= 0 && read(info, flags, sizeof(flags) - 1) > 0) {
                        const char *field = strstr(flags, "flags:");
                        assert_non_null(field);
                        assert_int_equal(strtol(field + 6, NULL, 8) & O_NONBLOCK, 0);
                }
        }
        close_fd(&other_end);
        assert_int_equal(got, sizeof(text));
        assert_int_equal(finish(&child, calls, sizeof(calls)), 9);
}

static void a_closed_pipe_ends_it_quietly(void **state)
{
        static char text[1 << 20];
        char calls[1024], some[10];
        (void)state;
        memset(text, 'y', sizeof(text));
        fake_reset();
        fake.output = text;
        fake.output_size = sizeof(text);
        struct child child = start("run image", 0);
        assert_int_equal(read(child.out, some, sizeof(some)), sizeof(some));
        close_fd(&child.out);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 141);
        assert_non_null(strstr(calls, "free going\n"));
}

static void a_full_disk_is_told(void **state)
{
        char calls[1024];
        (void)state;
        if (access("/dev/full", W_OK) < 0)
                unit_skip("no /dev/full");
        fake_reset();
        fake.output = "text";
        fake.output_size = 4;
        struct child child = {.calls = memfd_create("calls", MFD_CLOEXEC),
                              .in = -1,
                              .out = -1,
                              .terminal = -1};
        child.pid = fork();
        if (child.pid == 0) {
                (void)dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
                be_child(&child, "run image");
        }
        assert_int_equal(finish(&child, calls, sizeof(calls)), 125);
}

/* Waits until the child has noted something that begins so; the child writes its calls only at its end, so
 * this looks at what it blocks: the signals are blocked once the session runs. */
static void wait_for_session(const struct child *child)
{
        for (int i = 0; i < 1000; i++) {
                char path[64], text[4096] = "";
                (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)child->pid);
                cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
                        const char *blocked = strstr(text, "SigBlk:");
                        if (blocked != NULL &&
                            (strtoull(blocked + 7, NULL, 16) & (1ull << (SIGUSR1 - 1))) != 0)
                                return;
                }
                pause_ms(5);
        }
        fail_msg("the session does not begin");
}

static void signals_are_passed_on(void **state)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
        (void)state;
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
                char calls[1024], line[32];
                fake_reset();
                fake.lives = true;
                struct child child = start("run image", 0);
                wait_for_session(&child);
                pause_ms(50);
                (void)kill(child.pid, signals[i]);
                assert_int_equal(finish(&child, calls, sizeof(calls)), 128 + signals[i]);
                (void)snprintf(line, sizeof(line), "\nsignal %d\n", signals[i]);
                assert_non_null(strstr(calls, line));
        }
}

static int interrupt_three_times(const char *words, char *calls, size_t size)
{
        fake_reset();
        fake.lives = fake.stubborn = true;
        struct child child = start(words, 0);
        wait_for_session(&child);
        for (int i = 0; i < 3; i++) {
                pause_ms(50);
                (void)kill(child.pid, SIGINT);
        }
        return finish(&child, calls, size);
}

static void insisting_kills_what_is_ours_and_lets_go_of_the_rest(void **state)
{
        char calls[1024];
        (void)state;
        assert_int_equal(interrupt_three_times("run image", calls, sizeof(calls)), 137);
        assert_non_null(strstr(calls, "signal 2\nsignal 2\nsignal 9\nfree ended\n"));
        assert_int_equal(interrupt_three_times("attach --no-stdin box", calls, sizeof(calls)), 130);
        assert_non_null(strstr(calls, "signal 2\nsignal 2\nfree going\n"));
}

static void without_proxy_a_signal_ends_only_us(void **state)
{
        char calls[1024];
        (void)state;
        fake_reset();
        fake.lives = true;
        struct child child = start("attach --no-stdin --sig-proxy=false box", 0);
        wait_for_session(&child);
        pause_ms(50);
        (void)kill(child.pid, SIGTERM);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 143);
        assert_null(strstr(calls, "signal"));
}

static void ignored_signals_stay_ignored(void **state)
{
        char calls[1024];
        (void)state;
        (void)signal(SIGHUP, SIG_IGN);
        fake_reset();
        fake.lives = true;
        struct child child = start("run image", 0);
        (void)signal(SIGHUP, SIG_DFL);
        wait_for_session(&child);
        (void)kill(child.pid, SIGHUP);
        pause_ms(100);
        (void)kill(child.pid, SIGTERM);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 143);
        assert_null(strstr(calls, "signal 1\n"));
}

/* ---- terminals ---- */

static bool is_raw(const struct child *child)
{
        struct termios settings;
        assert_int_equal(tcgetattr(child->terminal, &settings), 0);
        return (settings.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

static void wait_for_raw(const struct child *child, bool raw)
{
        for (int i = 0; i < 1000 && is_raw(child) != raw; i++)
                pause_ms(5);
        assert_int_equal(is_raw(child), raw);
}

static void type(const struct child *child, const char *keys)
{
        assert_int_equal(write(child->terminal, keys, strlen(keys)), (int)strlen(keys));
}

/* Reads from the terminal until text has come (or fails). */
static void expect_text(const struct child *child, const char *text)
{
        char seen[4096] = "";
        size_t size = 0;
        while (strstr(seen, text) == NULL) {
                struct pollfd p = {.fd = child->terminal, .events = POLLIN};
                assert_true(poll(&p, 1, 10000) > 0);
                ssize_t n = read(child->terminal, seen + size, sizeof(seen) - 1 - size);
                if (n <= 0)
                        fail_msg("the terminal ended before '%s'; it showed '%s'", text, seen);
                size += (size_t)n;
                seen[size] = '\0';
        }
}

/* The slave is kept open, or the settings cannot be read when the child has ended. */
static int hold_slave(const struct child *child)
{
        int slave = ioctl(child->terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        return slave;
}

static void terminal_is_raw_while_it_runs_and_restored(void **state)
{
        char calls[4096];
        (void)state;
        fake_reset();
        fake.lives = fake.echo = true;
        struct child child = start("run -it image", -1);
        cleanup_fd int slave = hold_slave(&child);
        wait_for_raw(&child, true);
        type(&child, "\x03\x1a"); /* Ctrl-C and Ctrl-Z are keys now */
        expect_text(&child, "\x03\x1a");
        struct winsize size = {.ws_row = 50, .ws_col = 132};
        assert_int_equal(ioctl(child.terminal, TIOCSWINSZ, &size), 0);
        pause_ms(100);
        (void)kill(child.pid, SIGTERM);
        wait_for_raw(&child, false);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 143);
        assert_non_null(strstr(calls, "resize 24x80\n"));
        assert_non_null(strstr(calls, "resize 50x132\n"));
        assert_null(strstr(calls, "signal 2"));
}

static void detach_keys_let_go(void **state)
{
        char calls[4096];
        (void)state;
        fake_reset();
        fake.lives = fake.echo = true;
        struct child child = start("run -it image", -1);
        cleanup_fd int slave = hold_slave(&child);
        wait_for_raw(&child, true);
        type(&child, "a\x10");
        type(&child, "\x11");
        wait_for_raw(&child, false);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 0);
        assert_non_null(strstr(calls, "detach\nfree going\n"));
        child = start("attach --detach-keys x,y box", -1);
        cleanup_fd int other = hold_slave(&child);
        pause_ms(50);
        (void)kill(child.pid, SIGTERM); /* a box without terminal: nothing is raw, no keys are looked for */
        assert_int_equal(finish(&child, calls, sizeof(calls)), 143);
}

static void a_stop_gives_the_terminal_back_meanwhile(void **state)
{
        char calls[4096];
        int status;
        (void)state;
        fake_reset();
        fake.lives = fake.echo = true;
        struct child child = start("run -it image", -1);
        cleanup_fd int slave = hold_slave(&child);
        wait_for_raw(&child, true);
        (void)kill(child.pid, SIGTSTP);
        assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
        assert_true(WIFSTOPPED(status));
        assert_false(is_raw(&child));
        (void)kill(child.pid, SIGCONT);
        wait_for_raw(&child, true);
        (void)kill(child.pid, SIGTERM);
        wait_for_raw(&child, false);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 143);
}

static void a_crash_gives_the_terminal_back(void **state)
{
        char calls[4096];
        (void)state;
        fake_reset();
        fake.lives = fake.echo = true;
        struct child child = start("run -it image", -1);
        cleanup_fd int slave = hold_slave(&child);
        wait_for_raw(&child, true);
        (void)kill(child.pid, SIGSEGV);
        wait_for_raw(&child, false);
        assert_int_equal(finish(&child, calls, sizeof(calls)), 128 + SIGSEGV);
}

static void ctrl_c_before_the_start_ends_the_box(void **state)
{
        char calls[4096];
        (void)state;
        fake_reset();
        fake.lives = true;
        fake.failure = "never said"; /* a process that never starts */
        struct child child = start("run -it image", -1);
        cleanup_fd int slave = hold_slave(&child);
        wait_for_session(&child);
        assert_false(is_raw(&child));
        type(&child, "\x03");
        assert_int_equal(finish(&child, calls, sizeof(calls)), 130);
        assert_non_null(strstr(calls, "free going\n"));
        assert_null(strstr(calls, "signal"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(binary_data_passes_unharmed_through_pipes),
    cmocka_unit_test(binary_data_passes_unharmed_through_sockets),
    cmocka_unit_test(slow_readers_lose_nothing_and_keep_their_flags),
    cmocka_unit_test(a_closed_pipe_ends_it_quietly),
    cmocka_unit_test(a_full_disk_is_told),
    cmocka_unit_test(signals_are_passed_on),
    cmocka_unit_test(insisting_kills_what_is_ours_and_lets_go_of_the_rest),
    cmocka_unit_test(without_proxy_a_signal_ends_only_us),
    cmocka_unit_test(ignored_signals_stay_ignored),
    cmocka_unit_test(terminal_is_raw_while_it_runs_and_restored),
    cmocka_unit_test(detach_keys_let_go),
    cmocka_unit_test(a_stop_gives_the_terminal_back_meanwhile),
    cmocka_unit_test(a_crash_gives_the_terminal_back),
    cmocka_unit_test(ctrl_c_before_the_start_ends_the_box),
};

UNIT_TEST_MAIN(cases)
