/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and clones: disks as files, boxes that run by an agent made up of a script. */
#include "harness.h"

#include "box-world.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "runtime/collect.h"
#include "runtime/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "disk.ext4"
#define FAR  (40 << 20) /* where a fresh disk has a hole */

static void make(struct box_world *w, struct boxlet_box *box, const char *name)
{
        struct boxlet_snapshot_options o = BOXLET_SNAPSHOT_OPTIONS_INIT;
        o.name = name;
        if (boxlet_snapshot_create(box, &o, NULL, &w->error) < 0)
                fail_msg("%s", w->error.text);
}

static json_t *list(struct box_world *w, const char *box)
{
        char *text;
        json_t *json;
        struct error err = ERROR_INIT;
        if (boxlet_snapshot_list(w->boxlet, box, &text, &w->error) < 0)
                fail_msg("%s", w->error.text);
        assert_int_equal(json_parse(text, strlen(text), "list", &json, &err), 0);
        boxlet_free(text);
        return json;
}

static void expect_count(struct box_world *w, const char *box, size_t count)
{
        cleanup_json json_t *json = list(w, box);
        assert_int_equal(json_array_size(json), count);
}

static unsigned count_files(struct box_world *w, const struct boxlet_box *box)
{
        char path[256];
        (void)snprintf(path, sizeof(path), "home/boxes/%s/" SNAPSHOT_FOLDER, boxlet_box_id(box));
        return box_world_count(w, path);
}

static void a_disk_goes_back(void **state)
{
        (void)state;
        struct box_world w;
        char *name;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        box_world_write(&w, box, DISK, FAR, "first");
        make(&w, box, "a");
        box_world_write(&w, box, DISK, FAR, "later");
        make(&w, box, "b");
        box_world_expect(&w, box, "snapshots/a.ext4", FAR, "first"); /* later writes do not reach it */
        box_world_write(&w, box, DISK, FAR, "wrong");
        assert_int_equal(boxlet_snapshot_restore(box, "a", &w.error), 0);
        box_world_expect(&w, box, DISK, FAR, "first");
        box_world_write(&w, box, DISK, FAR, "again");
        box_world_expect(&w, box, "snapshots/a.ext4", FAR, "first");
        assert_int_equal(boxlet_snapshot_restore(box, "b", &w.error), 0);
        box_world_expect(&w, box, DISK, FAR, "later");

        cleanup_json json_t *all = list(&w, NULL);
        assert_int_equal(json_array_size(all), 2);
        const json_t *first = json_array_get(all, 0);
        assert_string_equal(json_string_value(json_object_get(first, "Name")), "a");
        assert_string_equal(json_string_value(json_object_get(first, "Box")), "one");
        assert_int_equal(json_integer_value(json_object_get(first, "Size")), 64 << 20);
        assert_true(json_integer_value(json_object_get(first, "Allocated")) <
                    20 << 20); /* holes stayed holes */
        assert_true(json_is_false(json_object_get(first, "Running")));

        assert_int_equal(boxlet_snapshot_create(box, NULL, &name, &w.error), 0);
        assert_int_equal(strlen(name), strlen("20260131-175959"));
        boxlet_free(name);
        assert_int_equal(boxlet_snapshot_create(box, NULL, &name, &w.error),
                         0); /* of the same second, likely */
        boxlet_free(name);
        expect_count(&w, "one", 4);
        assert_int_equal(boxlet_snapshot_remove(box, "a", &w.error), 0);
        expect_count(&w, "one", 3);
        assert_int_equal(count_files(&w, box), 3);
        assert_int_equal(boxlet_box_remove(box, 0, &w.error), 0);
        expect_count(&w, NULL, 0);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void what_cannot_be_is_refused(void **state)
{
        (void)state;
        static const char *const bad[] = {"", "..", "a/b", ".hidden", "-x", "a b", "a\n"};
        struct box_world w;
        struct boxlet_snapshot_options o = BOXLET_SNAPSHOT_OPTIONS_INIT;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *copy;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                o.name = bad[i];
                assert_int_equal(boxlet_snapshot_create(box, &o, NULL, &w.error), -EINVAL);
                assert_int_equal(boxlet_snapshot_restore(box, bad[i], &w.error), -EINVAL);
                assert_int_equal(boxlet_snapshot_remove(box, bad[i], &w.error), -EINVAL);
        }
        o.name = "a";
        o.timeout_ms = 600001;
        assert_int_equal(boxlet_snapshot_create(box, &o, NULL, &w.error), -EINVAL);
        make(&w, box, "a");
        o.timeout_ms = 0;
        assert_int_equal(boxlet_snapshot_create(box, &o, NULL, &w.error), -EEXIST);
        assert_non_null(strstr(w.error.text, "snapshot box 'one': there is a snapshot 'a'"));
        assert_int_equal(boxlet_snapshot_restore(box, "b", &w.error), -ENOENT);
        assert_int_equal(boxlet_snapshot_remove(box, "b", &w.error), -ENOENT);
        struct boxlet_clone_options c = BOXLET_CLONE_OPTIONS_INIT;
        c.snapshot = "b";
        assert_int_equal(boxlet_box_clone(box, &c, &copy, &w.error), -ENOENT);
        c.snapshot = NULL;
        c.name = "one";
        assert_int_equal(boxlet_box_clone(box, &c, &copy, &w.error), -EEXIST);
        c.name = "../x";
        assert_int_equal(boxlet_box_clone(box, &c, &copy, &w.error), -EINVAL);
        assert_int_equal(box_world_count(&w, "home/boxes"), 1); /* nothing half-made stays */
        boxlet_box_free(box);
        box_world_end(&w);
}

