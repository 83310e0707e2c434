/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes through boxlet.h, from the image to removal, with a monitor that is a shell script: it holds the
 * lock, writes state.json and sleeps, or ends at once. What a real one does is proven by the box tier.
 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "boxlet.h"
#include "runtime/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Says that it runs, as itself; ends when the file "end" appears in the box's folder. */
static const char lasting_monitor[] = "#!/bin/sh\n"
                                      "set -e\n"
                                      "read -r stat </proc/$$/stat\n"
                                      "set -- ${stat##*)}\n"
                                      "shift 19\n"
                                      "read -r boot </proc/sys/kernel/random/boot_id\n"
                                      "printf "
                                      "'{\"state\":\"running\",\"monitor\":{\"pid\":%d,\"start_time\":%s,"
                                      "\"boot_id\":\"%s\"},\"started_ns\":1}' "
                                      "$$ $1 $boot >/proc/self/fd/3/state.tmp\n"
                                      "mv /proc/$$/fd/3/state.tmp /proc/$$/fd/3/state.json\n"
                                      "exec 1>&- 2>&-\n"
                                      "while [ ! -e /proc/$$/fd/3/end ]; do read -r x </proc/uptime; done\n";

static const char ending_monitor[] =
    "#!/bin/sh\n"
    "printf '{\"state\":\"exited\",\"exit_code\":3,\"finished_ns\":1}' >/proc/self/fd/3/state.json\n";

struct world {
        char path[512];
        int fd;
        struct boxlet *boxlet;
        struct boxlet_error error;
};

static void write_file(int dir_fd, const char *name, const char *text, mode_t mode)
{
        assert_int_equal(path_write_atomic_at(dir_fd, name, text, strlen(text), mode), 0);
}

static char *below(const struct world *w, const char *name)
{
        static char path[1024];
        (void)snprintf(path, sizeof(path), "%s/%s", w->path, name);
        return path;
}

static struct boxlet *open_boxlet(struct world *w)
{
        static char home[600], libexec[600];
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet *b;
        (void)snprintf(home, sizeof(home), "%s/home", w->path);
        (void)snprintf(libexec, sizeof(libexec), "%s/libexec", w->path);
        o.home = home;
        o.libexec = o.kernel_dir = libexec;
        if (boxlet_open(&o, &b, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return b;
}

/* A home with the image "tiny", and programs that exist. */
static void make_world(struct world *w, const char *monitor)
{
        static const char *const changes[] = {"CMD [\"/run\", \"it\"]", "LABEL a=b", NULL};
        if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0 || access("/sbin/mkfs.ext4", X_OK) < 0)
                unit_skip("QEMU or mkfs.ext4 is not installed");
        *w = (struct world){0};
        (void)snprintf(w->path, sizeof(w->path), "%s", unit_folder(&w->fd));
        assert_int_equal(mkdirat(w->fd, "libexec", 0700), 0);
        assert_int_equal(mkdirat(w->fd, "root", 0700), 0);
        write_file(w->fd, "libexec/boxlet-monitor", monitor, 0700);
        write_file(w->fd, "libexec/boxlet-vmm", "", 0700);
        write_file(w->fd, "libexec/agent.cpio", "", 0600);
        write_file(w->fd, "libexec/vmlinux-lean", "", 0600);
        write_file(w->fd, "root/run", "#!/bin/sh\n", 0700);
        w->boxlet = open_boxlet(w);
        if (boxlet_image_import(w->boxlet, -1, below(w, "root"), "tiny", changes, NULL, NULL, &w->error) < 0)
                fail_msg("%s", w->error.text);
}

static void end_world(struct world *w)
{
        boxlet_close(w->boxlet);
}

static struct boxlet_box_options tiny(const char *name)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        o.image = "tiny";
        o.name = name;
        o.network = "none";
        o.disk_bytes = 64 << 20;
        o.pull = BOXLET_PULL_NEVER;
        return o;
}

