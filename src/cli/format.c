/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths into JSON, with text around them. One scanner serves checking (no JSON) and printing; a table is the
 * text of its rows, split at the tabs.
 */
#include "cli/format.h"

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/table.h"

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
        const char *key; /* member (or number of the element) of what path names, or NULL */
        size_t key_length;
};

/* Whether [*at, end) begins with the word and a blank, which are skipped then. */
static bool take_word(const char **at, const char *end, const char *word)
{
        size_t length = strlen(word);
        if ((size_t)(end - *at) <= length || strncmp(*at, word, length) != 0 || (*at)[length] != ' ')
                return false;
        for (*at += length; *at < end && **at == ' ';)
                (*at)++;
        return true;
}

/* "KEY" or NUMBER up to end. */
static bool take_key(const char *at, const char *end, struct field *field)
{
        while (at < end && *at == ' ')
                at++;
        bool quoted = end - at >= 2 && *at == '"' && end[-1] == '"', good = at < end;
        field->key = quoted ? at + 1 : at;
        field->key_length = (size_t)(end - at) - (quoted ? 2 : 0);
        for (size_t i = 0; i < field->key_length; i++)
                good = good && (quoted ? field->key[i] != '"' : isdigit((unsigned char)field->key[i]) != 0);
        return good;
}

static int read_field(const char *begin, const char *end, struct field *ret, struct error *err)
{
        struct field field = {0};
        const char *at = begin, *last = end;
        while (at < last && isspace((unsigned char)*at))
                at++;
        while (last > at && isspace((unsigned char)last[-1]))
                last--;
        field.as_json = take_word(&at, last, "json");
        bool index = !field.as_json && take_word(&at, last, "index");
        field.path = at;
        bool good = at < last && *at == '.';
        for (; at < last && (isalnum((unsigned char)*at) || strchr("._-", *at) != NULL); at++)
                field.length++;
        if (index || (at < last && *at == ' ' && !field.as_json))
                good = good && take_key(at, last, &field);
        else
                good = good && at == last;
        if (!good)
                return error_set(err, -ENOTSUP,
                                 "--format with '{{%.*s}}' is not supported: use {{.Member.Member}}, {{json "
                                 ".Member}} or {{index .Member \"key\"}}",
                                 (int)(end - begin), begin);
        *ret = field;
        return 0;
}

/* NULL: there is none, which prints nothing. */
static const json_t *element(const struct field *field, const json_t *json)
{
        char key[256];
        (void)snprintf(key, sizeof(key), "%.*s", (int)field->key_length,
                       field->key); /* a longer one does not exist */
        return json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
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
        if (field->key != NULL)
                value = element(field, value);
        if (value == NULL)
                return 0;
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

/* The text around the braces; \\t and \\n are a tab and a newline if escapes are wanted. */
static void print_text(FILE *file, const char *text, size_t size, bool escapes)
{
        for (size_t i = 0; i < size; i++) {
                bool escape = escapes && text[i] == '\\' && i + 1 < size && strchr("tn", text[i + 1]) != NULL;
                if (escape)
                        fputc(text[++i] == 't' ? '\t' : '\n', file);
                else
                        fputc(text[i], file);
        }
}

/* file NULL: only check. */
static int scan(FILE *file, const char *format, bool escapes, const json_t *json, struct error *err)
{
        for (const char *at = format; *at != '\0';) {
                const char *open = strstr(at, "{{");
                size_t text = open != NULL ? (size_t)(open - at) : strlen(at);
                if (file != NULL)
                        print_text(file, at, text, escapes);
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
        return 0;
}

int format_check(const char *format, struct error *err)
{
        if (strcmp(format, "json") != 0 && strstr(format, "{{") == NULL)
                return error_set(
                    err, -EINVAL,
                    "invalid value '%s' for --format: neither json nor a text with {{.Member}} in it",
                    format);
        return scan(NULL, format, false, NULL, err);
}

int format_print(FILE *file, const char *format, const json_t *json, struct error *err)
{
        int r = scan(file, format, false, json, err);
        if (r == 0)
                fputc('\n', file);
        return r;
}

int format_check_row(const char *format, struct error *err)
{
        if (strncmp(format, "table ", 6) == 0)
                format += 6;
        if (strcmp(format, "json") == 0 || strcmp(format, "table") == 0)
                return 0;
        if (strstr(format, "{{") == NULL)
                return error_set(
                    err, -EINVAL,
                    "invalid value '%s' for --format: not table, json or a text with {{.Field}} in it",
                    format);
        return scan(NULL, format, false, NULL, err);
}

/* One row as text, its tabs between the columns. free() it. */
static int print_row(const char *format, const json_t *row, char **ret_text, struct error *err)
{
        size_t size;
        *ret_text = NULL;
        FILE *file = open_memstream(ret_text, &size);
        if (file == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        int r = scan(file, format, true, row, err);
        if (fclose(file) != 0 && r == 0)
                r = error_set(err, -ENOMEM, "out of memory");
        return r;
}

/* Splits text at its tabs, in place; cells that are missing are "". */
static int add_to_table(struct table *table, char *text)
{
        const char *cells[TABLE_COLUMNS_MAX];
        for (size_t i = 0; i < table->columns; i++) {
                cells[i] = text != NULL ? text : "";
                char *tab = text != NULL && i + 1 < table->columns ? strchr(text, '\t') : NULL;
                if (tab != NULL)
                        *tab = '\0';
                text = tab != NULL ? tab + 1 : NULL;
        }
        return table_add(table, cells);
}

static int print_table(FILE *file, const char *format, const json_t *headings, const json_t *rows,
                       struct error *err)
{
        cleanup_table struct table table;
        cleanup_free char *heading = NULL;
        const json_t *row;
        size_t i, columns = 1;
        int r = print_row(format, headings, &heading, err);
        for (const char *at = heading; r == 0 && *at != '\0'; at++)
                columns += *at == '\t' && columns < TABLE_COLUMNS_MAX;
        table_init(&table, columns);
        if (r == 0 && add_to_table(&table, heading) < 0)
                r = -ENOMEM;
        json_array_foreach (rows, i, row) {
                cleanup_free char *text = NULL;
                if (r == 0)
                        r = print_row(format, row, &text, err);
                if (r == 0 && add_to_table(&table, text) < 0)
                        r = -ENOMEM;
        }
        if (r == 0)
                table_print(&table, file);
        return r < 0 && err->code == 0 ? error_set(err, r, "out of memory") : r;
}

int format_print_rows(FILE *file, const char *format, const json_t *headings, const json_t *rows,
                      struct error *err)
{
        const json_t *row;
        size_t i;
        if (strncmp(format, "table ", 6) == 0)
                return print_table(file, format + 6, headings, rows, err);
        json_array_foreach (rows, i, row) {
                int r = scan(file, format, true, row, err);
                if (r < 0)
                        return r;
                fputc('\n', file);
        }
        return 0;
}