static void a_running_box_is_held_still(void **state)
{
        (void)state;
        struct box_world w;
        struct box_running running;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *copy;
        make(&w, box, "before");
        box_world_run(&w, box, BOX_AGENT_GOOD, &running);
        make(&w, box, "during");
        assert_int_equal(boxlet_snapshot_restore(box, "before", &w.error), -EBUSY);
        assert_non_null(strstr(w.error.text, "running: stop it first"));
        assert_int_equal(boxlet_box_clone(box, NULL, &copy, &w.error), 0);
        boxlet_box_free(copy);
        box_world_stop(&running);
        cleanup_json json_t *all = list(&w, "one");
        assert_true(json_is_true(json_object_get(json_array_get(all, 1), "Running")));

        static const struct {
                enum box_agent kind;
                int code;
                const char *words;
        } bad[] = {
            {BOX_AGENT_REFUSES, -EBUSY, "the guest says no"},
            {BOX_AGENT_TIMES_OUT, -ETIMEDOUT, "took too long"},
            {BOX_AGENT_LEAVES, -ECONNRESET, "went on before"},
        };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct boxlet_snapshot_options o = BOXLET_SNAPSHOT_OPTIONS_INIT;
                o.name = "torn";
                box_world_run(&w, box, bad[i].kind, &running);
                assert_int_equal(boxlet_snapshot_create(box, &o, NULL, &w.error), bad[i].code);
                if (strstr(w.error.text, bad[i].words) == NULL)
                        fail_msg("%s", w.error.text);
                assert_int_equal(boxlet_box_clone(box, NULL, &copy, &w.error), bad[i].code);
                box_world_stop(&running);
                assert_int_equal(count_files(&w, box), 2); /* no torn copy stays */
                assert_int_equal(box_world_count(&w, "home/boxes"), 2);
        }
        boxlet_box_free(box);
        box_world_end(&w);
}

