/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One descriptor a child gets: the parent's `from` becomes the child's number `to`. */
struct process_fd {
        int from;
        int to;
};

struct process_plan {
        const char *path;           /* program, an absolute path or a name looked up in $PATH */
        const char *const *argv;    /* NULL-terminated */
        const char *const *environ; /* NULL-terminated; NULL: the parent's */
        const struct process_fd *fds;
        size_t fd_count;  /* everything else is closed in the child, 0..2 not listed become /dev/null */
        bool new_session; /* setsid() */
        int parent_death_signal; /* 0: none; else the child gets it when the thread that made it ends */
        int working_dir_fd;      /* -1: stay */
        bool hidden;   /* no SIGCHLD, and not for waitpid(-1): its pidfd, an intermediate's, is for us */
        bool detached; /* made by an intermediate that ends at once: no child of ours, no SIGCHLD */
};

/*
 * Starts a program. Signal mask and handlers are the defaults in the child. Returns 0 with its pid and a
 * pidfd (close-on-exec, the caller's); a program that cannot be executed is an error here, not an exit code
 * later. A detached one gives pid 0 and pidfd -1: it is nobody's to wait for.
 */
int process_spawn(const struct process_plan *plan, pid_t *ret_pid, int *ret_pidfd, struct error *err);

/* Sends a signal through the pidfd, so never to somebody else who got the pid meanwhile. */
int process_signal(int pidfd, int signal);

/* Waits for the child behind pidfd. The result: its exit code, or 128 + signal. */
int process_wait(int pidfd, int *ret_code);

/* Start time of a process in clock ticks since boot (/proc/<pid>/stat field 22), -ESRCH if it is gone. */
int process_start_time(pid_t pid, uint64_t *ret_ticks);

/* The running kernel's boot id, 36 characters and a NUL. */
int process_boot_id(char ret_id[37]);

#endif
