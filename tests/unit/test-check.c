/* SPDX-License-Identifier: Apache-2.0 */
/* A home in which something is wrong: it is found, told, and put right where nothing is lost by it. And what
 * the doctor says, and what takes how much. */
#include "harness.h"

#include "box-world.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static json_t *parse(char *text)
{
        json_t *json;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(text, strlen(text), "answer", &json, &err), 0);
        boxlet_free(text);
        return json;
}

static json_t *check(struct box_world *w, int repair)
{
        char *text;
        if (boxlet_system_check(w->boxlet, repair, &text, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return parse(text);
}

/* All that is found, one a line. */
static char *lines(const json_t *problems)
{
        char *all = strdup(""), *more;
        const json_t *p;
        size_t i;
        json_array_foreach (problems, i, p) {
                assert_true(asprintf(&more, "%s%s|%s|%s%s\n", all,
                                     json_string_value(json_object_get(p, "Kind")),
                                     json_string_value(json_object_get(p, "Item")),
                                     json_string_value(json_object_get(p, "Problem")),
                                     json_is_true(json_object_get(p, "Repaired")) ? "|repaired" : "") > 0);
                free(all);
                all = more;
        }
        return all;
}

/* Found once; then repaired or not; then, if it was, not found again. */
static void expect(struct box_world *w, const char *kind, const char *words, bool repairable)
{
        cleanup_json json_t *first = check(w, 0), *second = check(w, 1), *third = check(w, 0);
        cleanup_free char *a = lines(first), *b = lines(second), *c = lines(third);
        if (json_array_size(first) != 1 || json_array_size(second) != 1 ||
            json_array_size(third) != (repairable ? 0 : 1) || strstr(a, words) == NULL ||
            strncmp(a, kind, strlen(kind)) != 0 || strstr(a, "|repaired") != NULL ||
            (strstr(b, "|repaired") != NULL) != repairable)
                fail_msg("%s: %s\nthen %s\nthen %s", words, a, b, c);
}

static void make_file(struct box_world *w, const char *name, const char *text)
{
        cleanup_fd int fd = openat(w->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void a_sound_home_is_well(void **state)
{
        (void)state;
        struct box_world w;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        assert_int_equal(boxlet_snapshot_create(box, NULL, NULL, &w.error), 0);
        assert_int_equal(boxlet_volume_create(w.boxlet, "data", NULL, NULL, &w.error), 0);
        for (int repair = 0; repair < 2; repair++) {
                cleanup_json json_t *problems = check(&w, repair);
                cleanup_free char *text = lines(problems);
                assert_string_equal(text, "");
        }
        boxlet_box_free(box);
        box_world_end(&w);
}

static void boxes_are_looked_at(void **state)
{
        (void)state;
        struct box_world w;
        char path[256], other[256];
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *gone = box_world_create(&w, "gone");
        (void)snprintf(path, sizeof(path), "home/boxes/%s", boxlet_box_id(gone));
        assert_int_equal(path_remove_all_at(w.fd, path), 0);
        expect(&w, "box|gone", "folder is gone", true);
        boxlet_box_free(gone);
        assert_int_equal(boxlet_box_get(w.boxlet, "gone", &gone, &w.error), -ENOENT);

        (void)snprintf(path, sizeof(path), "home/boxes/%s/lock", boxlet_box_id(box));
        assert_int_equal(unlinkat(w.fd, path, 0), 0);
        expect(&w, "box|one", "lock is missing", true);

        assert_int_equal(mkdirat(w.fd, "home/boxes/.trash-0", 0700), 0);
        make_file(&w, "home/boxes/.trash-0/disk.ext4", "");
        expect(&w, "leftover|.trash-0", "removal", true);

        assert_int_equal(mkdirat(w.fd, "home/boxes/of-somebody", 0700), 0);
        expect(&w, "leftover|of-somebody", "by hand", false);
        assert_int_equal(unlinkat(w.fd, "home/boxes/of-somebody", AT_REMOVEDIR), 0);

        assert_int_equal(boxlet_snapshot_create(box, NULL, NULL, &w.error), 0);
        (void)snprintf(path, sizeof(path), "home/boxes/%s/snapshots/lost.ext4", boxlet_box_id(box));
        make_file(&w, path, "");
        expect(&w, "snapshot|one", "1 files without a record", true);

        (void)snprintf(path, sizeof(path), "home/boxes/%s/disk.ext4", boxlet_box_id(box));
        (void)snprintf(other, sizeof(other), "home/boxes/%s/away", boxlet_box_id(box));
        assert_int_equal(renameat(w.fd, path, w.fd, other), 0);
        expect(&w, "box|one", "disk is gone", false);
        boxlet_box_free(box);
        box_world_end(&w);
}

/* What is in the making is left alone. */
static void what_is_at_work_is_left_alone(void **state)
{
        (void)state;
        struct box_world w;
        char path[256], lock[300];
        box_world_begin(&w);
        (void)snprintf(path, sizeof(path), "home/boxes/%064d", 7);
        (void)snprintf(lock, sizeof(lock), "%s/lock", path);
        assert_int_equal(mkdirat(w.fd, path, 0700), 0);
        make_file(&w, "home/x.0123456789abcdef.tmp", ""); /* young */
        cleanup_fd int guard = openat(w.fd, "home/boxes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(flock(guard, LOCK_SH), 0); /* no lock of its own yet */
        cleanup_json json_t *first = check(&w, 1);
        assert_int_equal(json_array_size(first), 0);
        make_file(&w, lock, "");
        cleanup_fd int held = openat(w.fd, lock, O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(held, LOCK_EX), 0);
        close_fd(&guard);
        cleanup_json json_t *second = check(&w, 1);
        assert_int_equal(json_array_size(second), 0);
        close_fd(&held); /* its maker was killed */
        assert_int_equal(unlinkat(w.fd, "home/x.0123456789abcdef.tmp", 0), 0);
        expect(&w, "box|0000", "creation did not finish", true);
        assert_int_equal(box_world_count(&w, "home/boxes"), 0);
        /* killed before there was a lock */
        assert_int_equal(mkdirat(w.fd, path, 0700), 0);
        expect(&w, "box|0000", "creation did not finish", true);
        box_world_end(&w);
}

static void volumes_are_looked_at(void **state)
{
        (void)state;
        struct box_world w;
        struct error err = ERROR_INIT;
        char *text;
        box_world_begin(&w);
        assert_int_equal(boxlet_volume_create(w.boxlet, "data", NULL, NULL, &w.error), 0);
        assert_int_equal(mkdirat(w.fd, "home/volumes/.new", 0700), 0);
        expect(&w, "leftover|.new", "volume", true);
        assert_int_equal(state_volume_delete(w.boxlet->state, "data", &err), 0);
        expect(&w, "volume|data", "taken over", true);
        assert_int_equal(boxlet_volume_inspect(w.boxlet, "data", &text, &w.error), 0);
        boxlet_free(text);
        assert_int_equal(path_remove_all_at(w.fd, "home/volumes/data"), 0);
        expect(&w, "volume|data", "disk is gone", false);
        box_world_end(&w);
}

/* The first file of a folder, below the world. */
static void first_file(struct box_world *w, const char *folder, off_t minimum, char *path, size_t size)
{
        struct stat st;
        int fd = openat(w->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fdopendir(fd);
        assert_non_null(dir);
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
                (void)snprintf(path, size, "%s/%s", folder, e->d_name);
                if (fstatat(w->fd, path, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size >= minimum)
                        return;
        }
        fail_msg("there is no file in '%s'", folder);
}

static void images_are_looked_at(void **state)
{
        (void)state;
        struct box_world w;
        char path[512], name[600];
        box_world_begin(&w);
        /* a blob nobody refers to */
        (void)snprintf(path, sizeof(path),
                       "home/images/blobs/sha256/"
                       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        make_file(&w, path, ""); /* its digest is right */
        expect(&w, "leftover|e3b0c442", "no image needs it", true);
        make_file(&w, "home/images/index.json.0123456789abcdef.tmp", "");
        expect(&w, "leftover|index.json", "killed", true);
        /* a root file system that was cut off: it is made again */
        first_file(&w, "home/images/rootfs", 1, path, sizeof(path));
        (void)snprintf(name, sizeof(name), "rootfs|%s", strrchr(path, '/') + 1);
        cleanup_fd int fd = openat(w.fd, path, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 2048), 0);
        expect(&w, name, "cut off", true);
        struct boxlet_box *box = box_world_create(&w, "one");
        first_file(&w, "home/images/rootfs", 4096, path, sizeof(path));
        /* one byte of a blob is another: it goes, and the image is told */
        first_file(&w, "home/images/blobs/sha256", 1, path, sizeof(path));
        cleanup_fd int blob = openat(w.fd, path, O_RDWR | O_CLOEXEC);
        char byte;
        assert_int_equal(pread(blob, &byte, 1, 0), 1);
        byte ^= 1;
        assert_int_equal(pwrite(blob, &byte, 1, 0), 1);
        cleanup_json json_t *found = check(&w, 1);
        cleanup_free char *text = lines(found);
        assert_non_null(strstr(text, "not that of its digest|repaired"));
        assert_non_null(
            strstr(text, "image|docker.io/library/tiny:latest|parts of it are missing or damaged"));
        assert_null(strstr(text, "leftover")); /* what it needs cannot be known */
        assert_int_equal(faccessat(w.fd, path, F_OK, 0), -1);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void what_cannot_be_read_is_told_and_left(void **state)
{
        (void)state;
        struct box_world w;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        assert_int_equal(boxlet_snapshot_create(box, NULL, NULL, &w.error), 0);
        json_decref(check(&w, 1)); /* and the database is in memory */
        unsigned blobs = box_world_count(&w, "home/images/blobs/sha256");
        unsigned roots = box_world_count(&w, "home/images/rootfs");
        unit_refuse(SCMP_SYS(pread64), EIO);
        cleanup_json json_t *found = check(&w, 1);
        cleanup_free char *text = lines(found);
        assert_non_null(strstr(text, "blob|"));
        assert_non_null(strstr(text, "rootfs|"));
        assert_non_null(strstr(text, "cannot be read: Input/output error"));
        assert_null(strstr(text, "repaired"));
        assert_int_equal(box_world_count(&w, "home/images/blobs/sha256"), blobs);
        assert_int_equal(box_world_count(&w, "home/images/rootfs"), roots);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void folders_that_cannot_be_read_are_told(void **state)
{
        (void)state;
        struct box_world w;
        char *text;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        assert_int_equal(boxlet_volume_create(w.boxlet, "data", NULL, NULL, &w.error), 0);
        json_decref(check(&w, 1));
        int status;
        pid_t pid = fork(); /* this process is looked at for open descriptors, in a folder of /proc */
        if (pid == 0) {
                unit_refuse(SCMP_SYS(getdents64), EIO);
                bool told = boxlet_system_check(w.boxlet, 1, &text, &w.error) == -EIO &&
                            strstr(w.error.text, "check the image store") != NULL &&
                            boxlet_system_usage(w.boxlet, &text, &w.error) == -EIO;
                _exit(told ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void a_lock_that_cannot_be_asked_leaves_the_box(void **state)
{
        (void)state;
        struct box_world w;
        char path[512], *text;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        (void)snprintf(path, sizeof(path), "home/boxes/%064d", 0);
        assert_int_equal(mkdirat(w.fd, path, 0700), 0);
        unit_refuse(SCMP_SYS(flock), ENOMEM);
        assert_int_equal(boxlet_system_check(w.boxlet, 1, &text, &w.error), -ENOMEM);
        assert_int_equal(faccessat(w.fd, path, F_OK, 0), 0); /* it may be somebody's who makes it now */
        assert_int_not_equal(boxlet_box_remove(box, 0, &w.error), 0);
        assert_non_null(strstr(w.error.text, "Cannot allocate memory"));
        boxlet_box_free(box);
        box_world_end(&w);
}

static void an_image_that_a_box_needs_is_missed(void **state)
{
        (void)state;
        struct box_world w;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        assert_int_equal(boxlet_image_remove(w.boxlet, "tiny", 1, NULL, &w.error), 0);
        expect(&w, "box|one", "image 'tiny' is not in the store", false);
        boxlet_box_free(box);
        box_world_end(&w);
}

static json_int_t figure(const json_t *usage, size_t row, const char *key)
{
        return json_integer_value(json_object_get(json_array_get(usage, row), key));
}

static void usage_is_counted(void **state)
{
        (void)state;
        struct box_world w;
        struct box_running running;
        char *text;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one"), *two = box_world_create(&w, "two");
        box_world_write(&w, box, "disk.ext4", 40 << 20, "data");
        assert_int_equal(boxlet_snapshot_create(box, NULL, NULL, &w.error), 0);
        assert_int_equal(boxlet_volume_create(w.boxlet, "data", NULL, NULL, &w.error), 0);
        box_world_run(&w, two, BOX_AGENT_GOOD, &running);
        assert_int_equal(boxlet_system_usage(w.boxlet, &text, &w.error), 0);
        cleanup_json json_t *usage = parse(text);
        enum { IMAGES, BOXES, SNAPSHOTS, VOLUMES };
        assert_int_equal(figure(usage, IMAGES, "Total"), 1);
        assert_int_equal(figure(usage, IMAGES, "Active"), 1);
        assert_true(figure(usage, IMAGES, "Size") > 0);
        assert_int_equal(figure(usage, IMAGES, "Reclaimable"), 0);
        assert_int_equal(figure(usage, BOXES, "Total"), 2);
        assert_int_equal(figure(usage, BOXES, "Active"), 1);
        assert_true(figure(usage, BOXES, "Reclaimable") > 0);
        assert_true(figure(usage, BOXES, "Reclaimable") < figure(usage, BOXES, "Size"));
        assert_int_equal(figure(usage, SNAPSHOTS, "Total"), 1);
        assert_true(figure(usage, SNAPSHOTS, "Size") >= 4096);
        assert_int_equal(figure(usage, VOLUMES, "Total"), 1);
        assert_int_equal(figure(usage, VOLUMES, "Reclaimable"), figure(usage, VOLUMES, "Size"));
        box_world_stop(&running);
        assert_int_equal(boxlet_box_remove(box, 0, &w.error), 0);
        assert_int_equal(boxlet_box_remove(two, 0, &w.error), 0);
        assert_int_equal(boxlet_system_usage(w.boxlet, &text, &w.error), 0);
        cleanup_json json_t *later = parse(text);
        assert_int_equal(figure(later, IMAGES, "Active"), 0);
        assert_int_equal(figure(later, IMAGES, "Reclaimable"), figure(later, IMAGES, "Size"));
        assert_int_equal(figure(later, BOXES, "Size"), 0);
        boxlet_box_free(box);
        boxlet_box_free(two);
        box_world_end(&w);
}

/* "ok", "note", "missing", or NULL. */
static const char *status(const json_t *answer, const char *name)
{
        const json_t *line;
        size_t i;
        json_array_foreach (answer, i, line) {
                if (strcmp(json_string_value(json_object_get(line, "Check")), name) == 0)
                        return json_string_value(json_object_get(line, "Status"));
        }
        return NULL;
}

static json_t *ask_doctor(struct box_world *w, const char *home)
{
        char path[600], libexec[600], *text;
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        (void)snprintf(path, sizeof(path), "%s/%s", w->path, home);
        (void)snprintf(libexec, sizeof(libexec), "%s/libexec", w->path);
        o.home = path;
        o.libexec = o.kernel_dir = libexec;
        if (boxlet_doctor(&o, &text, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return parse(text);
}

static void the_doctor_looks_at_this_machine(void **state)
{
        (void)state;
        struct box_world w;
        box_world_begin(&w);
        cleanup_json json_t *good = ask_doctor(&w, "home");
        assert_string_equal(status(good, "home"), "ok");
        assert_string_equal(status(good, "boxlet-vmm"), "ok");
        assert_string_equal(status(good, "kernel lean"), "ok");
        assert_string_equal(status(good, "kernel docker"), "note");
        assert_string_equal(status(good, "mkfs.ext4"), "ok");
        assert_non_null(status(good, "user namespaces"));
        assert_non_null(status(good, "disk room"));
        assert_string_not_equal(status(good, "KVM"), "missing");
        assert_int_equal(unlinkat(w.fd, "libexec/boxlet-vmm", 0), 0);
        assert_int_equal(unlinkat(w.fd, "libexec/vmlinux-lean", 0), 0);
        make_file(&w, "no-folder", "");
        cleanup_json json_t *bad = ask_doctor(&w, "no-folder");
        assert_string_equal(status(bad, "home"), "missing");
        assert_string_equal(status(bad, "boxlet-vmm"), "missing");
        assert_string_equal(status(bad, "kernel lean"), "missing");
        assert_string_equal(status(bad, "boxlet-monitor"), "ok");
        assert_null(status(bad, "disk room"));
        box_world_end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_sound_home_is_well),
    cmocka_unit_test(boxes_are_looked_at),
    cmocka_unit_test(what_is_at_work_is_left_alone),
    cmocka_unit_test(volumes_are_looked_at),
    cmocka_unit_test(images_are_looked_at),
    cmocka_unit_test(an_image_that_a_box_needs_is_missed),
    cmocka_unit_test(usage_is_counted),
    cmocka_unit_test(the_doctor_looks_at_this_machine),
    cmocka_unit_test(what_cannot_be_read_is_told_and_left),
    cmocka_unit_test(folders_that_cannot_be_read_are_told),
    cmocka_unit_test(a_lock_that_cannot_be_asked_leaves_the_box),
};
UNIT_TEST_MAIN(cases)
