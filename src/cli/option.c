/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option engine. Forms: --name=value, --name value, --flag, --flag=false, -n value, -nvalue, -n=value,
 * clusters of flags (-it, the last may take a value: -itw /tmp), "--" ends the options, "-" is an operand. In
 * a leading command (run, exec) the first operand ends them too. Options that docker has and we do not are
 * known by name, so that they are refused with a reason and never skipped.
 *
 * Invariants: text stored in a plan is valid UTF-8 (but paths) and lent by argv; a value that is no value of
 * its kind is an error that names the option as it was typed.
 */
#include "cli/option.h"

#include "base/clock.h"
#include "cli/value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct words {
        int count;
        char **items;
        int next;
};

const struct cli_option *option_at(const struct command *command, size_t index)
{
        const struct cli_option *const tables[] = {command->options, command->more_options};
        for (size_t t = 0; t < 2; t++) {
                for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++) {
                        if (index-- == 0)
                                return o;
                }
        }
        return NULL;
}

const struct cli_option *option_by_name(const struct command *command, const char *name, size_t length)
{
        const struct cli_option *o;
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
                        return o;
        }
        return NULL;
}

const struct cli_option *option_by_letter(const struct command *command, char letter)
{
        const struct cli_option *o;
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->letter == letter)
                        return o;
        }
        return NULL;
}

static int parse_flag(const char *text, bool *ret_flag)
{
        static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"};
        static const char *const no[] = {"false", "0", "f", "F", "FALSE", "False"};
        for (size_t i = 0; i < 6; i++) {
                if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
                        *ret_flag = strcmp(text, yes[i]) == 0;
                        return 0;
                }
        }
        return -EINVAL;
}

static bool is_choice(const char *choices, const char *text)
{
        size_t length = strcspn(text, "|");
        if (text[length] != '\0')
                return false;
        for (const char *at = choices; length > 0 && at != NULL; at = strchr(at, '|')) {
                at += *at == '|';
                if (strncmp(at, text, length) == 0 && (at[length] == '|' || at[length] == '\0'))
                        return true;
        }
        return false;
}

static int store_number(const struct cli_option *o, const char *text, void *target)
{
        switch (o->kind) {
        case OPTION_SIZE:
                return value_size(text, target);
        case OPTION_DURATION:
                return value_duration(text, target);
        case OPTION_COUNT:
                return value_count(text, target);
        case OPTION_TAIL:
                if (strcmp(text, "all") == 0 || strcmp(text, "-1") == 0) {
                        *(int64_t *)target = -1;
                        return 0;
                }
                return value_count(text, target);
        case OPTION_TIME:
                return value_time(text, clock_wall_ns(), target);
        case OPTION_SIGNAL:
                return value_signal(text, target);
        default:
                return -EINVAL;
        }
}

static const char *expectation(enum option_kind kind)
{
        switch (kind) {
        case OPTION_FLAG:
                return "true or false";
        case OPTION_SIZE:
                return "a size such as 512m, 1g or 10GiB";
        case OPTION_DURATION:
                return "a duration such as 10s, 1m30s or a number of seconds";
        case OPTION_COUNT:
                return "a whole number";
        case OPTION_TAIL:
                return "a whole number or 'all'";
        case OPTION_TIME:
                return "a time as in RFC 3339, unix time, or a duration such as 10m";
        case OPTION_SIGNAL:
                return "a signal such as TERM, SIGKILL or 9";
        default:
                return "text";
        }
}

/* typed: the option as it was written, for messages. */
static int store(const struct cli_option *o, const char *typed, const char *text, struct plan *plan,
                 struct error *err)
{
        void *target = (char *)plan + o->offset;
        if (o->kind != OPTION_PATH && !text_is_utf8(text))
                return error_set(err, -EINVAL, "the value of %s is not UTF-8 text", typed);
        switch (o->kind) {
        case OPTION_FLAG:
                if (parse_flag(text, target) == 0)
                        return 0;
                break;
        case OPTION_TEXT:
        case OPTION_PATH:
                *(const char **)target = text;
                return 0;
        case OPTION_LIST:
                if (text_list_add(target, text) < 0)
                        return error_set(err, -ENOMEM, "out of memory");
                return 0;
        case OPTION_CHOICE:
                if (!is_choice(o->choices, text))
                        return error_set(err, -EINVAL, "invalid value '%s' for %s: not one of %s", text,
                                         typed, o->choices);
                *(const char **)target = text;
                return 0;
        default:
                if (store_number(o, text, target) == 0)
                        return 0;
        }
        return error_set(err, -EINVAL, "invalid value '%s' for %s: not %s", text, typed,
                         expectation(o->kind));
}

static int refuse(const struct command *command, const char *name, size_t length, char letter,
                  const char *typed, struct error *err)
{
        for (const struct refused_option *r = command->refused; r != NULL && r->name != NULL; r++) {
                bool same = name != NULL ? strlen(r->name) == length && memcmp(r->name, name, length) == 0
                                         : r->letter != 0 && r->letter == letter;
                if (!same)
                        continue;
                const char *separator = r->instead != NULL ? ": " : "",
                           *instead = r->instead != NULL ? r->instead : "";
                return error_set(err, -ENOTSUP, "%s is not supported%s%s", typed, separator, instead);
        }
        return 0;
}

