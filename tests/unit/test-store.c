/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "image/blob.h"
#include "image/find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct image_store *open_store(int folder_fd)
{
        struct image_store *store;
        struct error err = ERROR_INIT;
        if (image_store_open(folder_fd, NULL, &store, &err) < 0)
                fail_msg("%s", err.text);
        return store;
}

/* An image without layers; variant makes its id another one. Returns its manifest's descriptor. */
static struct descriptor put_image(struct image_store *store, const char *variant)
{
        char text[2048], config[DIGEST_TEXT_SIZE];
        struct descriptor d = {.size = 0};
        int n = snprintf(
            text, sizeof(text),
            "{\"created\":\"2024-02-03T04:05:06.789+01:00\",\"architecture\":\"amd64\",\"os\":\"linux\","
            "\"author\":\"%s\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
            variant);
        assert_int_equal(blob_put(store, text, (size_t)n, config, NULL), 0);
        int m =
            snprintf(text, sizeof(text),
                     "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%d},"
                     "\"layers\":[]}",
                     MEDIA_OCI_CONFIG, config, n);
        assert_int_equal(blob_put(store, text, (size_t)m, d.digest, NULL), 0);
        d.size = m;
        strcpy(d.media_type, MEDIA_OCI_MANIFEST);
        return d;
}

static void add_image(struct image_store *store, const char *variant, const char *name)
{
        struct index_entry entry = {.manifest = put_image(store, variant), .name = name};
        assert_int_equal(index_add(store, &entry, NULL), 0);
}

static size_t count_images(struct image_store *store, const char *name)
{
        struct image **images;
        size_t count = 0;
        assert_int_equal(image_list(store, &images, NULL), 0);
        for (size_t i = 0; images[i] != NULL; i++)
                count += name == NULL || strcmp(images[i]->reference, name) == 0;
        image_list_free(images);
        return count;
}

static size_t count_files(int dir_fd)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fdopendir(fd);
        size_t count = 0;
        assert_non_null(dir);
        while (readdir(dir) != NULL)
                count++;
        return count - 2;
}

static void a_new_store_is_an_oci_layout(void **state)
{
        int fd;
        cleanup_free char *text = NULL;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(path_read_at(fd, "oci-layout", 100, &text, NULL), 0);
        assert_string_equal(text, "{\"imageLayoutVersion\":\"1.0.0\"}");
        assert_int_equal(count_images(store, NULL), 0);
        image_store_free(store);
}

static void images_are_found_by_name_and_id(void **state)
{
        int fd;
        struct error err = ERROR_INIT;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        add_image(store, "one", "docker.io/library/one:latest");
        add_image(store, "two", "example.org/two:v");
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(store, "one", &image, &err), 0);
        assert_string_equal(image->reference, "docker.io/library/one:latest");
        assert_int_equal(image->created, 1706929506);
        char prefix[13];
        snprintf(prefix, sizeof(prefix), "%s", digest_hex(image->id));
        const char *names[] = {prefix, image->id, digest_hex(image->id), image->digest,
                               "docker.io/library/one"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                cleanup_image struct image *again = NULL;
                if (image_find(store, names[i], &again, &err) < 0)
                        fail_msg("%s", err.text);
                assert_string_equal(again->id, image->id);
        }
        cleanup_free char *pinned = NULL, *elsewhere = NULL;
        cleanup_image struct image *by_digest = NULL;
        struct image *none = NULL;
        assert_true(asprintf(&pinned, "one@%s", image->digest) > 0);
        assert_int_equal(image_find(store, pinned, &by_digest, &err), 0);
        assert_true(asprintf(&elsewhere, "oneone@%s", image->digest) > 0);
        assert_int_equal(image_find(store, elsewhere, &none, &err), -ENOENT);
        assert_int_equal(image_find(store, "three", &none, &err), -ENOENT);
        assert_int_equal(image_find(store, "00000000", &none, &err), -ENOENT);
        assert_int_equal(image_find(store, "Not A Name", &none, &err), -EINVAL);
        image_store_free(store);
}

static void a_name_that_moves_leaves_the_old_image_nameless(void **state)
{
        int fd;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        add_image(store, "one", "h.io/a:1");
        add_image(store, "one", "h.io/a:1");
        assert_int_equal(count_images(store, NULL), 1);
        add_image(store, "one", "h.io/a:2");
        assert_int_equal(count_images(store, NULL), 2);
        add_image(store, "two", "h.io/a:2");
        assert_int_equal(count_images(store, NULL), 2);
        add_image(store, "two", "h.io/a:1");
        assert_int_equal(count_images(store, NULL), 3);
        assert_int_equal(count_images(store, ""), 1);
        add_image(store, "one", NULL);
        assert_int_equal(count_images(store, ""), 1);
        add_image(store, "one", "h.io/b:1");
        assert_int_equal(count_images(store, ""), 0);
        image_store_free(store);
}

static void a_wrong_blob_never_gets_in(void **state)
{
        int fd;
        char digest[DIGEST_TEXT_SIZE], wrong[DIGEST_TEXT_SIZE];
        struct error err = ERROR_INIT;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(digest_of("abc", 3, wrong), 0);
        struct blob_writer *w;
        assert_int_equal(blob_writer_new(store, &w, &err), 0);
        assert_int_equal(blob_writer_write(w, "abd", 3, &err), 0);
        assert_int_equal(blob_writer_finish(w, wrong, 3, digest, &err), -EBADMSG);
        blob_writer_free(w);
        assert_int_equal(blob_writer_new(store, &w, &err), 0);
        assert_int_equal(blob_writer_write(w, "abc", 3, &err), 0);
        assert_int_equal(blob_writer_finish(w, wrong, 4, digest, &err), -EBADMSG);
        blob_writer_free(w);
        assert_int_equal(blob_writer_new(store, &w, &err), 0);
        assert_int_equal(blob_writer_write(w, "xyz", 3, &err), 0);
        assert_int_equal(blob_writer_restart(w, &err), 0);
        assert_int_equal(count_files(store->blobs_fd), 0);
        assert_int_equal(blob_writer_write(w, "abc", 3, &err), 0);
        assert_int_equal(blob_writer_finish(w, wrong, 3, digest, &err), 0);
        blob_writer_free(w);
        assert_int_equal(count_files(store->blobs_fd), 1);
        assert_int_equal(count_files(store->tmp_fd), 0);
        image_store_free(store);
}