static struct boxlet_box *create(struct world *w, const struct boxlet_box_options *o)
{
        struct boxlet_box *box;
        if (boxlet_box_create(w->boxlet, o, &box, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return box;
}

static size_t count_boxes(struct world *w, int all)
{
        char *text;
        json_t *json;
        struct error err = ERROR_INIT;
        assert_int_equal(boxlet_box_list(w->boxlet, all, &text, &w->error), 0);
        assert_int_equal(json_parse(text, strlen(text), "list", &json, &err), 0);
        size_t count = json_array_size(json);
        json_decref(json);
        boxlet_free(text);
        return count;
}

static unsigned count_folders(struct world *w)
{
        unsigned count = 0;
        DIR *folder = opendir(below(w, "home/boxes"));
        for (struct dirent *e; (e = readdir(folder)) != NULL;)
                count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
        (void)closedir(folder);
        return count;
}

static void wait_for_state(struct boxlet_box *box, const char *state, int exit_code)
{
        int code = 0;
        for (int i = 0; i < 1000; i++) {
                if (strcmp(boxlet_box_state(box, &code), state) == 0) {
                        assert_int_equal(code, exit_code);
                        return;
                }
                (void)poll(NULL, 0, 10);
        }
        fail_msg("the state is %s, not %s", boxlet_box_state(box, &code), state);
}

/* The same, until its state.json is there: its lock is held from the start on. */
static void wait_for_monitor(struct world *w, struct boxlet_box *box)
{
        char name[128];
        (void)snprintf(name, sizeof(name), "home/boxes/%s/state.json", boxlet_box_id(box));
        for (int i = 0; i < 1000 && access(below(w, name), F_OK) < 0; i++)
                (void)poll(NULL, 0, 10);
}

static void a_box_comes_and_goes(void **state)
{
        (void)state;
        struct world w;
        struct boxlet_box *found;
        make_world(&w, ending_monitor);
        struct boxlet_box_options o = tiny("one"), unnamed = tiny(NULL);
        struct boxlet_box *box = create(&w, &o), *other = create(&w, &unnamed);
        int code;
        assert_string_equal(boxlet_box_name(box), "one");
        assert_int_equal(strlen(boxlet_box_id(box)), 64);
        assert_non_null(strchr(boxlet_box_name(other), '_'));
        assert_string_equal(boxlet_box_state(box, &code), "created");
        assert_int_equal(code, -1);
        assert_int_equal(count_boxes(&w, 1), 2);
        assert_int_equal(count_boxes(&w, 0), 0);
        assert_int_equal(boxlet_box_create(w.boxlet, &o, &found, &w.error), -EEXIST);
        assert_non_null(strstr(w.error.text, "taken"));
        assert_int_equal(count_folders(&w), 2);
        assert_int_equal(boxlet_image_remove(w.boxlet, "tiny", 0, NULL, &w.error), -EBUSY);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_state(box, "exited", 3);
        assert_int_equal(boxlet_box_get(w.boxlet, boxlet_box_id(box), &found, &w.error), 0);
        assert_int_equal(boxlet_box_remove(found, 0, &w.error), 0);
        boxlet_box_free(found);
        assert_int_equal(boxlet_box_remove(box, 0, &w.error), 0); /* gone already */
        assert_int_equal(boxlet_box_get(w.boxlet, "one", &found, &w.error), -ENOENT);
        assert_int_equal(boxlet_box_remove(other, 0, &w.error), 0);
        assert_int_equal(count_folders(&w), 0);
        assert_int_equal(boxlet_image_remove(w.boxlet, "tiny", 0, NULL, &w.error), 0);
        boxlet_box_free(box);
        boxlet_box_free(other);
        end_world(&w);
}

static void expect_refused(struct world *w, const struct boxlet_box_options *o, int code, const char *words)
{
        struct boxlet_box *box;
        int r = boxlet_box_create(w->boxlet, o, &box, &w->error);
        if (r != code || strstr(w->error.text, words) == NULL)
                fail_msg("%d: %s (expected %d, %s)", r, w->error.text, code, words);
        assert_int_equal(count_folders(w), 0);
        assert_int_equal(count_boxes(w, 1), 0);
}

static void what_cannot_be_is_refused_before_anything_is_made(void **state)
{
        (void)state;
        static const char *const ports[] = {"8080:80", NULL}, *const caps[] = {"NONE", NULL};
        struct world w;
        make_world(&w, ending_monitor);
        struct boxlet_box_options o;
        o = tiny("-bad");
        expect_refused(&w, &o, -EINVAL, "box name");
        o = tiny(NULL);
        o.image = "missing";
        expect_refused(&w, &o, -ENOENT, "missing");
        o = tiny(NULL);
        o.image = NULL;
        expect_refused(&w, &o, -EINVAL, "image");
        o = tiny(NULL);
        o.publish = ports;
        expect_refused(&w, &o, -EINVAL, "network");
        o = tiny(NULL);
        o.cap_add = caps;
        expect_refused(&w, &o, -EINVAL, "NONE");
        o = tiny(NULL);
        o.engine = "warp";
        expect_refused(&w, &o, -EINVAL, "warp");
        o = tiny(NULL);
        o.jail = "perhaps";
        expect_refused(&w, &o, -EINVAL, "perhaps");
        o = tiny(NULL);
        o.memory_bytes = 1;
        expect_refused(&w, &o, -EINVAL, "memory");
        o = tiny(NULL);
        o.disk_bytes = 1;
        expect_refused(&w, &o, -EINVAL, "disk");
        o = tiny(NULL);
        o.kernel = "/no/such/kernel";
        expect_refused(&w, &o, -ENOENT, "/no/such/kernel");
        o = tiny(NULL);
        o.size = 1;
        expect_refused(&w, &o, -EINVAL, "size");
        assert_int_equal(unlinkat(w.fd, "libexec/vmlinux-lean", 0), 0);
        o = tiny(NULL);
        expect_refused(&w, &o, -ENOENT, "make kernel");
        write_file(w.fd, "libexec/vmlinux-lean", "", 0600);
        assert_int_equal(unlinkat(w.fd, "libexec/boxlet-vmm", 0), 0);
        expect_refused(&w, &o, -ENOENT, "boxlet-vmm");
        end_world(&w);
}

static void a_running_box_is_locked(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        struct boxlet_box *box = create(&w, &o);
        char end[160];
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        assert_string_equal(boxlet_box_state(box, NULL), "running");
        assert_int_equal(count_boxes(&w, 0), 1);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), -EBUSY);
        assert_non_null(strstr(w.error.text, "running"));
        assert_int_equal(boxlet_box_remove(box, 0, &w.error), -EBUSY);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the monitor is no child of ours */
        assert_int_equal(errno, ECHILD);
        wait_for_monitor(&w, box);
        (void)snprintf(end, sizeof(end), "home/boxes/%s/end", boxlet_box_id(box));
        write_file(w.fd, end, "", 0600);
        wait_for_state(box, "dead", 137); /* it ended without its last word */
        assert_int_equal(boxlet_box_remove(box, 0, &w.error), 0);
        boxlet_box_free(box);
        end_world(&w);
}

