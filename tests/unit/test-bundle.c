/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes as files: there and back; and everything that such a file could be instead. */
#include "harness.h"

#include "box-world.h"
#include "tar-build.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtime/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "disk.ext4"
#define FAR  (40 << 20)
#define MIB  (1 << 20)

/* ---- files in memory ---- */

struct memory {
        const uint8_t *bytes;
        size_t size, at, step; /* step: as a pipe gives it; 0: all there is */
};

static ssize_t read_memory(void *bytes, size_t size, void *data)
{
        struct memory *m = data;
        size_t n = m->size - m->at < size ? m->size - m->at : size;
        if (m->step != 0 && n > m->step)
                n = m->step;
        memcpy(bytes, m->bytes + m->at, n);
        m->at += n;
        return (ssize_t)n;
}

struct seen {
        unsigned documents, images, disks;
        uint64_t disk_size, bytes, end;
};

static int see_document(const char *text, size_t size, void *data, struct error *err)
{
        (void)err;
        assert_int_equal(strlen(text), size);
        ((struct seen *)data)->documents++;
        return 0;
}

static int see_image(const void *bytes, size_t size, void *data, struct error *err)
{
        (void)bytes;
        (void)err;
        ((struct seen *)data)->images += size > 0;
        return 0;
}

static int see_disk(uint64_t size, void *data, struct error *err)
{
        struct seen *seen = data;
        (void)err;
        seen->disks++;
        seen->disk_size = size;
        return 0;
}

static int see_bytes(uint64_t offset, const void *bytes, size_t size, void *data, struct error *err)
{
        struct seen *seen = data;
        (void)bytes;
        (void)err;
        assert_true(offset >= seen->end && offset + size <= seen->disk_size);
        seen->end = offset + size;
        seen->bytes += size;
        return 0;
}

static int read_bytes(const void *bytes, size_t size, size_t step, struct seen *seen, struct error *err)
{
        struct memory memory = {.bytes = bytes, .size = size, .step = step};
        const struct bundle_source source = {read_memory, &memory};
        const struct bundle_sink sink = {see_document, see_image, see_disk, see_bytes, seen};
        *seen = (struct seen){0};
        *err = (struct error)ERROR_INIT;
        return bundle_read(&source, &sink, err);
}

static void expect_bad(const struct tar *tar, const char *words)
{
        struct seen seen;
        struct error err;
        int r = read_bytes(tar->bytes, tar->size, 0, &seen, &err);
        if (r != -EBADMSG || strstr(err.text, words) == NULL)
                fail_msg("%d: %s (not: %s)", r, err.text, words);
}

