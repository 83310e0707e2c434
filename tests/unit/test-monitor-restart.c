/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet-monitor against fake-vmm: restarts by policy, their end, and boxes that are paused. */
#include "monitor-driver.h"

#define ALWAYS     ",\"restart\":{\"policy\":\"always\"}"
#define STOP       "{\"op\":\"stop\",\"timeout_ms\":5000}"
#define WAIT_LATER "{\"op\":\"wait\"}"

static const char *state_text(const json_t *state, const char *key)
{
        const char *text = json_string_value(json_object_get(state, key));
        return text == NULL ? "" : text;
}

static int64_t state_number(const json_t *state, const char *key)
{
        return json_integer_value(json_object_get(state, key));
}

/* Until state.json says so, with at least that many restarts; given up after 30 s. */
static void wait_for(const struct fixture *f, const char *name, int64_t restarts)
{
        for (int i = 0; i < 3000; i++) {
                cleanup_free char *text = NULL;
                cleanup_json json_t *json = NULL;
                size_t size;
                if (path_read_at(f->box_fd, "state.json", 65536, &text, &size) == 0)
                        (void)json_parse(text, size, "state.json", &json, NULL);
                if (strcmp(state_text(json, "state"), name) == 0 &&
                    state_number(json, "restarts") >= restarts)
                        return;
                (void)usleep(10000);
        }
        fail_msg("the box did not come to '%s'", name);
}

static void start(struct fixture *f, const char *behaviour, const char *act, const char *more)
{
        setup(f);
        configure(f, behaviour, act, "", more);
        launch(f, true);
}

/* One question on a connection of its own; the answer's type. */
static int ask(const struct fixture *f, const char *request)
{
        struct peer p;
        connect_peer(f, &p);
        peer_ask(&p, request);
        int type = peer_next(&p);
        if (type != 0)
                peer_expect(&p, 0);
        peer_done(&p);
        return type;
}

static void expect_refusal(const struct fixture *f, const char *request, const char *words)
{
        struct peer p;
        connect_peer(f, &p);
        peer_ask(&p, request);
        peer_expect(&p, FRAME_ERROR);
        cleanup_json json_t *json = peer_json(&p);
        const char *message = state_text(json, "message");
        if (strstr(message, words) == NULL)
                fail_msg("message: %s", message);
        peer_done(&p);
}

static void expect_end(struct fixture *f, const char *name, int exit_code, int64_t restarts, bool stopped)
{
        reap(f);
        cleanup_json json_t *state = read_state(f);
        assert_string_equal(state_text(state, "state"), name);
        assert_int_equal(state_number(state, "exit_code"), exit_code);
        assert_int_equal(state_number(state, "restarts"), restarts);
        assert_int_equal(json_is_true(json_object_get(state, "stopped")), stopped);
        assert_true(state_number(state, "finished_ns") > 0);
        assert_true(lock_is_free(f));
        teardown(f);
}

static void on_failure_gives_up_after_its_number(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"3\"]", ",\"restart\":{\"policy\":\"on-failure\",\"maximum\":2}");
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        skip_output(&f.first);
        expect_exit_frame(&f.first, 3, 0);
        peer_expect(&f.first, 0); /* who saw one run to its end is done */
        expect_end(&f, "exited", 3, 2, false);
}

static void on_failure_leaves_a_success_alone(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"print\",\"once\"]", ",\"restart\":{\"policy\":\"on-failure\"}");
        peer_ask(&f.first, WAIT);
        expect_end(&f, "exited", 0, 0, false);
}

static void stop_ends_the_wait_for_a_restart(void **state)
{
        (void)state;
        struct fixture f;
        struct peer waiting;
        start(&f, "", "[\"exit\",\"4\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 4); /* the fourth waits 800 ms */
        assert_false(lock_is_free(&f));
        connect_peer(&f, &waiting);
        peer_ask(&waiting, WAIT_LATER);
        peer_expect(&waiting, FRAME_REPLY);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        peer_expect(&waiting, FRAME_EXIT);
        expect_exit_frame(&waiting, 4, 0);
        peer_expect(&waiting, 0);
        peer_done(&waiting);
        expect_end(&f, "exited", 4, 3, true);
}

static void a_waiting_client_sees_the_next_end(void **state)
{
        (void)state;
        struct fixture f;
        struct peer waiting;
        start(&f, "", "[\"print\",\"text\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 3);
        connect_peer(&f, &waiting);
        peer_ask(&waiting, ATTACH); /* it sees all of the next run */
        peer_expect_started(&waiting);
        char output[64] = "";
        assert_int_equal(peer_output(&waiting, FRAME_STDOUT, output, sizeof(output)), FRAME_EXIT);
        assert_string_equal(output, "text");
        peer_expect(&waiting, 0);
        peer_done(&waiting);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        teardown(&f);
}

static void signals_while_it_waits(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"signal\",\"6\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 4);
        expect_refusal(&f, "{\"op\":\"kill\",\"signal\":1}", "is to restart");
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":9}"), FRAME_REPLY);
        expect_end(&f, "exited", 134, 3, true);
}

