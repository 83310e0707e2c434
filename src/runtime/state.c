/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode: readers never wait for a writer, so `ls` cannot hang on somebody's pull or start; a
 * writer waits for another at most BUSY_MS. synchronous=NORMAL: after a crash of the machine (not of a
 * process) the last records may be missing, never half there; boxes whose folder and record do not fit
 * together are put right by collect.c. The last one to leave does not fold the log back (that costs two
 * fsyncs a command): SQLite does so by itself each 1000 pages.
 *
 * Invariants:
 * 1. Each change is one transaction, begun IMMEDIATE, so it never fails in its middle for want of the lock.
 * 2. user_version is the schema's version. Upgrades run in one transaction under the lock file
 * ".schema.lock", one step a version (`migrations`). A version above ours is refused before anything is read.
 * Before an upgrade the database is copied to boxlet.db.vN, N being its version: complete from the moment it
 * has that name, and never replaced, so that the oldest copy of a version is the one that stays.
 * 3. Text that goes in was checked to be UTF-8 by whoever made it.
 * 4. -ENOENT says that the database was read and there is no such record. Files are removed for it, so
 * nothing that the system refuses may be told as that.
 */
#include "runtime/state_db.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "boxlet.db"
#define BUSY_MS   15000

/* migrations[v] leads from version v to v + 1. */
static const char *const migrations[STATE_VERSION] = {
    "CREATE TABLE boxes("
    " id TEXT PRIMARY KEY CHECK(length(id) = 64),"
    " name TEXT NOT NULL UNIQUE,"
    " image_reference TEXT NOT NULL,"
    " image_id TEXT NOT NULL,"
    " image_digest TEXT NOT NULL,"
    " config TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " started_ns INTEGER NOT NULL DEFAULT 0,"
    " auto_remove INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX boxes_image ON boxes(image_id);",
    "CREATE TABLE volumes("
    " name TEXT PRIMARY KEY,"
    " size_bytes INTEGER NOT NULL,"
    " labels TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " made_up INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;",
    "CREATE TABLE snapshots("
    " box_id TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " size_bytes INTEGER NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " running INTEGER NOT NULL,"
    " PRIMARY KEY(box_id, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER boxes_snapshots AFTER DELETE ON boxes BEGIN"
    " DELETE FROM snapshots WHERE box_id = OLD.id;"
    " END;",
};

static int to_errno(int rc)
{
        switch (rc & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EBADMSG;
        default:
                return -EIO;
        }
}

/* What the system refused, where that is behind SQLite's word for it; else 0. To be asked at once, while
 * errno is still of that call. */
static int refused(sqlite3 *db, int rc)
{
        int left = errno, last = 0;
        if (rc == SQLITE_IOERR_NOMEM)
                return ENOMEM;
        switch (rc & 0xff) {
        case SQLITE_IOERR: /* a commit that fails leaves it to errno */
        case SQLITE_CANTOPEN:
                last = sqlite3_system_errno(db);
                return last != 0 ? last : left;
        case SQLITE_PROTOCOL: /* a lock that could not be had */
                return left;
        case SQLITE_CORRUPT: /* for SQLite, also what cannot be read now */
                (void)sqlite3_file_control(db, NULL, SQLITE_FCNTL_LAST_ERRNO, &last);
                if (last == EIO || last == ENOMEM)
                        return last;
                return left == EIO || left == ENOMEM ? left
                                                     : 0; /* of the log, whose last error is not told */
        default:
                return 0;
        }
}

/* What SQLite said last. */
static int fail(sqlite3 *db, struct error *err)
{
        int rc = sqlite3_extended_errcode(db);
        int cause = refused(db, rc);
        /* of the log and its index SQLite does not say why it has them for reading only */
        if ((rc & 0xff) == SQLITE_READONLY && sqlite3_db_readonly(db, "main") == 0)
                return error_set(err, -EIO, "%s: its log could not be opened for writing",
                                 sqlite3_errmsg(db));
        if (cause == 0)
                return error_set(err, to_errno(rc), "%s", sqlite3_errmsg(db));
        return error_set(err, cause == ENOENT ? -EIO : -cause, "%s: %s", sqlite3_errmsg(db), strerror(cause));
}

