/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents against the tables. A manual page's beginning (NAME, SYNOPSIS) and its OPTIONS, and in
 * docs/commands.md each command's block of usage and options, are what the tables say; the rest is written by
 * hand. With BOXLET_UPDATE_DOCS=1 the test writes these parts in place of comparing them (and new pages as a
 * whole).
 */
#include "harness.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_MAX (1u << 20)

static int docs_fd = -1;

static bool updating(void)
{
        const char *update = getenv("BOXLET_UPDATE_DOCS");
        return update != NULL && strcmp(update, "1") == 0;
}

/* Text for scdoc, where _ * \ and # are markup. */
static void put_text(struct buffer *b, const char *text)
{
        for (; *text != '\0'; text++) {
                if (strchr("_*\\#", *text) != NULL)
                        assert_int_equal(buffer_append_text(b, "\\"), 0);
                assert_int_equal(buffer_append(b, text, 1), 0);
        }
}

static void put_head(struct buffer *b, const struct command *command, const char *label)
{
        char name[64];
        (void)snprintf(name, sizeof(name), "%s", label);
        for (char *at = name; *at != '\0'; at++)
                *at = *at == ' ' ? '-' : *at;
        assert_int_equal(
            buffer_printf(b, "boxlet-%s(1)\n\n# NAME\n\nboxlet-%s - %s\n\n# SYNOPSIS\n\n*boxlet %s*", name,
                          name, command->summary, label),
            0);
        assert_int_equal(buffer_append_text(b, command->subcommands != NULL ? " COMMAND" : " [OPTION...]"),
                         0);
        if (command->operands != NULL) {
                assert_int_equal(buffer_append_text(b, " "), 0);
                put_text(b, command->operands);
        }
        if (command->alias != NULL)
                assert_int_equal(buffer_printf(b, "++\n*boxlet %.*s%s* is the same",
                                               (int)(strlen(label) - strlen(command->name)), label,
                                               command->alias),
                                 0);
        assert_int_equal(buffer_append_text(b, "\n\n"), 0);
}

static void put_option(struct buffer *b, const struct cli_option *o)
{
        if (o->letter != 0)
                assert_int_equal(buffer_printf(b, "*-%c*, ", o->letter), 0);
        assert_int_equal(buffer_printf(b, "*--%s*", o->name), 0);
        if (o->argument != NULL) {
                assert_int_equal(buffer_append_text(b, " "), 0);
                put_text(b, o->argument);
        }
        assert_int_equal(buffer_append_text(b, "\n\t"), 0);
        put_text(b, o->help);
        if (o->choices != NULL) {
                assert_int_equal(buffer_append_text(b, ": "), 0);
                put_text(b, o->choices);
        }
        assert_int_equal(buffer_append_text(b, ".\n\n"), 0);
}

static void put_options(struct buffer *b, const struct command *command)
{
        const struct cli_option *o;
        if (command->subcommands != NULL) {
                assert_int_equal(buffer_append_text(b, "# COMMANDS\n\n"), 0);
                for (const struct command *const *c = command->subcommands; *c != NULL; c++)
                        assert_int_equal(buffer_printf(b, "*%s*\n\t%s.\n\n", (*c)->name, (*c)->summary), 0);
                return;
        }
        assert_int_equal(buffer_append_text(b, "# OPTIONS\n\n"), 0);
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->help != NULL)
                        put_option(b, o);
        }
        assert_int_equal(buffer_printf(b, "%s*--help*\n\tShow how it is used.\n\n",
                                       option_by_letter(command, 'h') == NULL ? "*-h*, " : ""),
                         0);
}

/* Compares, or writes when updating. */
static void settle(const char *name, const char *expected)
{
        cleanup_free char *text = NULL;
        if (updating()) {
                assert_int_equal(path_write_atomic_at(docs_fd, name, expected, strlen(expected), 0644), 0);
                return;
        }
        if (path_read_at(docs_fd, name, PAGE_MAX, &text, NULL) < 0)
                fail_msg("docs/%s does not exist", name);
        if (strcmp(text, expected) != 0) {
                size_t at = 0;
                while (text[at] == expected[at])
                        at++;
                fail_msg("docs/%s is not what the tables say, from byte %zu on; expected:\n%.300s\nRun this "
                         "test with "
                         "BOXLET_UPDATE_DOCS=1",
                         name, at, expected + at);
        }
}

