/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * An error a person will read. The caller owns the struct (usually on its stack), the callee fills it and
 * returns -errno. Messages have the form: verb 'object': cause, and what to do if that is known; lower case,
 * no full stop. The text is cut, never overflowed; control bytes that came from outside are replaced.
 */
#define ERROR_TEXT_MAX 1024

struct error {
        int code; /* negative errno, 0 while nothing happened */
        char text[ERROR_TEXT_MAX];
};

#define ERROR_INIT \
        {          \
                0  \
        }

/* Sets the message "FORMAT" and returns code (negative errno). err may be NULL. */
int error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sets "FORMAT: <strerror(-code)>" and returns code. */
int error_errno(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "FORMAT: " in front of what err already says; returns err->code, or -EIO if that was 0. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