int state_db_fail(const struct state *s, struct error *err, const char *what)
{
        int r = fail(s->db, err);
        (void)error_wrap(err, "%s in the database", what); /* its code is r */
        return r;
}

static int execute(struct state *s, const char *sql, const char *what, struct error *err)
{
        return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : state_db_fail(s, err, what);
}

int state_db_prepare(struct state *s, const char *sql, sqlite3_stmt **ret, struct error *err)
{
        return sqlite3_prepare_v2(s->db, sql, -1, ret, NULL) == SQLITE_OK
                   ? 0
                   : state_db_fail(s, err, "prepare statement");
}

int state_db_bind(struct state *s, sqlite3_stmt *statement, int index, const char *text, struct error *err)
{
        int rc = sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
        return rc == SQLITE_OK ? 0 : state_db_fail(s, err, "bind value");
}

static int user_version(struct state *s, int *ret_version, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "PRAGMA user_version", &statement, err);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return state_db_fail(s, err, "read the version");
        *ret_version = sqlite3_column_int(statement, 0);
        return 0;
}

static int too_new(int version, struct error *err)
{
        return error_set(
            err, -EPROTONOSUPPORT,
            "open database: it was written by a newer boxlet (schema %d, this one knows %d): use that "
            "version, or another $BOXLET_HOME",
            version, STATE_VERSION);
}