static void a_stopped_box_stays_down(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        peer_expect(&f.first, FRAME_EXIT);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

/* SIGHUP is what programs reload by: who dies of it is started again. */
static void kill_is_a_wish_and_sighup_is_not(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        wait_for(&f, "running", 1);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":9}"), FRAME_REPLY);
        expect_end(&f, "exited", 128 + SIGKILL, 1, true);
}

/* A host that shuts down is not a person who stops a box. */
static void sigterm_to_the_monitor_ends_without_a_wish(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(process_signal(f.pidfd, SIGTERM), 0);
        expect_end(&f, "exited", 128 + SIGTERM, 0, false);
}

static void nor_is_a_shutdown(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, "{\"op\":\"stop\",\"timeout_ms\":5000,\"shutdown\":true}"), FRAME_REPLY);
        expect_end(&f, "exited", 128 + SIGTERM, 0, false);
}

static void sigterm_while_it_waits(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"1\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 3);
        assert_int_equal(process_signal(f.pidfd, SIGTERM), 0);
        expect_end(&f, "exited", 1, 2, false);
}

static void a_machine_that_fails_is_restarted(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "panic-later", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 3);
        cleanup_json json_t *seen = read_state(&f);
        assert_int_equal(state_number(seen, "exit_code"), 125);
        assert_non_null(strstr(state_text(seen, "error"), "panicked while the box was running"));
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        expect_end(&f, "failed", 125, 2, true);
}

static void what_never_ran_is_not_restarted(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"missing\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect(&f.first, FRAME_REPLY);
        peer_expect(&f.first, FRAME_ERROR);
        expect_error_frame(&f.first, "container", 127, "it is not there");
        expect_end(&f, "failed", 127, 0, false);
}

/* The kernel goes away while the box runs: each restart fails, and is tried again. */
static void a_failed_restart_is_tried_again(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(renameat(f.parent_fd, "file", f.parent_fd, "away"), 0);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        wait_for(&f, "restarting", 3);
        cleanup_json json_t *seen = read_state(&f);
        assert_string_equal(state_text(seen, "stage"), "machine");
        assert_int_equal(renameat(f.parent_fd, "away", f.parent_fd, "file"), 0);
        wait_for(&f, "running", 3);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        cleanup_json json_t *state_json = read_state(&f);
        assert_null(json_object_get(state_json, "error"));
        teardown(&f);
}

static void a_broken_leash_is_no_reason_to_restart(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS);
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        close_fd(&f.first.fd);
        expect_end(&f, "exited", 128 + SIGKILL, 0, false);
}

/* Nor is the end of a leash whose run was told a reason to end the next one. */
static void a_leash_is_for_one_run(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"2\"]", ALWAYS);
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        skip_output(&f.first);
        expect_exit_frame(&f.first, 2, 0);
        peer_expect(&f.first, 0);
        close_fd(&f.first.fd);
        wait_for(&f, "restarting", 3);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        teardown(&f);
}

static void a_client_that_does_not_read_delays_no_restart(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"lines\",\"2000\"]", ALWAYS);
        peer_ask(&f.first, ATTACH);
        wait_for(&f, "restarting", 2);
        peer_expect_started(&f.first);
        skip_output(&f.first); /* all 2000 of the first run */
        expect_exit_frame(&f.first, 0, 0);
        peer_expect(&f.first, 0);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        teardown(&f);
}

