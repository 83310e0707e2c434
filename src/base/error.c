/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as fixed buffers: made where the failure happens, wrapped on the way up, printed by whoever talks to
 * a person. No allocation, so that "out of memory" can be said too.
 *
 * Invariants: text always ends in NUL and never holds a control byte other than newline and tab (console
 * output that is shown in a message spans lines; escape sequences from a guest or a registry must not reach a
 * terminal).
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void defuse(char *text)
{
        for (; *text != '\0'; text++) {
                unsigned char c = (unsigned char)*text;
                if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                        *text = '?';
        }
}

static void fill(struct error *err, int code, const char *format, va_list args)
{
        err->code = code;
        (void)vsnprintf(err->text, sizeof(err->text), format, args); /* cutting is the contract */
        defuse(err->text);
}

int error_set(struct error *err, int code, const char *format, ...)
{
        if (err != NULL) {
                va_list args;
                va_start(args, format);
                fill(err, code, format, args);
                va_end(args);
        }
        return code;
}

int error_errno(struct error *err, int code, const char *format, ...)
{
        if (err != NULL) {
                va_list args;
                va_start(args, format);
                fill(err, code, format, args);
                va_end(args);
                size_t used = strlen(err->text);
                (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(-code));
        }
        return code;
}

int error_wrap(struct error *err, const char *format, ...)
{
        if (err == NULL)
                return -EIO;
        struct error inner = *err;
        int code = inner.code != 0 ? inner.code : -EIO;
        va_list args;
        va_start(args, format);
        fill(err, code, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                       inner.text[0] != '\0' ? inner.text : strerror(-code));
        return code;
}
