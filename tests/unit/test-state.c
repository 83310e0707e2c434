/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/process.h"
#include "runtime/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct state *open_state(const char *home, int home_fd)
{
        struct state *s;
        struct error err = ERROR_INIT;
        if (state_open(home, home_fd, &s, &err) < 0)
                fail_msg("%s", err.text);
        return s;
}

/* A record whose id begins with `digits`. The strings are lent to the call it is used in. */
static struct state_box record(const char *digits, const char *name, int64_t created_ns)
{
        struct state_box box = {.name = (char *)name,
                                .image_reference = (char *)"busybox",
                                .image_id = (char *)"sha256:1",
                                .image_digest = (char *)"sha256:2",
                                .config = (char *)"{}",
                                .created_ns = created_ns};
        memset(box.id, '0', STATE_ID_LENGTH);
        memcpy(box.id, digits, strlen(digits));
        return box;
}

static void sql(const char *home, const char *text)
{
        char path[512];
        sqlite3 *db;
        (void)snprintf(path, sizeof(path), "%s/boxlet.db", home);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static void records_come_back(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), b = record("aa2", "two", 20), found;
        b.auto_remove = true;
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), 0);
        state_close(s);
        s = open_state(home, home_fd);
        assert_int_equal(state_find(s, "one", &found, &err), 0);
        assert_string_equal(found.id, a.id);
        assert_string_equal(found.image_id, "sha256:1");
        assert_int_equal(found.created_ns, 10);
        assert_false(found.auto_remove);
        state_box_done(&found);
        assert_int_equal(state_find(s, b.id, &found, &err), 0);
        assert_true(found.auto_remove);
        state_box_done(&found);
        assert_int_equal(state_find(s, "aa2", &found, &err), 0);
        state_box_done(&found);
        assert_int_equal(state_find(s, "aa", &found, &err), -ENOTUNIQ);
        assert_int_equal(state_find(s, "ab", &found, &err), -ENOENT);
        assert_int_equal(state_find(s, "no such", &found, &err), -ENOENT);
        assert_int_equal(state_find(s, "", &found, &err), -ENOENT);
        assert_int_equal(state_find(s, "%", &found, &err), -ENOENT);
        struct state_box *list;
        size_t count;
        assert_int_equal(state_list(s, &list, &count, &err), 0);
        assert_int_equal(count, 2);
        assert_string_equal(list[0].name, "two"); /* newest first */
        state_list_free(list, count);
        state_close(s);
}

static void a_name_wins_over_an_id_prefix(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("beef", "one", 10), b = record("cafe", "beef", 20), found;
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), 0);
        assert_int_equal(state_find(s, "beef", &found, &err), 0);
        assert_string_equal(found.id, b.id);
        state_box_done(&found);
        state_close(s);
}

static void a_name_is_taken_once(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), b = record("bb1", "one", 20);
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), -EEXIST);
        assert_non_null(strstr(err.text, "aa1000000000"));
        assert_int_equal(state_delete(s, a.id, &err), 0);
        assert_int_equal(state_delete(s, a.id, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), 0);
        state_close(s);
}

static void changes_and_users(void **state)
{
        (void)state;
        int home_fd;
        bool used;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), found;
        assert_int_equal(state_set_started(s, a.id, 5, &err), -ENOENT);
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_set_started(s, a.id, 5, &err), 0);
        assert_int_equal(state_find(s, "one", &found, &err), 0);
        assert_int_equal(found.started_ns, 5);
        state_box_done(&found);
        assert_int_equal(state_image_used(s, "sha256:1", &used, &err), 0);
        assert_true(used);
        assert_int_equal(state_image_used(s, "sha256:2", &used, &err), 0);
        assert_false(used);
        state_close(s);
}

static void a_newer_database_is_refused_in_words(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        state_close(open_state(home, home_fd));
        sql(home, "PRAGMA user_version = 99");
        struct state *s;
        struct error err = ERROR_INIT;
        assert_int_equal(state_open(home, home_fd, &s, &err), -EPROTONOSUPPORT);
        assert_non_null(strstr(err.text, "newer boxlet"));
        assert_non_null(strstr(err.text, "99"));
}