static int on_event(const char *event, void *data)
{
        char *actions = data;
        json_t *json;
        struct error err = ERROR_INIT;
        size_t used = strlen(actions);
        assert_int_equal(json_parse(event, strlen(event), "event", &json, &err), 0);
        const json_t *attributes = json_object_get(json_object_get(json, "Actor"), "Attributes");
        const char *code = json_string_value(json_object_get(attributes, "exitCode"));
        if (strcmp(json_string_value(json_object_get(json, "Type")), "box") == 0)
                (void)snprintf(actions + used, 512 - used, "%s%s ",
                               json_string_value(json_object_get(json, "Action")), code != NULL ? code : "");
        json_decref(json);
        return 0;
}

static void expect_events(struct world *w, const char *expected)
{
        char actions[512] = "";
        assert_int_equal(boxlet_events(w->boxlet, NULL, on_event, actions, &w->error), 0);
        assert_string_equal(actions, expected);
}

static void a_monitor_that_does_not_answer_is_killed(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        struct boxlet_box *box = create(&w, &o);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_monitor(&w, box);
        if (boxlet_box_remove(box, 1, &w.error) < 0) /* it has no control.sock */
                fail_msg("%s", w.error.text);
        assert_int_equal(count_folders(&w), 0);
        expect_events(&w, "create die137 destroy "); /* it cannot say so itself */
        boxlet_box_free(box);
        end_world(&w);
}

