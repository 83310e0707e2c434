/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "cli/cli.h"

#include <errno.h>
#include <string.h>

struct sample {
        struct text_list operands;
        bool flag, other;
        const char *text, *choice;
        struct text_list list;
        uint64_t size;
        int64_t duration, count, tail;
        int signal;
};

#define AT(member) offsetof(struct sample, member)

static const struct cli_option options[] = {
    {'f', "flag", OPTION_FLAG, AT(flag), NULL, "A flag"},
    {'o', "other", OPTION_FLAG, AT(other), NULL, "Another"},
    {'t', "text", OPTION_TEXT, AT(text), "TEXT", "Text"},
    {'l', "list", OPTION_LIST, AT(list), "TEXT", "Texts"},
    {0, "choice", OPTION_CHOICE, AT(choice), "WHICH", "One of", "red|green"},
    {'m', "memory", OPTION_SIZE, AT(size), "SIZE", "A size"},
    {0},
};
static const struct cli_option more[] = {
    {0, "wait", OPTION_DURATION, AT(duration), "TIME", "A time"},
    {'n', "number", OPTION_COUNT, AT(count), "NUMBER", "A number"},
    {0, "tail", OPTION_TAIL, AT(tail), "NUMBER", "A number or all"},
    {'s', "signal", OPTION_SIGNAL, AT(signal), "SIGNAL", "A signal"},
    {0},
};
static const struct refused_option refused[] = {{'P', "privileged", "use less"}, {'g', "gpus", NULL}, {0}};

static struct command command = {
    .name = "sample",
    .operands = "WORD...",
    .options = options,
    .more_options = more,
    .refused = refused,
    .maximum_operands = -1,
    .plan_size = sizeof(struct sample),
};

static int parse(struct sample *sample, struct error *err, const char *words)
{
        static char copy[512];
        char *argv[32];
        int argc = 0;
        memset(sample, 0, sizeof(*sample));
        memset(err, 0, sizeof(*err));
        (void)snprintf(copy, sizeof(copy), "%s", words);
        for (char *word = strtok(copy, " "); word != NULL && argc < 32; word = strtok(NULL, " "))
                argv[argc++] = word;
        return options_parse(&command, argc, argv, (struct plan *)sample, err);
}

static void all_forms_of_values(void **state)
{
        struct sample s;
        struct error err;
        (void)state;
        assert_int_equal(
            parse(&s, &err,
                  "--memory=512m --text a=b -ta1 -l x -ly --list=z -n=5 --wait 1m --tail all -s KILL"),
            0);
        assert_int_equal(s.size, 512 << 20);
        assert_string_equal(s.text, "a1");
        assert_int_equal(s.list.count, 3);
        assert_string_equal(s.list.items[0], "x");
        assert_string_equal(s.list.items[2], "z");
        assert_null(s.list.items[3]);
        assert_int_equal(s.count, 5);
        assert_int_equal(s.duration, 60000);
        assert_int_equal(s.tail, -1);
        assert_int_equal(s.signal, 9);
        options_done(&command, (struct plan *)&s);
}

static void flags_cluster_and_can_be_unset(void **state)
{
        struct sample s;
        struct error err;
        (void)state;
        assert_int_equal(parse(&s, &err, "-fo"), 0);
        assert_true(s.flag && s.other);
        assert_int_equal(parse(&s, &err, "-fom 1k"), 0);
        assert_true(s.flag && s.other && s.size == 1024);
        assert_int_equal(parse(&s, &err, "-fom1k"), 0);
        assert_int_equal(s.size, 1024);
        assert_int_equal(parse(&s, &err, "-fo --flag=false -o=0"), 0);
        assert_false(s.flag || s.other);
        assert_int_equal(parse(&s, &err, "--flag=maybe"), -EINVAL);
        assert_string_equal(err.text, "invalid value 'maybe' for --flag: not true or false");
}

static void operands_end_the_options_where_they_should(void **state)
{
        struct sample s;
        struct error err;
        (void)state;
        assert_int_equal(parse(&s, &err, "a -f b - -- -o --text"), 0);
        assert_int_equal(s.operands.count, 5);
        assert_string_equal(s.operands.items[2], "-");
        assert_string_equal(s.operands.items[3], "-o");
        assert_true(s.flag && !s.other);
        options_done(&command, (struct plan *)&s);
        command.leading = true;
        assert_int_equal(parse(&s, &err, "-f image -o -- --text"), 0);
        assert_int_equal(s.operands.count, 4);
        assert_string_equal(s.operands.items[2], "--");
        assert_true(s.flag && !s.other);
        options_done(&command, (struct plan *)&s);
        assert_int_equal(parse(&s, &err, "-- -f"), 0);
        assert_string_equal(s.operands.items[0], "-f");
        options_done(&command, (struct plan *)&s);
}

