/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <stdint.h>

/* Values as they are typed. All return 0, or -EINVAL for text of another form or out of range. */

/* "512", "512m", "1.5g", "10GiB", "10 gb": powers of 1024, as docker takes them. */
int value_size(const char *text, uint64_t *ret_bytes);

/* "10" (seconds), "10s", "1m30s", "1.5h", "250ms". */
int value_duration(const char *text, int64_t *ret_ms);

int value_count(const char *text, int64_t *ret_count);

/* "2", "1.5", ".5": processors, as 10^-9 of one; at most 1,000. */
int value_cpus(const char *text, uint64_t *ret_nano);

/* "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3". */
int value_signal(const char *text, int *ret_signal);

/*
 * A moment: RFC 3339 ("2026-01-31T10:00:00.5+01:00"; without offset local time; "2026-01-31" alone too),
 * seconds since 1970 ("1700000000.25"), or how long before now ("10m").
 */
int value_time(const char *text, int64_t now_ns, int64_t *ret_ns);

/* "2026-01-31T10:00:00.000000000Z" */
#define VALUE_TIME_MAX 40
const char *value_print_time(int64_t ns, char place[VALUE_TIME_MAX]);

#endif
