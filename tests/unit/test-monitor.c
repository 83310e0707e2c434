/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet-monitor as a whole, against fake-vmm: lives of boxes from start to end. */
#include "monitor-driver.h"

/* One box from start to end, seen by an attached client. */
static void run_to_exit(const char *act, int code, int signal)
{
        struct fixture f;
        char output[256] = "";
        setup(&f);
        configure(&f, "", act, "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        assert_int_equal(peer_output(&f.first, FRAME_STDOUT, output, sizeof(output)), FRAME_EXIT);
        expect_exit_frame(&f.first, code, signal);
        peer_expect(&f.first, 0);
        assert_true(lock_is_free(&f));
        expect_state(&f, "exited", signal != 0 ? 128 + signal : code);
        reap(&f);
        teardown(&f);
}

static void run_to_failure(const char *behaviour, const char *act, const char *stage, int exit_code,
                           const char *words)
{
        struct fixture f;
        int type;
        setup(&f);
        configure(&f, behaviour, act, "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        do {
                type = peer_next(&f.first);
        } while (type == FRAME_REPLY || type == FRAME_EVENT || type == FRAME_STDOUT || type == FRAME_STDERR);
        expect_error_frame(&f.first, stage, exit_code, words);
        peer_expect(&f.first, 0);
        expect_state(&f, "failed", exit_code);
        cleanup_json json_t *state = read_state(&f);
        assert_string_equal(json_string_value(json_object_get(state, "stage")), stage);
        assert_non_null(strstr(json_string_value(json_object_get(state, "error")), words));
        reap(&f);
        teardown(&f);
}

/* ---- cases ---- */

static void exit_code_is_told(void **state)
{
        (void)state;
        run_to_exit("[\"exit\",\"7\"]", 7, 0);
}

static void signal_is_told(void **state)
{
        (void)state;
        run_to_exit("[\"signal\",\"11\"]", 0, 11);
}

static void out_of_memory_is_noted(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"oom\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        peer_expect(&f.first, 0);
        cleanup_json json_t *json = read_state(&f);
        assert_true(json_is_true(json_object_get(json, "oom_killed")));
        reap(&f);
        teardown(&f);
}

static void output_goes_to_client_and_log(void **state)
{
        (void)state;
        struct fixture f;
        char output[256] = "";
        setup(&f);
        configure(&f, "", "[\"both\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        assert_int_equal(peer_output(&f.first, FRAME_STDOUT, output, sizeof(output)), FRAME_STDERR);
        assert_string_equal(output, "to stdout\n");
        assert_memory_equal(f.first.frame.payload, "to stderr\n", 10);
        peer_expect(&f.first, FRAME_STDOUT);
        peer_expect(&f.first, FRAME_STDERR);
        peer_expect(&f.first, FRAME_EXIT);
        peer_expect(&f.first, 0);
        reap(&f);
        cleanup_free char *log = NULL;
        assert_int_equal(path_read_at(f.box_fd, "log", 65536, &log, NULL), 0);
        assert_non_null(strstr(log, "\"s\":\"stdout\",\"l\":\"to stdout\"}\n"));
        assert_non_null(strstr(log, "\"s\":\"stderr\",\"l\":\"to stderr\"}\n"));
        teardown(&f);
}

static void requests_carry_what_box_json_says(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"env\"]", ",\"stdin\":true",
                  ",\"hosts\":[{\"address\":\"10.9.9.9\",\"names\":[\"db\"]}]");
        launch(&f, true);
        const struct frame_resize size = {{24, 0}, {80, 0}};
        cleanup_free char *output = calloc(1, 65536);
        peer_ask(&f.first, "{\"op\":\"attach\",\"stdout\":true}");
        peer_expect(&f.first, FRAME_REPLY);
        peer_send(&f.first, FRAME_RESIZE, &size, sizeof(size));
        struct peer other;
        connect_peer(&f, &other);
        peer_ask(&other, WAIT);
        peer_expect(&f.first, FRAME_EVENT);
        assert_int_equal(peer_output(&f.first, FRAME_STDOUT, output, 65536), FRAME_EXIT);
        assert_non_null(strstr(output, "\"10.9.9.9\""));
        assert_non_null(strstr(output, "\"upper\":\"/dev/vdb\""));
        assert_non_null(strstr(output, "\"network\":null"));
        assert_non_null(strstr(output, "\"stdin\":true"));
        assert_non_null(strstr(output, "\"consoleSize\":{\"height\":24,\"width\":80}"));
        peer_done(&other);
        peer_expect(&f.first, 0);
        reap(&f);
        teardown(&f);
}

static void held_init_waits_for_the_word(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"exit\",\"0\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect(&f.first, FRAME_REPLY);
        struct pollfd quiet = {.fd = f.first.fd, .events = POLLIN};
        assert_int_equal(poll(&quiet, 1, 200), 0);
        connect_peer(&f, &other);
        peer_ask(&other, WAIT);
        peer_expect_started(&other);
        peer_expect(&f.first, FRAME_EVENT);
        peer_expect(&f.first, FRAME_EXIT);
        peer_done(&other);
        reap(&f);
        teardown(&f);
}

static void held_box_ends_with_its_client(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        launch(&f, true);
        peer_done(&f.first);
        reap(&f);
        expect_state(&f, "exited", 137);
        teardown(&f);
}

static void input_reaches_init(void **state)
{
        (void)state;
        struct fixture f;
        cleanup_free char *sent = malloc(FRAME_STREAM_MAX), *output = calloc(1, (4 << 20) + 1);
        setup(&f);
        configure(&f, "", "[\"cat\"]", ",\"stdin\":true", "");
        launch(&f, true);
        memset(sent, 'y', FRAME_STREAM_MAX);
        peer_ask(&f.first, ATTACH);
        peer_send(&f.first, FRAME_STDIN, "early ", 6);
        peer_expect_started(&f.first);
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0) {
                for (int i = 0; i < 32; i++)
                        peer_send(&f.first, FRAME_STDIN, sent, FRAME_STREAM_MAX);
                peer_send(&f.first, FRAME_STDIN, NULL, 0);
                _exit(0);
        }
        assert_int_equal(peer_output(&f.first, FRAME_STDOUT, output, 4 << 20), FRAME_EXIT);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_int_equal(strlen(output), 6 + 32 * FRAME_STREAM_MAX);
        assert_memory_equal(output, "early yyy", 9);
        peer_expect(&f.first, 0);
        reap(&f);
        teardown(&f);
}

