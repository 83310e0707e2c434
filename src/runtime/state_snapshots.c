/* SPDX-License-Identifier: Apache-2.0 */
/* The table of snapshots. The rules of state.c hold: each change is one statement, hence one transaction. A
 * trigger takes the records of a box along when its own goes. */
#include "runtime/state_db.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void state_snapshot_done(struct state_snapshot *snapshot)
{
        free(snapshot->name);
        *snapshot = (struct state_snapshot){0};
}

void state_snapshot_list_free(struct state_snapshot *snapshots, size_t count)
{
        for (size_t i = 0; i < count; i++)
                state_snapshot_done(&snapshots[i]);
        free(snapshots);
}

int state_snapshot_insert(struct state *s, const struct state_snapshot *snapshot, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s,
                                 "INSERT INTO snapshots(box_id, name, size_bytes, created_ns, running)"
                                 " SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS(SELECT 1 FROM boxes WHERE id = ?1)",
                                 &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, snapshot->box_id, err);
        if (r == 0)
                r = state_db_bind(s, statement, 2, snapshot->name, err);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 3, (sqlite3_int64)snapshot->size_bytes) != SQLITE_OK ||
            sqlite3_bind_int64(statement, 4, snapshot->created_ns) != SQLITE_OK ||
            sqlite3_bind_int(statement, 5, snapshot->running) != SQLITE_OK)
                return state_db_fail(s, err, "bind value");
        int rc = sqlite3_step(statement);
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
                return error_set(err, -EEXIST,
                                 "there is a snapshot '%s' of it: remove it, or choose another name",
                                 snapshot->name);
        if (rc != SQLITE_DONE)
                return state_db_fail(s, err, "record the snapshot");
        return sqlite3_changes(s->db) == 0 ? error_set(err, -ENOENT, "the box was removed") : 0;
}

#define COLUMNS "SELECT box_id, name, size_bytes, created_ns, running FROM snapshots "

static int read_row(sqlite3_stmt *statement, struct state_snapshot *ret_snapshot, struct error *err)
{
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        struct state_snapshot snapshot = {
            .name = name == NULL ? NULL : strdup(name),
            .size_bytes = (uint64_t)sqlite3_column_int64(statement, 2),
            .created_ns = sqlite3_column_int64(statement, 3),
            .running = sqlite3_column_int(statement, 4) != 0,
        };
        if (snapshot.name == NULL)
                return error_set(err, -ENOMEM, "read the database: out of memory");
        (void)snprintf(snapshot.box_id, sizeof(snapshot.box_id), "%s", id == NULL ? "" : id);
        *ret_snapshot = snapshot;
        return 0;
}

int state_snapshot_find(struct state *s, const char *box_id, const char *name,
                        struct state_snapshot *ret_snapshot, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, COLUMNS "WHERE box_id = ? AND name = ?", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, box_id, err);
        if (r == 0)
                r = state_db_bind(s, statement, 2, name, err);
        if (r < 0)
                return r;
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return error_set(err, -ENOENT, "it has no snapshot '%s'", name);
        return rc == SQLITE_ROW ? read_row(statement, ret_snapshot, err)
                                : state_db_fail(s, err, "find snapshot");
}

static int append_row(sqlite3_stmt *statement, struct state_snapshot **snapshots, size_t *count,
                      struct error *err)
{
        struct state_snapshot *grown = reallocarray(*snapshots, *count + 1, sizeof(*grown));
        if (grown == NULL)
                return error_set(err, -ENOMEM, "list snapshots: out of memory");
        *snapshots = grown;
        int r = read_row(statement, &grown[*count], err);
        if (r == 0)
                (*count)++;
        return r;
}

int state_snapshot_list(struct state *s, const char *box_id, struct state_snapshot **ret_snapshots,
                        size_t *ret_count, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        struct state_snapshot *snapshots = NULL;
        size_t count = 0;
        int rc = SQLITE_DONE;
        int r =
            state_db_prepare(s, COLUMNS "WHERE ?1 IS NULL OR box_id = ?1 ORDER BY created_ns, box_id, name",
                             &statement, err);
        if (r == 0 && box_id != NULL)
                r = state_db_bind(s, statement, 1, box_id, err);
        while (r == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW)
                r = append_row(statement, &snapshots, &count, err);
        if (r == 0 && rc != SQLITE_DONE)
                r = state_db_fail(s, err, "list snapshots");
        if (r < 0) {
                state_snapshot_list_free(snapshots, count);
                return r;
        }
        *ret_snapshots = snapshots;
        *ret_count = count;
        return 0;
}

int state_snapshot_delete(struct state *s, const char *box_id, const char *name, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "DELETE FROM snapshots WHERE box_id = ? AND name = ?", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, box_id, err);
        if (r == 0)
                r = state_db_bind(s, statement, 2, name, err);
        if (r < 0)
                return r;
        return sqlite3_step(statement) == SQLITE_DONE ? 0
                                                      : state_db_fail(s, err, "remove the snapshot's record");
}
