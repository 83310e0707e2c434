/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/cli.h"

/* A process of a box at the caller's terminal: `run`, `exec`, `attach`, `start -a`. */
struct session_options {
        bool input;           /* our standard input goes to it */
        bool terminal;        /* it has a terminal */
        bool running;         /* it runs already */
        bool forward_signals; /* signals we get are passed on to it */
        bool owner;           /* it ends with us; else we only let go of it */
        bool service;         /* it was meant to stay: an end with code 0 is told */
        const char *detach_keys;
        struct boxlet_box *starting; /* the box whose warnings are told when it runs, or NULL */
};

/* "the input device is not a TTY", before anything is made. 0 or -EINVAL. */
int session_check_input(bool input, bool terminal, struct error *err);

/* --detach-keys, refused before anything is made. NULL is the default. */
int session_check_keys(const char *keys, struct error *err);

/* Whether the box was made with a terminal (its inspection says so). */
int session_box_terminal(struct boxlet_box *box, bool *ret_terminal, struct boxlet_error *error);

/* Conducts it to its end, says what went wrong, frees the handle; the exit code. */
int session_conduct(struct cli *cli, struct boxlet_process *process, const struct session_options *options);

/* Waits until the process runs, for what is started in the background; then frees the handle and lets it go
 * on. The exit code: 0, or the code of a process that could not be started. */
int session_await_start(struct cli *cli, struct boxlet_process *process, struct boxlet_box *box);

#endif
