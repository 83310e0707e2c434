/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "base/error.h"
#include "base/json.h"
#include "cli/text.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * --filter KEY=VALUE, with docker's meaning: of several values of one key any may fit, several keys must all
 * fit; labels must all fit.
 */
struct filter_term {
        const char *key;   /* one of the table's names */
        const char *value; /* lent */
        regex_t regex;     /* of `name` and `id` only */
        bool has_regex;
        char id[65];    /* of the box that value names now, or "" */
        int64_t number; /* of `exited`; of `before` and `since` once resolved: nanoseconds */
};

struct filter {
        struct filter_term *terms;
        size_t count;
};

/* The texts as typed; NULL-terminated keys are those the command knows. Pure. */
int filter_parse(const struct text_list *texts, const char *const *keys, struct filter *ret_filter,
                 struct error *err);
void filter_done(struct filter *filter);

/* Whether the object is wanted, when fn says whether one term fits it. */
typedef bool (*filter_fits_fn)(const struct filter_term *term, const json_t *object);
bool filter_fits(const struct filter *filter, filter_fits_fn fn, const json_t *object);

bool filter_has(const struct filter *filter, const char *key);

/* The keys of boxes, and a check of their values. */
extern const char *const filter_box_keys[];
int filter_check_boxes(struct filter *filter, struct error *err);

/* Finds the boxes that `before` and `since` name among all boxes (the list of boxlet_box_list()). */
int filter_resolve_boxes(struct filter *filter, const json_t *all, struct error *err);

/* Whether an element of that list is wanted. */
bool filter_fits_box(const struct filter *filter, const json_t *box);

/* Whether labels (an object) has "KEY" or "KEY=VALUE". */
bool filter_fits_label(const json_t *labels, const char *text);

/* Whether name is what value calls it: an image, with and without what docker leaves out. */
bool filter_same_image(const char *name, const char *value);

#endif