static void a_damaged_database_is_told(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        int fd = openat(home_fd, "boxlet.db", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        static const char garbage[4096] = "this is no database at all, whatever it says";
        assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
        (void)close(fd);
        struct state *s;
        struct error err = ERROR_INIT;
        assert_int_equal(state_open(home, home_fd, &s, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "damaged"));
}

/* A killed upgrade leaves the old version: the next one does it again. */
static void an_upgrade_that_was_cut_off_is_done_again(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        sql(home, "PRAGMA journal_mode = WAL; PRAGMA user_version = 0");
        state_close(open_state(home, home_fd));
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10);
        assert_int_equal(state_insert(s, &a, &err), 0);
        state_close(s);
}

/* What versions 1 and 2 wrote, as they wrote it. */
#define VERSION_1                                                                                      \
        "PRAGMA journal_mode = WAL;"                                                                   \
        "CREATE TABLE boxes(id TEXT PRIMARY KEY CHECK(length(id) = 64), name TEXT NOT NULL UNIQUE,"    \
        " image_reference TEXT NOT NULL, image_id TEXT NOT NULL, image_digest TEXT NOT NULL,"          \
        " config TEXT NOT NULL, created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL DEFAULT 0,"   \
        " auto_remove INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                                        \
        "CREATE INDEX boxes_image ON boxes(image_id);"                                                 \
        "INSERT INTO boxes VALUES('aa10000000000000000000000000000000000000000000000000000000000000'," \
        " 'old', 'busybox', 'sha256:1', 'sha256:2', '{}', 10, 20, 1);"
#define VERSION_2                                                                                        \
        VERSION_1                                                                                        \
        "CREATE TABLE volumes(name TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, labels TEXT NOT NULL," \
        " created_ns INTEGER NOT NULL, made_up INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                 \
        "INSERT INTO volumes VALUES('data', 1048576, '{}', 5, 0);"

static int count_rows(const char *home, const char *file, const char *query)
{
        char path[512];
        sqlite3 *db;
        sqlite3_stmt *statement;
        (void)snprintf(path, sizeof(path), "%s/%s", home, file);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        int rc = sqlite3_prepare_v2(db, query, -1, &statement, NULL);
        int count =
            rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
        (void)sqlite3_finalize(statement);
        (void)sqlite3_close(db);
        return count;
}

static void expect_upgraded(const char *home, int home_fd, int version)
{
        char backup[32];
        struct error err = ERROR_INIT;
        struct state_box found;
        struct state *s = open_state(home, home_fd);
        assert_int_equal(state_find(s, "old", &found, &err), 0);
        assert_int_equal(found.started_ns, 20);
        assert_true(found.auto_remove);
        struct state_snapshot snapshot = {.name = (char *)"a"};
        memcpy(snapshot.box_id, found.id, sizeof(found.id));
        assert_int_equal(state_snapshot_insert(s, &snapshot, &err), 0);
        state_box_done(&found);
        state_close(s);
        assert_int_equal(count_rows(home, "boxlet.db", "PRAGMA user_version"), STATE_VERSION);
        (void)snprintf(backup, sizeof(backup), "boxlet.db.v%d", version);
        assert_int_equal(count_rows(home, backup, "PRAGMA user_version"), version);
        assert_int_equal(count_rows(home, backup, "SELECT count(*) FROM boxes"), 1);
        assert_int_equal(count_rows(home, backup, "SELECT count(*) FROM snapshots"), -1);
        assert_int_equal(faccessat(home_fd, ".boxlet.db.backup", F_OK, 0), -1);
}

static void an_older_database_is_kept_and_upgraded(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        static const char rubbish[] = "of one that was killed";
        int fd = openat(home_fd, ".boxlet.db.backup", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, rubbish, sizeof(rubbish)), sizeof(rubbish));
        (void)close(fd);
        sql(home, VERSION_2 "PRAGMA user_version = 2");
        expect_upgraded(home, home_fd, 2);
        struct state *s = open_state(home, home_fd);
        struct state_volume volume;
        struct error err = ERROR_INIT;
        assert_int_equal(state_volume_find(s, "data", &volume, &err), 0);
        assert_int_equal(volume.size_bytes, 1048576);
        state_volume_done(&volume);
        state_close(s);
        assert_int_equal(count_rows(home, "boxlet.db.v2", "SELECT count(*) FROM volumes"), 1);
}

