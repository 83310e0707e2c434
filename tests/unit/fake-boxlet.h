/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FAKE_BOXLET_H
#define UNIT_FAKE_BOXLET_H

/*
 * A libboxlet without boxes for the tests of the command line: it notes every call as a line of text, and
 * carries out a process as a script over a socket pair. Linked into unit tests only.
 */
#include "boxlet.h"

#include <stdbool.h>

struct fake {
        char calls[65536];   /* one call a line, arguments with it */
        char input[1 << 20]; /* what was written to the process */
        size_t input_size;
        bool input_closed;
        const char *output; /* what the process prints on stdout, before it ends or reads */
        size_t output_size;
        const char *complaint; /* the same on stderr, or NULL */
        bool echo;             /* the process lives until its input ends, and prints what it reads */
        bool lives;            /* the process lives until it gets a signal it dies of */
        bool stubborn;         /* only SIGKILL is one */
        int exit_code;
        const char *failure;        /* the process fails with this error */
        const char *state;          /* of every box */
        const char *list;           /* JSON */
        const char *inspect;        /* JSON */
        const char *const *events;  /* JSON, NULL-terminated */
        bool missing;               /* no box of any name */
        const char *create_failure; /* no box can be made, with this error */
};

extern struct fake fake;

/* Forgets the calls and sets the defaults. */
void fake_reset(void);

/* Runs `boxlet WORDS...`, words separated by blanks, with stdout and stderr caught; returns the exit code. */
#define FAKE_TEXT_MAX 65536
extern char fake_stdout[FAKE_TEXT_MAX], fake_stderr[FAKE_TEXT_MAX];
int fake_run(const char *words);
/* The same with words as they are, ended by NULL. */
int fake_run_words(const char *const *words);

#endif
