/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a box's record after it was made. The rules of state.c hold: each is one statement, hence one
 * transaction; two at once do not undo each other. */
#include "runtime/state_db.h"

#include "base/cleanup.h"

#include <errno.h>

/* Runs "UPDATE boxes SET ... ?2 ... WHERE id = ?1"; the result of sqlite3_step() in *ret_code. */
static int change(struct state *s, const char *sql, const char *id, const char *value, int *ret_code,
                  struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, sql, &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, id, err);
        if (r == 0)
                r = state_db_bind(s, statement, 2, value, err);
        if (r < 0)
                return r;
        *ret_code = sqlite3_step(statement);
        if (*ret_code == SQLITE_DONE && sqlite3_changes(s->db) == 0)
                return error_set(err, -ENOENT, "box %.12s: it was removed", id);
        return 0;
}

int state_rename(struct state *s, const char *id, const char *name, struct error *err)
{
        cleanup_state_box struct state_box holder = {0};
        int code;
        int r = change(s, "UPDATE boxes SET name = ?2 WHERE id = ?1", id, name, &code, err);
        if (r < 0 || code == SQLITE_DONE)
                return r;
        if ((code & 0xff) != SQLITE_CONSTRAINT)
                return state_db_fail(s, err, "record the name");
        if (state_find(s, name, &holder, err) < 0)
                return error_set(err, -EEXIST, "the name '%s' is taken", name);
        return error_set(err, -EEXIST,
                         "the name '%s' is taken by box %.12s: remove or rename that one, or choose another",
                         name, holder.id);
}

int state_patch_config(struct state *s, const char *id, const char *patch, struct error *err)
{
        int code;
        int r = change(s, "UPDATE boxes SET config = json_patch(config, ?2) WHERE id = ?1", id, patch, &code,
                       err);
        if (r < 0 || code == SQLITE_DONE)
                return r;
        return state_db_fail(s, err, "record the change");
}