static volatile sig_atomic_t children_seen;

static void count_child(int number)
{
        (void)number;
        children_seen++;
}

/* A client's children are its own business: whatever it does with SIGCHLD, we neither need nor disturb it. */
static void the_clients_children_are_left_alone(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, ending_monitor);
        struct boxlet_box_options o = tiny("one"), other = tiny("two");
        (void)signal(SIGCHLD, count_child);
        struct boxlet_box *box = create(&w, &o); /* runs mkfs.ext4 */
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_state(box, "exited", 3);
        assert_int_equal(children_seen, 0);
        boxlet_box_free(box);
        (void)signal(SIGCHLD, SIG_IGN);
        other.disk_bytes = 65 << 20; /* another size: another mkfs.ext4 */
        box = create(&w, &other);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_state(box, "exited", 3);
        boxlet_box_free(box);
        end_world(&w);
}

static void what_a_killed_process_left_is_collected(void **state)
{
        (void)state;
        struct world w;
        char from[160], to[160];
        make_world(&w, ending_monitor);
        struct boxlet_box_options o = tiny("gone"), half = tiny("half"), auto_removed = tiny("auto");
        auto_removed.auto_remove = 1;
        struct boxlet_box *box = create(&w, &o);
        /* a folder that its monitor removed, and one whose remover was killed after the rename */
        (void)snprintf(from, sizeof(from), "home/boxes/%s", boxlet_box_id(box));
        assert_int_equal(path_remove_all_at(w.fd, from), 0);
        boxlet_box_free(box);
        box = create(&w, &half);
        (void)snprintf(from, sizeof(from), "home/boxes/%s", boxlet_box_id(box));
        (void)snprintf(to, sizeof(to), "home/boxes/.trash-%s", boxlet_box_id(box));
        assert_int_equal(renameat(w.fd, from, w.fd, to), 0);
        boxlet_box_free(box);
        /* a box to be removed whose monitor ended without doing so */
        box = create(&w, &auto_removed);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_state(box, "exited", 3);
        for (int i = 0; i < 500 && count_boxes(&w, 1) > 0; i++)
                (void)poll(NULL, 0, 10);
        assert_int_equal(count_boxes(&w, 1), 0);
        assert_int_equal(count_folders(&w), 0);
        boxlet_box_free(box);
        box = create(&w, &o); /* the names are free again */
        boxlet_box_free(box);
        end_world(&w);
}

static void child_creates(struct world *w, const char *name)
{
        struct boxlet *b = open_boxlet(w);
        struct boxlet_box_options o = tiny(name);
        struct boxlet_box *box;
        struct boxlet_error error;
        int r = boxlet_box_create(b, &o, &box, &error);
        if (r == 0)
                boxlet_box_free(box);
        boxlet_close(b);
        _exit(r == 0 ? 0 : r == -EEXIST ? 1 : 2);
}

static void of_many_creators_of_one_name_one_wins(void **state)
{
        (void)state;
        enum { PROCESSES = 6 };
        struct world w;
        pid_t pids[PROCESSES];
        int won = 0;
        make_world(&w, ending_monitor);
        for (int i = 0; i < PROCESSES; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        child_creates(&w, "same");
        }
        for (int i = 0; i < PROCESSES; i++) {
                int status;
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
                won += WEXITSTATUS(status) == 0;
        }
        assert_int_equal(won, 1);
        assert_int_equal(count_boxes(&w, 1), 1);
        assert_int_equal(count_folders(&w), 1); /* the losers left nothing */
        end_world(&w);
}

struct lines {
        unsigned count;
        char last[64];
        unsigned stop_after;
};

static int on_line(int stream, int64_t time_ns, const void *bytes, size_t size, void *data)
{
        struct lines *l = data;
        (void)stream;
        (void)time_ns;
        (void)snprintf(l->last, sizeof(l->last), "%.*s", (int)size, (const char *)bytes);
        return ++l->count == l->stop_after;
}

