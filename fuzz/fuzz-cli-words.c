/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed, read from an environment file, or printed: every parser of words of the command line. */
#include "cli/detach.h"

#include "base/clock.h"
#include "cli/env.h"
#include "cli/format.h"
#include "cli/text.h"
#include "cli/value.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
        if (!holds)
                abort();
}

static void read_values(const char *text)
{
        uint64_t bytes = 0;
        int64_t number = 0;
        int signal = 0;
        char place[VALUE_TIME_MAX];
        check(value_size(text, &bytes) < 0 || bytes <= INT64_MAX);
        check(value_duration(text, &number) < 0 || number >= 0);
        check(value_count(text, &number) < 0 || number >= 0);
        check(value_cpus(text, &bytes) < 0 || bytes < UINT64_C(1001000000000));
        check(value_signal(text, &signal) < 0 || (signal >= 1 && signal <= 64));
        if (value_time(text, clock_wall_ns(), &number) == 0)
                check(number >= 0 && strlen(value_print_time(number, place)) < VALUE_TIME_MAX);
}

static void print_safely(const char *text)
{
        char *safe = text_safe(text, false);
        check(safe != NULL && text_is_utf8(safe) && strlen(safe) <= strlen(text));
        for (const char *at = safe; *at != '\0'; at++)
                check((unsigned char)*at >= 0x20 && *at != 0x7f);
        check(text_distance(safe, "memory") <= 64);
        free(safe);
}

static void read_environment(const char *text)
{
        struct env env = {0};
        struct error err = ERROR_INIT;
        char *copy = strdup(text);
        (void)env_add_lines(&env, copy, strlen(copy), "file", &err);
        for (size_t i = 0; i < env.count; i++)
                check(strchr(env.strings[i], '=') > env.strings[i] && text_is_utf8(env.strings[i]));
        env_done(&env);
        free(copy);
}

/* Nothing that is typed is lost: what passed, what is held back, and the keys are the input. */
static void type_keys(const uint8_t *data, size_t size)
{
        struct detach detach;
        struct error err = ERROR_INIT;
        unsigned char out[4096 + DETACH_KEYS_MAX];
        size_t passed = 0;
        if (size > 4096 || detach_init(&detach, "a,b,a,c", &err) < 0)
                return;
        bool found = detach_feed(&detach, data, size, out, &passed);
        check(memcmp(out, data, passed) == 0);
        check(found ? passed + detach.length <= size && memcmp(data + passed, "abac", 4) == 0
                    : passed + detach.matched == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct detach detach;
        struct error err = ERROR_INIT;
        char *text = malloc(size + 1);
        if (text == NULL)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        read_values(text);
        print_safely(text);
        read_environment(text);
        type_keys(data, size);
        (void)detach_init(&detach, text, &err);
        (void)format_check(text, &err);
        free(text);
        return 0;
}