static void the_first_version_is_upgraded_too(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        sql(home, VERSION_1 "PRAGMA user_version = 1");
        expect_upgraded(home, home_fd, 1);
        assert_int_equal(count_rows(home, "boxlet.db", "SELECT count(*) FROM volumes"), 0);
}

/* Where no copy can be made, nothing is upgraded. */
static void without_a_copy_there_is_no_upgrade(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s;
        struct error err = ERROR_INIT;
        sql(home, VERSION_2 "PRAGMA user_version = 2");
        assert_int_equal(mkdirat(home_fd, ".boxlet.db.backup", 0700), 0);
        assert_true(state_open(home, home_fd, &s, &err) < 0);
        assert_non_null(strstr(err.text, "boxlet.db.v2"));
        assert_int_equal(count_rows(home, "boxlet.db", "PRAGMA user_version"), 2);
        assert_int_equal(unlinkat(home_fd, ".boxlet.db.backup", AT_REMOVEDIR), 0);
        expect_upgraded(home, home_fd, 2);
}

static void snapshots_come_and_go_with_their_box(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), b = record("bb1", "two", 20);
        struct state_snapshot one = {.name = (char *)"x", .size_bytes = 7, .created_ns = 5, .running = true},
                              found, *all;
        size_t count;
        memcpy(one.box_id, a.id, sizeof(a.id));
        assert_int_equal(state_snapshot_insert(s, &one, &err), -ENOENT); /* no such box */
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), 0);
        assert_int_equal(state_snapshot_insert(s, &one, &err), 0);
        assert_int_equal(state_snapshot_insert(s, &one, &err), -EEXIST);
        memcpy(one.box_id, b.id, sizeof(b.id));
        assert_int_equal(state_snapshot_insert(s, &one, &err), 0);
        assert_int_equal(state_snapshot_find(s, a.id, "x", &found, &err), 0);
        assert_int_equal(found.size_bytes, 7);
        assert_true(found.running);
        state_snapshot_done(&found);
        assert_int_equal(state_delete(s, a.id, &err), 0);
        assert_int_equal(state_snapshot_find(s, a.id, "x", &found, &err), -ENOENT);
        assert_int_equal(state_snapshot_list(s, NULL, &all, &count, &err), 0);
        assert_int_equal(count, 1);
        state_snapshot_list_free(all, count);
        assert_int_equal(state_snapshot_delete(s, b.id, "x", &err), 0);
        assert_int_equal(state_snapshot_delete(s, b.id, "x", &err), 0);
        assert_int_equal(state_snapshot_list(s, b.id, &all, &count, &err), 0);
        assert_int_equal(count, 0);
        state_snapshot_list_free(all, count);
        state_close(s);
}

static void child_inserts(const char *home, int home_fd, int who)
{
        struct state *s;
        struct error err = ERROR_INIT;
        if (state_open(home, home_fd, &s, &err) < 0)
                _exit(1);
        for (int i = 0; i < 20; i++) {
                char digits[16], name[16];
                (void)snprintf(digits, sizeof(digits), "%02x%02x", who, i);
                (void)snprintf(name, sizeof(name), "b%d-%d", who, i);
                struct state_box box = record(digits, name, i);
                if (state_insert(s, &box, &err) < 0)
                        _exit(2);
        }
        state_close(s);
        _exit(0);
}

static void many_processes_at_once(void **state)
{
        (void)state;
        enum { PROCESSES = 8 };
        int home_fd;
        const char *home = unit_folder(&home_fd);
        pid_t pids[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        child_inserts(home, home_fd, i);
        }
        for (int i = 0; i < PROCESSES; i++) {
                int status;
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
        }
        struct state *s = open_state(home, home_fd);
        struct state_box *list;
        size_t count;
        struct error err = ERROR_INIT;
        assert_int_equal(state_list(s, &list, &count, &err), 0);
        assert_int_equal(count, 20 * PROCESSES);
        state_list_free(list, count);
        state_close(s);
}