/* Writes a file as bundle_write() does. */
static void make_file(uint8_t **ret_bytes, size_t *ret_size, const char *image)
{
        static const char text[] = "{\"some\": \"document\"}";
        static int folder = -1;
        char *bytes;
        if (folder < 0)
                (void)unit_folder(&folder);
        cleanup_fd int disk = path_open_anonymous_at(folder, O_RDWR),
                       out = path_open_anonymous_at(folder, O_RDWR);
        cleanup_fd int picture = image == NULL ? -1 : path_open_anonymous_at(folder, O_RDWR);
        struct error err = ERROR_INIT;
        assert_int_equal(ftruncate(disk, 64 * MIB), 0);
        assert_int_equal(pwrite(disk, "begin", 5, 0), 5);
        assert_int_equal(pwrite(disk, "middle", 6, 32 * MIB + 1234), 6);
        if (image != NULL)
                assert_int_equal(fd_write_full(picture, image, strlen(image)), 0);
        if (bundle_write(out, text, strlen(text), picture, disk, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(lseek(out, 0, SEEK_SET), 0);
        assert_int_equal(fd_read_all(out, 16 * MIB, &bytes, ret_size), 0);
        *ret_bytes = (uint8_t *)bytes;
}

static void what_was_written_is_read(void **state)
{
        (void)state;
        static const size_t steps[] = {0, 1, 511, 65537};
        for (int with_image = 0; with_image < 2; with_image++) {
                cleanup_free uint8_t *bytes = NULL;
                size_t size;
                struct seen seen;
                struct error err;
                make_file(&bytes, &size, with_image ? "an image" : NULL);
                assert_true(size < MIB); /* holes take no room */
                for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                        if (read_bytes(bytes, size, steps[i], &seen, &err) < 0)
                                fail_msg("step %zu: %s", steps[i], err.text);
                        assert_int_equal(seen.documents, 1);
                        assert_int_equal(seen.images, with_image);
                        assert_int_equal(seen.disks, 1);
                        assert_int_equal(seen.disk_size, 64 * MIB);
                        assert_true(seen.bytes >= 11 && seen.bytes <= 2 * 65536);
                }
        }
}

static void cut_off_anywhere_is_an_error(void **state)
{
        (void)state;
        cleanup_free uint8_t *bytes = NULL;
        size_t size;
        struct seen seen;
        struct error err;
        make_file(&bytes, &size, "an image");
        for (size_t cut = 0; cut < size; cut += cut % 512 == 0 ? 1 : cut % 512 == 1 ? 510 : 1) {
                int r = read_bytes(bytes, cut, 0, &seen, &err);
                if (r != -EBADMSG)
                        fail_msg("cut at %zu of %zu: %d", cut, size, r);
        }
        cleanup_free uint8_t *more = calloc(1, size + 512);
        memcpy(more, bytes, size);
        assert_int_equal(read_bytes(more, size + 1, 0, &seen, &err), -EBADMSG);
        assert_int_equal(read_bytes(more, size + 512, 0, &seen, &err), -EBADMSG); /* even if it is zeros */
}

static void one_bit_wrong_is_an_error(void **state)
{
        (void)state;
        cleanup_free uint8_t *bytes = NULL;
        size_t size;
        struct seen seen;
        struct error err;
        make_file(&bytes, &size, "an image");
        for (size_t at = 0; at < size; at++) {
                bytes[at] ^= (uint8_t)(1 << (at % 8));
                int r = read_bytes(bytes, size, 0, &seen, &err);
                if (r >= 0)
                        fail_msg("bit of byte %zu of %zu is not noticed", at, size);
                bytes[at] ^= (uint8_t)(1 << (at % 8));
        }
        assert_int_equal(read_bytes(bytes, size, 0, &seen, &err), 0);
}

/* ---- from an attacker: the sum is right ---- */

static void end_with_sum(struct tar *tar)
{
        unsigned char sum[EVP_MAX_MD_SIZE];
        char text[BUNDLE_SUM_SIZE];
        memset(text, '\n', sizeof(text));
        tar_add(tar, &(struct tar_entry){.name = BUNDLE_SUM, .content = text, .size = sizeof(text)});
        uint8_t *place = tar->bytes + tar->size - sizeof(text);
        assert_int_equal(EVP_Digest(tar->bytes, tar->size - sizeof(text), sum, NULL, EVP_sha256(), NULL), 1);
        for (int i = 0; i < 32; i++) {
                char digits[3];
                (void)snprintf(digits, sizeof(digits), "%02x", sum[i]);
                memcpy(place + 2 * i, digits, 2);
        }
        tar_end(tar);
}

static void a_file_made_by_hand_is_good(void **state)
{
        (void)state;
        struct tar tar = {0};
        struct seen seen;
        struct error err;
        tar_file(&tar, BUNDLE_DOCUMENT, "{}");
        tar_file(&tar, BUNDLE_DISK, "a disk");
        end_with_sum(&tar);
        if (read_bytes(tar.bytes, tar.size, 0, &seen, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(seen.bytes, 6);
        tar_done(&tar);
}

static void other_members_are_refused(void **state)
{
        (void)state;
        static const char *const wrong[][4] = {
            {"../../etc/passwd", BUNDLE_DISK},
            {"/etc/passwd", BUNDLE_DISK},
            {"./" BUNDLE_DOCUMENT, BUNDLE_DISK},
            {BUNDLE_DISK, BUNDLE_DOCUMENT},
            {BUNDLE_DOCUMENT, BUNDLE_DOCUMENT, BUNDLE_DISK},
            {BUNDLE_DOCUMENT, BUNDLE_DISK, BUNDLE_DISK},
            {BUNDLE_DOCUMENT, BUNDLE_DISK, BUNDLE_IMAGE},
            {BUNDLE_DOCUMENT, BUNDLE_DISK, "lock"},
            {BUNDLE_DOCUMENT, "snapshots/../disk.ext4"},
            {BUNDLE_DOCUMENT},
            {BUNDLE_DOCUMENT, BUNDLE_IMAGE},
        };
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct tar tar = {0};
                for (size_t j = 0; j < 4 && wrong[i][j] != NULL; j++)
                        tar_file(&tar, wrong[i][j], "{}");
                end_with_sum(&tar);
                expect_bad(&tar, "is to be");
                tar_done(&tar);
        }
        struct tar tar = {0};
        tar_pax_text(&tar, "path", "../../evil");
        tar_file(&tar, BUNDLE_DOCUMENT, "{}");
        expect_bad(&tar, "'../../evil'");
        tar_done(&tar);
        tar_end(&tar);
        expect_bad(&tar, "too early");
        tar_done(&tar);
}

static void what_is_no_plain_file_is_refused(void **state)
{
        (void)state;
        static const char kinds[] = {'1', '2', '3', '4', '5', '6'};
        for (size_t i = 0; i < sizeof(kinds); i++) {
                struct tar tar = {0};
                tar_file(&tar, BUNDLE_DOCUMENT, "{}");
                tar_add(&tar,
                        &(struct tar_entry){.name = BUNDLE_DISK, .link = "/etc/shadow", .type = kinds[i]});
                end_with_sum(&tar);
                expect_bad(&tar, "plain file");
                tar_done(&tar);
        }
}

/* A sparse member in GNU's form 1.0: the map is the beginning of the content. */
static void add_sparse(struct tar *tar, const char *real_size, const char *map, const char *data)
{
        char content[1024] = {0};
        (void)snprintf(content, 512, "%s", map);
        (void)snprintf(content + 512, 512, "%s", data);
        tar_pax_text(tar, "GNU.sparse.major", "1");
        tar_pax_text(tar, "GNU.sparse.minor", "0");
        tar_pax_text(tar, "GNU.sparse.name", BUNDLE_DISK);
        tar_pax_text(tar, "GNU.sparse.realsize", real_size);
        tar_add(tar,
                &(struct tar_entry){.name = BUNDLE_DISK, .content = content, .size = 512 + strlen(data)});
}

static void hostile_sparse_maps(void **state)
{
        (void)state;
        static const struct {
                const char *real_size, *map, *data;
                bool good;
        } maps[] = {
            {"1000000", "1\n999990\n10\n", "0123456789", true},
            {"1000000", "2\n0\n5\n999990\n5\n", "0123456789", true},
            {"1000000", "1\n999995\n10\n", "0123456789", false},              /* past the end */
            {"1000000", "1\n9223372036854775807\n10\n", "0123456789", false}, /* and over */
            {"1000000", "1\n18446744073709551615\n10\n", "0123456789", false},
            {"1000000", "2\n500\n5\n100\n5\n", "0123456789", false}, /* backwards */
            {"1000000", "2\n100\n5\n102\n5\n", "0123456789", false}, /* twice */
            {"1000000", "1\n-5\n10\n", "0123456789", false},
            {"1000000", "99999999\n0\n10\n", "0123456789", false},
            {"1000000", "x\n", "0123456789", false},
            {"-1", "1\n0\n10\n", "0123456789", false},
            {"5", "1\n0\n10\n", "0123456789", false},
        };
        for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
                struct tar tar = {0};
                struct seen seen;
                struct error err;
                tar_file(&tar, BUNDLE_DOCUMENT, "{}");
                add_sparse(&tar, maps[i].real_size, maps[i].map, maps[i].data);
                end_with_sum(&tar);
                int r =
                    read_bytes(tar.bytes, tar.size, 0, &seen, &err); /* see_bytes() looks at every range */
                if (maps[i].good ? r != 0 : r >= 0 && seen.bytes > 10)
                        fail_msg("map %zu: %d, %s, %llu bytes", i, r, err.text,
                                 (unsigned long long)seen.bytes);
                tar_done(&tar);
        }
}

static void sizes_that_lie_are_refused(void **state)
{
        (void)state;
        struct tar tar = {0};
        tar_add(&tar, &(struct tar_entry){
                          .name = BUNDLE_DOCUMENT, .content = "{}", .size = 2, .said_size = 5 << 20});
        expect_bad(&tar, "too large");
        tar_done(&tar);
        tar_file(&tar, BUNDLE_DOCUMENT, "{}");
        tar_add(&tar, &(struct tar_entry){
                          .name = BUNDLE_DISK, .content = "disk", .size = 4, .said_size = 1ULL << 32});
        end_with_sum(&tar);
        expect_bad(&tar, "damaged");
        tar_done(&tar);
        tar_file(&tar, BUNDLE_DOCUMENT, "{}");
        tar_file(&tar, BUNDLE_DISK, "disk");
        tar_add(&tar, &(struct tar_entry){.name = BUNDLE_SUM, .content = "0123", .size = 4});
        tar_end(&tar);
        expect_bad(&tar, "checksum is none");
        tar_done(&tar);
}

static void a_header_must_not_fill_memory(void **state)
{
        (void)state;
        struct tar tar = {0};
        enum { HUGE_VALUE = 40 << 20 };
        char *value = malloc(HUGE_VALUE);
        memset(value, 'x', HUGE_VALUE);
        tar_pax(&tar, "comment", value, HUGE_VALUE);
        free(value);
        tar_file(&tar, BUNDLE_DOCUMENT, "{}");
        expect_bad(&tar, "large");
        tar_done(&tar);
}

/* ---- the document ---- */

#define CONFIG                                                                                           \
        "\"spec\":{},\"volumes\":[\"/"                                                                   \
        "v\"],\"labels\":{\"a\":\"b\"},\"stop_signal\":15,\"stop_timeout_ms\":1,"                        \
        "\"hostname\":\"h\",\"publish\":[{\"address\":null,\"host_port\":0,\"box_port\":80,"             \
        "\"protocol\":\"tcp\"}],\"network\":\"none\",\"cpus\":1,\"memory_bytes\":67108864,"              \
        "\"disk_bytes\":67108864,\"engine\":\"auto\",\"stdin\":false,\"readonly\":false,\"init\":false," \
        "\"auto_remove\":false"

/* The document with `from` replaced, and more members of the configuration. */
static char *document(const char *from, const char *to, const char *more)
{
        char hex[65], *text, *changed;
        memset(hex, 'a', 64);
        hex[64] = '\0';
        assert_true(
            asprintf(&text,
                     "{\"format\":\"boxlet-box\",\"version\":1,\"id\":\"%s\",\"name\":\"web\",\"image\":{"
                     "\"reference\":\"tiny\",\"id\":\"sha256:%s\",\"digest\":\"sha256:%s\"},"
                     "\"auto_remove\":false,\"disk_bytes\":67108864,\"config\":{" CONFIG "%s}}",
                     hex, hex, hex, more) > 0);
        if (from == NULL)
                return text;
        char *at = strstr(text, from);
        if (at == NULL)
                fail_msg("'%s' is not in the document", from);
        assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
        free(text);
        return changed;
}

static int parse(const char *from, const char *to, const char *more, struct bundle_document *d,
                 struct error *err)
{
        cleanup_free char *text = document(from, to, more);
        *err = (struct error)ERROR_INIT;
        return bundle_document_parse(text, strlen(text), d, err);
}

static void documents_are_looked_at(void **state)
{
        (void)state;
        static const struct {
                const char *from, *to, *words;
        } bad[] = {
            {"\"boxlet-box\"", "\"zip\"", "format"},
            {"\"version\":1", "\"version\":2", "newer boxlet"},
            {"\"version\":1", "\"version\":-1", "version"},
            {"\"web\"", "\"../web\"", "name"},
            {"\"web\"", "7", "name"},
            {"\"id\":\"aaaa", "\"id\":\"../a", "'id'"},
            {"\"sha256:aa", "\"sha512:aa", "'id' is none"},
            {"\"reference\":\"tiny\"", "\"reference\":\"\"", "reference"},
            {"\"disk_bytes\":67108864,\"config\"", "\"disk_bytes\":1,\"config\"", "disk_bytes"},
            {"\"disk_bytes\":67108864,\"config\"", "\"disk_bytes\":9223372036854775807,\"config\"",
             "disk_bytes"},
            {"\"config\":{", "\"config\":[], \"x\":{", "'config' is none"},
            {"\"spec\":{}", "\"spec\":[]", "'spec'"},
            {"\"volumes\":[\"/v\"]", "\"volumes\":[\"v\"]", "'volumes'"},
            {"\"labels\":{\"a\":\"b\"}", "\"labels\":{\"a\":1}", "'labels'"},
            {"\"stop_signal\":15", "\"stop_signal\":99", "'stop_signal'"},
            {"\"stop_timeout_ms\":1", "\"stop_timeout_ms\":\"1\"", "'stop_timeout_ms'"},
            {"\"hostname\":\"h\"", "\"hostname\":\"a b\"", "'hostname'"},
            {"\"address\":null", "\"address\":\"nowhere\"", "'publish'"},
            {"\"box_port\":80", "\"box_port\":0", "'publish'"},
            {"\"protocol\":\"tcp\"", "\"protocol\":\"sctp\"", "'publish'"},
            {"\"network\":\"none\"", "\"network\":\"host\"", "'network'"},
            {"\"cpus\":1", "\"cpus\":1000", "'cpus'"},
            {"\"memory_bytes\":67108864", "\"memory_bytes\":1", "'memory_bytes'"},
            {"\"engine\":\"auto\"", "\"engine\":\"warp\"", "'engine'"},
            {"\"stdin\":false", "\"stdin\":0", "'stdin'"},
            {"\"init\":false", "\"surprise\":false", "'surprise'"},
        };
        struct bundle_document d;
        struct error err;
        if (parse(NULL, NULL, "", &d, &err) < 0)
                fail_msg("%s", err.text);
        assert_string_equal(d.box.name, "web");
        assert_int_equal(d.disk_bytes, 67108864);
        assert_false(d.refers_to_host);
        bundle_document_done(&d);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                int r = parse(bad[i].from, bad[i].to, "", &d, &err);
                if (r >= 0 || strstr(err.text, bad[i].words) == NULL)
                        fail_msg("'%s' for '%s': %d, %s", bad[i].to, bad[i].from, r, err.text);
        }
}

