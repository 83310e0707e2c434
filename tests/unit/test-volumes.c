/* SPDX-License-Identifier: Apache-2.0 */
/* Named disks without a machine: the folder, the record, the lock; and what is refused. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "runtime/mounts.h"
#include "runtime/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ULL << 20)

static struct boxlet *open_home(const char *path)
{
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct boxlet *b;
        o.home = path;
        if (boxlet_open(&o, &b, &error) < 0)
                fail_msg("%s", error.text);
        return b;
}

static void make(struct boxlet *b, const char *name, uint64_t size)
{
        struct boxlet_volume_options o = BOXLET_VOLUME_OPTIONS_INIT;
        struct boxlet_error error = {0};
        o.size_bytes = size;
        if (boxlet_volume_create(b, name, &o, NULL, &error) < 0)
                fail_msg("%s", error.text);
}

/* A box that refers to the volumes, as JSON of its `disks`. */
static void add_box(struct boxlet *b, char digit, const char *name, const char *disks)
{
        char config[512];
        struct error err = ERROR_INIT;
        (void)snprintf(config, sizeof(config), "{\"disks\":%s}", disks);
        struct state_box box = {.name = (char *)name,
                                .image_reference = (char *)"busybox",
                                .image_id = (char *)"sha256:1",
                                .image_digest = (char *)"sha256:2",
                                .config = config,
                                .created_ns = 1};
        memset(box.id, digit, STATE_ID_LENGTH);
        assert_int_equal(mkdirat(b->boxes_fd, box.id, 0700), 0);
        assert_int_equal(state_insert(b->state, &box, &err), 0);
}