static void the_policy_can_change(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", "");
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        expect_refusal(&f, "{\"op\":\"update\",\"restart\":{\"policy\":\"perhaps\"}}", "no restart policy");
        expect_refusal(&f, "{\"op\":\"update\",\"cpus\":0}", "cpus");
        assert_int_equal(ask(&f, "{\"op\":\"update\",\"restart\":{\"policy\":\"unless-stopped\"},\"cpus\":3,"
                                 "\"memory_bytes\":67108864}"),
                         FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        wait_for(&f, "running", 1);
        cleanup_free char *console = NULL;
        for (int i = 0; i < 1000; i++) {
                free(console);
                assert_int_equal(path_read_at(f.box_fd, "console.log", 65536, &console, NULL), 0);
                if (strstr(console, "memory") != NULL)
                        break;
                (void)usleep(10000);
        }
        assert_non_null(strstr(console, "cpus 3, memory 67108864"));
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        wait_for(&f, "running", 2);
        assert_int_equal(ask(&f, "{\"op\":\"update\",\"restart\":{\"policy\":\"no\"}}"), FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        expect_end(&f, "exited", 128 + SIGHUP, 2, false);
}

static void the_policy_no_ends_the_wait(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"9\"]", ALWAYS);
        peer_ask(&f.first, WAIT);
        wait_for(&f, "restarting", 4);
        assert_int_equal(ask(&f, "{\"op\":\"update\",\"restart\":{\"policy\":\"no\"}}"), FRAME_REPLY);
        expect_end(&f, "exited", 9, 3, false);
}

static void auto_remove_and_restart_exclude_each_other(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"0\"]", ALWAYS ",\"auto_remove\":true");
        peer_ask(&f.first, WAIT);
        peer_expect(&f.first, FRAME_ERROR);
        expect_error_frame(&f.first, "machine", 125, "exclude each other");
        reap(&f);
        teardown(&f);
}