static void size_changes_reach_init(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"size\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        const struct frame_resize size = {{50, 0}, {0, 1}};
        peer_send(&f.first, FRAME_RESIZE, &size, sizeof(size));
        peer_expect(&f.first, FRAME_STDOUT);
        assert_memory_equal(f.first.frame.payload, "50x256\n", 7);
        peer_done(&f.first);
        reap(&f);
        teardown(&f);
}

static void two_clients_see_the_same(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        const struct frame_signal term = {{15, 0, 0, 0}};
        setup(&f);
        configure(&f, "", "[\"stubborn\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_STDOUT);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"attach\",\"stdout\":true}");
        peer_expect_started(&other);
        peer_send(&f.first, FRAME_SIGNAL, &term, sizeof(term));
        peer_expect(&f.first, FRAME_STDOUT);
        peer_expect(&other, FRAME_STDOUT);
        assert_memory_equal(other.frame.payload, "ignored 15\n", 11);
        peer_done(&f.first); /* no leash: the box goes on */
        struct peer third;
        connect_peer(&f, &third);
        peer_ask(&third, "{\"op\":\"status\"}");
        peer_expect(&third, FRAME_REPLY);
        cleanup_json json_t *status = peer_json(&third);
        assert_string_equal(json_string_value(json_object_get(status, "state")), "running");
        peer_done(&third);
        connect_peer(&f, &third);
        peer_ask(&third, "{\"op\":\"kill\",\"signal\":9}");
        peer_expect(&third, FRAME_REPLY);
        peer_done(&third);
        skip_output(&other);
        expect_exit_frame(&other, 0, 9);
        peer_done(&other);
        reap(&f);
        teardown(&f);
}

