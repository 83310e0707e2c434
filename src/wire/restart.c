/* SPDX-License-Identifier: Apache-2.0 */
/* The names are docker's. A number belongs to on-failure alone, there too. */
#include "wire/restart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"no", "on-failure", "always", "unless-stopped"};

const char *restart_name(enum restart_kind kind)
{
        return names[kind];
}

/* The kind whose name is the first `length` characters; -EINVAL. */
static int find_kind(const char *text, size_t length)
{
        for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
                if (strlen(names[i]) == length && strncmp(names[i], text, length) == 0)
                        return i;
        }
        return -EINVAL;
}

int restart_parse(const char *text, struct restart_policy *ret_policy, struct error *err)
{
        static const char forms[] = "no, on-failure[:N], always or unless-stopped";
        struct restart_policy policy = {.kind = RESTART_NO};
        if (text == NULL || text[0] == '\0') {
                *ret_policy = policy;
                return 0;
        }
        const char *colon = strchr(text, ':');
        int kind = find_kind(text, colon == NULL ? strlen(text) : (size_t)(colon - text));
        if (kind < 0)
                return error_set(err, -EINVAL, "restart policy '%s': there is none: use %s", text, forms);
        policy.kind = (enum restart_kind)kind;
        if (colon != NULL) {
                char *end;
                if (kind != RESTART_ON_FAILURE)
                        return error_set(err, -EINVAL, "restart policy '%s': only on-failure takes a number",
                                         text);
                errno = 0;
                policy.maximum = strtol(colon + 1, &end, 10);
                if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || errno != 0 ||
                    policy.maximum > INT32_MAX)
                        return error_set(err, -EINVAL, "restart policy '%s': '%s' is no number", text,
                                         colon + 1);
        }
        *ret_policy = policy;
        return 0;
}

int restart_read(const json_t *json, struct restart_policy *ret_policy, struct error *err)
{
        struct restart_policy policy = {.kind = RESTART_NO};
        const char *name = names[RESTART_NO];
        int r = 0;
        if (json != NULL && !json_is_null(json) && !json_is_object(json))
                r = error_set(err, -EINVAL, "'restart' is not a JSON object");
        if (r == 0 && json_is_object(json)) {
                r = json_get_string(json, "policy", &name, err);
                if (r == 0)
                        r = json_get_integer_or(json, "maximum", 0, INT32_MAX, 0, &policy.maximum, err);
        }
        if (r < 0)
                return r;
        int kind = find_kind(name, strlen(name));
        if (kind < 0)
                return error_set(err, -EINVAL, "'policy' is '%s', no restart policy", name);
        policy.kind = (enum restart_kind)kind;
        *ret_policy = policy;
        return 0;
}

json_t *restart_describe(const struct restart_policy *policy)
{
        return json_pack("{s:s, s:I}", "policy", names[policy->kind], "maximum", (json_int_t)policy->maximum);
}
