/* SPDX-License-Identifier: Apache-2.0 */
/* Loading, saving and importing archives, good ones and bad ones; all made here, byte by byte. */
#include "harness.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "image/blob.h"
#include "image/find.h"
#include "image/prune.h"
#include "tar-build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct fixture {
        const char *folder;
        int folder_fd;
        struct image_store *store;
        struct error err;
        struct tar layer;
        char diff_id[DIGEST_TEXT_SIZE];
        char config[1024];
        char config_digest[DIGEST_TEXT_SIZE];
};

static void set_config(struct fixture *f, const char *architecture, const char *diff_id)
{
        (void)snprintf(f->config, sizeof(f->config),
                       "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/x\"]},"
                       "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                       architecture, diff_id);
        assert_int_equal(digest_of(f->config, strlen(f->config), f->config_digest), 0);
}

static void start(struct fixture *f)
{
        *f = (struct fixture){.err = ERROR_INIT};
        f->folder = unit_folder(&f->folder_fd);
        int fd = path_open_dir_at(f->folder_fd, "store", 0700);
        if (image_store_open(fd, NULL, &f->store, &f->err) < 0)
                fail_msg("%s", f->err.text);
        close(fd);
        tar_folder(&f->layer, "etc");
        tar_file(&f->layer, "etc/hello", "hello\n");
        tar_end(&f->layer);
        assert_int_equal(digest_of(f->layer.bytes, f->layer.size, f->diff_id), 0);
        set_config(f, "amd64", f->diff_id);
}

static void stop(struct fixture *f)
{
        image_store_free(f->store);
        tar_done(&f->layer);
}

static void add_bytes(struct tar *tar, const char *name, const void *bytes, size_t size)
{
        tar_add(tar, &(struct tar_entry){.name = name, .content = bytes, .size = size});
}

static int memory_file(const void *bytes, size_t size)
{
        int fd;
        assert_int_equal(fd_of_bytes("archive", bytes, size, &fd), 0);
        return fd;
}

static int load_bytes(struct fixture *f, const void *bytes, size_t size, char **names)
{
        int fd = memory_file(bytes, size);
        f->err = (struct error)ERROR_INIT;
        int r = image_load(f->store, fd, NULL, NULL, NULL, names, &f->err);
        close(fd);
        return r;
}

static void load_must_give(struct fixture *f, const void *bytes, size_t size, const char *expected)
{
        cleanup_free char *names = NULL;
        if (load_bytes(f, bytes, size, &names) < 0)
                fail_msg("%s", f->err.text);
        assert_string_equal(names, expected);
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

static size_t count_images(struct fixture *f)
{
        struct image **images;
        size_t count = 0;
        assert_int_equal(image_list(f->store, &images, NULL), 0);
        while (images[count] != NULL)
                count++;
        image_list_free(images);
        return count;
}

static void load_must_fail(struct fixture *f, struct tar *tar, int code, const char *words)
{
        cleanup_free char *names = NULL;
        tar_end(tar);
        int r = load_bytes(f, tar->bytes, tar->size, &names);
        if (r != code || strstr(f->err.text, words) == NULL)
                fail_msg("%d: %s", r, f->err.text);
        assert_int_equal(count_images(f), 0);
        assert_int_equal(count_files(f->store->tmp_fd), 0);
        assert_int_equal(count_files(f->store->blobs_fd), 0);
        tar_done(tar);
        *tar = (struct tar){NULL};
}

static void add_manifest(struct tar *tar, const char *config, const char *tags, const char *layers)
{
        char text[2048];
        (void)snprintf(text, sizeof(text), "[{\"Config\":\"%s\",\"RepoTags\":%s,\"Layers\":[%s]}]", config,
                       tags, layers);
        tar_file(tar, "manifest.json", text);
}

/* As docker save writes it, with the document last. */
static struct tar docker_archive(struct fixture *f, const char *tags)
{
        struct tar tar = {NULL};
        tar_folder(&tar, "abc");
        add_bytes(&tar, "abc/layer.tar", f->layer.bytes, f->layer.size);
        tar_file(&tar, "config.json", f->config);
        add_manifest(&tar, "config.json", tags, "\"abc/layer.tar\"");
        return tar;
}

static void a_docker_archive_is_loaded(void **state)
{
        struct fixture f;
        (void)state;
        start(&f);
        struct tar tar = docker_archive(&f, "[\"busybox:1\",\"h.io/b/c:2\"]");
        tar_end(&tar);
        load_must_give(&f, tar.bytes, tar.size, "docker.io/library/busybox:1\nh.io/b/c:2\n");
        load_must_give(&f, tar.bytes, tar.size, "docker.io/library/busybox:1\nh.io/b/c:2\n");
        assert_int_equal(count_images(&f), 2);
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(f.store, "busybox:1", &image, NULL), 0);
        assert_string_equal(image->id, f.config_digest);
        assert_int_equal(image->size_bytes, f.layer.size);
        assert_int_equal(count_files(f.store->rootfs_fd), 1);
        tar_done(&tar);
        stop(&f);
}

static void an_image_without_tags_is_known_by_its_id(void **state)
{
        struct fixture f;
        char expected[128];
        (void)state;
        start(&f);
        struct tar tar = docker_archive(&f, "null");
        tar_end(&tar);
        (void)snprintf(expected, sizeof(expected), "%s\n", f.config_digest);
        load_must_give(&f, tar.bytes, tar.size, expected);
        tar_done(&tar);
        stop(&f);
}

static struct buffer pack_gzip(const void *bytes, size_t size)
{
        struct buffer out = BUFFER_INIT(1 << 27);
        char *place;
        z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size};
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        size_t bound = deflateBound(&z, size);
        assert_int_equal(buffer_reserve(&out, bound, &place), 0);
        z.next_out = (Bytef *)place;
        z.avail_out = (uInt)bound;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        buffer_grow(&out, bound - z.avail_out);
        deflateEnd(&z);
        return out;
}