static void slow_client_blocks_init_and_loses_nothing(void **state)
{
        (void)state;
        struct fixture f;
        size_t total = 0;
        int type;
        setup(&f);
        configure(&f, "", "[\"stream\",\"24\"]", "", ",\"log\":{\"maximum_bytes\":200000}");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        (void)usleep(500000); /* the monitor must not take in 24 MiB meanwhile: seen by its memory below */
        char name[64];
        cleanup_free char *text = NULL;
        (void)snprintf(name, sizeof(name), "/proc/%d/status", (int)f.pid);
        assert_int_equal(path_read_at(AT_FDCWD, name, 8192, &text, NULL), 0);
        long kib = strtol(strstr(text, "VmRSS:") + 6, NULL, 10);
        if (kib > 12288) /* with sanitizers it is several times what it is */
                (void)fprintf(stderr, "%ld KiB resident\n", kib);
#if !defined(__SANITIZE_ADDRESS__)
        assert_true(kib < 6144);
#endif
        while ((type = peer_next(&f.first)) == FRAME_STDOUT || type == FRAME_STDERR)
                total += f.first.frame.size;
        expect_exit_frame(&f.first, 0, 0);
        assert_int_equal(total, 24 << 20);
        peer_expect(&f.first, 0);
        reap(&f);
        teardown(&f);
}

static void stopping_ends_a_box_whose_client_does_not_read(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"stream\",\"8\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect_started(&f.first);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"stop\",\"timeout_ms\":20000}");
        peer_expect(&other, FRAME_REPLY);
        assert_true(lock_is_free(&f)); /* though the first client has not read its output */
        peer_done(&other);
        peer_done(&f.first);
        reap(&f);
        teardown(&f);
}

static void stop_ends_politely(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"wait\"]", ",\"stop_signal\":10", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"stop\"}");
        peer_expect(&f.first, FRAME_EXIT);
        expect_exit_frame(&f.first, 0, 10);
        peer_expect(&other, FRAME_REPLY);
        peer_done(&other);
        expect_state(&f, "exited", 138);
        reap(&f);
        teardown(&f);
}

static int64_t now_ms(void)
{
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void stop_kills_after_its_time(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"stubborn\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        connect_peer(&f, &other);
        int64_t before = now_ms();
        peer_ask(&other, "{\"op\":\"stop\",\"timeout_ms\":300}");
        peer_expect(&other, FRAME_REPLY);
        assert_true(now_ms() - before >= 300);
        assert_true(now_ms() - before < 20000);
        peer_done(&other);
        expect_state(&f, "exited", 137);
        reap(&f);
        teardown(&f);
}

static void sigterm_stops(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        assert_int_equal(process_signal(f.pidfd, SIGTERM), 0);
        peer_expect(&f.first, FRAME_EXIT);
        expect_exit_frame(&f.first, 0, 15);
        reap(&f);
        teardown(&f);
}

static void a_hung_guest_that_is_stopped_is_noted(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "hangs-later", "[\"wait\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        assert_int_equal(process_signal(f.pidfd, SIGTERM), 0);
        peer_expect(&f.first, FRAME_EXIT);
        expect_exit_frame(&f.first, 0, 15);
        reap(&f);
        expect_state(&f, "exited", 143);
        cleanup_json json_t *json = read_state(&f);
        const char *warning = json_string_value(json_array_get(json_object_get(json, "warnings"), 0));
        assert_non_null(warning);
        assert_non_null(strstr(warning, "kernel had hung when it was stopped"));
        teardown(&f);
}

static void stop_while_booting(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "boot-hangs", "[\"exit\",\"0\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect(&f.first, FRAME_REPLY);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"stop\",\"timeout_ms\":60000}");
        peer_expect(&other, FRAME_REPLY);
        peer_expect(&f.first, FRAME_ERROR);
        expect_error_frame(&f.first, "container", 143, "before its command ran");
        peer_done(&other);
        reap(&f);
        teardown(&f);
}

static void broken_leash_ends_the_box(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"stubborn\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        peer_done(&f.first);
        reap(&f);
        expect_state(&f, "exited", 137);
        teardown(&f);
}

