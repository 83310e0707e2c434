/* SPDX-License-Identifier: Apache-2.0 */
/* Paths into JSON, with text around them. One scanner serves checking (no JSON) and printing. */
#include "cli/format.h"

#include "base/cleanup.h"
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What stands between one pair of braces, without blanks around it. */
struct field {
        const char *path; /* begins with '.' */
        size_t length;
        bool as_json;
};

static int read_field(const char *begin, const char *end, struct field *ret, struct error *err)
{
        const char *at = begin;
        bool as_json = false;
        while (at < end && isspace((unsigned char)*at))
                at++;
        while (end > at && isspace((unsigned char)end[-1]))
                end--;
        if (end - at > 5 && strncmp(at, "json ", 5) == 0) {
                as_json = true;
                for (at += 5; at < end && *at == ' ';)
                        at++;
        }
        bool good = at < end && *at == '.';
        for (const char *p = at; p < end; p++)
                good = good && (isalnum((unsigned char)*p) || strchr("._-", *p) != NULL);
        if (!good)
                return error_set(
                    err, -ENOTSUP,
                    "--format with '{{%.*s}}' is not supported: use {{.Member.Member}} or {{json .Member}}",
                    (int)(end - begin), begin);
        *ret = (struct field){.path = at, .length = (size_t)(end - at), .as_json = as_json};
        return 0;
}

static int look_up(const struct field *field, const json_t *json, const json_t **ret, struct error *err)
{
        const char *at = field->path, *end = field->path + field->length;
        while (at < end) {
                char name[128];
                at++; /* the dot */
                size_t length = 0;
                while (at + length < end && at[length] != '.')
                        length++;
                if (length == 0 && at == end)
                        break;                                               /* "." is the whole */
                (void)snprintf(name, sizeof(name), "%.*s", (int)length, at); /* a longer one does not exist */
                json = json_object_get(json, name);
                if (json == NULL)
                        return error_set(err, -ENOENT, "there is no '%.*s' in it", (int)field->length,
                                         field->path);
                at += length;
        }
        *ret = json;
        return 0;
}

static int print_field(FILE *file, const struct field *field, const json_t *json, struct error *err)
{
        const json_t *value = NULL;
        int r = look_up(field, json, &value, err);
        if (r < 0)
                return r;
        if (json_is_string(value) && !field->as_json) {
                cli_print_safe(file, json_string_value(value));
                return 0;
        }
        cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
        if (text == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        fputs(text, file);
        return 0;
}

/* file NULL: only check. */
static int scan(FILE *file, const char *format, const json_t *json, struct error *err)
{
        for (const char *at = format; *at != '\0';) {
                const char *open = strstr(at, "{{");
                size_t text = open != NULL ? (size_t)(open - at) : strlen(at);
                if (file != NULL)
                        fprintf(file, "%.*s", (int)text, at);
                if (open == NULL)
                        break;
                const char *close = strstr(open, "}}");
                struct field field = {0};
                if (close == NULL)
                        return error_set(err, -EINVAL, "invalid value '%s' for --format: '}}' is missing",
                                         format);
                int r = read_field(open + 2, close, &field, err);
                if (r == 0 && file != NULL)
                        r = print_field(file, &field, json, err);
                if (r < 0)
                        return r;
                at = close + 2;
        }
        if (file != NULL)
                fputc('\n', file);
        return 0;
}

int format_check(const char *format, struct error *err)
{
        if (strcmp(format, "json") != 0 && strstr(format, "{{") == NULL)
                return error_set(
                    err, -EINVAL,
                    "invalid value '%s' for --format: neither json nor a text with {{.Member}} in it",
                    format);
        return scan(NULL, format, NULL, err);
}

int format_print(FILE *file, const char *format, const json_t *json, struct error *err)
{
        return scan(file, format, json, err);
}
