/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw mode and back. The saved settings are static, since a handler of a crash has nothing else to find them
 * by; changed tells whether they are to be put back and is the only thing that the handler reads first.
 * tcsetattr() may be called from a handler (signal-safety(7)).
 */
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static int saved_fd = -1;
static volatile sig_atomic_t changed;

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ};

void terminal_restore(void)
{
        if (!changed)
                return;
        changed = 0;
        /* from the background this would stop us (SIGTTOU), which is wrong on the way out */
        sigset_t stop, before;
        (void)sigemptyset(&stop);
        (void)sigaddset(&stop, SIGTTOU);
        (void)sigprocmask(SIG_BLOCK, &stop, &before);
        (void)tcsetattr(saved_fd, TCSADRAIN, &saved); /* a terminal that is gone needs nothing */
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static void crash(int signal)
{
        terminal_restore();
        (void)raise(signal); /* SA_RESETHAND: the default follows when this returns */
}

static void watch_crashes(void)
{
        struct sigaction action = {.sa_handler = crash, .sa_flags = (int)SA_RESETHAND};
        static bool watching;
        if (watching)
                return;
        watching = true;
        for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
                (void)sigaction(crashes[i], &action, NULL); /* cannot fail for these */
        (void)atexit(terminal_restore);
}

int terminal_raw(int fd, bool keep_signals)
{
        struct termios settings;
        if (!changed) {
                if (tcgetattr(fd, &saved) < 0)
                        return -errno;
                saved_fd = fd;
                watch_crashes();
        }
        settings = saved;
        cfmakeraw(&settings);
        if (keep_signals) {
                settings.c_lflag |= ISIG;
                settings.c_oflag = saved.c_oflag; /* messages of ours may still come */
        }
        changed = 1;
        if (tcsetattr(fd, TCSANOW, &settings) < 0)
                return -errno;
        return 0;
}

int terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
        struct winsize size;
        if (ioctl(fd, TIOCGWINSZ, &size) < 0)
                return -errno;
        if (size.ws_row == 0 || size.ws_col == 0)
                return -ENODATA;
        *ret_rows = size.ws_row;
        *ret_columns = size.ws_col;
        return 0;
}