/* Init reads nothing, so the client's input is not read either: its end must be seen all the same. */
static void broken_leash_is_seen_behind_waiting_input(void **state)
{
        (void)state;
        struct fixture f;
        cleanup_free char *chunk = calloc(1, FRAME_STREAM_MAX);
        setup(&f);
        configure(&f, "", "[\"wait\"]", ",\"stdin\":true", "");
        launch(&f, true);
        peer_ask(&f.first, "{\"op\":\"attach\",\"stdin\":true,\"leash\":true}");
        peer_expect(&f.first, FRAME_REPLY);
        assert_int_equal(fcntl(f.first.fd, F_SETFL, O_NONBLOCK), 0);
        uint8_t header[FRAME_HEADER_SIZE];
        assert_int_equal(frame_encode_header(FRAME_STDIN, FRAME_STREAM_MAX, header), 0);
        for (int i = 0; i < 200; i++) { /* until nothing more is taken; init is held */
                struct pollfd p = {.fd = f.first.fd, .events = POLLOUT};
                if (poll(&p, 1, 300) == 0)
                        break;
                if (send(f.first.fd, header, sizeof(header), MSG_NOSIGNAL) != sizeof(header))
                        break;
                size_t sent = 0;
                while (sent < FRAME_STREAM_MAX && poll(&p, 1, 300) == 1) {
                        ssize_t n = send(f.first.fd, chunk, FRAME_STREAM_MAX - sent, MSG_NOSIGNAL);
                        sent += n > 0 ? (size_t)n : 0;
                }
        }
        peer_done(&f.first);
        reap(&f);
        expect_state(&f, "exited", 137);
        teardown(&f);
}

static void unleashed_box_lives_on(void **state)
{
        (void)state;
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        launch(&f, true);
        peer_ask(&f.first, ATTACH_LEASH);
        peer_expect_started(&f.first);
        peer_ask(&f.first, "{\"op\":\"unleash\"}");
        skip_output(&f.first);
        assert_int_equal(f.first.frame.type, FRAME_REPLY);
        peer_done(&f.first);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"status\"}");
        peer_expect(&other, FRAME_REPLY);
        peer_done(&other);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"stop\",\"timeout_ms\":0}");
        peer_expect(&other, FRAME_REPLY);
        peer_done(&other);
        reap(&f);
        teardown(&f);
}

static void panic_is_told_with_the_console(void **state)
{
        (void)state;
        run_to_failure("panic", "[\"wait\"]", "kernel", 125, "Kernel panic - not syncing: VFS: no root");
}

static void panic_while_running_is_told(void **state)
{
        (void)state;
        run_to_failure("panic-later", "[\"wait\"]", "kernel", 125, "panicked while the box was running");
}

static void reset_is_told_apart(void **state)
{
        (void)state;
        run_to_failure("reset", "[\"wait\"]", "kernel", 125,
                       "the guest reset or powered off by itself before its agent");
}

static void dead_engine_is_told(void **state)
{
        (void)state;
        run_to_failure("engine-died", "[\"wait\"]", "machine", 125, "cannot allocate memory");
}

static void missing_engine_is_told(void **state)
{
        (void)state;
        run_to_failure("engine-missing", "[\"wait\"]", "machine", 125, "/usr/bin/qemu");
}

static void crashed_vmm_is_told(void **state)
{
        (void)state;
        run_to_failure("crash", "[\"wait\"]", "machine", 125, "ended by itself with code 3");
}

static void killed_vmm_is_told(void **state)
{
        (void)state;
        run_to_failure("vmm-killed", "[\"wait\"]", "machine", 125, "signal 9");
}

static void silent_guest_is_told(void **state)
{
        (void)state;
        run_to_failure("silent", "[\"wait\"]", "kernel", 125, "did not speak within 300 ms");
}

static void hung_guest_is_told_apart(void **state)
{
        (void)state;
        run_to_failure("hung", "[\"wait\"]", "kernel", 125,
                       "did not speak within 300 ms; the guest's kernel hung: all CPUs had halted");
}

static void agent_that_does_not_start_init_is_told(void **state)
{
        (void)state;
        run_to_failure("start-hangs", "[\"wait\"]", "agent", 125, "did not start init within 300 ms");
}

static void impossible_exit_is_refused(void **state)
{
        (void)state;
        run_to_failure("", "[\"signal\",\"200\"]", "agent", 125, "read an exit: signal 200");
}

static void boot_error_is_told(void **state)
{
        (void)state;
        run_to_failure("agent-error", "[\"wait\"]", "agent", 125, "mount '/dev/vda': not a file system");
}

