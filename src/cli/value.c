/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, durations, times and signals from the command line: pure functions over their text, with checked
 * arithmetic, no locale and no floating point.
 */
#include "cli/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define NANO           UINT64_C(1000000000)
#define CPUS_TYPED_MAX 1000

/* A decimal number: its whole part, and its fraction in units of 10^-9 (digits beyond are dropped). */
struct decimal {
        uint64_t whole;
        uint64_t nano;
};

static int read_decimal(const char **at, struct decimal *ret)
{
        struct decimal d = {0};
        const char *p = *at;
        bool digits = false;
        for (; *p >= '0' && *p <= '9'; p++, digits = true) {
                if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
                    __builtin_add_overflow(d.whole, (uint64_t)(*p - '0'), &d.whole))
                        return -EINVAL;
        }
        if (*p == '.') {
                p++;
                for (uint64_t scale = 100000000; *p >= '0' && *p <= '9'; p++, scale /= 10, digits = true)
                        d.nano += scale * (uint64_t)(*p - '0');
        }
        if (!digits)
                return -EINVAL;
        *at = p;
        *ret = d;
        return 0;
}

int value_size(const char *text, uint64_t *ret_bytes)
{
        static const char units[] = "bkmgt";
        struct decimal d;
        const char *at = text;
        if (read_decimal(&at, &d) < 0)
                return -EINVAL;
        if (*at == ' ' && at[1] != '\0')
                at++;
        unsigned shift = 0;
        if (*at != '\0') {
                const char *unit = strchr(units, tolower((unsigned char)*at));
                if (unit == NULL)
                        return -EINVAL;
                shift = (unsigned)(unit - units) * 10;
                at++;
                if (shift > 0 && strcasecmp(at, "ib") != 0 && strcasecmp(at, "b") != 0 && *at != '\0')
                        return -EINVAL;
                if (shift == 0 && *at != '\0')
                        return -EINVAL;
        }
        uint64_t bytes;
        if (__builtin_mul_overflow(d.whole, (uint64_t)1 << shift, &bytes))
                return -EINVAL;
        /* nano < 2^30, so that the product stays below 2^63 up to 2^33; beyond, whole kibibytes are exact
         * enough */
        uint64_t fraction =
            shift <= 30 ? (d.nano << shift) / 1000000000 : ((d.nano << 30) / 1000000000) << (shift - 30);
        if (__builtin_add_overflow(bytes, fraction, &bytes) || bytes > INT64_MAX)
                return -EINVAL;
        *ret_bytes = bytes;
        return 0;
}

/* The unit at *at in nanoseconds, 0 if it is none. */
static uint64_t read_unit(const char **at)
{
        static const struct {
                const char *name;
                uint64_t ns;
        } units[] = {
            {"ms", 1000000},      {"us", 1000},       {"ns", 1},
            {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
        };
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                size_t length = strlen(units[i].name);
                if (strncmp(*at, units[i].name, length) == 0) {
                        *at += length;
                        return units[i].ns;
                }
        }
        return 0;
}

static int duration_ns(const char *text, uint64_t *ret_ns)
{
        uint64_t total = 0;
        const char *at = text;
        if (*at == '\0')
                return -EINVAL;
        while (*at != '\0') {
                struct decimal d;
                uint64_t part, fraction;
                if (read_decimal(&at, &d) < 0)
                        return -EINVAL;
                bool bare = *at == '\0' && total == 0;
                uint64_t unit = bare ? 1000000000 : read_unit(&at);
                if (unit == 0 || __builtin_mul_overflow(d.whole, unit, &part))
                        return -EINVAL;
                /* in two steps, for an hour's nanoseconds times 10^9 is more than 64 bits */
                fraction = unit >= 1000000000 ? d.nano * (unit / 1000000000) : d.nano * unit / 1000000000;
                if (__builtin_add_overflow(total, part, &total) ||
                    __builtin_add_overflow(total, fraction, &total))
                        return -EINVAL;
        }
        if (total > INT64_MAX)
                return -EINVAL;
        *ret_ns = total;
        return 0;
}

int value_duration(const char *text, int64_t *ret_ms)
{
        uint64_t ns;
        if (duration_ns(text, &ns) < 0)
                return -EINVAL;
        *ret_ms = (int64_t)((ns + 999999) / 1000000);
        return 0;
}

int value_count(const char *text, int64_t *ret_count)
{
        struct decimal d;
        const char *at = text;
        if (strchr(text, '.') != NULL || read_decimal(&at, &d) < 0 || *at != '\0' || d.whole > INT64_MAX)
                return -EINVAL;
        *ret_count = (int64_t)d.whole;
        return 0;
}

int value_cpus(const char *text, uint64_t *ret_nano)
{
        struct decimal d;
        const char *at = text;
        if (read_decimal(&at, &d) < 0 || *at != '\0' || d.whole > CPUS_TYPED_MAX)
                return -EINVAL;
        *ret_nano = d.whole * NANO + d.nano;
        return 0;
}

