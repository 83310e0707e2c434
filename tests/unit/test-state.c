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

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(records_come_back),
    cmocka_unit_test(a_name_wins_over_an_id_prefix),
    cmocka_unit_test(a_name_is_taken_once),
    cmocka_unit_test(changes_and_users),
    cmocka_unit_test(a_newer_database_is_refused_in_words),
    cmocka_unit_test(a_damaged_database_is_told),
    cmocka_unit_test(an_upgrade_that_was_cut_off_is_done_again),
    cmocka_unit_test(many_processes_at_once),
};
UNIT_TEST_MAIN(cases)