static void write_log(struct world *w, const char *id, const char *name, int first, int last)
{
        static char text[20000];
        char path[160];
        size_t at = 0;
        for (int i = first; i <= last; i++)
                at += (size_t)
                    snprintf(text + at, sizeof(text) - at,
                             "{\"t\":\"1970-01-01T00:%02d:%02dZ\",\"s\":\"stdout\",\"l\":\"line %d\"}\n",
                             i / 60, i % 60, i);
        (void)snprintf(path, sizeof(path), "home/boxes/%s/%s", id, name);
        write_file(w->fd, path, text, 0600);
}

/* log.1 becomes log.2, log becomes log.1, and log is a new file. */
static void rotate_log(struct world *w, const char *id, int first, int last)
{
        char from[160], to[160];
        for (int i = 1; i >= 0; i--) {
                (void)snprintf(from, sizeof(from), i == 0 ? "home/boxes/%s/log" : "home/boxes/%s/log.%d", id,
                               i);
                (void)snprintf(to, sizeof(to), "home/boxes/%s/log.%d", id, i + 1);
                (void)renameat(w->fd, from, w->fd, to); /* it may not be there yet */
        }
        write_log(w, id, "log", first, last);
}

struct rotating {
        struct lines lines;
        struct world *w;
        const char *id;
        unsigned rotations;
};

/* While the first line is printed, the log goes on: the reader is slow. */
static int on_line_rotate(int stream, int64_t time_ns, const void *bytes, size_t size, void *data)
{
        struct rotating *r = data;
        for (; r->lines.count == 0 && r->rotations > 0; r->rotations--)
                rotate_log(r->w, r->id, 40 - 10 * (int)r->rotations + 1, 50 - 10 * (int)r->rotations);
        return on_line(stream, time_ns, bytes, size, &r->lines);
}

static struct lines read_log(struct boxlet_box *box, int64_t since_ns, int64_t tail)
{
        struct boxlet_log_options o = BOXLET_LOG_OPTIONS_INIT;
        struct lines lines = {0};
        struct boxlet_error error;
        o.since_ns = since_ns;
        o.tail = tail;
        if (boxlet_box_logs(box, &o, on_line, &lines, &error) < 0)
                fail_msg("%s", error.text);
        return lines;
}

static void logs_across_rotated_files(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        struct boxlet_box *box = create(&w, &o);
        assert_int_equal(read_log(box, 0, -1).count, 0);
        write_log(&w, boxlet_box_id(box), "log.2", 1, 10);
        write_log(&w, boxlet_box_id(box), "log.1", 11, 20);
        write_log(&w, boxlet_box_id(box), "log", 21, 30);
        struct lines lines = read_log(box, 0, -1);
        assert_int_equal(lines.count, 30);
        assert_string_equal(lines.last, "line 30\n");
        assert_int_equal(read_log(box, 0, 12).count, 12);
        assert_int_equal(read_log(box, 0, 0).count, 0);
        assert_int_equal(read_log(box, 0, 100).count, 30);
        assert_int_equal(read_log(box, 25LL * 1000000000, -1).count, 6);
        assert_int_equal(read_log(box, 25LL * 1000000000, 2).count, 2);
        struct boxlet_log_options until = BOXLET_LOG_OPTIONS_INIT;
        lines = (struct lines){0};
        until.since_ns = 5LL * 1000000000;
        until.until_ns = 25LL * 1000000000;
        until.tail = 3;
        assert_int_equal(boxlet_box_logs(box, &until, on_line, &lines, &w.error), 0);
        assert_int_equal(lines.count, 3);
        assert_string_equal(lines.last, "line 25\n");
        until.follow = 1; /* over already: it does not wait for the box */
        lines = (struct lines){0};
        assert_int_equal(boxlet_box_logs(box, &until, on_line, &lines, &w.error), 0);
        assert_int_equal(lines.count, 3);
        boxlet_box_free(box);
        end_world(&w);
}