static void boot_error_names_its_part(void **state)
{
        (void)state;
        run_to_failure("root-error", "[\"wait\"]", "root", 125, "mount '/dev/vda': not a file system");
}

static void lost_agent_is_told(void **state)
{
        (void)state;
        run_to_failure("agent-gone", "[\"wait\"]", "agent", 125, "the agent's control connection ended");
}

static void lost_init_is_told(void **state)
{
        (void)state;
        run_to_failure("", "[\"lost\"]", "agent", 125, "init's connection ended");
}

static void garbage_from_the_guest_is_told(void **state)
{
        (void)state;
        run_to_failure("garbage", "[\"wait\"]", "agent", 125, "unknown type");
}

static void missing_command_is_127(void **state)
{
        (void)state;
        run_to_failure("", "[\"missing\"]", "container", 127, "it is not there");
}

static void denied_command_is_126(void **state)
{
        (void)state;
        run_to_failure("", "[\"denied\"]", "container", 126, "permission denied");
}

static void stubborn_vmm_is_killed(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "stubborn", "[\"exit\",\"0\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        int64_t before = now_ms();
        peer_expect(&f.first, 0);
        assert_true(now_ms() - before < 15000);
        reap(&f);
        teardown(&f);
}

static void missing_kernel_is_told_at_once(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        assert_int_equal(unlinkat(f.parent_fd, "file", 0), 0);
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect(&f.first, FRAME_ERROR);
        expect_error_frame(&f.first, "machine", 125, "open the guest kernel");
        peer_expect(&f.first, 0);
        assert_true(lock_is_free(&f));
        reap(&f);
        teardown(&f);
}

static void broken_box_json_is_told(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        write_file(f.box_fd, "box.json", "{\"version\":1,\"id\":7}");
        launch(&f, true);
        peer_ask(&f.first, ATTACH);
        peer_expect(&f.first, FRAME_ERROR);
        expect_error_frame(&f.first, "machine", 125, "'id' is a JSON integer");
        reap(&f);
        teardown(&f);
}

static void bad_requests_are_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"{\"op\":\"dance\"}", "{}", "[]", "{\"op\":\"kill\",\"signal\":65}",
                                          "nonsense"};
        struct fixture f;
        struct peer other;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                connect_peer(&f, &other);
                peer_ask(&other, bad[i]);
                peer_expect(&other, FRAME_ERROR);
                peer_expect(&other, 0);
                peer_done(&other);
        }
        connect_peer(&f, &other);
        peer_send(&other, FRAME_STDIN, "x", 1); /* without a request */
        peer_done(&other);
        connect_peer(&f, &other);
        peer_ask(&other, "{\"op\":\"stop\",\"timeout_ms\":0}");
        peer_expect(&other, FRAME_REPLY);
        peer_done(&other);
        reap(&f);
        teardown(&f);
}

static void auto_remove_leaves_nothing(void **state)
{
        (void)state;
        struct fixture f;
        struct stat st;
        setup(&f);
        configure(&f, "no-halt", "[\"exit\",\"3\"]", "", ",\"auto_remove\":true");
        launch(&f, true);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        int64_t before = now_ms();
        peer_expect(&f.first, 0);
        assert_true(now_ms() - before < 5000); /* the disk is not waited for */
        assert_int_equal(fstatat(f.parent_fd, ID, &st, 0), -1);
        assert_int_equal(errno, ENOENT);
        reap(&f);
        teardown(&f);
}

/* The actions in the journal, with one attribute of each. */
static void expect_events(const struct fixture *f, const char *expected)
{
        char seen[1024] = "";
        size_t used = 0;
        cleanup_free char *text = NULL;
        assert_int_equal(path_read_at(f->parent_fd, "journal", 1 << 20, &text, NULL), 0);
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                json_t *json = NULL;
                assert_int_equal(json_parse(line, strlen(line), "event", &json, NULL), 0);
                const json_t *attributes = json_object_get(json_object_get(json, "Actor"), "Attributes");
                const char *more = json_string_value(json_object_get(attributes, "exitCode"));
                if (more == NULL)
                        more = json_string_value(json_object_get(attributes, "signal"));
                assert_string_equal(json_string_value(json_object_get(attributes, "name")), "n");
                used += (size_t)snprintf(seen + used, sizeof(seen) - used, "%s%s%s ",
                                         json_string_value(json_object_get(json, "Action")),
                                         more != NULL ? "=" : "", more != NULL ? more : "");
                json_decref(json);
        }
        assert_string_equal(seen, expected);
}

