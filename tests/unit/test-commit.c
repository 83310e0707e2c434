/* SPDX-License-Identifier: Apache-2.0 */
/* An image with one more layer, which is made here byte by byte. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "erofs-reader.h"
#include "image/find.h"
#include "image/image.h"
#include "tar-build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
        struct image_store *store;
        struct error err;
        char *base;
        struct tar layer;
        int failure; /* of the layer's producer */
};

static char *import(struct fixture *f)
{
        static const char *const changes[] = {"ENV A=1", "CMD [\"old\"]", NULL};
        struct tar tar = {0};
        char *id;
        tar_folder(&tar, "etc");
        tar_file(&tar, "etc/kept", "kept\n");
        tar_file(&tar, "etc/gone", "gone\n");
        tar_end(&tar);
        cleanup_fd int fd = -1;
        assert_int_equal(fd_of_bytes("tar", tar.bytes, tar.size, &fd), 0);
        if (image_import(f->store, fd, NULL, "base:1", NULL, changes, NULL, &id, &f->err) < 0)
                fail_msg("%s", f->err.text);
        tar_done(&tar);
        return id;
}

static void start(struct fixture *f)
{
        int folder;
        *f = (struct fixture){.err = ERROR_INIT};
        (void)unit_folder(&folder);
        cleanup_fd int fd = path_open_dir_at(folder, "store", 0700);
        if (image_store_open(fd, NULL, &f->store, &f->err) < 0)
                fail_msg("%s", f->err.text);
        f->base = import(f);
        tar_file(&f->layer, "etc/new", "new\n");
        tar_file(&f->layer, "etc/.wh.gone", "");
        tar_end(&f->layer);
}

static void stop(struct fixture *f)
{
        image_store_free(f->store);
        free(f->base);
        tar_done(&f->layer);
}

static int produce(image_write_fn write, void *write_data, void *data, struct error *err)
{
        struct fixture *f = data;
        for (size_t at = 0; at < f->layer.size; at += 700) {
                size_t part = f->layer.size - at < 700 ? f->layer.size - at : 700;
                int r = write(write_data, f->layer.bytes + at, part, err);
                if (r < 0)
                        return r;
        }
        return f->failure < 0 ? error_set(err, f->failure, "the box went away") : 0;
}

static int commit(struct fixture *f, const char *reference, const char *const *changes, char **ret_id)
{
        struct image_commit request = {.base = f->base,
                                       .reference = reference,
                                       .changes = changes,
                                       .message = "why",
                                       .author = "who",
                                       .created_by = "test",
                                       .produce = produce,
                                       .data = f};
        return image_commit(f->store, &request, NULL, ret_id, &f->err);
}

static size_t count_images(struct fixture *f)
{
        struct image **all;
        size_t count = 0;
        assert_int_equal(image_list(f->store, &all, &f->err), 0);
        while (all[count] != NULL)
                count++;
        image_list_free(all);
        return count;
}

static const char *text(const json_t *object, const char *key)
{
        const char *value = json_string_value(json_object_get(object, key));
        return value != NULL ? value : "";
}

static void a_layer_and_history_are_added(void **state)
{
        (void)state;
        static const char *const changes[] = {"CMD [\"new\"]", NULL};
        struct fixture f;
        char *id;
        start(&f);
        if (commit(&f, "mine:1", changes, &id) < 0)
                fail_msg("%s", f.err.text);
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(f.store, "mine:1", &image, &f.err), 0);
        assert_string_equal(image->id, id);
        const json_t *config = json_object_get(image->config, "config");
        assert_string_equal(json_string_value(json_array_get(json_object_get(config, "Cmd"), 0)), "new");
        assert_string_equal(json_string_value(json_array_get(json_object_get(config, "Env"), 0)), "A=1");
        assert_string_equal(text(image->config, "author"), "who");
        const json_t *history = json_object_get(image->config, "history");
        assert_int_equal(json_array_size(history), 2);
        assert_string_equal(text(json_array_get(history, 1), "comment"), "why");
        assert_string_equal(text(json_array_get(history, 1), "created_by"), "test");
        assert_int_equal(json_array_size(
                             json_object_get(json_object_get(image->config, "rootfs"), "diff_ids")),
                         2);
        assert_int_equal(json_array_size(json_object_get(image->manifest, "layers")), 2);
        free(id);
        stop(&f);
}

static void its_root_is_both_layers(void **state)
{
        (void)state;
        struct fixture f;
        char *id;
        start(&f);
        assert_int_equal(commit(&f, NULL, NULL, &id), 0);
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(f.store, id, &image, &f.err), 0);
        cleanup_fd int fd = -1;
        assert_int_equal(image_open_rootfs(f.store, image, NULL, &fd, &f.err), 0);
        struct erofs_view view;
        struct erofs_node node;
        char content[4];
        assert_true(erofs_view_open(fd, &view));
        assert_null(erofs_view_check(&view));
        assert_true(erofs_view_find(&view, "/etc/kept", &node));
        assert_false(erofs_view_find(&view, "/etc/gone", &node));
        assert_true(erofs_view_find(&view, "/etc/new", &node));
        assert_true(erofs_view_read(&view, &node, 0, content, 4));
        assert_memory_equal(content, "new\n", 4);
        erofs_view_close(&view);
        free(id);
        stop(&f);
}

static void a_failure_leaves_nothing(void **state)
{
        (void)state;
        static const char *const wrong[] = {"NONSENSE x", NULL};
        struct fixture f;
        char *id;
        start(&f);
        f.failure = -EPIPE;
        assert_int_equal(commit(&f, "mine:1", NULL, &id), -EPIPE);
        assert_string_equal(f.err.text, "the box went away");
        f.failure = 0;
        assert_int_equal(commit(&f, "mine:1", wrong, &id), -EINVAL);
        assert_int_equal(commit(&f, "Not A Name", NULL, &id), -EINVAL);
        f.layer.bytes[0] = '\377'; /* a name whose sum is wrong */
        assert_int_equal(commit(&f, "mine:1", NULL, &id), -EBADMSG);
        assert_int_equal(count_images(&f), 1);
        stop(&f);
}

static void a_commit_of_a_commit_adds_another(void **state)
{
        (void)state;
        struct fixture f;
        char *id;
        start(&f);
        assert_int_equal(commit(&f, "mine:1", NULL, &id), 0);
        free(f.base);
        f.base = id;
        assert_int_equal(commit(&f, "mine:2", NULL, &id), 0);
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(f.store, "mine:2", &image, &f.err), 0);
        assert_int_equal(json_array_size(json_object_get(image->manifest, "layers")), 3);
        assert_int_equal(count_images(&f), 3);
        free(id);
        stop(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_layer_and_history_are_added),
    cmocka_unit_test(its_root_is_both_layers),
    cmocka_unit_test(a_failure_leaves_nothing),
    cmocka_unit_test(a_commit_of_a_commit_adds_another),
};
UNIT_TEST_MAIN(cases)