static int migrate_from(struct state *s, int version, struct error *err)
{
        int r = execute(s, "BEGIN IMMEDIATE", "begin upgrade", err);
        for (; r == 0 && version < STATE_VERSION; version++)
                r = execute(s, migrations[version], "upgrade tables", err);
        if (r == 0) {
                char sql[48];
                (void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d; COMMIT", STATE_VERSION);
                r = execute(s, sql, "finish upgrade", err);
        }
        if (r < 0)
                (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
        return r;
}

/* All pages as they are now, through SQLite, which knows what of them is in the log. */
static int copy_pages(struct state *s, const char *path)
{
        sqlite3 *copy = NULL;
        int rc = sqlite3_open_v2(path, &copy,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);
        sqlite3_backup *backup = rc == SQLITE_OK ? sqlite3_backup_init(copy, "main", s->db, "main") : NULL;
        if (backup != NULL) {
                (void)sqlite3_backup_step(backup, -1); /* finish() tells how it went */
                rc = sqlite3_backup_finish(backup);
        } else if (rc == SQLITE_OK) {
                rc = sqlite3_errcode(copy);
        }
        /* one file, without a log of its own */
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
        (void)sqlite3_close(copy); /* nothing is open in it */
        return rc;
}

/* Nobody else writes meanwhile: who opens a database of this version waits for the schema's lock, or is an
 * older boxlet, whose last words the copy may lack and the upgrade has. */
static int back_up(struct state *s, const char *home, int home_fd, int version, struct error *err)
{
        static const char draft[] = "." FILE_NAME ".backup";
        char name[32];
        struct stat st;
        (void)snprintf(name, sizeof(name), FILE_NAME ".v%d", version);
        if (fstatat(home_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        cleanup_free char *path = path_join(home, draft);
        if (path == NULL)
                return error_set(err, -ENOMEM, "back up the database: out of memory");
        (void)unlinkat(home_fd, draft, 0); /* of one that was killed */
        int rc = copy_pages(s, path);
        int r = rc == SQLITE_OK
                    ? 0
                    : error_set(err, to_errno(rc), "back up the database as '%s' before it is upgraded: %s",
                                name, sqlite3_errstr(rc));
        cleanup_fd int fd = r < 0 ? -1 : openat(home_fd, draft, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (r == 0 && (fd < 0 || fsync(fd) < 0 || fchmod(fd, 0600) < 0 ||
                       renameat(home_fd, draft, home_fd, name) < 0 || fsync(home_fd) < 0))
                r = error_errno(err, -errno, "back up the database as '%s' before it is upgraded", name);
        if (r < 0)
                (void)unlinkat(home_fd, draft, 0); /* the error is on its way */
        return r;
}

/* Makes or upgrades the tables; one process at a time. */
static int migrate(struct state *s, const char *home, int home_fd, struct error *err)
{
        int version;
        cleanup_fd int lock = openat(home_fd, ".schema.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock < 0 || flock(lock, LOCK_EX) < 0)
                return error_errno(err, -errno, "lock the database");
        int r = execute(s, "PRAGMA journal_mode = WAL", "choose the journal", err);
        if (r == 0)
                r = user_version(s, &version, err);
        if (r < 0)
                return r;
        if (version > STATE_VERSION)
                return too_new(version, err);
        if (version == STATE_VERSION)
                return 0;
        r = version > 0 ? back_up(s, home, home_fd, version, err) : 0;
        return r < 0 ? r : migrate_from(s, version, err);
}

static int set_up(struct state *s, const char *home, int home_fd, struct error *err)
{
        int version, on = 1;
        (void)sqlite3_busy_timeout(s->db, BUSY_MS); /* cannot fail on an open handle */
        (void)sqlite3_extended_result_codes(s->db, 1);
        (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_file_control(s->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &on);
        int r = user_version(s, &version, err);
        if (r == 0 && version > STATE_VERSION)
                r = too_new(version, err);
        if (r == 0 && version < STATE_VERSION)
                r = migrate(s, home, home_fd, err);
        if (r == 0)
                r = execute(s, "PRAGMA synchronous = NORMAL", "set up", err);
        return r;
}

/* SQLite falls back to reading when the system refuses to open the file for writing. If that was for a
 * moment only, the second time tells. */
static int open_file(const char *path, int home_fd, sqlite3 **ret_db)
{
        int rc = SQLITE_OK;
        for (int i = 0; i < 2; i++) {
                rc = sqlite3_open_v2(path, ret_db,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);
                if (rc != SQLITE_OK || i > 0 || sqlite3_db_readonly(*ret_db, "main") != 1 ||
                    faccessat(home_fd, FILE_NAME, W_OK, AT_EACCESS) < 0)
                        break;
                (void)sqlite3_close(*ret_db); /* nothing is open in it */
                *ret_db = NULL;
        }
        return rc;
}

int state_open(const char *home, int home_fd, struct state **ret_state, struct error *err)
{
        cleanup_free char *path = path_join(home, FILE_NAME);
        struct state *s = calloc(1, sizeof(*s));
        int r;
        if (path == NULL || s == NULL) {
                free(s);
                return error_set(err, -ENOMEM, "open database: out of memory");
        }
        int rc = open_file(path, home_fd, &s->db);
        if (rc == SQLITE_OK) {
                r = set_up(s, home, home_fd, err);
        } else {
                r = s->db == NULL ? error_set(err, to_errno(rc), "%s", sqlite3_errstr(rc)) : fail(s->db, err);
                (void)error_wrap(err, "open database '%s'", path); /* its code is r */
        }
        if (r < 0) {
                if (r == -EBADMSG)
                        (void)error_wrap(err, "'%s' is damaged", path);
                state_close(s);
                return r;
        }
        *ret_state = s;
        return 0;
}

void state_close(struct state *s)
{
        if (s == NULL)
                return;
        (void)sqlite3_close_v2(s->db); /* every statement is finalized where it was made */
        free(s);
}

void state_box_done(struct state_box *box)
{
        free(box->name);
        free(box->image_reference);
        free(box->image_id);
        free(box->image_digest);
        free(box->config);
        *box = (struct state_box){0};
}

void state_list_free(struct state_box *boxes, size_t count)
{
        for (size_t i = 0; i < count; i++)
                state_box_done(&boxes[i]);
        free(boxes);
}

/* Runs one statement that gives no rows, in a transaction of its own (SQLite's automatic one). */
static int run(struct state *s, sqlite3_stmt *statement, const char *what, struct error *err)
{
        return sqlite3_step(statement) == SQLITE_DONE ? 0 : state_db_fail(s, err, what);
}

/* Who has the name, for the message. */
static int name_taken(struct state *s, const char *name, struct error *err)
{
        cleanup_state_box struct state_box holder = {0};
        if (state_find(s, name, &holder, err) == 0)
                return error_set(
                    err, -EEXIST,
                    "create box '%s': the name is taken by box %.12s: remove it, or choose another name",
                    name, holder.id);
        return error_set(err, -EEXIST, "create box '%s': the name is taken", name);
}

int state_insert(struct state *s, const struct state_box *box, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        const char *const texts[] = {box->id,       box->name,         box->image_reference,
                                     box->image_id, box->image_digest, box->config};
        int r = state_db_prepare(
            s,
            "INSERT INTO boxes(id, name, image_reference, image_id, image_digest, config, created_ns,"
            " auto_remove) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            &statement, err);
        for (int i = 0; r == 0 && i < 6; i++)
                r = state_db_bind(s, statement, i + 1, texts[i], err);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 7, box->created_ns) != SQLITE_OK ||
            sqlite3_bind_int(statement, 8, box->auto_remove) != SQLITE_OK)
                return state_db_fail(s, err, "bind value");
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return 0;
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
                return name_taken(s, box->name, err);
        return state_db_fail(s, err, "record the box");
}

#define COLUMNS                                                                                      \
        "SELECT id, name, image_reference, image_id, image_digest, config, created_ns, started_ns, " \
        "auto_remove"                                                                                \
        " FROM boxes "

static int read_row(sqlite3_stmt *statement, struct state_box *ret_box, struct error *err)
{
        struct state_box box = {0};
        char **const texts[] = {&box.name, &box.image_reference, &box.image_id, &box.image_digest,
                                &box.config};
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        if (id == NULL || strlen(id) != STATE_ID_LENGTH)
                return error_set(err, -EBADMSG, "read the database: a box has a damaged id");
        memcpy(box.id, id, sizeof(box.id));
        for (int i = 0; i < 5; i++) {
                const char *text = (const char *)sqlite3_column_text(statement, i + 1);
                *texts[i] = text == NULL ? NULL : strdup(text);
                if (*texts[i] == NULL) {
                        state_box_done(&box);
                        return error_set(err, -ENOMEM, "read the database: out of memory");
                }
        }
        box.created_ns = sqlite3_column_int64(statement, 6);
        box.started_ns = sqlite3_column_int64(statement, 7);
        box.auto_remove = sqlite3_column_int(statement, 8) != 0;
        *ret_box = box;
        return 0;
}

static bool is_id_prefix(const char *text)
{
        size_t size = strspn(text, "0123456789abcdef");
        return size > 0 && size <= STATE_ID_LENGTH && text[size] == '\0';
}

/* The only row that `sql` with `key` gives. -ENOENT, -ENOTUNIQ. */
static int find_one(struct state *s, const char *sql, const char *key, struct state_box *ret_box,
                    struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        cleanup_state_box struct state_box box = {0};
        int r = state_db_prepare(s, sql, &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, key, err);
        if (r < 0)
                return r;
        int rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return error_set(err, -ENOENT, "find box '%s': there is none of that name or id", key);
        if (rc != SQLITE_ROW)
                return state_db_fail(s, err, "find box");
        r = read_row(statement, &box, err);
        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                return error_set(err, -ENOTUNIQ, "find box '%s': several ids begin so: give more digits",
                                 key);
        if (rc != SQLITE_DONE)
                return state_db_fail(s, err, "find box");
        *ret_box = box;
        box = (struct state_box){0};
        return 0;
}

int state_find(struct state *s, const char *name_or_id, struct state_box *ret_box, struct error *err)
{
        int r = find_one(s, COLUMNS "WHERE name = ?1 OR id = ?1 ORDER BY name = ?1 DESC LIMIT 1", name_or_id,
                         ret_box, err);
        if (r == -ENOENT && is_id_prefix(name_or_id))
                r = find_one(s, COLUMNS "WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2", name_or_id, ret_box,
                             err);
        return r;
}

static int append_row(sqlite3_stmt *statement, struct state_box **boxes, size_t *count, struct error *err)
{
        struct state_box *grown = reallocarray(*boxes, *count + 1, sizeof(*grown));
        if (grown == NULL)
                return error_set(err, -ENOMEM, "list boxes: out of memory");
        *boxes = grown;
        int r = read_row(statement, &grown[*count], err);
        if (r == 0)
                (*count)++;
        return r;
}

/* The rows that `sql` gives, with `key` for its parameter if there is one. */
static int list_rows(struct state *s, const char *sql, const char *key, struct state_box **ret_boxes,
                     size_t *ret_count, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        struct state_box *boxes = NULL;
        size_t count = 0;
        int rc = SQLITE_DONE;
        int r = state_db_prepare(s, sql, &statement, err);
        if (r == 0 && key != NULL)
                r = state_db_bind(s, statement, 1, key, err);
        while (r == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW)
                r = append_row(statement, &boxes, &count, err);
        if (r == 0 && rc != SQLITE_DONE)
                r = state_db_fail(s, err, "list boxes");
        if (r < 0) {
                state_list_free(boxes, count);
                return r;
        }
        *ret_boxes = boxes;
        *ret_count = count;
        return 0;
}

int state_list(struct state *s, struct state_box **ret_boxes, size_t *ret_count, struct error *err)
{
        return list_rows(s, COLUMNS "ORDER BY created_ns DESC, id", NULL, ret_boxes, ret_count, err);
}

int state_volume_users(struct state *s, const char *name, struct state_box **ret_boxes, size_t *ret_count,
                       struct error *err)
{
        return list_rows(s,
                         COLUMNS "WHERE EXISTS(SELECT 1 FROM json_each(config, '$.disks') AS disk"
                                 " WHERE json_extract(disk.value, '$.volume') = ?1) ORDER BY created_ns, id",
                         name, ret_boxes, ret_count, err);
}

int state_image_used(struct state *s, const char *image_id, bool *ret_used, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "SELECT 1 FROM boxes WHERE image_id = ? LIMIT 1", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, image_id, err);
        if (r < 0)
                return r;
        int rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return state_db_fail(s, err, "look for users of the image");
        *ret_used = rc == SQLITE_ROW;
        return 0;
}

int state_set_started(struct state *s, const char *id, int64_t started_ns, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "UPDATE boxes SET started_ns = ?2 WHERE id = ?1", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, id, err);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 2, started_ns) != SQLITE_OK)
                return state_db_fail(s, err, "bind value");
        r = run(s, statement, "record the start", err);
        if (r == 0 && sqlite3_changes(s->db) == 0)
                return error_set(err, -ENOENT, "start box %.12s: it was removed", id);
        return r;
}

int state_delete(struct state *s, const char *id, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "DELETE FROM boxes WHERE id = ?", &statement, err);
        if (r == 0)
                r = state_db_bind(s, statement, 1, id, err);
        return r < 0 ? r : run(s, statement, "remove the record", err);
}

int state_check(struct state *s, struct error *err)
{
        cleanup_statement sqlite3_stmt *statement = NULL;
        int r = state_db_prepare(s, "PRAGMA quick_check(1)", &statement, err);
        if (r < 0)
                return r;
        errno = 0; /* what it is afterwards is of this */
        if (sqlite3_step(statement) != SQLITE_ROW)
                return state_db_fail(s, err, "check tables");
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text != NULL && strcmp(text, "ok") == 0)
                return 0;
        if (text == NULL)
                return state_db_fail(s, err, "check tables");
        int cause = refused(s->db, SQLITE_CORRUPT);
        if (cause != 0)
                return error_errno(err, -cause, "check tables in the database");
        return error_set(err, -EBADMSG, "the database is damaged: %.300s", text);
}