static void a_life_goes_into_the_journal(const char *act, const char *more, const char *op,
                                         const char *expected)
{
        struct fixture f;
        char members[700];
        setup(&f);
        (void)snprintf(members, sizeof(members),
                       "%s,\"events\":{\"folder\":\"%s\",\"attributes\":{\"name\":\"n\"}}", more, f.folder);
        configure(&f, "", act, "", members);
        launch(&f, true);
        peer_ask(&f.first, WAIT);
        peer_expect_started(&f.first);
        if (op != NULL) {
                struct peer other;
                connect_peer(&f, &other);
                peer_ask(&other, op);
                peer_expect(&other, FRAME_REPLY);
                peer_done(&other);
        }
        peer_expect(&f.first, FRAME_EXIT);
        peer_expect(&f.first, 0);
        reap(&f);
        expect_events(&f, expected);
        teardown(&f);
}

static void events_are_written(void **state)
{
        (void)state;
        a_life_goes_into_the_journal("[\"exit\",\"3\"]", "", NULL, "start die=3 ");
}

static void events_of_a_stop(void **state)
{
        (void)state;
        a_life_goes_into_the_journal("[\"wait\"]", ",\"auto_remove\":true", "{\"op\":\"stop\"}",
                                     "start kill=15 die=143 stop destroy ");
}

static void events_of_a_box_out_of_memory(void **state)
{
        (void)state;
        a_life_goes_into_the_journal("[\"oom\"]", "", NULL, "start oom die=137 ");
}