static void misuse_is_said_exactly(void **state)
{
        static const struct {
                const char *words;
                int code;
                const char *text;
        } table[] = {
            {"--memroy=1g", -EINVAL, "unknown option '--memroy', did you mean '--memory'?"},
            {"--xyzzy", -EINVAL, "unknown option '--xyzzy'"},
            {"-x", -EINVAL, "unknown option '-x'"},
            {"-fx", -EINVAL, "unknown option '-x'"},
            {"--text", -EINVAL, "--text needs a value"},
            {"-ft", -EINVAL, "-t needs a value"},
            {"-m lots", -EINVAL, "invalid value 'lots' for -m: not a size such as 512m, 1g or 10GiB"},
            {"--choice blue", -EINVAL, "invalid value 'blue' for --choice: not one of red|green"},
            {"--choice red|green", -EINVAL, "invalid value 'red|green' for --choice: not one of red|green"},
            {"--choice=", -EINVAL, "invalid value '' for --choice: not one of red|green"},
            {"--privileged", -ENOTSUP, "--privileged is not supported: use less"},
            {"-fP", -ENOTSUP, "-P is not supported: use less"},
            {"--gpus=all", -ENOTSUP, "--gpus is not supported"},
            {"-t \xff", -EINVAL, "the value of -t is not UTF-8 text"},
            {"\xff", -EINVAL, "argument 1 is not UTF-8 text"},
            {"-n -1", -EINVAL, "invalid value '-1' for -n: not a whole number"},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct sample s;
                struct error err;
                int r = parse(&s, &err, table[i].words);
                if (r != table[i].code || strcmp(err.text, table[i].text) != 0)
                        fail_msg("%s: %d '%s'", table[i].words, r, err.text);
                options_done(&command, (struct plan *)&s);
        }
}

static void help_is_found_unless_h_means_something_else(void **state)
{
        static const struct cli_option with_h[] = {{'h', "host", OPTION_TEXT, AT(text), "NAME", "Host"}, {0}};
        struct command other = {.options = with_h,
                                .maximum_operands = -1,
                                .plan_size = sizeof(struct sample)};
        struct sample s;
        struct error err;
        char *argv[] = {(char *)"-h", (char *)"me"};
        (void)state;
        assert_int_equal(parse(&s, &err, "--help"), 1);
        assert_int_equal(parse(&s, &err, "-fh"), 1);
        assert_int_equal(parse(&s, &err, "-- --help"), 0);
        options_done(&command, (struct plan *)&s);
        memset(&s, 0, sizeof(s));
        assert_int_equal(options_parse(&other, 2, argv, (struct plan *)&s, &err), 0);
        assert_string_equal(s.text, "me");
}

static void counts_of_operands_are_checked(void **state)
{
        struct sample s;
        struct error err;
        (void)state;
        command.minimum_operands = 1;
        command.maximum_operands = 2;
        assert_int_equal(parse(&s, &err, "-f"), -EINVAL);
        assert_string_equal(err.text, "needs at least 1 argument: WORD...");
        assert_int_equal(parse(&s, &err, "a b c"), -EINVAL);
        assert_string_equal(err.text, "takes at most 2 arguments: WORD...");
        options_done(&command, (struct plan *)&s);
        command.minimum_operands = command.maximum_operands = 0;
        assert_int_equal(parse(&s, &err, "a"), -EINVAL);
        assert_string_equal(err.text, "takes no argument, but got 'a'");
        options_done(&command, (struct plan *)&s);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(all_forms_of_values),
    cmocka_unit_test(flags_cluster_and_can_be_unset),
    cmocka_unit_test(operands_end_the_options_where_they_should),
    cmocka_unit_test(misuse_is_said_exactly),
    cmocka_unit_test(help_is_found_unless_h_means_something_else),
    cmocka_unit_test(counts_of_operands_are_checked),
};

UNIT_TEST_MAIN(cases)