static void a_damaged_blob_is_noticed(void **state)
{
        int fd;
        char digest[DIGEST_TEXT_SIZE];
        char *text;
        size_t size;
        struct error err = ERROR_INIT;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(blob_put(store, "{}", 2, digest, &err), 0);
        int blob = openat(store->blobs_fd, digest_hex(digest), O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(write(blob, "[]", 2), 2);
        close(blob);
        assert_int_equal(blob_read(store, digest, 10, &text, &size, &err), -EBADMSG);
        assert_int_equal(blob_read(store, "sha256:../../oci-layout", 10, &text, &size, &err), -EINVAL);
        image_store_free(store);
}

static void leftovers_go_only_when_nobody_works(void **state)
{
        int fd, lock, ignored;
        char name[NAME_MAX + 1];
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(store_lock_in_use(store, &lock, NULL), 0);
        assert_int_equal(store_temporary(store, name, &ignored, NULL), 0);
        close(ignored);
        image_store_free(open_store(fd));
        assert_int_equal(count_files(store->tmp_fd), 1);
        assert_int_equal(store_lock_sweeping(store, &ignored, NULL), -EAGAIN);
        close(lock);
        image_store_free(open_store(fd));
        assert_int_equal(count_files(store->tmp_fd), 0);
        int crashed = openat(fd, "index.json.0123.tmp", O_CREAT | O_CLOEXEC, 0600);
        close(crashed);
        add_image(store, "one", "h.io/a:1");
        assert_int_equal(faccessat(fd, "index.json.0123.tmp", F_OK, 0), -1);
        image_store_free(store);
}

static int note_wait(const struct image_progress *progress, void *data)
{
        int *count = data;
        if (progress->text != NULL && strstr(progress->text, "waiting for") != NULL)
                ++*count;
        return *count > 0; /* cancels */
}

static void work_is_done_by_one_and_waiting_can_be_cancelled(void **state)
{
        int fd, one, two, told = 0;
        struct error err = ERROR_INIT;
        struct image_observer observer = {note_wait, &told};
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(store_lock_work(store, "x", NULL, "x", &one, &err), 0);
        assert_int_equal(store_try_lock_work(store, "x", &two, &err), -EAGAIN);
        assert_int_equal(store_lock_work(store, "x", &observer, "x", &two, &err), -ECANCELED);
        assert_int_equal(told, 1);
        close(one);
        assert_int_equal(store_lock_work(store, "x", &observer, "x", &two, &err), 0);
        close(two);
        image_store_free(store);
}

/* Eight processes add twenty names each, at once: none is lost. */
static void many_processes_edit_the_index(void **state)
{
        int fd;
        (void)state;
        (void)unit_folder(&fd);
        for (int p = 0; p < 8; p++) {
                if (fork() != 0)
                        continue;
                struct image_store *store;
                int lock;
                if (image_store_open(fd, NULL, &store, NULL) < 0 || store_lock_in_use(store, &lock, NULL) < 0)
                        _exit(1);
                struct index_entry entry = {.manifest = put_image(store, "same")};
                for (int i = 0; i < 20; i++) {
                        char name[64];
                        snprintf(name, sizeof(name), "h.io/p%d:%d", p, i);
                        entry.name = name;
                        if (index_add(store, &entry, NULL) < 0)
                                _exit(2);
                }
                _exit(0);
        }
        int status;
        for (int p = 0; p < 8; p++) {
                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        struct image_store *store = open_store(fd);
        assert_int_equal(count_images(store, NULL), 160);
        image_store_free(store);
}

static void a_spoiled_index_is_an_error_and_stays(void **state)
{
        int fd;
        struct error err = ERROR_INIT;
        struct image **images;
        (void)state;
        (void)unit_folder(&fd);
        struct image_store *store = open_store(fd);
        assert_int_equal(path_write_atomic_at(fd, "index.json", "{\"manifests\":3}", 15, 0644), 0);
        assert_int_equal(image_list(store, &images, &err), -EBADMSG);
        struct index_entry entry = {.manifest = put_image(store, "x"), .name = "h.io/a:1"};
        assert_int_equal(index_add(store, &entry, &err), -EBADMSG);
        cleanup_free char *text = NULL;
        assert_int_equal(path_read_at(fd, "index.json", 100, &text, NULL), 0);
        assert_string_equal(text, "{\"manifests\":3}");
        image_store_free(store);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_new_store_is_an_oci_layout),
    cmocka_unit_test(images_are_found_by_name_and_id),
    cmocka_unit_test(a_name_that_moves_leaves_the_old_image_nameless),
    cmocka_unit_test(a_wrong_blob_never_gets_in),
    cmocka_unit_test(a_damaged_blob_is_noticed),
    cmocka_unit_test(leftovers_go_only_when_nobody_works),
    cmocka_unit_test(work_is_done_by_one_and_waiting_can_be_cancelled),
    cmocka_unit_test(many_processes_edit_the_index),
    cmocka_unit_test(a_spoiled_index_is_an_error_and_stays),
};

UNIT_TEST_MAIN(cases)
