/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines of JSON, with docker's members. */
#include "wire/event.h"

#include "base/cleanup.h"

#include <string.h>

#define NS 1000000000LL

/* The action, cut between characters. free() it. */
static char *cut_action(const char *action)
{
        size_t size = strnlen(action, EVENT_ACTION_MAX + 1);
        if (size > EVENT_ACTION_MAX) {
                for (size = EVENT_ACTION_MAX; size > 0 && ((unsigned char)action[size] & 0xc0) == 0x80;)
                        size--;
        }
        return strndup(action, size);
}

static json_t *event_json(int64_t time_ns, const char *type, const char *action, const char *id,
                          json_t *attributes)
{
        return json_pack("{s:I, s:I, s:s, s:s, s:{s:s, s:O}, s:s}", "time", (json_int_t)(time_ns / NS),
                         "timeNano", (json_int_t)time_ns, "Type", type, "Action", action, "Actor", "ID", id,
                         "Attributes", attributes, "scope", "local");
}

/* With its newline. */
static char *print_line(const json_t *json, size_t *ret_size)
{
        size_t size;
        char *text = json == NULL ? NULL : json_print(json, &size);
        if (text == NULL)
                return NULL;
        text[size] = '\n'; /* in the place of the NUL */
        *ret_size = size + 1;
        return text;
}

/* Only the attributes that say which box it is. */
static json_t *essential(const json_t *attributes)
{
        return json_pack("{s:O*, s:O*}", "image", json_object_get(attributes, "image"), "name",
                         json_object_get(attributes, "name"));
}

char *event_line(int64_t time_ns, const char *type, const char *action, const char *id,
                 const json_t *attributes, const char *key, const char *value, size_t *ret_size)
{
        cleanup_free char *shown = cut_action(action);
        char *line = NULL;
        for (int whole = 1; whole >= 0 && shown != NULL; whole--) {
                cleanup_json json_t *all = attributes == NULL ? json_object()
                                           : whole            ? json_copy((json_t *)attributes)
                                                              : essential(attributes);
                if (key != NULL && json_object_set_new(all, key, json_string(value)) < 0)
                        break;
                cleanup_json json_t *json = all == NULL ? NULL : event_json(time_ns, type, shown, id, all);
                free(line);
                line = print_line(json, ret_size);
                if (line == NULL || *ret_size <= EVENT_LINE_MAX)
                        return line;
        }
        free(line);
        return NULL;
}
