/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading log lines. The file is the monitor's, but its content is what a guest printed, and the disk may
 * have been full in the middle of a line: anything that is not exactly a line is -EBADMSG, and the reader
 * goes on behind it.
 */
#include "runtime/logline.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NS 1000000000LL

/* "2024-01-31T12:34:56[.n...]Z" */
static int parse_time(const char *text, int64_t *ret_ns)
{
        struct tm tm = {0};
        const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        int64_t fraction = 0, unit = NS;
        if (p == NULL)
                return -EBADMSG;
        if (*p == '.') {
                for (p++; *p >= '0' && *p <= '9' && unit > 1; p++) {
                        unit /= 10;
                        fraction += (*p - '0') * unit;
                }
        }
        if (strcmp(p, "Z") != 0 || tm.tm_year < 70 || tm.tm_year > 70 + 200)
                return -EBADMSG;
        *ret_ns = (int64_t)timegm(&tm) * NS + fraction;
        return 0;
}

static int base64_digit(char c)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *p = c == '\0' ? NULL : strchr(digits, c);
        return p == NULL ? -1 : (int)(p - digits);
}

/* Whole groups of four with '=' at the end only; writes at most size / 4 * 3 bytes. */
static int decode_base64(const char *text, size_t size, char *out, size_t *ret_size)
{
        size_t n = 0;
        if (size % 4 != 0)
                return -EBADMSG;
        for (size_t i = 0; i < size; i += 4) {
                uint32_t bits = 0;
                unsigned padding = 0;
                for (size_t k = 0; k < 4; k++) {
                        char c = text[i + k];
                        int digit = c == '=' && i + 4 == size && k >= 2 ? 0 : base64_digit(c);
                        if (digit < 0 || (padding > 0 && c != '='))
                                return -EBADMSG;
                        padding += c == '=';
                        bits = bits << 6 | (uint32_t)digit;
                }
                for (unsigned k = 0; k < 3 - padding; k++)
                        out[n++] = (char)(bits >> (16 - 8 * k));
        }
        *ret_size = n;
        return 0;
}

static int take_bytes(const json_t *json, struct logline *line)
{
        const json_t *text = json_object_get(json, "l"), *binary = json_object_get(json, "b");
        const json_t *source = json_is_string(text) ? text : binary;
        if (!json_is_string(source))
                return -EBADMSG;
        size_t size = json_string_length(source);
        cleanup_free char *bytes = malloc(size + 1);
        if (bytes == NULL)
                return -ENOMEM;
        int r = 0;
        if (source == text)
                memcpy(bytes, json_string_value(source), size);
        else
                r = decode_base64(json_string_value(source), size, bytes, &size);
        if (r < 0)
                return r;
        if (!json_is_true(json_object_get(json, "p")))
                bytes[size++] = '\n';
        line->bytes = take_ptr(&bytes);
        line->size = size;
        return 0;
}

int logline_parse(const char *text, size_t size, struct logline *ret_line)
{
        cleanup_json json_t *json = NULL;
        struct error ignored = ERROR_INIT;
        struct logline line = {0};
        const char *stream, *when;
        if (json_parse(text, size, "log line", &json, &ignored) < 0 ||
            json_get_string(json, "s", &stream, &ignored) < 0 ||
            json_get_string(json, "t", &when, &ignored) < 0 || parse_time(when, &line.time_ns) < 0)
                return -EBADMSG;
        line.stream = strcmp(stream, "stderr") == 0 ? 2 : 1;
        int r = take_bytes(json, &line);
        if (r == 0)
                *ret_line = line;
        return r;
}