static void rotation_while_reading_loses_nothing(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        struct boxlet_log_options follow = BOXLET_LOG_OPTIONS_INIT;
        struct boxlet_box *box = create(&w, &o);
        const char *id = boxlet_box_id(box);
        char oldest[160];
        write_log(&w, id, "log.1", 1, 10);
        write_log(&w, id, "log", 11, 20);
        struct rotating r = {.w = &w, .id = id, .rotations = 1};
        assert_int_equal(boxlet_box_logs(box, &follow, on_line_rotate, &r, &w.error), 0);
        assert_int_equal(r.lines.count, 20); /* what was there when it began */
        assert_string_equal(r.lines.last, "line 20\n");
        (void)snprintf(oldest, sizeof(oldest), "home/boxes/%s/log.2", id);
        assert_int_equal(unlinkat(w.fd, oldest, 0), 0);
        write_log(&w, id, "log.1", 1, 10);
        write_log(&w, id, "log", 11, 20);
        follow.follow = 1;
        r = (struct rotating){.w = &w, .id = id, .rotations = 2};
        assert_int_equal(boxlet_box_logs(box, &follow, on_line_rotate, &r, &w.error), 0);
        assert_int_equal(r.lines.count, 40); /* a box that does not run is read to its end */
        assert_string_equal(r.lines.last, "line 40\n");
        boxlet_box_free(box);
        end_world(&w);
}

/* Rotates the log and adds lines, then ends the box; what the follower must see all of. */
static void child_writes(struct world *w, const char *id)
{
        char from[160], to[160], end[160];
        (void)snprintf(from, sizeof(from), "home/boxes/%s/log", id);
        (void)snprintf(to, sizeof(to), "home/boxes/%s/log.1", id);
        (void)snprintf(end, sizeof(end), "home/boxes/%s/end", id);
        (void)poll(NULL, 0, 200);
        if (renameat(w->fd, from, w->fd, to) < 0)
                _exit(1);
        write_log(w, id, "log", 11, 20);
        (void)poll(NULL, 0, 200);
        write_file(w->fd, end, "", 0600);
        _exit(0);
}

