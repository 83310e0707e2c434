/* SPDX-License-Identifier: Apache-2.0 */
/* The box's events into the journal of its home, whose folder box.json names. */
#include "monitor/events.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/journal.h"
#include "base/log.h"
#include "monitor/state.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct events {
        int folder_fd;
        char *id;
        json_t *attributes;
};

struct events *events_new(const struct config *c)
{
        if (c->events_folder == NULL)
                return NULL;
        struct events *e = calloc(1, sizeof(*e));
        if (e == NULL)
                return NULL;
        e->folder_fd = open(c->events_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (e->folder_fd < 0)
                log_warning("open the journal's folder '%s': %s", c->events_folder, strerror(errno));
        e->id = strdup(c->id);
        e->attributes = json_incref((json_t *)c->events_attributes);
        if (e->folder_fd < 0 || e->id == NULL) {
                events_free(e);
                return NULL;
        }
        return e;
}

void events_free(struct events *e)
{
        if (e == NULL)
                return;
        close_fd(&e->folder_fd);
        json_decref(e->attributes);
        free(e->id);
        free(e);
}

void events_tell(struct events *e, const char *action, const char *key, const char *value)
{
        size_t size;
        if (e == NULL)
                return;
        cleanup_free char *line =
            event_line(clock_wall_ns(), "box", action, e->id, e->attributes, key, value, &size);
        int r = line == NULL ? -ENOMEM
                             : journal_append(e->folder_fd, EVENT_JOURNAL, line, size, EVENT_JOURNAL_BYTES);
        if (r < 0)
                log_warning("the event '%s' is lost: %s", action, strerror(-r));
}

void events_rename(struct events *e, const char *name)
{
        /* the object is box.json's, which is read for nothing else of it; if it fails, the old name is told
         */
        if (e != NULL && json_is_object(e->attributes))
                (void)json_object_set_new(e->attributes, "name", json_string(name));
}

void events_tell_number(struct events *e, const char *action, const char *key, int64_t value)
{
        char text[24];
        (void)snprintf(text, sizeof(text), "%" PRId64, value); /* fits */
        events_tell(e, action, key, text);
}
