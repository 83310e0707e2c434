/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin readers over jansson: one place decides what is accepted from outside and how a refusal is worded.
 */
#include "base/json.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int json_parse(const char *text, size_t size, const char *what, json_t **ret_json, struct error *err)
{
        json_error_t problem;
        json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
        if (json == NULL)
                return error_set(err,
                                 json_error_code(&problem) == json_error_out_of_memory ? -ENOMEM : -EBADMSG,
                                 "parse %s: line %d: %s", what, problem.line, problem.text);
        *ret_json = json;
        return 0;
}

char *json_print(const json_t *json, size_t *ret_size)
{
        char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text != NULL && ret_size != NULL)
                *ret_size = strlen(text);
        return text;
}

static const char *type_name(const json_t *value)
{
        static const char *const names[] = {"object", "array", "string", "integer",
                                            "real",   "true",  "false",  "null"};
        return names[json_typeof(value)];
}

static int missing(const char *key, struct error *err)
{
        return error_set(err, -ENOENT, "'%s' is missing", key);
}

int json_get_string(const json_t *object, const char *key, const char **ret_text, struct error *err)
{
        const json_t *value = json_object_get(object, key);
        if (value == NULL || json_is_null(value))
                return missing(key, err);
        if (!json_is_string(value))
                return error_set(err, -EINVAL, "'%s' is a JSON %s, not a string", key, type_name(value));
        *ret_text = json_string_value(value);
        return 0;
}

int json_get_string_or(const json_t *object, const char *key, const char *fallback, const char **ret_text,
                       struct error *err)
{
        const json_t *value = json_object_get(object, key);
        if (value == NULL || json_is_null(value)) {
                *ret_text = fallback;
                return 0;
        }
        return json_get_string(object, key, ret_text, err);
}

int json_get_integer(const json_t *object, const char *key, int64_t minimum, int64_t maximum,
                     int64_t *ret_number, struct error *err)
{
        const json_t *value = json_object_get(object, key);
        if (value == NULL || json_is_null(value))
                return missing(key, err);
        if (!json_is_integer(value))
                return error_set(err, -EINVAL, "'%s' is a JSON %s, not an integer", key, type_name(value));
        json_int_t number = json_integer_value(value);
        if (number < minimum || number > maximum)
                return error_set(err, -EINVAL, "'%s' is %lld, outside %lld to %lld", key, (long long)number,
                                 (long long)minimum, (long long)maximum);
        *ret_number = number;
        return 0;
}

int json_get_integer_or(const json_t *object, const char *key, int64_t minimum, int64_t maximum,
                        int64_t fallback, int64_t *ret_number, struct error *err)
{
        const json_t *value = json_object_get(object, key);
        if (value == NULL || json_is_null(value)) {
                *ret_number = fallback;
                return 0;
        }
        return json_get_integer(object, key, minimum, maximum, ret_number, err);
}

int json_get_bool_or(const json_t *object, const char *key, bool fallback, bool *ret_bool, struct error *err)
{
        const json_t *value = json_object_get(object, key);
        if (value != NULL && !json_is_null(value) && !json_is_boolean(value))
                return error_set(err, -EINVAL, "'%s' is a JSON %s, not true or false", key, type_name(value));
        *ret_bool = value == NULL || json_is_null(value) ? fallback : json_is_true(value);
        return 0;
}

const char *json_text(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));
        return text == NULL ? "" : text;
}

int json_get_strings(const json_t *object, const char *key, char ***ret_strings, size_t *ret_count,
                     struct error *err)
{
        const json_t *value = json_object_get(object, key);
        size_t count = 0;
        if (value != NULL && !json_is_null(value)) {
                if (!json_is_array(value))
                        return error_set(err, -EINVAL, "'%s' is a JSON %s, not an array", key,
                                         type_name(value));
                count = json_array_size(value);
        }
        char **strings = calloc(count + 1, sizeof(*strings));
        if (strings == NULL)
                return error_set(err, -ENOMEM, "read '%s': out of memory", key);
        for (size_t i = 0; i < count; i++) {
                const json_t *item = json_array_get(value, i);
                if (!json_is_string(item)) {
                        json_free_strings(strings);
                        return error_set(err, -EINVAL, "'%s' holds a JSON %s, not only strings", key,
                                         type_name(item));
                }
                strings[i] = strdup(json_string_value(item));
                if (strings[i] == NULL) {
                        json_free_strings(strings);
                        return error_set(err, -ENOMEM, "read '%s': out of memory", key);
                }
        }
        *ret_strings = strings;
        if (ret_count != NULL)
                *ret_count = count;
        return 0;
}

void json_free_strings(char **strings)
{
        if (strings == NULL)
                return;
        for (char **s = strings; *s != NULL; s++)
                free(*s);
        free(strings);
}