static void following_sees_all_and_ends_with_the_box(void **state)
{
        (void)state;
        struct world w;
        struct lines lines = {0};
        struct boxlet_log_options follow = BOXLET_LOG_OPTIONS_INIT;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        struct boxlet_box *box = create(&w, &o);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_monitor(&w, box);
        write_log(&w, boxlet_box_id(box), "log", 1, 10);
        pid_t pid = fork();
        if (pid == 0)
                child_writes(&w, boxlet_box_id(box));
        follow.follow = 1;
        assert_int_equal(boxlet_box_logs(box, &follow, on_line, &lines, &w.error), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(lines.count, 20);
        assert_string_equal(lines.last, "line 20\n");
        boxlet_box_free(box);
        end_world(&w);
}

static json_t *inspected(struct world *w, struct boxlet_box *box)
{
        char *text;
        json_t *json;
        struct error err = ERROR_INIT;
        if (boxlet_box_inspect(box, &text, &w->error) < 0)
                fail_msg("%s", w->error.text);
        assert_int_equal(json_parse(text, strlen(text), "inspect", &json, &err), 0);
        boxlet_free(text);
        return json;
}

static void expect_policy(struct world *w, struct boxlet_box *box, const char *name, int maximum)
{
        cleanup_json json_t *json = inspected(w, box);
        const json_t *host = json_object_get(json, "HostConfig"),
                     *policy = json_object_get(host, "RestartPolicy");
        assert_string_equal(json_string_value(json_object_get(policy, "Name")), name);
        assert_int_equal(json_integer_value(json_object_get(policy, "MaximumRetryCount")), maximum);
}

static void boxes_are_renamed(void **state)
{
        (void)state;
        struct world w;
        struct boxlet_box *found;
        make_world(&w, ending_monitor);
        struct boxlet_box_options o = tiny("one"), p = tiny("two");
        struct boxlet_box *box = create(&w, &o), *other = create(&w, &p);
        assert_int_equal(boxlet_box_rename(box, "two", &w.error), -EEXIST);
        assert_non_null(strstr(w.error.text, "rename box 'one': the name 'two' is taken"));
        assert_int_equal(boxlet_box_rename(box, "-x", &w.error), -EINVAL);
        assert_int_equal(boxlet_box_rename(box, "", &w.error), -EINVAL);
        assert_int_equal(boxlet_box_rename(box, NULL, &w.error), -EINVAL);
        assert_int_equal(boxlet_box_rename(box, "three", &w.error), 0);
        assert_string_equal(boxlet_box_name(box), "one");
        assert_int_equal(boxlet_box_get(w.boxlet, "one", &found, &w.error), -ENOENT);
        assert_int_equal(boxlet_box_get(w.boxlet, "three", &found, &w.error), 0);
        assert_string_equal(boxlet_box_id(found), boxlet_box_id(box));
        assert_int_equal(boxlet_box_remove(found, 0, &w.error), 0);
        assert_int_equal(boxlet_box_rename(box, "four", &w.error), -ENOENT);
        boxlet_box_free(found);
        boxlet_box_free(box);
        boxlet_box_free(other);
        end_world(&w);
}

static void boxes_are_updated(void **state)
{
        (void)state;
        struct world w;
        struct boxlet_box_update u = BOXLET_BOX_UPDATE_INIT;
        make_world(&w, ending_monitor);
        struct boxlet_box_options o = tiny("one"), p = tiny("gone");
        p.auto_remove = 1;
        struct boxlet_box *box = create(&w, &o), *gone = create(&w, &p);
        expect_policy(&w, box, "no", 0);
        u.restart = "on-failure:7";
        u.cpus = 3;
        u.memory_bytes = 300 << 20;
        assert_int_equal(boxlet_box_update(box, &u, &w.error), 0);
        expect_policy(&w, box, "on-failure", 7);
        cleanup_json json_t *json = inspected(&w, box);
        const json_t *host = json_object_get(json, "HostConfig");
        assert_int_equal(json_integer_value(json_object_get(host, "NanoCpus")), 3000000000);
        assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 300 << 20);
        u = (struct boxlet_box_update)BOXLET_BOX_UPDATE_INIT;
        u.memory_bytes = 128 << 20;
        assert_int_equal(boxlet_box_update(box, &u, &w.error), 0);
        expect_policy(&w, box, "on-failure", 7); /* stays */
        u.memory_bytes = 1 << 20;
        assert_int_equal(boxlet_box_update(box, &u, &w.error), -EINVAL);
        assert_non_null(strstr(w.error.text, "update box 'one': it needs at least 64 MiB"));
        u.memory_bytes = 0;
        u.cpus = 65;
        assert_int_equal(boxlet_box_update(box, &u, &w.error), -EINVAL);
        u.cpus = 0;
        u.restart = "always:2";
        assert_int_equal(boxlet_box_update(box, &u, &w.error), -EINVAL);
        u.restart = "always";
        assert_int_equal(boxlet_box_update(gone, &u, &w.error), -EINVAL);
        assert_non_null(strstr(w.error.text, "--rm"));
        assert_int_equal(boxlet_box_restart(gone, 0, NULL, &w.error), -EINVAL);
        u.restart = "no";
        assert_int_equal(boxlet_box_update(gone, &u, &w.error), 0);
        assert_int_equal(boxlet_box_pause(box, &w.error), -ESRCH);
        assert_non_null(strstr(w.error.text, "pause box 'one': it is not running"));
        p = tiny("both");
        p.auto_remove = 1;
        p.restart = "always";
        struct boxlet_box *none;
        assert_int_equal(boxlet_box_create(w.boxlet, &p, &none, &w.error), -EINVAL);
        assert_non_null(strstr(w.error.text, "contradict"));
        p.auto_remove = 0;
        p.idle_stop_ms = -1;
        p.restart = NULL;
        assert_int_equal(boxlet_box_create(w.boxlet, &p, &none, &w.error), -EINVAL);
        assert_non_null(strstr(w.error.text, "--idle-stop"));
        p.idle_stop_ms = 0;
        p.restart = "now and then";
        assert_int_equal(boxlet_box_create(w.boxlet, &p, &none, &w.error), -EINVAL);
        boxlet_box_free(box);
        boxlet_box_free(gone);
        end_world(&w);
}

/* Writes the box's state.json. */
static void write_box_state(struct world *w, struct boxlet_box *box, const char *text)
{
        char name[128];
        (void)snprintf(name, sizeof(name), "home/boxes/%s/state.json", boxlet_box_id(box));
        write_file(w->fd, name, text, 0600);
}

