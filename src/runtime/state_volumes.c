/* SPDX-License-Identifier: Apache-2.0 */
/* The table of named disks. The rules of state.c hold: each change is one statement, hence one transaction.
 */
#include "runtime/state_db.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void state_volume_done(struct state_volume *volume)
{
        free(volume->name);
        free(volume->labels);
        *volume = (struct state_volume){0};
}

void state_volume_list_free(struct state_volume *volumes, size_t count)
{
        for (size_t i = 0; i < count; i++)
                state_volume_done(&volumes[i]);
        free(volumes);
}

int state_volume_insert(struct state *s, const struct state_volume *volume, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s,
                                 "INSERT INTO volumes(name, labels, size_bytes, created_ns, made_up)"
                                 " VALUES(?, ?, ?, ?, ?)",
                                 &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, volume->name, err);
        if (r == 0)
                r = state_db_bind(s, statement, 2, volume->labels, err);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 3, (sqlite3_int64)volume->size_bytes) != SQLITE_OK ||
            sqlite3_bind_int64(statement, 4, volume->created_ns) != SQLITE_OK ||
            sqlite3_bind_int(statement, 5, volume->made_up) != SQLITE_OK)
                return state_db_fail(s, err, "bind value");
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return 0;
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
                return error_set(err, -EEXIST, "create volume '%s': there is one of that name", volume->name);
        return state_db_fail(s, err, "record the volume");
}

#define COLUMNS "SELECT name, labels, size_bytes, created_ns, made_up FROM volumes "

static int read_row(sqlite3_stmt *statement, struct state_volume *ret_volume, struct error *err)
{
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        const char *labels = (const char *)sqlite3_column_text(statement, 1);
        struct state_volume volume = {
            .name = name == NULL ? NULL : strdup(name),
            .labels = labels == NULL ? NULL : strdup(labels),
            .size_bytes = (uint64_t)sqlite3_column_int64(statement, 2),
            .created_ns = sqlite3_column_int64(statement, 3),
            .made_up = sqlite3_column_int(statement, 4) != 0,
        };
        if (volume.name == NULL || volume.labels == NULL) {
                state_volume_done(&volume);
                return error_set(err, -ENOMEM, "read the database: out of memory");
        }
        *ret_volume = volume;
        return 0;
}

int state_volume_find(struct state *s, const char *name, struct state_volume *ret_volume, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, COLUMNS "WHERE name = ?", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, name, err);
        if (r < 0)
                return r;
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return error_set(err, -ENOENT, "find volume '%s': there is none of that name", name);
        return rc == SQLITE_ROW ? read_row(statement, ret_volume, err) : state_db_fail(s, err, "find volume");
}

static int append_row(sqlite3_stmt *statement, struct state_volume **volumes, size_t *count,
                      struct error *err)
{
        struct state_volume *grown = reallocarray(*volumes, *count + 1, sizeof(*grown));
        if (grown == NULL)
                return error_set(err, -ENOMEM, "list volumes: out of memory");
        *volumes = grown;
        int r = read_row(statement, &grown[*count], err);
        if (r == 0)
                (*count)++;
        return r;
}

int state_volume_list(struct state *s, struct state_volume **ret_volumes, size_t *ret_count,
                      struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        struct state_volume *volumes = NULL;
        size_t count = 0;
        int rc = SQLITE_DONE;
        int r = state_db_prepare(s, COLUMNS "ORDER BY name", &statement, err);
        while (r == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW)
                r = append_row(statement, &volumes, &count, err);
        if (r == 0 && rc != SQLITE_DONE)
                r = state_db_fail(s, err, "list volumes");
        if (r < 0) {
                state_volume_list_free(volumes, count);
                return r;
        }
        *ret_volumes = volumes;
        *ret_count = count;
        return 0;
}

/* Who keeps it, for the message. */
static int still_used(struct state *s, const char *name, struct error *err)
{
        struct state_box *boxes;
        size_t count;
        int r = state_volume_users(s, name, &boxes, &count, err);
        if (r < 0)
                return r;
        if (count > 0)
                r = error_set(err, -EBUSY, "remove volume '%s': box '%s' refers to it: remove the box first",
                              name, boxes[0].name);
        state_list_free(boxes, count);
        return r;
}

int state_volume_delete(struct state *s, const char *name, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(
            s,
            "DELETE FROM volumes WHERE name = ?1 AND NOT EXISTS(SELECT 1 FROM boxes, json_each(boxes.config, "
            "'$.disks') AS disk WHERE json_extract(disk.value, '$.volume') = ?1)",
            &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, name, err);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_DONE)
                return state_db_fail(s, err, "remove the volume's record");
        return sqlite3_changes(s->db) == 0 ? still_used(s, name, err) : 0;
}