static void compressed_archives_and_pipes_will_do(void **state)
{
        struct fixture f;
        int fds[2];
        (void)state;
        start(&f);
        struct tar tar = docker_archive(&f, "[\"a:1\"]");
        tar_end(&tar);
        struct buffer packed = pack_gzip(tar.bytes, tar.size);
        load_must_give(&f, buffer_content(&packed), packed.length, "docker.io/library/a:1\n");
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        cleanup_free char *names = NULL;
        if (fork() == 0) {
                (void)fd_write_full(fds[1], buffer_content(&packed), packed.length);
                _exit(0);
        }
        close(fds[1]);
        assert_int_equal(image_load(f.store, fds[0], NULL, NULL, NULL, &names, &f.err), 0);
        assert_string_equal(names, "docker.io/library/a:1\n");
        close(fds[0]);
        /* cut off */
        cleanup_free char *none = NULL;
        assert_int_equal(load_bytes(&f, buffer_content(&packed), packed.length / 2, &none), -EBADMSG);
        assert_int_equal(count_files(f.store->tmp_fd), 0);
        buffer_done(&packed);
        tar_done(&tar);
        stop(&f);
}

static void compressed_layers_and_links_will_do(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        char text[1024];
        (void)state;
        start(&f);
        struct buffer packed = pack_gzip(f.layer.bytes, f.layer.size);
        add_bytes(&tar, "one/layer.tar", buffer_content(&packed), packed.length);
        tar_folder(&tar, "two");
        tar_symlink(&tar, "two/layer.tar", "../one/layer.tar");
        tar_hard_link(&tar, "three", "two/layer.tar");
        (void)snprintf(
            text, sizeof(text),
            "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\",\"%s\"]}}",
            f.diff_id, f.diff_id, f.diff_id);
        tar_file(&tar, "./c.json", text);
        add_manifest(&tar, "c.json", "[\"a:1\"]", "\"one/layer.tar\",\"two/layer.tar\",\"three\"");
        tar_end(&tar);
        load_must_give(&f, tar.bytes, tar.size, "docker.io/library/a:1\n");
        buffer_done(&packed);
        tar_done(&tar);
        stop(&f);
}