static json_t *inspect(struct boxlet *b, const char *name)
{
        char *text;
        struct error err = ERROR_INIT;
        json_t *json;
        struct boxlet_error error = {0};
        if (boxlet_volume_inspect(b, name, &text, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(json_parse(text, strlen(text), "test", &json, &err), 0);
        boxlet_free(text);
        return json;
}

static size_t count_entries(int home_fd)
{
        size_t count = 0;
        cleanup_dir DIR *folder = fdopendir(openat(home_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_non_null(folder);
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
                count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        return count;
}

static void a_volume_is_made_shown_and_removed(void **state)
{
        (void)state;
        int home_fd;
        struct stat st;
        struct boxlet *b = open_home(unit_folder(&home_fd));
        static const char *const labels[] = {"a=b", "c", NULL};
        struct boxlet_volume_options o = BOXLET_VOLUME_OPTIONS_INIT;
        struct boxlet_error error = {0};
        char *name;
        o.size_bytes = 16 * MIB + 1; /* whole MiB */
        o.labels = labels;
        assert_int_equal(boxlet_volume_create(b, "data", &o, &name, &error), 0);
        assert_string_equal(name, "data");
        boxlet_free(name);
        assert_int_equal(fstatat(home_fd, "volumes/data/disk.ext4", &st, 0), 0);
        assert_int_equal(st.st_size, 17 * MIB);
        assert_int_equal(st.st_mode & 07777, 0600);
        cleanup_json json_t *json = inspect(b, "data");
        assert_int_equal(json_integer_value(json_object_get(json, "Size")), 17 * MIB);
        cleanup_free char *printed = json_print(json_object_get(json, "Labels"), NULL);
        assert_string_equal(printed, "{\"a\":\"b\",\"c\":\"\"}");
        /* again is fine, with another size it is not */
        assert_int_equal(boxlet_volume_create(b, "data", NULL, NULL, &error), 0);
        assert_int_equal(boxlet_volume_create(b, "data", &o, NULL, &error), 0);
        o.size_bytes = 32 * MIB;
        assert_int_equal(boxlet_volume_create(b, "data", &o, NULL, &error), -EEXIST);
        o.size_bytes = MIB;
        assert_int_equal(boxlet_volume_create(b, "tiny", &o, NULL, &error), -EINVAL);
        assert_int_equal(boxlet_volume_create(b, "../x", NULL, NULL, &error), -EINVAL);
        assert_int_equal(boxlet_volume_remove(b, "data", 0, &error), 0);
        assert_int_equal(boxlet_volume_remove(b, "data", 0, &error), -ENOENT);
        assert_int_equal(boxlet_volume_remove(b, "data", 1, &error), 0);
        assert_int_equal(count_entries(home_fd), 0);
        boxlet_close(b);
}

static void a_volume_stays_while_a_box_refers_to_it(void **state)
{
        (void)state;
        int home_fd;
        struct boxlet *b = open_home(unit_folder(&home_fd));
        struct boxlet_error error = {0};
        uint64_t freed;
        char *report = NULL;
        make(b, "data", 16 * MIB);
        make(b, "other", 16 * MIB);
        make(b, NULL, 16 * MIB);
        add_box(b, 'a', "box", "[{\"volume\":\"other\"},{\"volume\":\"data\",\"path\":\"/d\"}]");
        assert_int_equal(boxlet_volume_remove(b, "data", 1, &error), -EBUSY);
        assert_non_null(strstr(error.text, "box 'box' refers to it"));
        cleanup_json json_t *json = inspect(b, "data");
        assert_string_equal(json_string_value(json_array_get(json_object_get(json, "Boxes"), 0)), "box");
        assert_int_equal(json_array_size(json_object_get(json, "RunningBoxes")), 0);
        /* only the one nobody named, then those no box has */
        assert_int_equal(boxlet_volume_prune(b, 0, &freed, &report, &error), 0);
        assert_int_equal(strlen(report), 65);
        boxlet_free(report);
        make(b, "free", 16 * MIB);
        report = NULL;
        assert_int_equal(boxlet_volume_prune(b, 1, &freed, &report, &error), 0);
        assert_string_equal(report, "free\n");
        assert_true(freed > 0);
        boxlet_free(report);
        assert_int_equal(count_entries(home_fd), 2);
        boxlet_close(b);
}

static int take(struct boxlet *b, char digit, const char *disks, struct volume_set *set, struct error *err)
{
        char id[STATE_ID_LENGTH + 1] = "";
        memset(id, digit, STATE_ID_LENGTH);
        cleanup_json json_t *json = json_loads(disks, 0, NULL);
        return volume_take_all(b, id, json, set, err);
}

/* A box lives while its lock is held. */
static int hold_lock(struct boxlet *b, char digit)
{
        char path[STATE_ID_LENGTH + 8];
        memset(path, digit, STATE_ID_LENGTH);
        (void)strcpy(path + STATE_ID_LENGTH, "/lock");
        int fd = openat(b->boxes_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
        return fd;
}

static void one_writer_or_many_readers(void **state)
{
        (void)state;
        struct boxlet *b = open_home(unit_folder(NULL));
        struct volume_set a = {0}, c = {0}, d = {0};
        struct error err = ERROR_INIT;
        static const char both[] = "[{\"volume\":\"free\"},{\"volume\":\"data\"}]";
        static const char read[] = "[{\"volume\":\"data\",\"readonly\":true}]";
        make(b, "free", 16 * MIB);
        add_box(b, 'a', "writer", "[{\"volume\":\"data\"}]");
        add_box(b, 'c', "second", both);
        add_box(b, 'd', "reader", read);
        cleanup_fd int lock = hold_lock(b, 'a');
        assert_int_equal(take(b, 'a', "[{\"volume\":\"data\"}]", &a, &err), 0); /* made on demand */
        assert_int_equal(a.count, 1);
        assert_int_equal(take(b, 'c', both, &c, &err), -EBUSY);
        assert_string_equal(err.text, "volume 'data' is in use by box 'writer'");
        assert_int_equal(c.count, 0); /* the first was let go again */
        assert_int_equal(take(b, 'c', "[{\"volume\":\"free\"}]", &c, &err), 0);
        volume_let_go(&c);
        assert_int_equal(take(b, 'd', read, &d, &err), -EBUSY);
        volume_let_go(&a);
        assert_int_equal(take(b, 'd', read, &d, &err), 0);
        assert_int_equal(fcntl(d.fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(take(b, 'c', read, &c, &err), 0);
        volume_let_go(&c);
        cleanup_fd int reader_lock = hold_lock(b, 'd');
        close_fd(&lock);
        assert_int_equal(take(b, 'c', both, &c, &err), -EBUSY);
        assert_string_equal(err.text, "volume 'data' is in use by box 'reader'");
        volume_let_go(&d);
        boxlet_close(b);
}

/* The lock is with the open file: it goes when the last process that got the descriptor is gone. */
static void the_lock_goes_with_the_last_holder(void **state)
{
        (void)state;
        struct boxlet *b = open_home(unit_folder(NULL));
        struct volume_set set = {0};
        struct error err = ERROR_INIT;
        int pipe_fds[2], status;
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        assert_int_equal(take(b, 'a', "[{\"volume\":\"data\"}]", &set, &err), 0);
        pid_t pid = fork();
        if (pid == 0) {
                char byte;
                (void)close(pipe_fds[1]);
                _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
        }
        volume_let_go(&set);
        (void)close(pipe_fds[0]);
        cleanup_fd int disk = openat(b->home_fd, "volumes/data/disk.ext4", O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(disk, LOCK_SH | LOCK_NB), -1);
        (void)close(pipe_fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(flock(disk, LOCK_EX | LOCK_NB), 0);
        boxlet_close(b);
}

static void what_is_half_made_never_counts(void **state)
{
        (void)state;
        int home_fd;
        struct stat st;
        struct boxlet *b = open_home(unit_folder(&home_fd));
        struct boxlet_error error = {0};
        make(b, "first", 16 * MIB);
        /* killed while it was made, killed before its record, killed in a removal */
        assert_int_equal(mkdirat(home_fd, "volumes/.new", 0700), 0);
        assert_int_equal(mkdirat(home_fd, "volumes/.trash-first", 0700), 0);
        assert_int_equal(renameat(home_fd, "volumes/first", home_fd, "volumes/orphan"), 0);
        make(b, "orphan", 0); /* taken over as it is */
        cleanup_json json_t *json = inspect(b, "orphan");
        assert_int_equal(json_integer_value(json_object_get(json, "Size")), 16 * MIB);
        make(b, "second", 16 * MIB);
        assert_int_equal(fstatat(home_fd, "volumes/.new", &st, 0), -1);
        assert_int_equal(boxlet_volume_remove(b, "first", 0, &error), 0); /* a record without a folder */
        assert_int_equal(count_entries(home_fd), 2);
        boxlet_close(b);
}

static void a_full_disk_leaves_nothing(void **state)
{
        (void)state;
        int home_fd;
        struct boxlet *b = open_home(unit_folder(&home_fd));
        struct boxlet_volume_options o = BOXLET_VOLUME_OPTIONS_INIT;
        struct boxlet_error error = {0};
        make(b, "seed", 32 * MIB); /* so that the template is there */
        struct rlimit limit, small;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        small = (struct rlimit){.rlim_cur = 8 * MIB, .rlim_max = limit.rlim_max};
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        o.size_bytes = 32 * MIB;
        int r = boxlet_volume_create(b, "data", &o, NULL, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(r, -EFBIG);
        assert_non_null(strstr(error.text, "create volume 'data'"));
        assert_int_equal(count_entries(home_fd), 1);
        make(b, "data", 32 * MIB); /* and works once there is room */
        boxlet_close(b);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_volume_is_made_shown_and_removed),
    cmocka_unit_test(a_volume_stays_while_a_box_refers_to_it),
    cmocka_unit_test(one_writer_or_many_readers),
    cmocka_unit_test(the_lock_goes_with_the_last_holder),
    cmocka_unit_test(what_is_half_made_never_counts),
    cmocka_unit_test(a_full_disk_leaves_nothing),
};
UNIT_TEST_MAIN(cases)