static void check_page(const struct command *command, const char *label)
{
        cleanup_free char *old = NULL;
        cleanup_buffer struct buffer page = BUFFER_INIT(PAGE_MAX);
        char name[96];
        const char *middle = NULL, *rest = NULL;
        (void)snprintf(name, sizeof(name), "man/boxlet-%s.1.scd", label);
        for (char *at = name; *at != '\0'; at++)
                *at = *at == ' ' ? '-' : *at;
        const char *section = command->subcommands != NULL ? "\n# COMMANDS\n" : "\n# OPTIONS\n";
        if (path_read_at(docs_fd, name, PAGE_MAX, &old, NULL) == 0) {
                middle = strstr(old, "# DESCRIPTION\n");
                rest = strstr(old, section);
                rest = rest != NULL ? strstr(rest + 3, "\n# ") : NULL;
        }
        put_head(&page, command, label);
        if (middle != NULL) {
                const char *end = strstr(middle, section);
                assert_non_null(end);
                assert_int_equal(buffer_append(&page, middle, (size_t)(end + 1 - middle)), 0);
        } else {
                assert_int_equal(buffer_append_text(&page, "# DESCRIPTION\n\n"), 0);
                put_text(&page, command->summary);
                assert_int_equal(buffer_append_text(&page, ".\n\n"), 0);
                if (command->description != NULL) {
                        put_text(&page, command->description);
                        assert_int_equal(buffer_append_text(&page, "\n\n"), 0);
                }
        }
        put_options(&page, command);
        assert_int_equal(buffer_append_text(&page, rest != NULL ? rest + 1 : "# SEE ALSO\n\n*boxlet*(1)\n"),
                         0);
        settle(name, buffer_content(&page));
}

static void each_command(const struct command *const *commands, const char *prefix,
                         void (*fn)(const struct command *command, const char *label))
{
        for (; *commands != NULL; commands++) {
                char label[64];
                (void)snprintf(label, sizeof(label), "%s%s%s", prefix, prefix[0] != '\0' ? " " : "",
                               (*commands)->name);
                fn(*commands, label);
                if ((*commands)->subcommands != NULL)
                        each_command((*commands)->subcommands, label, fn);
        }
}

static void open_docs(void)
{
        const char *root = getenv("BOXLET_SOURCE");
        char path[4096];
        if (root == NULL)
                unit_skip("BOXLET_SOURCE does not say where the source lies");
        (void)snprintf(path, sizeof(path), "%s/docs", root);
        docs_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(docs_fd >= 0);
}

static void check_page_of(const struct command *command, const char *label)
{
        /* the commands of `image` that are those of the top level have their page there */
        if (strncmp(label, "image ", 6) == 0 && cli_find_command(cli_commands, command->name) == command)
                return;
        check_page(command, label);
}

static void manual_pages_say_what_the_tables_say(void **state)
{
        (void)state;
        open_docs();
        each_command(cli_commands, "", check_page_of);
        close_fd(&docs_fd);
}

static void overview_names_every_command(void **state)
{
        cleanup_free char *text = NULL;
        (void)state;
        open_docs();
        assert_int_equal(path_read_at(docs_fd, "man/boxlet.1.scd", PAGE_MAX, &text, NULL), 0);
        for (const struct command *const *c = cli_commands; *c != NULL; c++) {
                char entry[64];
                (void)snprintf(entry, sizeof(entry), "*boxlet-%s*(1)", (*c)->name);
                if (strstr(text, entry) == NULL)
                        fail_msg("docs/man/boxlet.1.scd lacks %s", entry);
        }
        close_fd(&docs_fd);
}

/* ---- docs/commands.md ---- */