static int real_time_signal(const char *name, int *ret_signal)
{
        bool from_end = strncasecmp(name, "RTMAX", 5) == 0;
        int64_t offset = 0;
        if (!from_end && strncasecmp(name, "RTMIN", 5) != 0)
                return -EINVAL;
        name += 5;
        if (*name != '\0' &&
            (*name != (from_end ? '-' : '+') || value_count(name + 1, &offset) < 0 || offset > 30))
                return -EINVAL;
        /* the kernel's numbers for the guest, where 34 is the first one a C library hands out */
        *ret_signal = from_end ? 64 - (int)offset : 34 + (int)offset;
        return *ret_signal >= 34 && *ret_signal <= 64 ? 0 : -EINVAL;
}

int value_signal(const char *text, int *ret_signal)
{
        int64_t number;
        if (value_count(text, &number) == 0) {
                if (number < 1 || number > 64)
                        return -EINVAL;
                *ret_signal = (int)number;
                return 0;
        }
        const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
        for (int signal = 1; signal < 32; signal++) {
                const char *known = sigabbrev_np(signal);
                if (known != NULL && strcasecmp(name, known) == 0) {
                        *ret_signal = signal;
                        return 0;
                }
        }
        return real_time_signal(name, ret_signal);
}

/* Exactly count digits. */
static int read_digits(const char **at, int count, int *ret)
{
        int number = 0;
        for (int i = 0; i < count; i++) {
                if ((*at)[i] < '0' || (*at)[i] > '9')
                        return -EINVAL;
                number = number * 10 + ((*at)[i] - '0');
        }
        *at += count;
        *ret = number;
        return 0;
}

static int expect(const char **at, const char *one_of)
{
        if (**at == '\0' || strchr(one_of, **at) == NULL)
                return -EINVAL;
        (*at)++;
        return 0;
}

/* "Z", "+01:00", or nothing (local time) */
static int read_zone(const char **at, struct tm *tm, int64_t *ret_seconds)
{
        if (**at == '\0') {
                tm->tm_isdst = -1;
                *ret_seconds = mktime(tm);
                return 0;
        }
        int hours, minutes, sign = **at == '-' ? 1 : -1;
        *ret_seconds = timegm(tm);
        if (expect(at, "Zz") == 0)
                return 0;
        if (expect(at, "+-") < 0 || read_digits(at, 2, &hours) < 0 || expect(at, ":") < 0 ||
            read_digits(at, 2, &minutes) < 0 || hours > 23 || minutes > 59)
                return -EINVAL;
        *ret_seconds += sign * (hours * 3600 + minutes * 60);
        return 0;
}

static int read_clock(const char **at, struct tm *tm, uint64_t *nano)
{
        if (read_digits(at, 2, &tm->tm_hour) < 0 || expect(at, ":") < 0 ||
            read_digits(at, 2, &tm->tm_min) < 0)
                return -EINVAL;
        if (**at == ':') {
                (*at)++;
                if (read_digits(at, 2, &tm->tm_sec) < 0)
                        return -EINVAL;
                if (**at == '.') {
                        struct decimal d;
                        if (read_decimal(at, &d) < 0)
                                return -EINVAL;
                        *nano = d.nano;
                }
        }
        return tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60 ? -EINVAL : 0;
}

static int parse_date(const char *text, int64_t *ret_ns)
{
        struct tm tm = {0};
        uint64_t nano = 0;
        int64_t seconds;
        const char *at = text;
        if (read_digits(&at, 4, &tm.tm_year) < 0 || expect(&at, "-") < 0 ||
            read_digits(&at, 2, &tm.tm_mon) < 0 || expect(&at, "-") < 0 ||
            read_digits(&at, 2, &tm.tm_mday) < 0)
                return -EINVAL;
        if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31)
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        if (*at != '\0' && (expect(&at, "Tt ") < 0 || read_clock(&at, &tm, &nano) < 0))
                return -EINVAL;
        if (read_zone(&at, &tm, &seconds) < 0 || *at != '\0')
                return -EINVAL;
        if (__builtin_mul_overflow(seconds, (int64_t)1000000000, ret_ns) ||
            __builtin_add_overflow(*ret_ns, (int64_t)nano, ret_ns))
                return -EINVAL;
        return 0;
}

int value_time(const char *text, int64_t now_ns, int64_t *ret_ns)
{
        struct decimal d;
        const char *at = text;
        uint64_t ago;
        if (read_decimal(&at, &d) == 0 && *at == '\0') {
                if (d.whole > INT64_MAX / 1000000000 - 1)
                        return -EINVAL;
                *ret_ns = (int64_t)(d.whole * 1000000000 + d.nano);
                return 0;
        }
        if (duration_ns(text, &ago) == 0) {
                *ret_ns = (int64_t)ago > now_ns ? 0 : now_ns - (int64_t)ago;
                return 0;
        }
        int64_t ns;
        int r = parse_date(text, &ns);
        if (r == 0)
                *ret_ns = ns < 0 ? 0 : ns;
        return r;
}

const char *value_print_time(int64_t ns, char place[VALUE_TIME_MAX])
{
        time_t seconds = ns / 1000000000;
        struct tm tm;
        char date[24];
        if (ns < 0 || gmtime_r(&seconds, &tm) == NULL ||
            strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return "";
        (void)snprintf(place, VALUE_TIME_MAX, "%s.%09" PRId64 "Z", date, ns % 1000000000);
        return place;
}