static void a_clone_is_a_box_of_its_own(void **state)
{
        (void)state;
        struct box_world w;
        struct boxlet_clone_options o = BOXLET_CLONE_OPTIONS_INIT;
        char *text, short_id[13];
        json_t *json;
        struct error err = ERROR_INIT;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *copy, *old;
        box_world_write(&w, box, DISK, FAR, "first");
        make(&w, box, "a");
        box_world_write(&w, box, DISK, FAR, "later");
        o.name = "two";
        assert_int_equal(boxlet_box_clone(box, &o, &copy, &w.error), 0);
        o.name = NULL;
        o.snapshot = "a";
        assert_int_equal(boxlet_box_clone(box, &o, &old, &w.error), 0);
        box_world_expect(&w, copy, DISK, FAR, "later");
        box_world_expect(&w, old, DISK, FAR, "first");
        box_world_write(&w, copy, DISK, FAR, "mine!");
        box_world_expect(&w, box, DISK, FAR, "later");
        assert_string_equal(boxlet_box_name(copy), "two");
        assert_string_equal(boxlet_box_state(copy, NULL), "created");
        expect_count(&w, "two", 0); /* snapshots stay with their box */

        /* its host name, which was made of the id, is made of its own */
        (void)snprintf(short_id, sizeof(short_id), "%.12s", boxlet_box_id(copy));
        assert_int_equal(boxlet_box_inspect(copy, &text, &w.error), 0);
        assert_null(strstr(text, boxlet_box_id(box)));
        assert_int_equal(json_parse(text, strlen(text), "inspect", &json, &err), 0);
        const json_t *config = json_object_get(json, "Config");
        assert_string_equal(json_string_value(json_object_get(config, "Hostname")), short_id);
        cleanup_free char *env = json_dumps(json_object_get(config, "Env"), 0);
        assert_non_null(strstr(env, short_id));
        json_decref(json);
        boxlet_free(text);

        assert_int_equal(boxlet_box_remove(box, 0, &w.error), 0);
        box_world_expect(&w, copy, DISK, FAR, "mine!");
        boxlet_box_free(box);
        boxlet_box_free(copy);
        boxlet_box_free(old);
        box_world_end(&w);
}

static void touch(struct box_world *w, const struct boxlet_box *box, const char *name)
{
        cleanup_fd int fd = box_world_file(w, box, name, O_WRONLY | O_CREAT | O_EXCL);
        assert_true(fd >= 0);
}

static void what_a_killed_process_left_is_collected(void **state)
{
        (void)state;
        struct box_world w;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        make(&w, box, "a");
        make(&w, box, "b");
        touch(&w, box, "snapshots/.new");
        touch(&w, box, "snapshots/unknown.ext4");
        touch(&w, box, ".disk.new");
        cleanup_fd int folder = box_world_file(&w, box, SNAPSHOT_FOLDER, O_RDONLY | O_DIRECTORY);
        assert_int_equal(unlinkat(folder, "b.ext4", 0), 0);
        collect(w.boxlet);
        assert_int_equal(count_files(&w, box), 1);
        expect_count(&w, "one", 1);
        assert_true(box_world_file(&w, box, ".disk.new", O_RDONLY) < 0);
        /* and by the next command on the box */
        touch(&w, box, "snapshots/.new");
        make(&w, box, "c");
        assert_int_equal(count_files(&w, box), 2);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void a_full_disk_leaves_nothing(void **state)
{
        (void)state;
        struct box_world w;
        struct rlimit before, small;
        struct boxlet_snapshot_options o = BOXLET_SNAPSHOT_OPTIONS_INIT;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *copy;
        make(&w, box, "a");
        box_world_write(&w, box, DISK, FAR, "later");
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur =
            8 << 20; /* no file system of its own is needed for EFBIG, which takes the same way */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        o.name = "b";
        assert_int_equal(boxlet_snapshot_create(box, &o, NULL, &w.error), -EFBIG);
        assert_int_equal(boxlet_snapshot_restore(box, "a", &w.error), -EFBIG);
        assert_int_equal(boxlet_box_clone(box, NULL, &copy, &w.error), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        box_world_expect(&w, box, DISK, FAR, "later");
        assert_int_equal(count_files(&w, box), 1);
        assert_int_equal(box_world_count(&w, "home/boxes"), 1);
        make(&w, box, "b");
        boxlet_box_free(box);
        box_world_end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_disk_goes_back),
    cmocka_unit_test(what_cannot_be_is_refused),
    cmocka_unit_test(a_running_box_is_held_still),
    cmocka_unit_test(a_clone_is_a_box_of_its_own),
    cmocka_unit_test(what_a_killed_process_left_is_collected),
    cmocka_unit_test(a_full_disk_leaves_nothing),
};
UNIT_TEST_MAIN(cases)