static void what_is_of_the_host_is_told(void **state)
{
        (void)state;
        static const struct {
                const char *more, *what;
        } host[] = {
            {",\"kernel\":\"/boot/vmlinux\"", "a kernel"},
            {",\"shares\":[{\"source\":\"/\",\"readonly\":false,\"cache\":\"auto\"}]", "folders"},
            {",\"disks\":[{\"volume\":\"data\",\"path\":\"/d\",\"readonly\":false}]", "volumes"},
            {",\"forwards\":[{\"path\":\"/run/x\",\"unix\":\"/var/run/docker.sock\"}]", "sockets"},
            {",\"pid_file\":\"/etc/cron.d/x\"", "a pid file"},
        };
        static const char *const bad[] = {
            ",\"kernel\":\"vmlinux\"",
            ",\"shares\":[{\"source\":\"..\",\"readonly\":false,\"cache\":\"auto\"}]",
            ",\"shares\":{}",
            ",\"disks\":[{\"volume\":\"../x\",\"path\":\"/d\",\"readonly\":false}]",
            ",\"disks\":[{\"volume\":\"data\",\"path\":\"/d\"}]",
            ",\"forwards\":[{\"path\":\"x\",\"unix\":\"/x\"}]",
            ",\"pid_file\":\"x\"",
            ",\"log\":{\"maximum_bytes\":1,\"files\":0}",
        };
        struct bundle_document d;
        struct error err;
        for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++) {
                if (parse(NULL, NULL, host[i].more, &d, &err) < 0)
                        fail_msg("%s", err.text);
                assert_true(d.refers_to_host);
                assert_string_equal(d.what, host[i].what);
                bundle_document_done(&d);
        }
        assert_int_equal(parse(NULL, NULL, ",\"kernel\":null,\"shares\":[],\"disks\":[],\"forwards\":[]", &d,
                               &err),
                         0);
        assert_false(d.refers_to_host);
        bundle_document_done(&d);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_true(parse(NULL, NULL, bad[i], &d, &err) < 0);
}