static bool is_locked(const struct fixture *f, const char *name)
{
        cleanup_fd int fd = openat(f->parent_fd, name, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* Its volumes are its own, and its sockets are there, through all restarts. */
static void volumes_and_sockets_are_kept(void **state)
{
        (void)state;
        struct fixture f;
        struct stat st;
        char members[1024];
        setup(&f);
        write_file(f.parent_fd, "volume", "x");
        int volume = openat(f.parent_fd, "volume", O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(volume, LOCK_EX), 0);
        int forward = unix_listen_at(f.parent_fd, "sock", SOCK_STREAM, 8);
        assert_true(forward >= 0);
        assert_int_equal(fstatat(f.parent_fd, "sock", &st, 0), 0);
        (void)snprintf(members, sizeof(members),
                       ALWAYS
                       ",\"disks\":[{\"name\":\"v\",\"fd\":6,\"readonly\":true}],\"forwards\":[{\"fd\":7,"
                       "\"path\":\"%s/sock\",\"unix\":\"/u\",\"device\":%lld,\"inode\":%lld,"
                       "\"modified_ns\":%lld}]",
                       f.folder, (long long)st.st_dev, (long long)st.st_ino,
                       (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
        configure(&f, "", "[\"exit\",\"1\"]", "", members);
        f.more_fds[0] = volume;
        f.more_fds[1] = forward;
        launch(&f, true);
        (void)close(volume);
        (void)close(forward);
        peer_ask(&f.first, WAIT);
        for (int i = 1; i < 4; i++) {
                wait_for(&f, "restarting", i);
                assert_true(is_locked(&f, "volume"));
                int fd = unix_connect_at(f.parent_fd, "sock", SOCK_STREAM);
                assert_true(fd >= 0);
                (void)close(fd);
        }
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        assert_false(is_locked(&f, "volume"));
        assert_int_equal(fstatat(f.parent_fd, "sock", &st, 0), -1);
        teardown(&f);
}

/* ---- paused ---- */

static void pause_and_unpause(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", "");
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        expect_refusal(&f, "{\"op\":\"unpause\"}", "it is not paused");
        assert_int_equal(ask(&f, "{\"op\":\"pause\"}"), FRAME_REPLY);
        cleanup_json json_t *paused = read_state(&f);
        assert_string_equal(state_text(paused, "state"), "paused");
        expect_refusal(&f, "{\"op\":\"pause\"}", "paused already");
        expect_refusal(&f, ATTACH, "unpause it first");
        assert_int_equal(ask(&f, "{\"op\":\"status\"}"), FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"unpause\"}"), FRAME_REPLY);
        cleanup_json json_t *running = read_state(&f);
        assert_string_equal(state_text(running, "state"), "running");
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

static void expect_console(const struct fixture *f, const char *words)
{
        cleanup_free char *console = NULL;
        assert_int_equal(path_read_at(f->box_fd, "console.log", 65536, &console, NULL), 0);
        assert_non_null(strstr(console, words));
}

/* Whatever ends a paused box lets it go on first; `request` NULL: its leash breaks. */
static void end_while_paused(const char *request, int signal)
{
        struct fixture f;
        start(&f, "", "[\"wait\"]", "");
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, "{\"op\":\"pause\"}"), FRAME_REPLY);
        if (request != NULL)
                assert_int_equal(ask(&f, request), FRAME_REPLY);
        else
                close_fd(&f.first.fd);
        reap(&f);
        expect_state(&f, "exited", 128 + signal);
        expect_console(&f, "the machine goes on");
        teardown(&f);
}

static void a_paused_box_can_be_stopped(void **state)
{
        end_while_paused(STOP, SIGTERM);
}

static void a_paused_box_can_be_stopped_at_once(void **state)
{
        end_while_paused("{\"op\":\"stop\",\"timeout_ms\":0}", SIGKILL);
}

static void a_paused_box_can_be_killed(void **state)
{
        end_while_paused("{\"op\":\"kill\",\"signal\":9}", SIGKILL);
}

static void a_paused_box_can_be_asked_to_end(void **state)
{
        end_while_paused("{\"op\":\"kill\",\"signal\":15}", SIGTERM);
}

static void a_paused_box_ends_with_its_leash(void **state)
{
        end_while_paused(NULL, SIGKILL);
}

static void what_does_not_run_is_not_paused(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"0\"]", ALWAYS);
        peer_ask(&f.first, WAIT_LATER);
        peer_expect(&f.first, FRAME_REPLY);
        expect_refusal(&f, "{\"op\":\"pause\"}", "it is not running");
        struct peer starter;
        connect_peer(&f, &starter);
        peer_ask(&starter, WAIT);
        peer_expect(&starter, FRAME_REPLY);
        peer_done(&starter);
        wait_for(&f, "restarting", 4);
        expect_refusal(&f, "{\"op\":\"pause\"}", "it is not running");
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        teardown(&f);
}

/* The machine does not answer: who asks is told when the box has ended, and stop works. */
static void a_machine_that_does_not_answer(void **state)
{
        (void)state;
        struct fixture f;
        struct peer asking;
        start(&f, "frozen", "[\"wait\"]", "");
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        connect_peer(&f, &asking);
        peer_ask(&asking, "{\"op\":\"pause\"}");
        assert_int_equal(ask(&f, "{\"op\":\"status\"}"), FRAME_REPLY);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        peer_expect(&asking, FRAME_ERROR);
        peer_done(&asking);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

/* ---- events ---- */

static void its_life_goes_into_the_journal(void **state)
{
        (void)state;
        static const char *const expected[] = {"start n", "pause n", "unpause n", "kill m", "die m",
                                               "start m", "kill m",  "die m",     "stop m"};
        struct fixture f;
        char members[700];
        setup(&f);
        (void)snprintf(members, sizeof(members),
                       ALWAYS ",\"events\":{\"folder\":\"%s\",\"attributes\":{\"name\":\"n\"}}", f.folder);
        configure(&f, "", "[\"wait\"]", "", members);
        launch(&f, true);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, "{\"op\":\"pause\"}"), FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"unpause\"}"), FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"update\",\"name\":\"m\"}"), FRAME_REPLY);
        assert_int_equal(ask(&f, "{\"op\":\"kill\",\"signal\":1}"), FRAME_REPLY);
        wait_for(&f, "running", 1);
        assert_int_equal(ask(&f, STOP), FRAME_REPLY);
        reap(&f);
        cleanup_free char *text = NULL;
        size_t count = 0;
        assert_int_equal(path_read_at(f.parent_fd, "journal", 1 << 20, &text, NULL), 0);
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                cleanup_json json_t *json = json_loads(line, 0, NULL);
                char seen[64];
                (void)snprintf(seen, sizeof(seen), "%s %s", state_text(json, "Action"),
                               state_text(json_object_get(json_object_get(json, "Actor"), "Attributes"),
                                          "name"));
                assert_true(count < sizeof(expected) / sizeof(expected[0]));
                assert_string_equal(seen, expected[count++]);
        }
        assert_int_equal(count, sizeof(expected) / sizeof(expected[0]));
        teardown(&f);
}

/* ---- limits ---- */

static int64_t now_ms(void)
{
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void expect_warning(const struct fixture *f, const char *words)
{
        cleanup_json json_t *state = read_state(f);
        const char *text = json_string_value(json_array_get(json_object_get(state, "warnings"), 0));
        assert_non_null(text);
        assert_non_null(strstr(text, words));
}

static void a_box_is_stopped_after_its_time(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS ",\"stop_after_ms\":300");
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        skip_output(&f.first);
        expect_exit_frame(&f.first, 0, SIGTERM);
        peer_expect(&f.first, 0);
        assert_true(lock_is_free(&f)); /* its policy says nothing */
        expect_warning(&f, "--stop-after");
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

/* The time is the box's, not a run's. */
static void the_time_goes_on_through_restarts(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"exit\",\"5\"]", ALWAYS ",\"stop_after_ms\":1000");
        peer_ask(&f.first, WAIT);
        reap(&f);
        cleanup_json json_t *json = read_state(&f);
        assert_true(state_number(json, "restarts") >= 1);
        assert_true(json_is_true(json_object_get(json, "stopped")));
        teardown(&f);
}

