/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a container as JSON log entries. Pure. Text goes as "l"; what is not UTF-8, or holds a NUL (which
 * many JSON readers refuse), goes as base64 in "b", so that binary output comes out of the log as it went in.
 */
#include "monitor/line.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Length of the UTF-8 sequence that first begins; 0 if it begins none. */
static size_t sequence_length(unsigned char first)
{
        if (first < 0x80)
                return 1;
        if (first >= 0xc2 && first <= 0xdf)
                return 2;
        if (first >= 0xe0 && first <= 0xef)
                return 3;
        return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

static bool continues(unsigned char c)
{
        return (c & 0xc0) == 0x80;
}

/* Well-formed as in Unicode's table 3-7: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool sequence_valid(const unsigned char *p, size_t length)
{
        for (size_t i = 1; i < length; i++) {
                if (!continues(p[i]))
                        return false;
        }
        switch (p[0]) {
        case 0xe0:
                return p[1] >= 0xa0;
        case 0xed:
                return p[1] <= 0x9f;
        case 0xf0:
                return p[1] >= 0x90;
        case 0xf4:
                return p[1] <= 0x8f;
        default:
                return true;
        }
}

static bool is_text(const char *bytes, size_t size)
{
        const unsigned char *p = (const unsigned char *)bytes;
        for (size_t i = 0; i < size;) {
                size_t length = sequence_length(p[i]);
                if (length == 0 || p[i] == 0 || length > size - i || !sequence_valid(p + i, length))
                        return false;
                i += length;
        }
        return true;
}

size_t line_whole_characters(const char *bytes, size_t size)
{
        const unsigned char *p = (const unsigned char *)bytes;
        for (size_t back = 1; back <= 3 && back <= size; back++) {
                unsigned char c = p[size - back];
                if (continues(c))
                        continue;
                return sequence_length(c) > back && size > back ? size - back : size;
        }
        return size;
}

static int append_escaped(struct buffer *out, const char *bytes, size_t size)
{
        char *place;
        int r = buffer_reserve(out, size * 6, &place);
        if (r < 0)
                return r;
        static const char digits[] = "0123456789abcdef";
        char *p = place;
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)bytes[i];
                if (c == '"' || c == '\\') {
                        *p++ = '\\';
                        *p++ = (char)c;
                } else if (c >= 0x20) {
                        *p++ = (char)c;
                } else {
                        *p++ = '\\';
                        *p++ = 'u';
                        *p++ = '0';
                        *p++ = '0';
                        *p++ = digits[c >> 4];
                        *p++ = digits[c & 15];
                }
        }
        buffer_grow(out, (size_t)(p - place));
        return 0;
}

static int append_base64(struct buffer *out, const char *bytes, size_t size)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const unsigned char *in = (const unsigned char *)bytes;
        char *p;
        size_t encoded = (size + 2) / 3 * 4;
        int r = buffer_reserve(out, encoded, &p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < size; i += 3, p += 4) {
                size_t left = size - i;
                uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                                 (left > 2 ? in[i + 2] : 0);
                p[0] = digits[three >> 18];
                p[1] = digits[three >> 12 & 63];
                p[2] = left > 1 ? digits[three >> 6 & 63] : '=';
                p[3] = left > 2 ? digits[three & 63] : '=';
        }
        buffer_grow(out, encoded);
        return 0;
}

/* Everything in front of the text: time, stream, mark. */
static int append_head(struct buffer *out, int64_t time_ns, bool is_stderr, bool partial, bool text)
{
        char head[96];
        time_t seconds = (time_t)(time_ns / 1000000000);
        struct tm tm;
        if (gmtime_r(&seconds, &tm) == NULL)
                return -EINVAL;
        int n = snprintf(head, sizeof(head),
                         "{\"t\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ\",\"s\":\"%s\"%s,\"%s\":\"",
                         tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                         (int)(time_ns % 1000000000), is_stderr ? "stderr" : "stdout",
                         partial ? ",\"p\":true" : "", text ? "l" : "b");
        return n < 0 || (size_t)n >= sizeof(head) ? -EINVAL : buffer_append(out, head, (size_t)n);
}

int line_encode(struct buffer *out, int64_t time_ns, bool is_stderr, const char *bytes, size_t size,
                bool partial)
{
        size_t before = out->length;
        bool text = is_text(bytes, size);
        int r = append_head(out, time_ns, is_stderr, partial, text);
        if (r == 0)
                r = text ? append_escaped(out, bytes, size) : append_base64(out, bytes, size);
        if (r == 0)
                r = buffer_append_text(out, "\"}\n");
        if (r < 0 && out->data != NULL) {
                out->length = before;
                out->data[out->start + before] = '\0';
        }
        return r;
}