static void bad_docker_archives_are_refused(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        (void)state;
        start(&f);
        load_must_fail(&f, &tar, -EBADMSG, "");
        tar_file(&tar, "hello", "x");
        load_must_fail(&f, &tar, -EBADMSG, "not an image archive; for a root file system use 'import'");
        tar_file(&tar, "manifest.json", "[]");
        load_must_fail(&f, &tar, -EBADMSG, "not an array of images");
        tar_file(&tar, "manifest.json", "[3]");
        load_must_fail(&f, &tar, -EBADMSG, "image 0 is not an object");
        add_manifest(&tar, "c.json", "null", "\"l\"");
        load_must_fail(&f, &tar, -ENOENT, "'c.json' is missing");
        add_manifest(&tar, "c.json", "null", "\"l\"");
        tar_file(&tar, "c.json", f.config);
        load_must_fail(&f, &tar, -ENOENT, "'l' is missing");
        add_manifest(&tar, "c.json", "null", "\"l\",\"l\"");
        tar_file(&tar, "c.json", f.config);
        load_must_fail(&f, &tar, -EBADMSG, "2 layers, but 1 diff_ids");
        add_manifest(&tar, "c.json", "null", "\"l\"");
        tar_file(&tar, "c.json", f.config);
        tar_file(&tar, "l", "no tar");
        load_must_fail(&f, &tar, -EBADMSG, "wrong content");
        add_manifest(&tar, "c.json", "[\"No Name\"]", "\"l\"");
        load_must_fail(&f, &tar, -EINVAL, "image name");
        add_manifest(&tar, "../../etc/passwd", "null", "\"l\"");
        load_must_fail(&f, &tar, -ENOENT, "is missing");
        add_manifest(&tar, "loop", "null", "\"l\"");
        tar_symlink(&tar, "loop", "loop");
        load_must_fail(&f, &tar, -ENOENT, "'loop' is missing");
        stop(&f);
}

static void another_architecture_is_refused(void **state)
{
        struct fixture f;
        (void)state;
        start(&f);
        set_config(&f, "arm64", f.diff_id);
        struct tar tar = docker_archive(&f, "[\"a:1\"]");
        cleanup_fd int same = memory_file(tar.bytes, tar.size), again = memory_file(tar.bytes, tar.size);
        cleanup_free char *names = NULL;
        load_must_fail(&f, &tar, -ENOEXEC, "another architecture: linux/arm64");
        assert_int_equal(image_load(f.store, same, NULL, "nonsense", NULL, &names, &f.err), -EINVAL);
        assert_int_equal(image_load(f.store, again, NULL, "linux/arm64", NULL, &names, &f.err), 0);
        assert_string_equal(names, "docker.io/library/a:1\n");
        stop(&f);
}

static void deep_json_is_an_error(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        (void)state;
        start(&f);
        char *deep = malloc(1000000);
        memset(deep, '[', 1000000);
        add_bytes(&tar, "manifest.json", deep, 1000000);
        free(deep);
        load_must_fail(&f, &tar, -EBADMSG, "maximum parsing depth");
        stop(&f);
}

/* ---- OCI ---- */

