/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OPTION_H
#define CLI_OPTION_H

/*
 * A subcommand is one const struct command. Its option table drives parsing, --help, shell completion, the
 * manual pages' OPTIONS sections and the test that everything is documented.
 */
#include "base/error.h"
#include "cli/text.h"

#include <stdbool.h>
#include <stddef.h>

struct cli;

/* What a word stands for; shell completion offers such words. */
enum operand {
        OPERAND_NONE,
        OPERAND_BOX,
        OPERAND_IMAGE,
        OPERAND_FILE,
        OPERAND_COMMAND, /* a subcommand of boxlet */
        OPERAND_CHOICE,  /* one of .choices */
};

enum option_kind {
        OPTION_FLAG = 1, /* bool: --flag, --flag=false */
        OPTION_TEXT,     /* const char *, lent by argv; the last one counts */
        OPTION_PATH,     /* the same, but need not be UTF-8 */
        OPTION_LIST,     /* struct text_list: every occurrence */
        OPTION_CHOICE,   /* const char *, one of .choices */
        OPTION_SIZE,     /* uint64_t bytes: 512m, 1g, 10GiB */
        OPTION_DURATION, /* int64_t milliseconds: 10s, 1m30s, a number alone is seconds */
        OPTION_COUNT,    /* int64_t, 0 or more */
        OPTION_TAIL,     /* int64_t, 0 or more, or -1 for "all" */
        OPTION_TIME,     /* int64_t nanoseconds since 1970: RFC 3339, unix time, or how long ago */
        OPTION_SIGNAL,   /* int: TERM, SIGTERM, 15 */
};

/* A table ends with an entry without name. An entry without help is another spelling of one that has it. */
struct cli_option {
        char letter; /* 0: none */
        const char *name;
        enum option_kind kind;
        size_t offset;        /* of its target in the command's plan */
        const char *argument; /* what the value is called in --help; NULL for flags */
        const char *help;
        const char *choices; /* "a|b|c" */
        enum operand complete;
};

/* What docker has and we do not: refused by name, with what to say or do instead. Ends without name. */
struct refused_option {
        char letter;
        const char *name;
        const char *instead; /* NULL: nothing */
};

struct command {
        const char *name;
        const char *alias;       /* another name, or NULL */
        const char *operands;    /* "IMAGE [COMMAND [ARG...]]", for --help */
        const char *summary;     /* one line, no full stop */
        const char *description; /* paragraphs, or NULL */
        const struct cli_option *options;
        const struct cli_option *more_options; /* a second table for the same plan, or NULL */
        const struct refused_option *refused;
        int minimum_operands;
        int maximum_operands; /* -1: any number */
        bool leading;         /* options end at the first operand */
        enum operand first;   /* what the first operand is, and the others */
        enum operand others;
        int failure; /* exit code when boxlet itself failed; 0 means 1 */
        size_t plan_size;
        /* The plan starts as zeroes; defaults (may be NULL) sets what else is default, check (may be NULL)
         * refuses what does not go together, carry_out does it and returns the exit code, done (may be NULL)
         * frees what check made. */
        void (*defaults)(void *plan);
        int (*check)(void *plan, struct error *err);
        int (*carry_out)(struct cli *cli, void *plan);
        void (*done)(void *plan);
        const struct command *const *subcommands; /* NULL-terminated, or NULL */
};

/* Every plan begins with its operands. */
struct plan {
        struct text_list operands;
};

/* Fills the plan from the words after the command's name. Returns 0, 1 when help is asked for, or -errno. */
int options_parse(const struct command *command, int argc, char **argv, struct plan *plan, struct error *err);

/* Frees what options_parse() put there; safe after a failure too. */
void options_done(const struct command *command, struct plan *plan);

/* The option of that name or letter, or NULL. */
const struct cli_option *option_by_name(const struct command *command, const char *name, size_t length);
const struct cli_option *option_by_letter(const struct command *command, char letter);

/* The two tables of a command as one: NULL past the end. */
const struct cli_option *option_at(const struct command *command, size_t index);

#endif
