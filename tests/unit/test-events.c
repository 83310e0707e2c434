/* SPDX-License-Identifier: Apache-2.0 */
/* The journal through boxlet.h: what the library tells, and readers of it. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "boxlet.h"
#include "runtime/tell.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int folder;

static struct boxlet *open_home(void)
{
        static char home[600];
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet *b;
        struct boxlet_error error;
        (void)snprintf(home, sizeof(home), "%s", unit_folder(&folder));
        o.home = home;
        assert_int_equal(boxlet_open(&o, &b, &error), 0);
        return b;
}

struct seen {
        char text[4096];  /* "action id" of each event, a line for each */
        const char *stop; /* the action that ends the reading */
};

static int on_event(const char *text, void *data)
{
        struct seen *seen = data;
        json_t *event = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(text, strlen(text), "event", &event, &err), 0);
        const char *action = json_string_value(json_object_get(event, "Action"));
        size_t used = strlen(seen->text);
        (void)snprintf(seen->text + used, sizeof(seen->text) - used, "%s %s\n", action,
                       json_string_value(json_object_get(json_object_get(event, "Actor"), "ID")));
        int stop = seen->stop != NULL && strcmp(action, seen->stop) == 0;
        json_decref(event);
        return stop;
}

static void read_events(struct boxlet *b, const struct boxlet_event_options *o, struct seen *seen)
{
        struct boxlet_error error;
        if (boxlet_events(b, o, on_event, seen, &error) < 0)
                fail_msg("%s", error.text);
}

static void what_was_told_is_read(void **state)
{
        struct boxlet_event_options o = BOXLET_EVENT_OPTIONS_INIT;
        struct seen all = {0}, none = {0};
        struct boxlet *b = open_home();
        (void)state;
        read_events(b, &o, &none);
        assert_string_equal(none.text, "");
        tell_volume(b, "create", "data");
        tell_image(b, "pull", "alpine", "alpine");
        tell_removed_images(b, "Untagged: alpine\nDeleted: sha256:1\nother\n");
        cleanup_json json_t *args = json_pack("[s, s]", "sh", "-c");
        tell_exec(b, "ab", NULL, "exec_start", args, NULL, NULL);
        read_events(b, &o, &all);
        assert_string_equal(
            all.text, "create data\npull alpine\nuntag alpine\ndelete sha256:1\nexec_start: sh -c ab\n");
        o.until_ns = 1;
        read_events(b, &o, &none);
        o.until_ns = 0;
        o.since_ns = INT64_MAX;
        read_events(b, &o, &none);
        o.since_ns = -1;
        read_events(b, &o, &none);
        assert_string_equal(none.text, "");
        boxlet_close(b);
}

static void write_journal(const char *name, const char *text)
{
        char path[64];
        (void)snprintf(path, sizeof(path), "events/%s", name);
        assert_int_equal(path_write_atomic_at(folder, path, text, strlen(text), 0600), 0);
}

static void damage_is_passed_over(void **state)
{
        struct boxlet_event_options o = BOXLET_EVENT_OPTIONS_INIT;
        struct seen seen = {0};
        struct boxlet *b = open_home();
        (void)state;
        tell_volume(b, "create", "a");
        static const char line[] = "{\"timeNano\":5,\"Action\":\"x\",\"Actor\":{\"ID\":\"old\"}}\n";
        write_journal("journal.1", line);
        write_journal(
            "journal",
            "\n{\"timeNano\":\n[]\n{}\nnull\n{\"timeNano\":\"5\"}\n{\"timeNano\":6,\"Action\":\"y\","
            "\"Actor\":{\"ID\":\"new\"}}\n{\"timeNano\":7,\"Action\":\"torn");
        read_events(b, &o, &seen);
        assert_string_equal(seen.text, "x old\ny new\n");
        tell_volume(b, "create", "after"); /* behind the torn line */
        seen.text[0] = '\0';
        read_events(b, &o, &seen);
        assert_string_equal(seen.text, "x old\ny new\ncreate after\n");
        boxlet_close(b);
}

static void a_follower_sees_rotations_through(void **state)
{
        struct boxlet_event_options o = BOXLET_EVENT_OPTIONS_INIT;
        struct seen seen = {.stop = "done"};
        struct boxlet *b = open_home();
        (void)state;
        tell_volume(b, "create", "before");
        pid_t pid = fork();
        if (pid == 0) {
                cleanup_fd int late = openat(folder, "events/journal", O_WRONLY | O_APPEND | O_CLOEXEC);
                (void)poll(NULL, 0, 200);
                tell_volume(b, "create", "one");
                if (renameat(folder, "events/journal", folder, "events/journal.1") < 0)
                        _exit(1);
                tell_volume(b, "create", "two");
                (void)poll(NULL, 0, 200);
                /* one that had the old file open */
                static const char line[] = "{\"timeNano\":5,\"Action\":\"late\",\"Actor\":{\"ID\":\"x\"}}\n";
                if (write(late, line, sizeof(line) - 1) < 0)
                        _exit(2);
                (void)poll(NULL, 0, 200);
                tell_volume(b, "done", "three");
                _exit(0);
        }
        o.follow = 1;
        o.since_ns = -1;
        read_events(b, &o, &seen);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_string_equal(seen.text, "create one\ncreate two\nlate x\ndone three\n");
        boxlet_close(b);
}

static void a_follower_ends_at_its_time(void **state)
{
        struct boxlet_event_options o = BOXLET_EVENT_OPTIONS_INIT;
        struct seen seen = {0};
        struct timespec now;
        struct boxlet *b = open_home();
        (void)state;
        tell_volume(b, "create", "a");
        (void)clock_gettime(CLOCK_REALTIME, &now);
        o.follow = 1;
        o.until_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + 300000000;
        read_events(b, &o, &seen);
        assert_string_equal(seen.text, "create a\n");
        boxlet_close(b);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(what_was_told_is_read),
    cmocka_unit_test(damage_is_passed_over),
    cmocka_unit_test(a_follower_sees_rotations_through),
    cmocka_unit_test(a_follower_ends_at_its_time),
};

UNIT_TEST_MAIN(cases)