static void add_blob(struct tar *tar, const void *bytes, size_t size, char digest[DIGEST_TEXT_SIZE])
{
        char name[128];
        assert_int_equal(digest_of(bytes, size, digest), 0);
        (void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
        add_bytes(tar, name, bytes, size);
}

static void add_index(struct tar *tar, const char *media_type, const char *digest, size_t size,
                      const char *name)
{
        char text[1024];
        (void)snprintf(
            text, sizeof(text),
            "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu,"
            "\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}}]}",
            media_type, digest, size, name);
        tar_file(tar, "index.json", text);
}

static size_t add_oci_manifest(struct fixture *f, struct tar *tar, char digest[DIGEST_TEXT_SIZE])
{
        char text[2048], layer[DIGEST_TEXT_SIZE], config[DIGEST_TEXT_SIZE];
        add_blob(tar, f->layer.bytes, f->layer.size, layer);
        add_blob(tar, f->config, strlen(f->config), config);
        int n =
            snprintf(text, sizeof(text),
                     "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},"
                     "\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
                     MEDIA_OCI_CONFIG, config, strlen(f->config), MEDIA_OCI_LAYER, layer, f->layer.size);
        add_blob(tar, text, (size_t)n, digest);
        return (size_t)n;
}

static void an_oci_archive_is_loaded(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        char digest[DIGEST_TEXT_SIZE];
        (void)state;
        start(&f);
        size_t size = add_oci_manifest(&f, &tar, digest);
        add_index(&tar, MEDIA_OCI_MANIFEST, digest, size, "h.io/a:1");
        tar_end(&tar);
        load_must_give(&f, tar.bytes, tar.size, "h.io/a:1\n");
        cleanup_image struct image *image = NULL;
        assert_int_equal(image_find(f.store, "h.io/a:1", &image, NULL), 0);
        assert_string_equal(image->digest, digest);
        tar_done(&tar);
        stop(&f);
}

static void an_index_that_names_itself_ends(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        char text[1024], digest[DIGEST_TEXT_SIZE], inner[DIGEST_TEXT_SIZE];
        (void)state;
        start(&f);
        /* five indexes, each in the next */
        int n = snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[]}");
        add_blob(&tar, text, (size_t)n, digest);
        for (int i = 0; i < 5; i++) {
                memcpy(inner, digest, sizeof(inner));
                n = snprintf(text, sizeof(text),
                             "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[{\"mediaType\":\"%s\","
                             "\"digest\":\"%s\",\"size\":%d}]}",
                             MEDIA_OCI_INDEX, MEDIA_OCI_INDEX, inner, n);
                add_blob(&tar, text, (size_t)n, digest);
        }
        add_index(&tar, MEDIA_OCI_INDEX, digest, (size_t)n, "h.io/a:1");
        load_must_fail(&f, &tar, -ELOOP, "nested more than");
        stop(&f);
}

static void blobs_of_another_digest_are_refused(void **state)
{
        struct fixture f;
        struct tar tar = {NULL};
        char digest[DIGEST_TEXT_SIZE];
        (void)state;
        start(&f);
        size_t size = add_oci_manifest(&f, &tar, digest);
        uint8_t *hello = memmem(tar.bytes, tar.size, "hello\n", 6);
        assert_non_null(hello);
        *hello = 'j';
        add_index(&tar, MEDIA_OCI_MANIFEST, digest, size, "h.io/a:1");
        load_must_fail(&f, &tar, -EBADMSG, "wrong content");
        tar_file(&tar, "blobs/sha256/0123", "x");
        add_index(&tar, MEDIA_OCI_MANIFEST, "sha256:0123", 1, "h.io/a:1");
        load_must_fail(&f, &tar, -EINVAL, "not of the form sha256:");
        add_index(&tar, MEDIA_OCI_MANIFEST, digest, size, "h.io/a:1");
        load_must_fail(&f, &tar, -ENOENT, "is missing");
        stop(&f);
}

/* ---- save and import ---- */

static void what_is_saved_can_be_loaded_elsewhere(void **state)
{
        static const char *const formats[] = {"docker-archive", "oci-archive"};
        static const char *const names[] = {"a:1", "h.io/b:2"};
        struct fixture f;
        (void)state;
        start(&f);
        struct tar tar = docker_archive(&f, "[\"a:1\",\"h.io/b:2\"]");
        tar_end(&tar);
        load_must_give(&f, tar.bytes, tar.size, "docker.io/library/a:1\nh.io/b:2\n");
        for (size_t i = 0; i < 2; i++) {
                cleanup_fd int out = memfd_create("saved", MFD_CLOEXEC);
                cleanup_fd int folder = path_open_dir_at(f.folder_fd, formats[i], 0700);
                struct image_store *other;
                cleanup_free char *loaded = NULL;
                cleanup_image struct image *image = NULL;
                if (image_save(f.store, names, 2, formats[i], out, NULL, &f.err) < 0)
                        fail_msg("%s", f.err.text);
                assert_int_equal(lseek(out, 0, SEEK_SET), 0);
                assert_int_equal(image_store_open(folder, NULL, &other, &f.err), 0);
                if (image_load(other, out, NULL, NULL, NULL, &loaded, &f.err) < 0)
                        fail_msg("%s", f.err.text);
                assert_string_equal(loaded, "docker.io/library/a:1\nh.io/b:2\n");
                assert_int_equal(image_find(other, "a:1", &image, &f.err), 0);
                assert_string_equal(image->id, f.config_digest);
                image_store_free(other);
        }
        int null_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        assert_int_equal(image_save(f.store, names, 2, "docker-archive", null_fd, NULL, &f.err), -ENOSPC);
        close(null_fd);
        assert_int_equal(image_save(f.store, names, 2, "zip", 1, NULL, &f.err), -EINVAL);
        tar_done(&tar);
        stop(&f);
}