/* ---- whole boxes ---- */

static int save(struct box_world *w, struct boxlet_box *box, int with_image)
{
        struct boxlet_box_save_options o = BOXLET_BOX_SAVE_OPTIONS_INIT;
        int fd = path_open_anonymous_at(w->fd, O_RDWR);
        o.with_image = with_image;
        if (boxlet_box_save(box, fd, &o, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return fd;
}

static int load(struct box_world *w, struct boxlet *b, int fd, const char *name, int trusted,
                struct boxlet_box **ret)
{
        struct boxlet_box_load_options o = BOXLET_BOX_LOAD_OPTIONS_INIT;
        o.name = name;
        o.trusted = trusted;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return boxlet_box_load(b, fd, &o, ret, &w->error);
}

/* A box with every option that adds to its configuration. */
static struct boxlet_box *create_rich(struct box_world *w, const char *share)
{
        static const char *const labels[] = {"a=b", NULL}, *const env[] = {"X=y", NULL},
                                 *const tmpfs[] = {"/t", NULL},
                                 *const ports[] = {"127.0.0.1:8080:80/udp", NULL},
                                 *const cmd[] = {"serve", NULL}, *const command[] = {"/run", "now", NULL};
        const char *volumes[] = {"/anonymous", share, NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct boxlet_box *box;
        o.image = "tiny";
        o.name = share == NULL ? "rich" : "shares";
        o.entrypoint = "/run";
        o.labels = labels;
        o.env = env;
        o.tmpfs = tmpfs;
        o.volumes = volumes;
        o.cmd = cmd;
        o.command = command;
        o.publish = ports;
        o.disk_bytes = 64 << 20;
        o.pull = BOXLET_PULL_NEVER;
        if (boxlet_box_create(w->boxlet, &o, &box, &w->error) < 0)
                fail_msg("%s", w->error.text);
        return box;
}

static void a_box_goes_elsewhere(void **state)
{
        (void)state;
        struct box_world w;
        struct boxlet_box *there, *again;
        struct stat st;
        char *before, *after;
        if (access("/usr/bin/passt", X_OK) < 0)
                unit_skip("passt is not installed");
        box_world_begin(&w);
        struct boxlet_box *box = create_rich(&w, NULL);
        struct boxlet *other = box_world_open(&w, "other");
        box_world_write(&w, box, DISK, FAR, "on the disk");
        cleanup_fd int bare = save(&w, box, 0), full = save(&w, box, 1);
        assert_int_equal(fstat(bare, &st), 0);
        assert_true(st.st_size < 20 * MIB);

        assert_int_equal(load(&w, other, bare, NULL, 0, &there), -ENOENT);
        assert_non_null(strstr(w.error.text, "pull it first"));
        assert_int_equal(box_world_count(&w, "other/boxes"), 0);
        if (load(&w, other, full, NULL, 0, &there) < 0)
                fail_msg("%s", w.error.text);
        assert_string_equal(boxlet_box_name(there), "rich");
        assert_string_equal(boxlet_box_state(there, NULL), "created");
        box_world_expect(&w, there, DISK, FAR, "on the disk");
        cleanup_fd int disk = box_world_file(&w, there, DISK, O_RDONLY);
        assert_int_equal(fstat(disk, &st), 0);
        assert_int_equal(st.st_size, 64 << 20);
        assert_true(st.st_blocks * 512 < 20 * MIB);
        /* what it runs is the same, but for what was made of its id */
        assert_int_equal(boxlet_box_inspect(box, &before, &w.error), 0);
        assert_int_equal(boxlet_box_inspect(there, &after, &w.error), 0);
        assert_null(strstr(after, boxlet_box_id(box)));
        assert_non_null(strstr(after, "8080"));
        assert_non_null(strstr(after, "X=y"));
        boxlet_free(before);
        boxlet_free(after);

        assert_int_equal(load(&w, other, bare, NULL, 0, &again), -EEXIST);
        assert_int_equal(load(&w, other, bare, "a b", 0, &again), -EINVAL);
        assert_int_equal(load(&w, other, bare, "second", 0, &again), 0); /* the image is there now */
        assert_string_equal(boxlet_box_name(again), "second");
        assert_int_equal(box_world_count(&w, "other/boxes"), 2);
        boxlet_box_free(again);
        boxlet_box_free(there);
        boxlet_box_free(box);
        boxlet_close(other);
        box_world_end(&w);
}

static void what_is_of_this_host_must_be_trusted(void **state)
{
        (void)state;
        struct box_world w;
        struct boxlet_box *copy;
        char share[600];
        if (access("/usr/bin/passt", X_OK) < 0)
                unit_skip("passt is not installed");
        box_world_begin(&w);
        (void)snprintf(share, sizeof(share), "%s/root:/host", w.path);
        struct boxlet_box *box = create_rich(&w, share);
        cleanup_fd int fd = save(&w, box, 0);
        assert_int_equal(load(&w, w.boxlet, fd, "copy", 0, &copy), -EPERM);
        assert_non_null(strstr(w.error.text, "folders"));
        assert_non_null(strstr(w.error.text, "--trust"));
        assert_int_equal(box_world_count(&w, "home/boxes"), 1);
        assert_int_equal(load(&w, w.boxlet, fd, "copy", 1, &copy), 0);
        boxlet_box_free(copy);
        boxlet_box_free(box);
        box_world_end(&w);
}

static void what_fails_leaves_nothing(void **state)
{
        (void)state;
        struct box_world w;
        struct boxlet_box *copy;
        struct box_running running;
        struct rlimit before, small;
        struct stat st;
        box_world_begin(&w);
        struct boxlet_box *box = box_world_create(&w, "one");
        cleanup_fd int fd = save(&w, box, 0), out = path_open_anonymous_at(w.fd, O_RDWR);
        /* one byte of the disk is another */
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pwrite(fd, "?", 1, st.st_size / 2), 1);
        assert_int_equal(load(&w, w.boxlet, fd, "copy", 0, &copy), -EBADMSG);
        assert_int_equal(box_world_count(&w, "home/boxes"), 1);
        close_fd(&fd);
        /* no room, to write and to read */
        fd = save(&w, box, 0);
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur = 64 << 10;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(load(&w, w.boxlet, fd, "copy", 0, &copy), -EFBIG);
        small.rlim_cur = 4096;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(boxlet_box_save(box, out, NULL, &w.error), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(box_world_count(&w, "home/boxes"), 1);
        /* a box that runs is copied first; one that goes on meanwhile is not written */
        box_world_run(&w, box, BOX_AGENT_GOOD, &running);
        assert_int_equal(boxlet_box_save(box, out, NULL, &w.error), 0);
        box_world_stop(&running);
        box_world_run(&w, box, BOX_AGENT_TIMES_OUT, &running);
        assert_int_equal(boxlet_box_save(box, out, NULL, &w.error), -ETIMEDOUT);
        box_world_stop(&running);
        boxlet_box_free(box);
        box_world_end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(what_was_written_is_read),
    cmocka_unit_test(cut_off_anywhere_is_an_error),
    cmocka_unit_test(one_bit_wrong_is_an_error),
    cmocka_unit_test(a_file_made_by_hand_is_good),
    cmocka_unit_test(other_members_are_refused),
    cmocka_unit_test(what_is_no_plain_file_is_refused),
    cmocka_unit_test(hostile_sparse_maps),
    cmocka_unit_test(sizes_that_lie_are_refused),
    cmocka_unit_test(a_header_must_not_fill_memory),
    cmocka_unit_test(documents_are_looked_at),
    cmocka_unit_test(what_is_of_the_host_is_told),
    cmocka_unit_test(a_box_goes_elsewhere),
    cmocka_unit_test(what_is_of_this_host_must_be_trusted),
    cmocka_unit_test(what_fails_leaves_nothing),
};
UNIT_TEST_MAIN(cases)
