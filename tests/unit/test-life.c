/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "runtime/life.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_state(int box_fd, const char *text)
{
        assert_int_equal(path_write_atomic_at(box_fd, "state.json", text, strlen(text), 0600), 0);
}

static enum life life_of(int box_fd, bool was_started, int *ret_code)
{
        cleanup_life_report struct life_report report;
        life_read(box_fd, was_started, &report);
        *ret_code = report.exit_code;
        return report.life;
}

static void the_lock_is_the_truth(void **state)
{
        (void)state;
        int box_fd, code;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        assert_int_equal(life_of(box_fd, false, &code), LIFE_CREATED);
        assert_int_equal(life_of(box_fd, true, &code), LIFE_DEAD); /* killed before its first word */
        write_state(box_fd, "{\"state\": \"running\"}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_DEAD);
        assert_int_equal(code, 137);
        int lock = -1;
        assert_int_equal(life_take(box_fd, &lock, &err), 0);
        assert_int_equal(life_of(box_fd, true, &code), LIFE_RUNNING);
        assert_int_equal(code, -1);
        write_state(box_fd, "{\"state\": \"exited\", \"exit_code\": 7}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_EXITED); /* the monitor is on its way out */
        (void)close(lock);
        assert_int_equal(life_of(box_fd, true, &code), LIFE_EXITED);
        assert_int_equal(code, 7);
        write_state(box_fd, "{\"state\": \"failed\"}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_EXITED);
        assert_int_equal(code, 125);
        write_state(box_fd, "not json");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_DEAD);
}

static void a_held_box_says_what_it_does(void **state)
{
        (void)state;
        int box_fd, code, lock = -1;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        assert_int_equal(life_take(box_fd, &lock, &err), 0);
        assert_int_equal(life_check_answers(box_fd, &err), 0);
        write_state(box_fd, "{\"state\": \"paused\"}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_PAUSED);
        assert_int_equal(code, -1);
        assert_int_equal(life_check_answers(box_fd, &err), -EBUSY);
        assert_non_null(strstr(err.text, "unpause it"));
        write_state(box_fd, "{\"state\": \"restarting\", \"exit_code\": 3}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_RESTARTING);
        assert_int_equal(code, 3);
        assert_int_equal(life_check_answers(box_fd, &err), -EBUSY);
        assert_non_null(strstr(err.text, "about to be restarted"));
        write_state(box_fd, "{\"state\": \"stopping\"}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_RUNNING);
        assert_int_equal(life_check_answers(box_fd, &err), 0);
        assert_true(life_is_up(LIFE_RUNNING) && life_is_up(LIFE_PAUSED) && life_is_up(LIFE_RESTARTING));
        assert_false(life_is_up(LIFE_CREATED) || life_is_up(LIFE_EXITED) || life_is_up(LIFE_DEAD));
        assert_string_equal(life_name(LIFE_PAUSED), "paused");
        assert_string_equal(life_name(LIFE_DEAD), "dead");
        (void)close(lock);
        write_state(box_fd, "{\"state\": \"restarting\", \"exit_code\": 3}");
        assert_int_equal(life_of(box_fd, true, &code), LIFE_DEAD);
}

static void a_reboot_of_the_host_is_told_as_such(void **state)
{
        (void)state;
        int box_fd;
        char boot[37], text[256];
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        static const char *const states[] = {"starting", "running", "paused", "stopping", "restarting"};
        assert_int_equal(process_boot_id(boot), 0);
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
                cleanup_life_report struct life_report before = {0};
                (void)snprintf(text, sizeof(text),
                               "{\"state\":\"%s\",\"monitor\":{\"pid\":1,\"boot_id\":"
                               "\"00000000-0000-0000-0000-000000000000\"}}",
                               states[i]);
                write_state(box_fd, text);
                life_read(box_fd, true, &before);
                assert_int_equal(before.life, LIFE_EXITED);
                assert_int_equal(before.exit_code, 137);
                assert_string_equal(before.why, "the host went down while the box ran");
                cleanup_life_report struct life_report now = {0};
                (void)snprintf(text, sizeof(text),
                               "{\"state\":\"%s\",\"monitor\":{\"pid\":1,\"boot_id\":\"%s\"}}", states[i],
                               boot);
                write_state(box_fd, text);
                life_read(box_fd, true, &now);
                assert_int_equal(now.life, LIFE_DEAD);
                assert_string_equal(now.why, "the box's monitor was killed");
        }
}

static void work_on_files_does_not_show(void **state)
{
        static const char *const states[] = {NULL, "{\"state\": \"exited\", \"exit_code\": 7}"};
        (void)state;
        int box_fd, code;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        for (size_t i = 0; i < 2; i++) {
                enum life before = i == 0 ? LIFE_CREATED : LIFE_EXITED;
                if (states[i] != NULL)
                        write_state(box_fd, states[i]);
                assert_int_equal(life_of(box_fd, i > 0, &code), before);
                int lock = -1;
                assert_int_equal(life_take(box_fd, &lock, &err), 0);
                assert_int_equal(life_keep(box_fd, &err), 0);
                write_state(box_fd, "{\"state\": \"starting\"}");
                assert_int_equal(life_of(box_fd, i > 0, &code), LIFE_RUNNING);
                write_state(box_fd, "{\"state\": \"exited\", \"exit_code\": 137}");
                (void)close(lock); /* whoever worked was killed */
                assert_int_equal(life_of(box_fd, i > 0, &code), before);
                assert_int_equal(code, i == 0 ? -1 : 7);
                assert_int_equal(life_take(box_fd, &lock, &err), 0); /* and somebody else works */
                assert_int_equal(life_keep(box_fd, &err), 0);
                assert_int_equal(life_restore(box_fd, &err), 0);
                assert_int_equal(life_restore(box_fd, &err), 0);
                (void)close(lock);
                assert_int_equal(life_of(box_fd, i > 0, &code), before);
                assert_int_equal(faccessat(box_fd, LIFE_KEPT_NAME, F_OK, 0), -1);
        }
}

static void one_of_two_starters_wins(void **state)
{
        (void)state;
        int box_fd;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        int first = -1, second = -1;
        assert_int_equal(life_take(box_fd, &first, &err), 0);
        assert_int_equal(life_take(box_fd, &second, &err), -EBUSY);
        assert_non_null(strstr(err.text, "running"));
        (void)close(first);
        assert_int_equal(life_take(box_fd, &second, &err), 0);
        (void)close(second);
}

static void who_looks_does_not_stop_a_starter(void **state)
{
        (void)state;
        int box_fd;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        assert_int_equal(life_create(box_fd, &err), 0);
        pid_t pid = fork();
        if (pid == 0) {
                for (;;)
                        (void)life_is_held(box_fd);
        }
        for (int i = 0; i < 200; i++) {
                int lock = -1;
                if (life_take(box_fd, &lock, &err) < 0)
                        fail_msg("%s", err.text);
                (void)close(lock);
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_lock_without_a_name_is_a_removed_box(void **state)
{
        (void)state;
        int box_fd;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        int lock = -1;
        assert_int_equal(life_take(box_fd, &lock, &err), -ENOENT);
        assert_int_equal(life_create(box_fd, &err), 0);
        assert_int_equal(life_create(box_fd, &err), -EEXIST);
}

static void a_lock_that_cannot_be_asked_is_not_free(void **state)
{
        (void)state;
        int box_fd, lock = -1;
        (void)unit_folder(&box_fd);
        struct error err = ERROR_INIT;
        cleanup_life_report struct life_report before, after;
        assert_int_equal(life_create(box_fd, &err), 0);
        write_state(box_fd, "{\"state\": \"running\"}");
        assert_int_equal(life_look(box_fd, &err), 0);
        life_read(box_fd, true, &before);
        assert_int_equal(before.life, LIFE_DEAD);
        assert_int_equal(before.error, 0);
        unit_refuse(SCMP_SYS(flock), ENOMEM);
        assert_int_equal(life_look(box_fd, &err), -ENOMEM);
        assert_non_null(strstr(err.text, strerror(ENOMEM)));
        assert_true(life_is_held(box_fd));
        assert_int_equal(life_take(box_fd, &lock, &err), -ENOMEM);
        life_read(box_fd, true, &after);
        assert_int_equal(after.error, -ENOMEM);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_lock_is_the_truth),
    cmocka_unit_test(a_held_box_says_what_it_does),
    cmocka_unit_test(a_reboot_of_the_host_is_told_as_such),
    cmocka_unit_test(work_on_files_does_not_show),
    cmocka_unit_test(one_of_two_starters_wins),
    cmocka_unit_test(who_looks_does_not_stop_a_starter),
    cmocka_unit_test(a_lock_without_a_name_is_a_removed_box),
    cmocka_unit_test(a_lock_that_cannot_be_asked_is_not_free),
};
UNIT_TEST_MAIN(cases)