/* The layer as image mine:1; image_free() it. */
static struct image *import_layer(struct fixture *f, const char *platform, const char *const *changes)
{
        cleanup_free char *id = NULL;
        struct image *image;
        cleanup_fd int fd = memory_file(f->layer.bytes, f->layer.size);
        if (image_import(f->store, fd, NULL, "mine:1", platform, changes, NULL, &id, &f->err) < 0)
                fail_msg("%s", f->err.text);
        assert_int_equal(image_find(f->store, "mine:1", &image, &f->err), 0);
        assert_string_equal(image->id, id);
        return image;
}

static void a_tar_becomes_an_image(void **state)
{
        static const char *const changes[] = {"CMD [\"/bin/x\",\"y\"]",
                                              "ENV A=1 B=\"2 3\"",
                                              "env A=2",
                                              "EXPOSE 80 53/udp",
                                              "LABEL l='m n'",
                                              "WORKDIR /w",
                                              "WORKDIR v",
                                              "VOLUME /d",
                                              "USER 1:2",
                                              "ENTRYPOINT echo hi",
                                              "STOPSIGNAL SIGINT",
                                              "VOLUME [\"/e f\"]",
                                              NULL};
        static const char *const wrong[] = {"FROM x", NULL};
        struct fixture f;
        cleanup_free char *id = NULL;
        (void)state;
        start(&f);
        cleanup_fd int fd = memory_file(f.layer.bytes, f.layer.size);
        assert_int_equal(image_import(f.store, fd, NULL, "mine:1", NULL, wrong, NULL, &id, &f.err), -EINVAL);
        cleanup_image struct image *image = import_layer(&f, NULL, changes);
        cleanup_free char *text = json_print(json_object_get(image->config, "config"), NULL);
        assert_string_equal(text,
                            "{\"Cmd\":[\"/bin/x\",\"y\"],\"Env\":[\"A=2\",\"B=2 3\"],"
                            "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},\"Labels\":{\"l\":\"m n\"},"
                            "\"WorkingDir\":\"/w/v\",\"Volumes\":{\"/d\":{},\"/e f\":{}},\"User\":\"1:2\","
                            "\"Entrypoint\":[\"/bin/sh\",\"-c\",\"echo hi\"],\"StopSignal\":\"SIGINT\"}");
        stop(&f);
}

static void an_import_says_its_platform(void **state)
{
        struct fixture f;
        cleanup_free char *id = NULL;
        (void)state;
        start(&f);
        cleanup_fd int fd = memory_file(f.layer.bytes, f.layer.size);
        assert_int_equal(image_import(f.store, fd, NULL, "mine:1", "nonsense", NULL, NULL, &id, &f.err),
                         -EINVAL);
        cleanup_image struct image *image = import_layer(&f, "linux/arm64/v8", NULL);
        assert_string_equal(json_string_value(json_object_get(image->config, "architecture")), "arm64");
        assert_string_equal(json_string_value(json_object_get(image->config, "variant")), "v8");
        assert_string_equal(json_string_value(json_object_get(image->config, "os")), "linux");
        stop(&f);
}