static void console_flood_is_bounded(void **state)
{
        (void)state;
        struct fixture f;
        struct stat st;
        setup(&f);
        configure(&f, "flood", "[\"exit\",\"0\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        reap(&f);
        assert_int_equal(fstatat(f.box_fd, "console.log", &st, 0), 0);
        assert_true(st.st_size <= 512 << 10);
        assert_int_equal(fstatat(f.box_fd, "console.log.1", &st, 0), 0);
        assert_true(st.st_size <= 512 << 10);
        teardown(&f);
}

static void log_rotates(void **state)
{
        (void)state;
        struct fixture f;
        struct stat st;
        setup(&f);
        configure(&f, "", "[\"lines\",\"1000\"]", "", ",\"log\":{\"maximum_bytes\":60000,\"files\":3}");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        reap(&f);
        static const char *const names[] = {"log", "log.1", "log.2"};
        for (int i = 0; i < 3; i++) {
                assert_int_equal(fstatat(f.box_fd, names[i], &st, 0), 0);
                assert_true(st.st_size <= 20000);
        }
        assert_int_equal(fstatat(f.box_fd, "log.3", &st, 0), -1);
        cleanup_free char *log = NULL;
        assert_int_equal(path_read_at(f.box_fd, "log", 65536, &log, NULL), 0);
        assert_non_null(strstr(log, "line 000999"));
        teardown(&f);
}

static void full_disk_loses_log_lines_only(void **state)
{
        (void)state;
        struct fixture f;
        setup(&f);
        if (mount("none", f.folder, "tmpfs", 0, "size=256k") < 0)
                unit_skip("needs to mount a tmpfs");
        (void)close(f.box_fd);
        cleanup_fd int parent = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f.box_fd = path_open_dir_at(parent, ID, 0700);
        write_file(parent, "file", "x");
        write_file(f.box_fd, "disk.ext4", "x");
        configure(&f, "", "[\"lines\",\"20000\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        peer_expect(&f.first, FRAME_EXIT);
        expect_exit_frame(&f.first, 0, 0);
        peer_expect(&f.first, 0);
        int code;
        assert_int_equal(process_wait(f.pidfd, &code), 0);
        assert_int_equal(code, 0);
        cleanup_free char *log = NULL;
        size_t size;
        assert_int_equal(path_read_at(f.box_fd, "log", 1 << 20, &log, &size), 0);
        assert_true(size > 100000 && log[size - 1] == '\n');
        expect_state(&f, "exited", 0);
        cleanup_json json_t *json = read_state(&f);
        const char *warning = json_string_value(json_array_get(json_object_get(json, "warnings"), 0));
        assert_non_null(strstr(warning, "output was lost from the log: No space left"));
        close_fd(&parent);
        teardown(&f);
        assert_int_equal(umount2(f.folder, MNT_DETACH), 0);
}

static void killed_monitor_takes_the_machine_along(void **state)
{
        (void)state;
        struct fixture f;
        int code;
        setup(&f);
        configure(&f, "", "[\"wait\"]", "", "");
        launch(&f, false);
        peer_ask(&f.first, "{\"op\":\"wait\"}");
        peer_expect_started(&f.first);
        assert_int_equal(process_signal(f.pidfd, SIGKILL), 0);
        assert_int_equal(process_wait(f.pidfd, &code), 0);
        /* vsock.sock's listener is the vmm's only */
        for (int i = 0; i < 500; i++) {
                int fd = unix_connect_at(f.box_fd, "vsock.sock", SOCK_STREAM);
                if (fd < 0)
                        break;
                (void)close(fd);
                assert_true(i < 499);
                (void)usleep(10000);
        }
        assert_true(lock_is_free(&f));
        expect_state(&f, "running", 0);
        teardown(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(exit_code_is_told),
    cmocka_unit_test(signal_is_told),
    cmocka_unit_test(out_of_memory_is_noted),
    cmocka_unit_test(output_goes_to_client_and_log),
    cmocka_unit_test(requests_carry_what_box_json_says),
    cmocka_unit_test(held_init_waits_for_the_word),
    cmocka_unit_test(held_box_ends_with_its_client),
    cmocka_unit_test(input_reaches_init),
    cmocka_unit_test(size_changes_reach_init),
    cmocka_unit_test(two_clients_see_the_same),
    cmocka_unit_test(slow_client_blocks_init_and_loses_nothing),
    cmocka_unit_test(stopping_ends_a_box_whose_client_does_not_read),
    cmocka_unit_test(stop_ends_politely),
    cmocka_unit_test(stop_kills_after_its_time),
    cmocka_unit_test(sigterm_stops),
    cmocka_unit_test(a_hung_guest_that_is_stopped_is_noted),
    cmocka_unit_test(stop_while_booting),
    cmocka_unit_test(broken_leash_ends_the_box),
    cmocka_unit_test(broken_leash_is_seen_behind_waiting_input),
    cmocka_unit_test(unleashed_box_lives_on),
    cmocka_unit_test(panic_is_told_with_the_console),
    cmocka_unit_test(panic_while_running_is_told),
    cmocka_unit_test(reset_is_told_apart),
    cmocka_unit_test(dead_engine_is_told),
    cmocka_unit_test(missing_engine_is_told),
    cmocka_unit_test(crashed_vmm_is_told),
    cmocka_unit_test(killed_vmm_is_told),
    cmocka_unit_test(silent_guest_is_told),
    cmocka_unit_test(hung_guest_is_told_apart),
    cmocka_unit_test(agent_that_does_not_start_init_is_told),
    cmocka_unit_test(impossible_exit_is_refused),
    cmocka_unit_test(boot_error_is_told),
    cmocka_unit_test(boot_error_names_its_part),
    cmocka_unit_test(lost_agent_is_told),
    cmocka_unit_test(lost_init_is_told),
    cmocka_unit_test(garbage_from_the_guest_is_told),
    cmocka_unit_test(missing_command_is_127),
    cmocka_unit_test(denied_command_is_126),
    cmocka_unit_test(stubborn_vmm_is_killed),
    cmocka_unit_test(missing_kernel_is_told_at_once),
    cmocka_unit_test(broken_box_json_is_told),
    cmocka_unit_test(bad_requests_are_refused),
    cmocka_unit_test(auto_remove_leaves_nothing),
    cmocka_unit_test(events_are_written),
    cmocka_unit_test(events_of_a_stop),
    cmocka_unit_test(events_of_a_box_out_of_memory),
    cmocka_unit_test(console_flood_is_bounded),
    cmocka_unit_test(log_rotates),
    cmocka_unit_test(full_disk_loses_log_lines_only),
    cmocka_unit_test(killed_monitor_takes_the_machine_along),
};

UNIT_TEST_MAIN(cases)
