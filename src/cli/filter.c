/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters. Parsing splits and refuses what is unknown; a check per kind of thing reads the values; matching
 * looks at one JSON object. Terms of one key are alternatives, keys are conditions: so for each key that is
 * there, one of its terms must fit.
 */
#include "cli/filter.h"

#include "cli/cli.h"
#include "cli/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const filter_box_keys[] = {"id",     "name",  "label",  "status",  "exited", "ancestor",
                                       "before", "since", "volume", "network", "health", NULL};

static const char *const states[] = {"created", "restarting", "running", "removing",
                                     "paused",  "exited",     "dead",    NULL};
static const char *const healths[] = {"starting", "healthy", "unhealthy", "none", NULL};

static const char *find_word(const char *const *words, const char *text, size_t length)
{
        for (; *words != NULL; words++) {
                if (strlen(*words) == length && memcmp(*words, text, length) == 0)
                        return *words;
        }
        return NULL;
}

static void list_words(const char *const *words, char *text, size_t size)
{
        size_t used = 0;
        text[0] = '\0';
        for (; *words != NULL && used < size; words++)
                used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", *words);
}

int filter_parse(const struct text_list *texts, const char *const *keys, struct filter *ret_filter,
                 struct error *err)
{
        struct filter filter = {0};
        char known[256];
        filter.terms = calloc(texts->count + 1, sizeof(*filter.terms));
        if (filter.terms == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        for (size_t i = 0; i < texts->count; i++) {
                const char *text = texts->items[i], *equals = strchr(text, '=');
                size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
                struct filter_term *term = &filter.terms[filter.count++];
                term->key = find_word(keys, text, length);
                term->value = equals != NULL ? equals + 1 : "";
                if (equals != NULL && term->key != NULL && term->value[0] != '\0')
                        continue;
                list_words(keys, known, sizeof(known));
                int r = equals == NULL || term->key != NULL
                            ? error_set(err, -EINVAL, "invalid value '%s' for --filter: not KEY=VALUE", text)
                            : error_set(err, -ENOTSUP, "there is no filter '%.*s': there are %s", (int)length,
                                        text, known);
                filter_done(&filter);
                return r;
        }
        *ret_filter = filter;
        return 0;
}

void filter_done(struct filter *filter)
{
        for (size_t i = 0; i < filter->count; i++) {
                if (filter->terms[i].has_regex)
                        regfree(&filter->terms[i].regex);
        }
        free(filter->terms);
        *filter = (struct filter){0};
}

bool filter_has(const struct filter *filter, const char *key)
{
        for (size_t i = 0; i < filter->count; i++) {
                if (strcmp(filter->terms[i].key, key) == 0)
                        return true;
        }
        return false;
}

/* ---- boxes ---- */

static int check_one_of(const struct filter_term *term, const char *const *words, struct error *err)
{
        char known[128];
        if (find_word(words, term->value, strlen(term->value)) != NULL)
                return 0;
        list_words(words, known, sizeof(known));
        return error_set(err, -EINVAL, "invalid value '%s' for filter '%s': not one of %s", term->value,
                         term->key, known);
}

static int check_box_term(struct filter_term *term, struct error *err)
{
        if (strcmp(term->key, "status") == 0)
                return check_one_of(term, states, err);
        if (strcmp(term->key, "health") == 0)
                return check_one_of(term, healths, err);
        if (strcmp(term->key, "exited") == 0 &&
            (value_count(term->value, &term->number) < 0 || term->number > 255))
                return error_set(err, -EINVAL, "invalid value '%s' for filter 'exited': not an exit code",
                                 term->value);
        if (strcmp(term->key, "name") == 0 || strcmp(term->key, "id") == 0) {
                if (regcomp(&term->regex, term->value, REG_EXTENDED | REG_NOSUB) != 0)
                        return error_set(err, -EINVAL,
                                         "invalid value '%s' for filter '%s': not a regular expression",
                                         term->value, term->key);
                term->has_regex = true;
        }
        return 0;
}

int filter_check_boxes(struct filter *filter, struct error *err)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < filter->count; i++)
                r = check_box_term(&filter->terms[i], err);
        return r;
}

static const char *text_of(const json_t *object, const char *key)
{
        const json_t *value = json_object_get(object, key);
        if (json_is_array(value))
                value = json_array_get(value, 0);
        const char *text = json_string_value(value);
        return text == NULL ? "" : text;
}

/* In nanoseconds where the list has them. */
static int64_t created(const json_t *box)
{
        const json_t *ns = json_object_get(box, "CreatedNs");
        return ns != NULL ? json_integer_value(ns)
                          : json_integer_value(json_object_get(box, "Created")) * 1000000000;
}

static const json_t *find_box(const json_t *all, const char *name, bool *ret_several)
{
        const json_t *found = NULL, *box;
        size_t i;
        *ret_several = false;
        json_array_foreach (all, i, box) {
                if (strcmp(text_of(box, "Names"), name) == 0 || strcmp(text_of(box, "Id"), name) == 0)
                        return box;
        }
        json_array_foreach (all, i, box) {
                if (strncmp(text_of(box, "Id"), name, strlen(name)) != 0)
                        continue;
                *ret_several = found != NULL;
                if (found != NULL)
                        return NULL;
                found = box;
        }
        return found;
}