static void a_folder_becomes_an_image(void **state)
{
        struct fixture f;
        char path[300];
        cleanup_free char *id = NULL;
        cleanup_image struct image *image = NULL;
        int fd;
        (void)state;
        start(&f);
        (void)snprintf(path, sizeof(path), "%s/root", f.folder);
        assert_int_equal(mkdir(path, 0755), 0);
        int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(path_write_atomic_at(root, "file", "text", 4, 0640), 0);
        assert_int_equal(linkat(root, "file", root, "hard", 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", root, "soft"), 0);
        assert_int_equal(mkfifoat(root, "fifo", 0600), 0);
        close(root);
        if (image_import(f.store, -1, path, NULL, NULL, NULL, NULL, &id, &f.err) < 0)
                fail_msg("%s", f.err.text);
        assert_int_equal(image_find(f.store, id, &image, &f.err), 0);
        assert_string_equal(image->reference, "");
        assert_int_equal(image_open_rootfs(f.store, image, NULL, &fd, &f.err), 0);
        close(fd);
        assert_true(image->size_bytes < 4096); /* /etc/passwd was not followed */
        assert_int_equal(image_import(f.store, -1, "/nonexistent", NULL, NULL, NULL, NULL, &id, &f.err),
                         -ENOENT);
        stop(&f);
}

static void what_is_no_tar_is_not_imported(void **state)
{
        struct fixture f;
        char *id;
        (void)state;
        start(&f);
        cleanup_fd int junk = memory_file("this is no tar, but long enough to be taken for something", 56);
        cleanup_fd int nothing = memory_file("", 0);
        assert_int_equal(image_import(f.store, junk, NULL, "a:1", NULL, NULL, NULL, &id, &f.err), -EBADMSG);
        assert_int_equal(image_import(f.store, nothing, NULL, "a:1", NULL, NULL, NULL, &id, &f.err),
                         -ENODATA);
        assert_int_equal(count_images(&f), 0);
        assert_int_equal(count_files(f.store->tmp_fd), 0);
        stop(&f);
}

/* ---- tag, remove, prune ---- */

static int always_in_use(const char *id, void *data)
{
        (void)id;
        ++*(int *)data;
        return true;
}

static void load_two_names(struct fixture *f)
{
        struct tar tar = docker_archive(f, "[\"a:1\",\"h.io/b:2\"]");
        tar_end(&tar);
        load_must_give(f, tar.bytes, tar.size, "docker.io/library/a:1\nh.io/b:2\n");
        tar_done(&tar);
}

static void names_go_one_by_one_and_the_image_with_the_last(void **state)
{
        struct fixture f;
        char expected[256];
        char *report;
        int asked = 0;
        (void)state;
        start(&f);
        load_two_names(&f);
        assert_int_equal(image_remove(f.store, f.config_digest, false, NULL, NULL, &report, &f.err), -EEXIST);
        assert_non_null(strstr(f.err.text, "it has 2 names"));
        assert_int_equal(image_remove(f.store, "c", false, NULL, NULL, &report, &f.err), -ENOENT);
        assert_int_equal(image_remove(f.store, "a:1", false, always_in_use, &asked, &report, &f.err), 0);
        assert_string_equal(report, "Untagged: a:1\n");
        free(report);
        assert_int_equal(asked, 0);
        assert_int_equal(image_remove(f.store, "h.io/b:2", false, always_in_use, &asked, &report, &f.err),
                         -EBUSY);
        assert_int_equal(count_images(&f), 1);
        assert_int_equal(image_remove(f.store, "h.io/b:2", true, always_in_use, &asked, &report, &f.err), 0);
        (void)snprintf(expected, sizeof(expected), "Untagged: h.io/b:2\nDeleted: %s\n", f.config_digest);
        assert_string_equal(report, expected);
        free(report);
        assert_int_equal(count_files(f.store->blobs_fd), 0);
        assert_int_equal(count_files(f.store->rootfs_fd), 0);
        stop(&f);
}

static void force_removes_all_names_of_an_id(void **state)
{
        struct fixture f;
        char *report;
        (void)state;
        start(&f);
        load_two_names(&f);
        assert_int_equal(image_remove(f.store, digest_hex(f.config_digest), true, NULL, NULL, &report,
                                      &f.err),
                         0);
        assert_non_null(strstr(report, "Untagged: a:1\n"));
        assert_non_null(strstr(report, "Untagged: h.io/b:2\n"));
        free(report);
        assert_int_equal(count_images(&f), 0);
        stop(&f);
}

/* 10 GB of zeros in 10 MB of gzip, as the layer of an archive: nobody gives a limit, and it is ended at 3 GB.
 */
static void a_bomb_is_ended_by_its_size(void **state)
{
        (void)state;
        struct fixture f;
        struct tar head = {0}, archive, bomb = {0};
        cleanup_free char *names = NULL;
        char zeros_id[DIGEST_TEXT_SIZE];
        const size_t piece_size = 64 << 20;
        cleanup_free uint8_t *zeros = calloc(1, piece_size);
        start(&f);
        tar_add(&head, &(struct tar_entry){.name = "bomb", .said_size = UINT64_C(10) << 30});
        struct buffer begin = pack_gzip(head.bytes, head.size), piece = pack_gzip(zeros, piece_size);
        tar_bytes(&bomb, begin.data, begin.length);
        for (int i = 0; i < 161; i++)
                tar_bytes(&bomb, piece.data, piece.length);
        assert_true(bomb.size < 11 << 20);
        /* whatever digest: it is not got to */
        assert_int_equal(digest_of("", 0, zeros_id), 0);
        set_config(&f, "amd64", zeros_id);
        archive = (struct tar){0};
        add_bytes(&archive, "abc/layer.tar", bomb.bytes, bomb.size);
        tar_file(&archive, "config.json", f.config);
        add_manifest(&archive, "config.json", "[\"bomb:1\"]", "\"abc/layer.tar\"");
        load_must_fail(&f, &archive, -EFBIG, "it unpacks to far more than its size");
        assert_int_equal(count_files(f.store->rootfs_fd), 0);
        tar_done(&head);
        tar_done(&bomb);
        buffer_done(&begin);
        buffer_done(&piece);
        stop(&f);
}

static void a_tag_is_another_name(void **state)
{
        struct fixture f;
        cleanup_image struct image *image = NULL;
        (void)state;
        start(&f);
        load_two_names(&f);
        assert_int_equal(image_tag(f.store, "a:1", "third", &f.err), 0);
        assert_int_equal(image_tag(f.store, f.config_digest, "h.io/fourth:x", &f.err), 0);
        assert_int_equal(image_tag(f.store, "none", "fifth", &f.err), -ENOENT);
        assert_int_equal(image_tag(f.store, "a:1", "Bad", &f.err), -EINVAL);
        assert_int_equal(image_find(f.store, "third", &image, &f.err), 0);
        assert_string_equal(image->id, f.config_digest);
        assert_int_equal(count_images(&f), 4);
        stop(&f);
}

static void pruning_takes_what_nobody_names_or_uses(void **state)
{
        struct fixture f;
        char *report;
        uint64_t freed;
        int asked = 0, lock;
        (void)state;
        start(&f);
        load_two_names(&f);
        assert_int_equal(image_prune(f.store, false, NULL, NULL, &freed, &report, &f.err), 0);
        assert_string_equal(report, "");
        free(report);
        assert_int_equal(count_images(&f), 2);
        assert_int_equal(image_prune(f.store, true, always_in_use, &asked, &freed, &report, &f.err), 0);
        free(report);
        assert_int_equal(count_images(&f), 2);
        assert_true(asked > 0);
        /* somebody is at work: the image goes, its files stay until the next time */
        assert_int_equal(store_lock_in_use(f.store, &lock, &f.err), 0);
        assert_int_equal(image_prune(f.store, true, NULL, NULL, &freed, &report, &f.err), 0);
        assert_non_null(strstr(report, "Not freed yet: "));
        free(report);
        assert_int_equal(count_images(&f), 0);
        assert_int_equal(count_files(f.store->rootfs_fd), 1);
        close(lock);
        assert_int_equal(image_prune(f.store, true, NULL, NULL, &freed, &report, &f.err), 0);
        free(report);
        assert_true(freed > 0);
        assert_int_equal(count_files(f.store->rootfs_fd), 0);
        assert_int_equal(count_files(f.store->blobs_fd), 0);
        stop(&f);
}

static void nothing_goes_while_an_image_cannot_be_read(void **state)
{
        struct fixture f;
        struct image *image, **images;
        struct image_usage usage;
        char *report = NULL, *id, manifest[DIGEST_HEX_SIZE + 1];
        uint64_t freed;
        int asked = 0;
        (void)state;
        start(&f);
        load_two_names(&f);
        size_t blobs = count_files(f.store->blobs_fd);
        assert_int_equal(mkdirat(f.folder_fd, "tree", 0755), 0);
        cleanup_free char *tree = path_join(f.folder, "tree");
        assert_int_equal(image_import(f.store, -1, tree, "kept", NULL, NULL, NULL, &id, &f.err), 0);
        assert_int_equal(image_find(f.store, "kept", &image, &f.err), 0);
        (void)strcpy(manifest, digest_hex(image->digest));
        image_free(image);
        size_t all = count_files(f.store->blobs_fd), roots = count_files(f.store->rootfs_fd);
        assert_true(all > blobs);
        /* a file whose reading gives EIO */
        assert_int_equal(renameat(f.store->blobs_fd, manifest, f.store->blobs_fd, "aside"), 0);
        assert_int_equal(symlinkat("/proc/self/mem", f.store->blobs_fd, manifest), 0);
        assert_int_equal(image_remove(f.store, "a:1", false, NULL, NULL, &report, &f.err), -EIO);
        assert_non_null(strstr(f.err.text, "kept"));
        assert_int_equal(image_remove(f.store, "kept", false, NULL, NULL, &report, &f.err), -EIO);
        assert_int_equal(image_prune(f.store, true, NULL, NULL, &freed, &report, &f.err), -EIO);
        assert_int_equal(image_find(f.store, id, &image, &f.err), -EIO);
        assert_int_equal(image_list(f.store, &images, &f.err), -EIO);
        assert_int_equal(image_usage(f.store, always_in_use, &asked, &usage, &f.err), -EIO);
        assert_int_equal(store_sweep(f.store, NULL, &f.err), -EIO);
        assert_int_equal(renameat(f.store->blobs_fd, "aside", f.store->blobs_fd, manifest), 0);
        assert_int_equal(count_files(f.store->blobs_fd), all);
        assert_int_equal(count_files(f.store->rootfs_fd), roots);
        assert_int_equal(count_images(&f), 3);
        assert_int_equal(image_remove(f.store, id, false, NULL, NULL, &report, &f.err), 0);
        assert_int_equal(count_files(f.store->blobs_fd), blobs);
        free(report);
        free(id);
        stop(&f);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_docker_archive_is_loaded),
    cmocka_unit_test(an_image_without_tags_is_known_by_its_id),
    cmocka_unit_test(compressed_archives_and_pipes_will_do),
    cmocka_unit_test(compressed_layers_and_links_will_do),
    cmocka_unit_test(bad_docker_archives_are_refused),
    cmocka_unit_test(another_architecture_is_refused),
    cmocka_unit_test(deep_json_is_an_error),
    cmocka_unit_test(an_oci_archive_is_loaded),
    cmocka_unit_test(an_index_that_names_itself_ends),
    cmocka_unit_test(blobs_of_another_digest_are_refused),
    cmocka_unit_test(what_is_saved_can_be_loaded_elsewhere),
    cmocka_unit_test(a_tar_becomes_an_image),
    cmocka_unit_test(an_import_says_its_platform),
    cmocka_unit_test(a_folder_becomes_an_image),
    cmocka_unit_test(what_is_no_tar_is_not_imported),
    cmocka_unit_test(names_go_one_by_one_and_the_image_with_the_last),
    cmocka_unit_test(force_removes_all_names_of_an_id),
    cmocka_unit_test(a_bomb_is_ended_by_its_size),
    cmocka_unit_test(a_tag_is_another_name),
    cmocka_unit_test(pruning_takes_what_nobody_names_or_uses),
    cmocka_unit_test(nothing_goes_while_an_image_cannot_be_read),
};

UNIT_TEST_MAIN(cases)