static int unknown(const struct command *command, const char *name, size_t length, const char *typed,
                   struct error *err)
{
        const char *best = NULL;
        size_t best_distance = 3;
        const struct cli_option *o;
        char given[64];
        (void)snprintf(given, sizeof(given), "%.*s", (int)length, name); /* a longer one resembles nothing */
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                size_t distance = text_distance(given, o->name);
                if (o->help != NULL && distance < best_distance && distance < strlen(o->name)) {
                        best = o->name;
                        best_distance = distance;
                }
        }
        if (best != NULL)
                return error_set(err, -EINVAL, "unknown option '%s', did you mean '--%s'?", typed, best);
        return error_set(err, -EINVAL, "unknown option '%s'", typed);
}

static int parse_long(const struct command *command, struct words *words, struct plan *plan,
                      struct error *err)
{
        const char *word = words->items[words->next++] + 2, *equals = strchr(word, '=');
        size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
        char typed[64];
        (void)snprintf(typed, sizeof(typed), "--%.*s", (int)length, word); /* cut in a message is fine */
        const struct cli_option *o = option_by_name(command, word, length);
        if (o == NULL && length == 4 && memcmp(word, "help", 4) == 0 && equals == NULL)
                return 1;
        if (o == NULL) {
                int r = refuse(command, word, length, 0, typed, err);
                return r < 0 ? r : unknown(command, word, length, typed, err);
        }
        if (equals != NULL)
                return store(o, typed, equals + 1, plan, err);
        if (o->kind == OPTION_FLAG)
                return store(o, typed, "true", plan, err);
        if (words->next == words->count)
                return error_set(err, -EINVAL, "%s needs a value", typed);
        return store(o, typed, words->items[words->next++], plan, err);
}

/* One word of short options. */
static int parse_short(const struct command *command, struct words *words, struct plan *plan,
                       struct error *err)
{
        const char *word = words->items[words->next++];
        for (const char *at = word + 1; *at != '\0'; at++) {
                char typed[3] = {'-', *at, '\0'};
                if ((unsigned char)*at < 0x21 || (unsigned char)*at > 0x7e)
                        return error_set(err, -EINVAL, "unknown option '%s'",
                                         text_is_utf8(word) ? word : "?");
                const struct cli_option *o = option_by_letter(command, *at);
                if (o == NULL && *at == 'h')
                        return 1;
                if (o == NULL) {
                        int r = refuse(command, NULL, 0, *at, typed, err);
                        return r < 0 ? r : error_set(err, -EINVAL, "unknown option '%s'", typed);
                }
                if (at[1] == '=')
                        return store(o, typed, at + 2, plan, err);
                if (o->kind != OPTION_FLAG) {
                        if (at[1] != '\0')
                                return store(o, typed, at + 1, plan, err);
                        if (words->next == words->count)
                                return error_set(err, -EINVAL, "%s needs a value", typed);
                        return store(o, typed, words->items[words->next++], plan, err);
                }
                int r = store(o, typed, "true", plan, err);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int add_operand(struct plan *plan, const char *word, struct error *err)
{
        if (!text_is_utf8(word))
                return error_set(err, -EINVAL, "argument %zu is not UTF-8 text", plan->operands.count + 1);
        if (text_list_add(&plan->operands, word) < 0)
                return error_set(err, -ENOMEM, "out of memory");
        return 0;
}

static int check_count(const struct command *command, const struct plan *plan, struct error *err)
{
        size_t count = plan->operands.count;
        if (count < (size_t)command->minimum_operands)
                return error_set(err, -EINVAL, "needs %s%d argument%s: %s",
                                 command->minimum_operands == command->maximum_operands ? "" : "at least ",
                                 command->minimum_operands, command->minimum_operands == 1 ? "" : "s",
                                 command->operands);
        if (command->maximum_operands == 0 && count > 0)
                return error_set(err, -EINVAL, "takes no argument, but got '%s'", plan->operands.items[0]);
        if (command->maximum_operands > 0 && count > (size_t)command->maximum_operands)
                return error_set(err, -EINVAL, "takes at most %d argument%s: %s", command->maximum_operands,
                                 command->maximum_operands == 1 ? "" : "s", command->operands);
        return 0;
}

int options_parse(const struct command *command, int argc, char **argv, struct plan *plan, struct error *err)
{
        struct words words = {.count = argc, .items = argv};
        bool only_operands = false;
        if (command->defaults != NULL)
                command->defaults(plan);
        while (words.next < words.count) {
                const char *word = words.items[words.next];
                int r;
                if (only_operands || word[0] != '-' || word[1] == '\0') {
                        r = add_operand(plan, word, err);
                        words.next++;
                        only_operands |= command->leading;
                } else if (strcmp(word, "--") == 0) {
                        only_operands = true;
                        words.next++;
                        continue;
                } else {
                        r = word[1] == '-' ? parse_long(command, &words, plan, err)
                                           : parse_short(command, &words, plan, err);
                }
                if (r != 0)
                        return r;
        }
        return check_count(command, plan, err);
}

void options_done(const struct command *command, struct plan *plan)
{
        const struct cli_option *o;
        for (size_t i = 0; (o = option_at(command, i)) != NULL; i++) {
                if (o->kind == OPTION_LIST)
                        text_list_done((struct text_list *)((char *)plan + o->offset));
        }
        text_list_done(&plan->operands);
}