static struct buffer guide;
static const char *guide_old;

static void put_guide(const struct command *command, const char *label)
{
        char *help = NULL, heading[80];
        size_t size = 0;
        if (strncmp(label, "image ", 6) == 0 && cli_find_command(cli_commands, command->name) == command)
                return;
        FILE *file = open_memstream(&help, &size);
        assert_non_null(file);
        help_command(file, command, label);
        assert_int_equal(fclose(file), 0);
        (void)snprintf(heading, sizeof(heading), "## boxlet %s\n", label);
        assert_int_equal(buffer_printf(&guide, "%s\n```text\n%s```\n", heading, help), 0);
        free(help);
        const char *section = strstr(guide_old, heading);
        const char *hand = section != NULL ? strstr(section, "\n```\n") : NULL;
        if (hand == NULL) {
                assert_int_equal(buffer_append_text(&guide, "\n"), 0);
                return;
        }
        hand += 5;
        const char *end = strstr(hand, "\n## ");
        assert_int_equal(buffer_append(&guide, hand, end != NULL ? (size_t)(end + 1 - hand) : strlen(hand)),
                         0);
}

static void the_guide_says_what_the_tables_say(void **state)
{
        cleanup_free char *old = NULL;
        (void)state;
        open_docs();
        assert_int_equal(path_read_at(docs_fd, "commands.md", PAGE_MAX, &old, NULL), 0);
        const char *first = strstr(old, "\n## boxlet ");
        guide_old = old;
        buffer_init(&guide, PAGE_MAX);
        assert_int_equal(buffer_append(&guide, old, first != NULL ? (size_t)(first + 1 - old) : strlen(old)),
                         0);
        each_command(cli_commands, "", put_guide);
        settle("commands.md", buffer_content(&guide));
        buffer_done(&guide);
        close_fd(&docs_fd);
}

/* ---- the tables themselves ---- */

static void check_table(const struct command *command, const char *label)
{
        const struct cli_option *o;
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (option_by_name(command, o->name, strlen(o->name)) != o)
                        fail_msg("%s: --%s is there twice", label, o->name);
                if (o->letter != 0 && option_by_letter(command, o->letter) != o)
                        fail_msg("%s: -%c is there twice", label, o->letter);
                if ((o->kind == OPTION_FLAG) != (o->argument == NULL))
                        fail_msg("%s: --%s: only flags have no value", label, o->name);
                if (o->kind == OPTION_CHOICE && o->choices == NULL)
                        fail_msg("%s: --%s has no choices", label, o->name);
                if (o->offset < sizeof(struct plan) || o->offset >= command->plan_size)
                        fail_msg("%s: --%s has its target outside the plan", label, o->name);
                if (o->help != NULL && (o->help[0] < 'A' || o->help[strlen(o->help) - 1] == '.'))
                        fail_msg("%s: --%s: help begins with a capital and has no full stop", label, o->name);
        }
        for (const struct refused_option *r = command->refused; r != NULL && r->name != NULL; r++) {
                if (option_by_name(command, r->name, strlen(r->name)) != NULL)
                        fail_msg("%s: --%s is both there and refused", label, r->name);
                if (r->letter != 0 && option_by_letter(command, r->letter) != NULL)
                        fail_msg("%s: -%c is both there and refused", label, r->letter);
        }
        if (command->subcommands == NULL &&
            (command->carry_out == NULL || command->plan_size < sizeof(struct plan)))
                fail_msg("%s cannot be carried out", label);
}

static void tables_are_in_order(void **state)
{
        (void)state;
        each_command(cli_commands, "", check_table);
        for (const struct refused_command *r = cli_refused_commands; r->name != NULL; r++)
                assert_null(cli_find_command(cli_commands, r->name));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(tables_are_in_order),
    cmocka_unit_test(manual_pages_say_what_the_tables_say),
    cmocka_unit_test(overview_names_every_command),
    cmocka_unit_test(the_guide_says_what_the_tables_say),
};

UNIT_TEST_MAIN(cases)