int filter_resolve_boxes(struct filter *filter, const json_t *all, struct error *err)
{
        for (size_t i = 0; i < filter->count; i++) {
                struct filter_term *term = &filter->terms[i];
                bool several;
                if (strcmp(term->key, "before") != 0 && strcmp(term->key, "since") != 0)
                        continue;
                const json_t *box = find_box(all, term->value, &several);
                if (box == NULL)
                        return error_set(err, several ? -ENOTUNIQ : -ENOENT, "filter '%s': %s '%s'",
                                         term->key,
                                         several ? "several boxes have an id that begins with"
                                                 : "there is no box",
                                         term->value);
                term->number = created(box);
        }
        return 0;
}

bool filter_fits_label(const json_t *labels, const char *text)
{
        const char *equals = strchr(text, '=');
        size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)labels, key, value) {
                if (strlen(key) == length && memcmp(key, text, length) == 0)
                        return equals == NULL ||
                               (json_is_string(value) && strcmp(json_string_value(value), equals + 1) == 0);
        }
        return false;
}

/* Without what docker leaves out: *ret_length bytes of what is returned. */
static const char *familiar(const char *name, size_t *ret_length)
{
        static const char *const prefixes[] = {"docker.io/library/", "docker.io/"};
        for (size_t i = 0; i < 2; i++) {
                if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
                        name += strlen(prefixes[i]);
                        break;
                }
        }
        size_t length = strlen(name);
        if (length > 7 && strcmp(name + length - 7, ":latest") == 0)
                length -= 7;
        *ret_length = length;
        return name;
}

/* "app" is every tag of it to docker, so it is here. */
bool filter_same_image(const char *name, const char *value)
{
        size_t a_length, b_length;
        const char *a = familiar(name, &a_length), *b = familiar(value, &b_length);
        if (a_length == b_length)
                return memcmp(a, b, a_length) == 0;
        if (a_length < b_length || memcmp(a, b, b_length) != 0 || a[b_length] != ':')
                return false;
        const char *slash = memrchr(b, '/', b_length), *last = slash != NULL ? slash + 1 : b;
        return memchr(last, ':', (size_t)(b + b_length - last)) == NULL &&
               memchr(a + b_length, '/', a_length - b_length) == NULL;
}

static bool is_image(const json_t *box, const char *value)
{
        const char *id = text_of(box, "ImageID"), *digits = strncmp(id, "sha256:", 7) == 0 ? id + 7 : id;
        size_t length = strlen(value);
        if (filter_same_image(text_of(box, "Image"), value) || strcmp(id, value) == 0)
                return true;
        return length >= 4 && strncmp(digits, value, length) == 0;
}

static bool has_mount(const json_t *box, const char *value)
{
        const json_t *mounts = json_object_get(box, "Mounts"), *mount;
        size_t i;
        json_array_foreach (mounts, i, mount) {
                if (strcmp(text_of(mount, "Name"), value) == 0 ||
                    strcmp(text_of(mount, "Source"), value) == 0 ||
                    strcmp(text_of(mount, "Destination"), value) == 0)
                        return true;
        }
        return false;
}

static bool fits_term(const struct filter_term *term, const json_t *box)
{
        const char *key = term->key, *value = term->value;
        if (strcmp(key, "id") == 0)
                return regexec(&term->regex, text_of(box, "Id"), 0, NULL, 0) == 0;
        if (strcmp(key, "name") == 0)
                return regexec(&term->regex, text_of(box, "Names"), 0, NULL, 0) == 0;
        if (strcmp(key, "label") == 0)
                return filter_fits_label(json_object_get(box, "Labels"), value);
        if (strcmp(key, "status") == 0)
                return strcmp(text_of(box, "State"), value) == 0;
        if (strcmp(key, "exited") == 0)
                return strcmp(text_of(box, "State"), "exited") == 0 &&
                       json_integer_value(json_object_get(box, "ExitCode")) == term->number;
        if (strcmp(key, "ancestor") == 0)
                return is_image(box, value);
        if (strcmp(key, "before") == 0)
                return created(box) < term->number;
        if (strcmp(key, "since") == 0)
                return created(box) > term->number;
        if (strcmp(key, "volume") == 0)
                return has_mount(box, value);
        if (strcmp(key, "network") == 0)
                return strcmp(text_of(box, "Networks"), strcmp(value, "bridge") == 0 ? "default" : value) ==
                       0;
        const char *health = text_of(box, "Health");
        return strcmp(health[0] != '\0' ? health : "none", value) == 0;
}

bool filter_fits(const struct filter *filter, filter_fits_fn fits_term_of, const json_t *object)
{
        for (size_t i = 0; i < filter->count; i++) {
                const char *key = filter->terms[i].key;
                bool fits = fits_term_of(&filter->terms[i], object);
                if (strcmp(key, "label") == 0) {
                        if (!fits)
                                return false;
                        continue;
                }
                for (size_t j = 0; !fits && j < filter->count; j++)
                        fits =
                            strcmp(filter->terms[j].key, key) == 0 && fits_term_of(&filter->terms[j], object);
                if (!fits)
                        return false;
        }
        return true;
}

bool filter_fits_box(const struct filter *filter, const json_t *box)
{
        return filter_fits(filter, fits_term, box);
}
