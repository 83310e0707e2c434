/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_STATE_DB_H
#define RUNTIME_STATE_DB_H

/* What the files that read and write the database share; see state.c for its rules. */
#include "runtime/state.h"

#include <sqlite3.h>

struct state {
        sqlite3 *db;
};

int state_db_prepare(struct state *s, const char *sql, sqlite3_stmt **ret, struct error *err);
int state_db_bind(struct state *s, sqlite3_stmt *statement, int index, const char *text, struct error *err);
/* What SQLite said last, as an error: "<what> in the database: ...". */
int state_db_fail(const struct state *s, struct error *err, const char *what);

static inline void cleanup_statement_p(sqlite3_stmt **statement)
{
        (void)sqlite3_finalize(*statement); /* its error was seen by step */
}
#define cleanup_statement __attribute__((cleanup(cleanup_statement_p)))

#endif
