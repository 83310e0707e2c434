/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_HARNESS_H
#define UNIT_HARNESS_H

/*
 * cmocka with what it lacks here: each case is a process of its own with a time limit, must not leak a
 * descriptor, and can be run alone by name: `test-foo case_name`. Use:
 *
 *     static void reads_short_header(void **state) { ... assert_int_equal(...); }
 *     static const struct CMUnitTest cases[] = {cmocka_unit_test(reads_short_header), ...};
 *     UNIT_TEST_MAIN(cases)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Seconds a case may take; generous, because the machine may be busy and sanitizers slow: it stops what
 * hangs. */
#define UNIT_CASE_SECONDS 60

int unit_main(const struct CMUnitTest *cases, size_t count, int argc, char **argv);

/* A fresh empty folder, removed at the end of the case; returns its path and an O_DIRECTORY descriptor in
 * *ret_fd (closed by the harness before it looks for leaks). */
const char *unit_folder(int *ret_fd);

/* Ends the case as skipped, because what it needs is not on this machine. */
_Noreturn void unit_skip(const char *reason);

/* From here on the system call (SYS_flock, ...) fails with that error, in this process and for good. */
void unit_refuse(int number, int error);

#define UNIT_TEST_MAIN(cases)                                                            \
        int main(int argc, char **argv)                                                  \
        {                                                                                \
                return unit_main(cases, sizeof(cases) / sizeof((cases)[0]), argc, argv); \
        }

#endif