static void records_can_change(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), b = record("aa2", "two", 20), found;
        a.config = (char *)"{\"cpus\":2,\"spec\":{\"x\":[1,\"\\u00e4\\n\"]},\"restart\":{\"policy\":"
                           "\"always\",\"maximum\":0}}";
        assert_int_equal(state_insert(s, &a, &err), 0);
        assert_int_equal(state_insert(s, &b, &err), 0);
        assert_int_equal(state_rename(s, a.id, "two", &err), -EEXIST);
        assert_non_null(strstr(err.text, "taken by box aa2"));
        assert_int_equal(state_rename(s, a.id, "one", &err), 0); /* its own */
        assert_int_equal(state_rename(s, a.id, "three", &err), 0);
        assert_int_equal(state_find(s, "one", &found, &err), -ENOENT);
        assert_int_equal(state_rename(s, b.id, "one", &err), 0); /* free now */
        assert_int_equal(
            state_patch_config(s, a.id, "{\"cpus\":4,\"restart\":{\"policy\":\"on-failure\",\"maximum\":5}}",
                               &err),
            0);
        assert_int_equal(state_find(s, "three", &found, &err), 0);
        assert_string_equal(found.config, "{\"cpus\":4,\"spec\":{\"x\":[1,\"\\u00e4\\n\"]},\"restart\":{"
                                          "\"policy\":\"on-failure\",\"maximum\":5}}");
        state_box_done(&found);
        assert_int_equal(state_delete(s, a.id, &err), 0);
        assert_int_equal(state_rename(s, a.id, "four", &err), -ENOENT);
        assert_int_equal(state_patch_config(s, a.id, "{}", &err), -ENOENT);
        state_close(s);
}

static ssize_t refused_pread(int fd, void *bytes, size_t size, off_t offset)
{
        (void)fd;
        (void)bytes;
        (void)size;
        (void)offset;
        errno = EIO;
        return -1;
}

static int refused_open(const char *path, int flags, int mode)
{
        (void)path;
        (void)flags;
        (void)mode;
        errno = ENOMEM;
        return -1;
}

static void replace(const char *name, sqlite3_syscall_ptr call)
{
        sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
        (void)vfs->xSetSystemCall(vfs, name, call); /* of pread and pread64 one is not used */
}

static void what_the_system_refuses_is_no_missing_record(void **state)
{
        (void)state;
        int home_fd;
        const char *home = unit_folder(&home_fd);
        struct state *s = open_state(home, home_fd);
        struct error err = ERROR_INIT;
        struct state_box a = record("aa1", "one", 10), found;
        assert_int_equal(state_insert(s, &a, &err), 0);
        state_close(s);
        s = open_state(home, home_fd);
        replace("pread", (sqlite3_syscall_ptr)refused_pread);
        replace("pread64", (sqlite3_syscall_ptr)refused_pread);
        assert_int_equal(state_find(s, "one", &found, &err), -EIO);
        assert_non_null(strstr(err.text, strerror(EIO)));
        assert_int_equal(state_check(s, &err), -EIO);
        assert_non_null(strstr(err.text, strerror(EIO)));
        replace("pread", NULL);
        replace("pread64", NULL);
        state_close(s);
        replace("open", (sqlite3_syscall_ptr)refused_open);
        assert_int_equal(state_open(home, home_fd, &s, &err), -ENOMEM);
        assert_non_null(strstr(err.text, strerror(ENOMEM)));
        replace("open", NULL);
        s = open_state(home, home_fd);
        assert_int_equal(state_find(s, "one", &found, &err), 0);
        state_box_done(&found);
        state_close(s);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(records_can_change),
    cmocka_unit_test(records_come_back),
    cmocka_unit_test(a_name_wins_over_an_id_prefix),
    cmocka_unit_test(a_name_is_taken_once),
    cmocka_unit_test(changes_and_users),
    cmocka_unit_test(a_newer_database_is_refused_in_words),
    cmocka_unit_test(a_damaged_database_is_told),
    cmocka_unit_test(an_upgrade_that_was_cut_off_is_done_again),
    cmocka_unit_test(an_older_database_is_kept_and_upgraded),
    cmocka_unit_test(the_first_version_is_upgraded_too),
    cmocka_unit_test(without_a_copy_there_is_no_upgrade),
    cmocka_unit_test(snapshots_come_and_go_with_their_box),
    cmocka_unit_test(many_processes_at_once),
    cmocka_unit_test(what_the_system_refuses_is_no_missing_record),
};
UNIT_TEST_MAIN(cases)
