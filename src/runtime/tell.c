/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the journal. The folder is opened for each: events are few, and a handle may live for long. */
#include "runtime/tell.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/journal.h"
#include "base/path.h"
#include "wire/event.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define FOLDER         "events"
#define STATE_SIZE_MAX (1U << 20)

int tell_folder(const struct boxlet *b)
{
        return path_open_dir_at(b->home_fd, FOLDER, 0700);
}

static void tell(struct boxlet *b, const char *type, const char *action, const char *id,
                 const json_t *attributes, const char *key, const char *value)
{
        size_t size;
        cleanup_free char *line =
            event_line(clock_wall_ns(), type, action, id, attributes, key, value, &size);
        cleanup_fd int folder = line == NULL ? -1 : tell_folder(b);
        if (folder >= 0)
                (void)journal_append(folder, EVENT_JOURNAL, line, size,
                                     EVENT_JOURNAL_BYTES); /* an event that is lost is no failure */
}

json_t *tell_attributes(const struct state_box *record)
{
        cleanup_json json_t *config = NULL;
        struct error ignored = ERROR_INIT;
        json_t *attributes = json_object();
        if (json_parse(record->config, strlen(record->config), "configuration", &config, &ignored) == 0 &&
            json_object_get(config, "labels") != NULL)
                (void)json_object_update(attributes,
                                         json_object_get(config, "labels")); /* as far as it goes */
        if (json_object_set_new(attributes, "image", json_string(record->image_reference)) < 0 ||
            json_object_set_new(attributes, "name", json_string(record->name)) < 0) {
                json_decref(attributes);
                return NULL;
        }
        return attributes;
}

void tell_box_with(struct boxlet *b, const char *id, const json_t *attributes, const char *action,
                   const char *key, const char *value)
{
        tell(b, "box", action, id, attributes, key, value);
}

void tell_box(struct boxlet *b, const struct state_box *record, const char *action, const char *key,
              const char *value)
{
        cleanup_json json_t *attributes = tell_attributes(record);
        tell(b, "box", action, record->id, attributes, key, value);
}

void tell_exec(struct boxlet *b, const char *id, const json_t *attributes, const char *action,
               const json_t *args, const char *key, const char *value)
{
        struct buffer text = BUFFER_INIT(2 * EVENT_ACTION_MAX);
        const json_t *arg;
        size_t i;
        (void)buffer_printf(&text, "%s:", action); /* short */
        json_array_foreach ((json_t *)args, i, arg) {
                const char *word = json_string_value(arg);
                size_t size = strnlen(word, EVENT_ACTION_MAX + 1);
                while (size > EVENT_ACTION_MAX || (word[size] & 0xc0) == 0x80)
                        size--; /* not within a character */
                if (buffer_printf(&text, " %.*s", (int)size, word) < 0)
                        break; /* it is cut anyway */
        }
        tell(b, "box", buffer_content(&text), id, attributes, key, value);
        buffer_done(&text);
}

void tell_dead(struct boxlet *b, const struct state_box *record, int box_fd)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *state = NULL;
        struct error ignored = ERROR_INIT;
        size_t size;
        if (path_read_at(box_fd, "state.json", STATE_SIZE_MAX, &text, &size) < 0 ||
            json_parse(text, size, "state.json", &state, &ignored) < 0)
                return;
        const char *phase = json_string_value(json_object_get(state, "state"));
        if (phase != NULL && strcmp(phase, "exited") != 0 && strcmp(phase, "failed") != 0)
                tell_box(b, record, "die", "exitCode", "137");
}

void tell_image(struct boxlet *b, const char *action, const char *id, const char *name)
{
        tell(b, "image", action, id, NULL, name != NULL ? "name" : NULL, name);
}

void tell_removed_images(struct boxlet *b, const char *report)
{
        while (report != NULL && *report != '\0') {
                size_t size = strcspn(report, "\n");
                cleanup_free char *line = strndup(report, size);
                if (line != NULL && strncmp(line, "Untagged: ", 10) == 0)
                        tell_image(b, "untag", line + 10, line + 10);
                else if (line != NULL && strncmp(line, "Deleted: ", 9) == 0)
                        tell_image(b, "delete", line + 9, line + 9);
                report += size + (report[size] == '\n');
        }
}

void tell_volume(struct boxlet *b, const char *action, const char *name)
{
        tell(b, "volume", action, name, NULL, "driver", "local");
}

json_t *tell_box_json(const struct boxlet *b, const struct state_box *record)
{
        cleanup_fd int made = tell_folder(b); /* if it cannot be made, the monitor says so */
        cleanup_free char *folder = path_join(b->home, FOLDER);
        json_t *attributes = tell_attributes(record);
        (void)made;
        if (folder == NULL || attributes == NULL) {
                json_decref(attributes);
                return NULL;
        }
        return json_pack("{s:s, s:o}", "folder", folder, "attributes", attributes);
}