static void an_idle_box_is_stopped(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ALWAYS ",\"idle_stop_ms\":300");
        peer_ask(&f.first, WAIT); /* who only waits is not there */
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        expect_exit_frame(&f.first, 0, SIGTERM);
        reap(&f);
        expect_warning(&f, "--idle-stop");
        teardown(&f);
}

static void who_is_attached_keeps_it_from_idling(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ",\"idle_stop_ms\":200");
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        (void)usleep(800000);
        cleanup_json json_t *json = read_state(&f);
        assert_string_equal(state_text(json, "state"), "running");
        close_fd(&f.first.fd);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

static void an_exec_keeps_it_from_idling(void **state)
{
        (void)state;
        struct fixture f;
        int64_t begun = now_ms();
        start(&f, "visited", "[\"wait\"]", ",\"idle_stop_ms\":200");
        peer_ask(&f.first, WAIT);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
        assert_true(now_ms() - begun >= 1200);
}

static void a_paused_box_is_not_idle(void **state)
{
        (void)state;
        struct fixture f;
        start(&f, "", "[\"wait\"]", ",\"idle_stop_ms\":500");
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        assert_int_equal(ask(&f, "{\"op\":\"pause\"}"), FRAME_REPLY);
        (void)usleep(1200000);
        cleanup_json json_t *json = read_state(&f);
        assert_string_equal(state_text(json, "state"), "paused");
        assert_int_equal(ask(&f, "{\"op\":\"unpause\"}"), FRAME_REPLY);
        expect_end(&f, "exited", 128 + SIGTERM, 0, true);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(on_failure_gives_up_after_its_number),
    cmocka_unit_test(on_failure_leaves_a_success_alone),
    cmocka_unit_test(stop_ends_the_wait_for_a_restart),
    cmocka_unit_test(a_waiting_client_sees_the_next_end),
    cmocka_unit_test(signals_while_it_waits),
    cmocka_unit_test(a_stopped_box_stays_down),
    cmocka_unit_test(kill_is_a_wish_and_sighup_is_not),
    cmocka_unit_test(sigterm_to_the_monitor_ends_without_a_wish),
    cmocka_unit_test(nor_is_a_shutdown),
    cmocka_unit_test(sigterm_while_it_waits),
    cmocka_unit_test(a_machine_that_fails_is_restarted),
    cmocka_unit_test(what_never_ran_is_not_restarted),
    cmocka_unit_test(a_failed_restart_is_tried_again),
    cmocka_unit_test(a_broken_leash_is_no_reason_to_restart),
    cmocka_unit_test(a_leash_is_for_one_run),
    cmocka_unit_test(a_client_that_does_not_read_delays_no_restart),
    cmocka_unit_test(the_policy_can_change),
    cmocka_unit_test(the_policy_no_ends_the_wait),
    cmocka_unit_test(auto_remove_and_restart_exclude_each_other),
    cmocka_unit_test(volumes_and_sockets_are_kept),
    cmocka_unit_test(pause_and_unpause),
    cmocka_unit_test(a_paused_box_can_be_stopped),
    cmocka_unit_test(a_paused_box_can_be_stopped_at_once),
    cmocka_unit_test(a_paused_box_can_be_killed),
    cmocka_unit_test(a_paused_box_can_be_asked_to_end),
    cmocka_unit_test(a_paused_box_ends_with_its_leash),
    cmocka_unit_test(what_does_not_run_is_not_paused),
    cmocka_unit_test(a_machine_that_does_not_answer),
    cmocka_unit_test(its_life_goes_into_the_journal),
    cmocka_unit_test(a_box_is_stopped_after_its_time),
    cmocka_unit_test(the_time_goes_on_through_restarts),
    cmocka_unit_test(an_idle_box_is_stopped),
    cmocka_unit_test(who_is_attached_keeps_it_from_idling),
    cmocka_unit_test(an_exec_keeps_it_from_idling),
    cmocka_unit_test(a_paused_box_is_not_idle),
};

UNIT_TEST_MAIN(cases)
