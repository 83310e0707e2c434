/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reading JSON from outside with exact errors, over jansson. */

static inline void cleanup_json_p(json_t **j)
{
        json_decref(*j);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_p)))

/*
 * Parses one document. Duplicate keys, trailing bytes and NUL inside strings are errors; so is nesting beyond
 * jansson's limit (2048). what names the document in the error. The reference is the caller's.
 */
int json_parse(const char *text, size_t size, const char *what, json_t **ret_json, struct error *err);

/* Serialized without blanks, keys in insertion order; free() it. NULL when out of memory. */
char *json_print(const json_t *json, size_t *ret_size);

/*
 * Members of an object. A missing member gives -ENOENT unless a fallback is taken (the _or forms), a member
 * of another type or out of range gives -EINVAL. Strings are lent by the object.
 */
int json_get_string(const json_t *object, const char *key, const char **ret_text, struct error *err);
int json_get_integer(const json_t *object, const char *key, int64_t minimum, int64_t maximum,
                     int64_t *ret_number, struct error *err);
int json_get_string_or(const json_t *object, const char *key, const char *fallback, const char **ret_text,
                       struct error *err);
int json_get_integer_or(const json_t *object, const char *key, int64_t minimum, int64_t maximum,
                        int64_t fallback, int64_t *ret_number, struct error *err);
int json_get_bool_or(const json_t *object, const char *key, bool fallback, bool *ret_bool, struct error *err);

/* For what is shown: the string, lent, or "" when the member is missing or something else. */
const char *json_text(const json_t *object, const char *key);

/* An array of strings as a NULL-terminated vector (free with json_free_strings()); missing or null gives an
 * empty one. */
int json_get_strings(const json_t *object, const char *key, char ***ret_strings, size_t *ret_count,
                     struct error *err);
void json_free_strings(char **strings);

#endif