static void a_host_that_comes_up_starts_what_its_policy_says(void **state)
{
        (void)state;
        static const char *const policies[] = {"no", "on-failure", "always", "unless-stopped"};
        static const struct {
                const char *state; /* state.json; NULL: never started */
                int wants[4];
        } rows[] = {
            {NULL, {0, 0, 0, 0}},
            {"{\"state\":\"exited\",\"exit_code\":1}", {0, 0, 1, 1}},
            {"{\"state\":\"exited\",\"exit_code\":143,\"stopped\":true}", {0, 0, 1, 0}},
            {"{\"state\":\"running\",\"monitor\":{\"boot_id\":\"another\"}}", {0, 0, 1, 1}},
            {"{\"state\":\"running\",\"stopped\":true}", {0, 0, 1, 0}},
            {"broken", {0, 0, 1, 1}},
        };
        struct world w;
        make_world(&w, ending_monitor);
        for (size_t i = 0; i < 4; i++) {
                struct boxlet_box_options o = tiny(policies[i]);
                o.restart = policies[i];
                struct boxlet_box *box = create(&w, &o);
                expect_policy(&w, box, policies[i], 0);
                for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
                        if (row == 1) {
                                assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error),
                                                 0);
                                wait_for_state(box, "exited", 3);
                        }
                        if (rows[row].state != NULL)
                                write_box_state(&w, box, rows[row].state);
                        int wants = boxlet_box_wants_start(box, &w.error);
                        if (wants != rows[row].wants[i])
                                fail_msg("%s, row %zu: %d", policies[i], row, wants);
                }
                boxlet_box_free(box);
        }
        end_world(&w);
}

static void a_running_box_wants_no_start(void **state)
{
        (void)state;
        struct world w;
        make_world(&w, lasting_monitor);
        struct boxlet_box_options o = tiny("one");
        o.restart = "always";
        o.stop_after_ms = 3600000;
        o.idle_stop_ms = 1800000;
        struct boxlet_box *box = create(&w, &o);
        assert_int_equal(boxlet_box_start(box, BOXLET_START_DETACHED, NULL, &w.error), 0);
        wait_for_monitor(&w, box);
        assert_int_equal(boxlet_box_wants_start(box, &w.error), 0);
        cleanup_free char *text = NULL;
        char name[128];
        (void)snprintf(name, sizeof(name), "home/boxes/%s/box.json", boxlet_box_id(box));
        assert_int_equal(path_read_at(w.fd, name, 1 << 20, &text, NULL), 0);
        assert_non_null(strstr(text, "\"restart\":{\"policy\":\"always\",\"maximum\":0}"));
        assert_non_null(strstr(text, "\"stop_after_ms\":3600000"));
        assert_non_null(strstr(text, "\"idle_stop_ms\":1800000"));
        assert_int_equal(boxlet_box_rename(box, "other", &w.error), 0); /* also while it runs */
        assert_int_equal(boxlet_box_remove(box, 1, &w.error), 0);
        boxlet_box_free(box);
        end_world(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_box_comes_and_goes),
    cmocka_unit_test(what_cannot_be_is_refused_before_anything_is_made),
    cmocka_unit_test(a_running_box_is_locked),
    cmocka_unit_test(a_monitor_that_does_not_answer_is_killed),
    cmocka_unit_test(the_clients_children_are_left_alone),
    cmocka_unit_test(what_a_killed_process_left_is_collected),
    cmocka_unit_test(of_many_creators_of_one_name_one_wins),
    cmocka_unit_test(boxes_are_renamed),
    cmocka_unit_test(boxes_are_updated),
    cmocka_unit_test(a_host_that_comes_up_starts_what_its_policy_says),
    cmocka_unit_test(a_running_box_wants_no_start),
    cmocka_unit_test(logs_across_rotated_files),
    cmocka_unit_test(rotation_while_reading_loses_nothing),
    cmocka_unit_test(following_sees_all_and_ends_with_the_box),
};
UNIT_TEST_MAIN(cases)
