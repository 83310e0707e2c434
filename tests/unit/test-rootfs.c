/* SPDX-License-Identifier: Apache-2.0 */
/* What lands in an image: content, attributes, merging. Hostile layers are in test-layer.c. */
#include "harness.h"
#include "rootfs-build.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void no_layers_give_an_empty_root(void **state)
{
        (void)state;
        struct erofs_view view;
        int fd = build(NULL, 0, &view);
        struct erofs_node root = must_find(&view, "/");
        assert_int_equal(root.mode, S_IFDIR | 0755);
        assert_int_equal(root.links, 2);
        assert_string_equal(all_names(&view), "");
        assert_int_equal(view.size, 4096);
        unbuild(fd, &view);
}

static void attributes_are_kept(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        tar_add(&layer,
                &(struct tar_entry){
                    .name = "su", .mode = 04755, .uid = 7, .gid = 8, .mtime = 5, .content = "x", .size = 1});
        tar_pax_text(&layer, "mtime", "12.345678901");
        tar_pax_text(&layer, "uid", "4294967294");
        tar_pax_text(&layer, "gid", "100000");
        tar_add(&layer, &(struct tar_entry){.name = "old", .mode = 0600});
        tar_pax_text(&layer, "mtime", "-100000");
        tar_file(&layer, "ancient", "x");
        tar_add(&layer,
                &(struct tar_entry){.name = "tmp/", .type = '5', .mode = 01777, .uid = 9, .mtime = 77});
        tar_add(&layer,
                &(struct tar_entry){.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3});
        tar_add(&layer,
                &(struct tar_entry){.name = "disk", .type = '4', .major = 4095, .minor = (1U << 20) - 1});
        tar_add(&layer, &(struct tar_entry){.name = "pipe", .type = '6'});
        tar_symlink(&layer, "link", "../over/there");
        int fd = build_ended(&layer, 1, &view);
        struct erofs_node node = must_find(&view, "/su");
        assert_int_equal(node.mode, S_IFREG | 04755);
        assert_int_equal(node.uid, 7);
        assert_int_equal(node.gid, 8);
        assert_int_equal(node.mtime, 5);
        node = must_find(&view, "/old");
        assert_int_equal(node.uid, 4294967294U);
        assert_int_equal(node.gid, 100000);
        assert_int_equal(node.mtime, 12);
        assert_int_equal(node.mtime_nsec, 345678901);
        assert_int_equal(must_find(&view, "/ancient").mtime, -100000);
        node = must_find(&view, "/tmp");
        assert_int_equal(node.mode, S_IFDIR | 01777);
        assert_int_equal(node.uid, 9);
        assert_int_equal(node.mtime, 77);
        assert_int_equal(must_find(&view, "/null").mode, S_IFCHR | 0666);
        assert_int_equal(must_find(&view, "/null").where, 0x103);
        assert_int_equal(must_find(&view, "/disk").mode & S_IFMT, S_IFBLK);
        assert_int_equal(must_find(&view, "/disk").where, 0xffffffff);
        assert_int_equal(must_find(&view, "/pipe").mode & S_IFMT, S_IFIFO);
        must_link(&view, "/link", "../over/there");
        unbuild(fd, &view);
}

/* Content no block of which is like another, nor zero. */
static uint8_t *make_content(size_t size, unsigned seed)
{
        uint8_t *bytes = malloc(size + 1);
        assert_non_null(bytes);
        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)((i * 7 + i / 4096 * 13 + seed) | 1);
        return bytes;
}

static void content_of_all_sizes(void **state)
{
        (void)state;
        static const size_t sizes[] = {0,       1,       4031,    4032,    4033,           4095,
                                       4096,    4097,    8127,    8128,    8129,           8191,
                                       8192,    8193,    65536,   262144,  262145,         300001,
                                       1048575, 1048576, 1048577, 1050624, 3 * 1048576 + 5};
        struct tar layer = {0};
        struct erofs_view view;
        char name[32];
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                cleanup_free uint8_t *bytes = make_content(sizes[i], (unsigned)i);
                (void)snprintf(name, sizeof(name), "file-%zu", sizes[i]);
                tar_add(&layer, &(struct tar_entry){.name = name, .content = bytes, .size = sizes[i]});
        }
        int fd = build_ended(&layer, 1, &view);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                cleanup_free uint8_t *bytes = make_content(sizes[i], (unsigned)i);
                cleanup_free uint8_t *got = malloc(sizes[i] + 1);
                (void)snprintf(name, sizeof(name), "/file-%zu", sizes[i]);
                struct erofs_node node = must_find(&view, name);
                assert_int_equal(node.size, sizes[i]);
                assert_int_not_equal(node.layout, 4); /* in one piece */
                assert_true(erofs_view_read(&view, &node, 0, got, sizes[i]));
                assert_memory_equal(got, bytes, sizes[i]);
        }
        unbuild(fd, &view);
}

static void zeros_take_no_room(void **state)
{
        (void)state;
        static uint8_t bytes[6 << 20];
        struct tar layer = {0};
        struct erofs_view view;
        struct stat st;
        memset(bytes + (2 << 20) + 5, 1, 10);
        bytes[sizeof(bytes) - 1] = 2;
        tar_add(&layer, &(struct tar_entry){.name = "most", .content = bytes, .size = sizeof(bytes)});
        tar_add(&layer, &(struct tar_entry){.name = "all", .content = bytes, .size = 2 << 20});
        tar_add(&layer, &(struct tar_entry){.name = "small", .content = bytes, .size = 1 << 19});
        int fd = try_build(&layer, 1, NULL, NULL, NULL); /* not read yet: reading a hole there fills it */
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_size < 1 << 20);
        assert_true(st.st_blocks * 512 < 128 << 10);
        (void)close(fd);
        fd = build_ended(&layer, 1, &view);
        cleanup_free uint8_t *got = malloc(sizeof(bytes));
        struct erofs_node node = must_find(&view, "/most");
        assert_true(erofs_view_read(&view, &node, 0, got, sizeof(bytes)));
        assert_memory_equal(got, bytes, sizeof(bytes));
        assert_int_equal(node.layout, 4);
        node = must_find(&view, "/all");
        assert_int_equal(node.layout, 4);
        assert_true(erofs_view_read(&view, &node, 0, got, 2 << 20));
        assert_memory_equal(got, bytes, 2 << 20);
        unbuild(fd, &view);
}

/* pax sparse files, as GNU tar writes them (version 1.0): the map is the beginning of the content. */
static void add_sparse(struct tar *layer, const char *name, const char *real_size, const char *map,
                       const void *data, size_t size)
{
        uint8_t content[8192] = {0};
        memcpy(content, map, strlen(map));
        memcpy(content + 512, data, size);
        tar_pax_text(layer, "GNU.sparse.major", "1");
        tar_pax_text(layer, "GNU.sparse.minor", "0");
        tar_pax_text(layer, "GNU.sparse.name", name);
        tar_pax_text(layer, "GNU.sparse.realsize", real_size);
        tar_add(layer,
                &(struct tar_entry){.name = "GNUSparseFile.0/x", .content = content, .size = 512 + size});
}

static void sparse_files_of_any_size(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        char got[4096];
        add_sparse(&layer, "holes", "5368709120", "1\n5368709120\n0\n", "", 0);
        add_sparse(&layer, "five", "5368709120", "2\n4294967296\n5\n5368709120\n0\n", "hello", 5);
        add_sparse(&layer, "tiny", "9000", "2\n4090\n10\n9000\n0\n", "0123456789", 10);
        add_sparse(&layer, "tail", "4099", "1\n4097\n2\n", "xy", 2);
        add_sparse(&layer, "head", "4099", "1\n0\n2\n", "xy", 2);
        int fd = build_ended(&layer, 1, &view);
        assert_true(view.size < 1 << 20);
        struct erofs_node node = must_find(&view, "/holes");
        assert_int_equal(node.size, 5368709120);
        assert_true(erofs_view_read(&view, &node, 5368709120 - 4096, got, 4096));
        node = must_find(&view, "/five");
        assert_int_equal(node.size, 5368709120);
        assert_true(erofs_view_read(&view, &node, 4294967296 - 3, got, 11));
        assert_memory_equal(got, "\0\0\0hello\0\0\0", 11);
        node = must_find(&view, "/tiny");
        assert_int_equal(node.size, 9000);
        assert_true(erofs_view_read(&view, &node, 4088, got, 14));
        assert_memory_equal(got,
                            "\0\0"
                            "0123456789\0\0",
                            14);
        node = must_find(&view, "/tail");
        assert_true(erofs_view_read(&view, &node, 4095, got, 4));
        assert_memory_equal(got, "\0\0xy", 4);
        node = must_find(&view, "/head");
        assert_true(erofs_view_read(&view, &node, 0, got, 4096));
        assert_memory_equal(got, "xy\0\0", 4);
        assert_true(erofs_view_read(&view, &node, 4095, got, 4));
        assert_memory_equal(got, "\0\0\0\0", 4);
        unbuild(fd, &view);
}

static void extended_attributes_are_kept(void **state)
{
        (void)state;
        static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
        struct tar layer = {0};
        struct erofs_view view;
        uint8_t got[65536];
        cleanup_free uint8_t *large = make_content(65535, 1);
        tar_pax(&layer, "SCHILY.xattr.security.capability", capability, sizeof(capability));
        tar_pax_text(&layer, "SCHILY.xattr.user.b", "two");
        tar_pax_text(&layer, "SCHILY.xattr.user.a", "");
        tar_pax_text(&layer, "SCHILY.xattr.trusted.t", "three");
        tar_pax_text(&layer, "SCHILY.xattr.trusted.overlay.opaque", "y");
        tar_pax_text(&layer, "SCHILY.xattr.com.apple.x", "y");
        tar_pax(&layer, "SCHILY.xattr.system.posix_acl_access", "\2\0\0\0", 4);
        tar_file(&layer, "ping", "content");
        tar_pax(&layer, "SCHILY.xattr.user.large", large, 65535);
        tar_file(&layer, "large", "behind");
        tar_pax(&layer, "SCHILY.xattr.user.half", large, 3000);
        tar_add(&layer, &(struct tar_entry){.name = "half", .content = large, .size = 3000});
        tar_pax_text(&layer, "SCHILY.xattr.user.d", "folder");
        tar_folder(&layer, "d");
        tar_pax_text(&layer, "SCHILY.xattr.user.root", "root");
        tar_folder(&layer, "./");
        int fd = build_ended(&layer, 1, &view);
        struct erofs_node node = must_find(&view, "/ping");
        assert_int_equal(erofs_view_xattr(&view, &node, "security.capability", got, sizeof(got)), 20);
        assert_memory_equal(got, capability, 20);
        assert_int_equal(erofs_view_xattr(&view, &node, "user.b", got, sizeof(got)), 3);
        assert_memory_equal(got, "two", 3);
        assert_int_equal(erofs_view_xattr(&view, &node, "user.a", got, sizeof(got)), 0);
        assert_int_equal(erofs_view_xattr(&view, &node, "trusted.t", got, sizeof(got)), 5);
        assert_int_equal(erofs_view_xattr(&view, &node, "system.posix_acl_access", got, sizeof(got)), 4);
        assert_int_equal(erofs_view_xattr(&view, &node, "trusted.overlay.opaque", got, sizeof(got)), -1);
        assert_int_equal(erofs_view_xattr(&view, &node, "com.apple.x", got, sizeof(got)), -1);
        must_read(&view, "/ping", "content");
        node = must_find(&view, "/large");
        assert_int_equal(erofs_view_xattr(&view, &node, "user.large", got, sizeof(got)), 65535);
        assert_memory_equal(got, large, 65535);
        must_read(&view, "/large", "behind");
        node = must_find(&view, "/half");
        assert_true(erofs_view_read(&view, &node, 0, got, 3000));
        assert_memory_equal(got, large, 3000);
        node = must_find(&view, "/d");
        assert_int_equal(erofs_view_xattr(&view, &node, "user.d", got, sizeof(got)), 6);
        node = must_find(&view, "/");
        assert_int_equal(erofs_view_xattr(&view, &node, "user.root", got, sizeof(got)), 4);
        unbuild(fd, &view);
}

static void names_are_bytes(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        char longest[256];
        memset(longest, 'n', 255);
        longest[255] = '\0';
        tar_pax_text(&layer, "path", longest);
        tar_file(&layer, "short", "255");
        tar_pax_text(&layer, "path", "e\xcc\x81"); /* decomposed: must not become one letter */
        tar_file(&layer, "x", "decomposed");
        tar_pax_text(&layer, "uname", "\xe6\x97\xa5"); /* names of owners do not matter, odd ones neither */
        tar_pax_text(&layer, "gname", "\xff");
        tar_pax_text(&layer, "SCHILY.acl.access", "junk:::");
        tar_pax_text(&layer, "path", "\xc3\xa9");
        tar_file(&layer, "x", "composed");
        tar_pax_text(&layer, "path", "bad\xff\xfe");
        tar_file(&layer, "x", "invalid");
        tar_pax_text(&layer, "linkpath", "bad\xff\xfe");
        tar_hard_link(&layer, "hard", "x");
        tar_file(&layer, "new\nline", "newline");
        tar_file(&layer, "-dash", "before the dots");
        tar_file(&layer, "!", "before the dots");
        tar_file(&layer, "...", "after the dots");
        tar_file(&layer, ".-", "between the dots");
        int fd = build_ended(&layer, 1, &view);
        char path[300];
        (void)snprintf(path, sizeof(path), "/%s", longest);
        must_read(&view, path, "255");
        must_read(&view, "/e\xcc\x81", "decomposed");
        must_read(&view, "/\xc3\xa9", "composed");
        must_read(&view, "/hard", "invalid");
        must_read(&view, "/new\nline", "newline");
        must_read(&view, "/.-", "between the dots");
        must_read(&view, "/...", "after the dots");
        unbuild(fd, &view);
}

static void folders_of_many_names(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        char name[300];
        for (unsigned i = 0; i < 20000; i++) {
                unsigned width = 8 + i * 7919 % 90;
                (void)snprintf(name, sizeof(name), "many/%0*u", (int)width, i * 2654435761U);
                tar_file(&layer, name, "");
        }
        for (unsigned i = 0; i < 3000; i++) {
                (void)snprintf(name, sizeof(name), "folders/%u/x", i);
                tar_file(&layer, name, name);
        }
        int fd = build_ended(&layer, 1, &view);
        struct erofs_node node = must_find(&view, "/many");
        size_t count;
        free(erofs_view_list(&view, &node, &count));
        assert_int_equal(count, 20000);
        assert_int_equal(must_find(&view, "/folders").links, 3002);
        must_read(&view, "/folders/2999/x", "folders/2999/x");
        unbuild(fd, &view);
}

static void whiteouts_hide_what_is_below(void **state)
{
        (void)state;
        struct tar layers[3] = {{0}};
        struct erofs_view view;
        tar_file(&layers[0], "a/gone", "1");
        tar_file(&layers[0], "a/stays", "1");
        tar_file(&layers[0], "b/x", "1");
        tar_file(&layers[0], "b/y/z", "1");
        tar_file(&layers[0], "c/1", "1");
        tar_file(&layers[0], "c/2/3", "1");
        tar_file(&layers[0], "c/2/4", "1");
        tar_symlink(&layers[0], "link", "a/stays");
        tar_file(&layers[1], "a/.wh.gone", "");
        tar_file(&layers[1], ".wh.b", "");
        tar_file(&layers[1], ".wh.link", "");
        tar_file(&layers[1], "c/2/5", "2"); /* before the mark, in the same layer: it stays */
        tar_file(&layers[1], "c/.wh..wh..opq", "");
        tar_file(&layers[1], "c/6", "2");
        tar_file(&layers[1], "c/.wh.6", ""); /* not its own layer's */
        tar_file(&layers[1], ".wh.never-there", "");
        tar_file(&layers[2], "b", "back");
        int fd = build_ended(layers, 3, &view);
        assert_string_equal(all_names(&view), "/a /a/stays /b /c /c/2 /c/2/5 /c/6 ");
        must_read(&view, "/b", "back");
        unbuild(fd, &view);
}

static void a_whiteout_keeps_its_own_layer(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        tar_file(&layers[0], "d/old", "1");
        tar_file(&layers[0], "d/sub/old", "1");
        tar_file(&layers[0], "f", "1");
        tar_file(&layers[1], "d/new", "2");
        tar_file(&layers[1], "d/sub/new", "2");
        tar_file(&layers[1], ".wh.d", "");
        tar_file(&layers[1], "f", "2");
        tar_file(&layers[1], ".wh.f", "");
        int fd = build_ended(layers, 2, &view);
        assert_string_equal(all_names(&view), "/d /d/new /d/sub /d/sub/new /f ");
        must_read(&view, "/f", "2");
        unbuild(fd, &view);
}

static void hidden_folders_come_back_empty(void **state)
{
        (void)state;
        struct tar layers[4] = {{0}};
        struct erofs_view view;
        tar_file(&layers[0], "d/e/f", "1");
        tar_file(&layers[1], ".wh.d", "");
        tar_folder(&layers[2], "d");
        tar_folder(&layers[3], "d/e");
        int fd = build_ended(layers, 4, &view);
        assert_string_equal(all_names(&view), "/d /d/e ");
        unbuild(fd, &view);
}

static void hard_links_share_and_count(void **state)
{
        (void)state;
        struct tar layers[3] = {{0}};
        struct erofs_view view;
        tar_file(&layers[0], "a", "content");
        tar_hard_link(&layers[0], "b", "a");
        tar_symlink(&layers[0], "s", "target");
        tar_hard_link(&layers[0], "s2", "./s");
        tar_add(&layers[0], &(struct tar_entry){.name = "dev", .type = '3', .major = 1, .minor = 3});
        tar_hard_link(&layers[0], "dev2", "/dev");
        tar_hard_link(&layers[1], "sub/c", "a"); /* over layers */
        tar_file(&layers[1], "a", "other");      /* and its name goes elsewhere */
        tar_hard_link(&layers[2], "d", "sub/../b");
        tar_file(&layers[2], ".wh.b", "");
        int fd = build_ended(layers, 3, &view);
        assert_string_equal(all_names(&view), "/a /d /dev /dev2 /s /s2 /sub /sub/c ");
        must_read(&view, "/sub/c", "content");
        must_read(&view, "/d", "content");
        must_read(&view, "/a", "other");
        assert_int_equal(must_find(&view, "/sub/c").nid, must_find(&view, "/d").nid);
        assert_int_equal(must_find(&view, "/d").links, 2);
        assert_int_equal(must_find(&view, "/a").links, 1);
        assert_int_equal(must_find(&view, "/s2").links, 2);
        assert_int_equal(must_find(&view, "/dev").nid, must_find(&view, "/dev2").nid);
        unbuild(fd, &view);
}

static void add_kind(struct tar *layer, const char *name, char kind)
{
        char inside[64];
        switch (kind) {
        case 'd':
                (void)snprintf(inside, sizeof(inside), "%s/in-%s", name, name);
                tar_folder(layer, name);
                tar_file(layer, inside, "x");
                break;
        case 'l':
                tar_symlink(layer, name, "elsewhere");
                break;
        case 'h':
                tar_file(layer, "other", "other");
                tar_hard_link(layer, name, "other");
                break;
        default:
                tar_add(layer, &(struct tar_entry){.name = name, .type = kind == 'f' ? '0' : '6'});
        }
}

static void each_kind_replaces_each(void **state)
{
        (void)state;
        static const char kinds[] = "dlhfp";
        static const unsigned modes[] = {S_IFDIR, S_IFLNK, S_IFREG, S_IFREG, S_IFIFO};
        for (int same_layer = 0; same_layer < 2; same_layer++) {
                struct tar layers[2] = {{0}};
                struct erofs_view view;
                char name[8];
                for (int i = 0; i < 25; i++) {
                        (void)snprintf(name, sizeof(name), "%c%c", kinds[i / 5], kinds[i % 5]);
                        add_kind(&layers[0], name, kinds[i / 5]);
                }
                for (int i = 0; i < 25; i++) {
                        (void)snprintf(name, sizeof(name), "%c%c", kinds[i / 5], kinds[i % 5]);
                        add_kind(&layers[1 - same_layer], name, kinds[i % 5]);
                }
                int fd = build_ended(layers, 2, &view);
                for (int i = 0; i < 25; i++) {
                        (void)snprintf(name, sizeof(name), "/%c%c", kinds[i / 5], kinds[i % 5]);
                        assert_int_equal(must_find(&view, name).mode & S_IFMT, modes[i % 5]);
                }
                must_read(&view, "/ld/in-ld", "x");
                must_read(&view, "/dd/in-dd", "x");
                unbuild(fd, &view);
        }
}

static void a_folder_again_changes_attributes_only(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        tar_pax_text(&layers[0], "SCHILY.xattr.user.a", "1");
        tar_add(&layers[0],
                &(struct tar_entry){.name = "d", .type = '5', .mode = 0700, .uid = 5, .mtime = 3});
        tar_file(&layers[0], "d/f", "x");
        tar_add(&layers[1],
                &(struct tar_entry){.name = "d", .type = '5', .mode = 0711, .gid = 6, .mtime = 4});
        tar_add(&layers[1], &(struct tar_entry){.name = "/", .type = '5', .mode = 0700, .mtime = 9});
        int fd = build_ended(layers, 2, &view);
        struct erofs_node node = must_find(&view, "/d");
        assert_int_equal(node.mode & 07777, 0711);
        assert_int_equal(node.uid, 0);
        assert_int_equal(node.gid, 6);
        assert_int_equal(node.mtime, 4);
        assert_int_equal(node.xattr_size, 0);
        must_read(&view, "/d/f", "x");
        assert_int_equal(must_find(&view, "/").mode & 07777, 0700);
        assert_int_equal(must_find(&view, "/").mtime, 9);
        unbuild(fd, &view);
}

static void missing_folders_are_made(void **state)
{
        (void)state;
        struct tar layer = {0};
        struct erofs_view view;
        tar_add(&layer, &(struct tar_entry){.name = "a/b/c", .uid = 5, .gid = 5, .mtime = 44});
        int fd = build_ended(&layer, 1, &view);
        struct erofs_node node = must_find(&view, "/a/b");
        assert_int_equal(node.mode, S_IFDIR | 0755);
        assert_int_equal(node.uid, 0);
        assert_int_equal(node.gid, 0);
        assert_int_equal(node.mtime, 44);
        unbuild(fd, &view);
}

static void links_on_the_way_stay_inside(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        tar_folder(&layers[0], "usr/lib");
        tar_symlink(&layers[0], "lib", "usr/lib");
        tar_symlink(&layers[0], "abs", "/usr");
        tar_symlink(&layers[0], "up", "../../../usr/./lib/..");
        tar_symlink(&layers[0], "dangling", "/made/later");
        tar_symlink(&layers[0], "usr/back", "..");
        tar_file(&layers[1], "lib/1", "x");
        tar_file(&layers[1], "abs/2", "x");
        tar_file(&layers[1], "up/3", "x");
        tar_file(&layers[1], "dangling/4", "x");
        tar_file(&layers[1], "usr/back/abs/back/5", "x");
        tar_hard_link(&layers[1], "6", "lib/1");
        tar_file(&layers[1], "abs/.wh.lib", "");
        int fd = build_ended(layers, 2, &view);
        assert_string_equal(all_names(&view), "/5 /6 /abs /dangling /lib /made /made/later /made/later/4 /up "
                                              "/usr /usr/2 /usr/3 /usr/back /usr/lib /usr/lib/1 ");
        unbuild(fd, &view);
}

static void the_same_layers_give_the_same_bytes(void **state)
{
        (void)state;
        struct erofs_view views[2];
        int fds[2];
        for (int round = 0; round < 2; round++) {
                struct tar layers[2] = {{0}};
                char name[32];
                for (unsigned i = 0; i < 2000; i++) {
                        (void)snprintf(name, sizeof(name), "d%u/f%u", i % 13, i);
                        tar_file(&layers[i % 2], name, name);
                }
                tar_file(&layers[1], ".wh.d1", "");
                fds[round] = build_ended(layers, 2, &views[round]);
        }
        assert_int_equal(views[0].size, views[1].size);
        assert_memory_equal(views[0].bytes, views[1].bytes, views[0].size);
        unbuild(fds[0], &views[0]);
        unbuild(fds[1], &views[1]);
}

static void dead_content_is_given_back(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct erofs_view view;
        struct stat st;
        cleanup_free uint8_t *bytes = make_content(8 << 20, 3);
        tar_add(&layers[0], &(struct tar_entry){.name = "large", .content = bytes, .size = 8 << 20});
        tar_add(&layers[0], &(struct tar_entry){.name = "d/small", .content = bytes, .size = 500000});
        memset(bytes + 100000, 0, 1 << 20);
        tar_add(&layers[0], &(struct tar_entry){.name = "d/holes", .content = bytes, .size = 4 << 20});
        tar_file(&layers[1], "large", "new");
        tar_file(&layers[1], ".wh.d", "");
        int fd = build_ended(layers, 2, &view);
        assert_string_equal(all_names(&view), "/large ");
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 < 256 << 10);
        unbuild(fd, &view);
}

static void statistics_are_told(void **state)
{
        (void)state;
        struct tar layers[2] = {{0}};
        struct rootfs_statistics statistics;
        struct error err = ERROR_INIT;
        tar_file(&layers[0], "a/b", "x");
        tar_hard_link(&layers[0], "c", "a/b");
        tar_file(&layers[1], "d", "x");
        tar_file(&layers[1], ".wh.a", "");
        int fd = try_build(layers, 2, NULL, &statistics, &err);
        assert_true(fd >= 0);
        assert_int_equal(statistics.layers, 2);
        assert_int_equal(statistics.entries, 3); /* inodes: root, c, d */
        assert_int_equal(statistics.bytes_in, layers[0].size + layers[1].size);
        assert_int_equal(statistics.bytes_out, lseek(fd, 0, SEEK_END));
        tar_done(&layers[0]);
        tar_done(&layers[1]);
        (void)close(fd);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(no_layers_give_an_empty_root),
    cmocka_unit_test(attributes_are_kept),
    cmocka_unit_test(content_of_all_sizes),
    cmocka_unit_test(zeros_take_no_room),
    cmocka_unit_test(sparse_files_of_any_size),
    cmocka_unit_test(extended_attributes_are_kept),
    cmocka_unit_test(names_are_bytes),
    cmocka_unit_test(folders_of_many_names),
    cmocka_unit_test(whiteouts_hide_what_is_below),
    cmocka_unit_test(a_whiteout_keeps_its_own_layer),
    cmocka_unit_test(hidden_folders_come_back_empty),
    cmocka_unit_test(hard_links_share_and_count),
    cmocka_unit_test(each_kind_replaces_each),
    cmocka_unit_test(a_folder_again_changes_attributes_only),
    cmocka_unit_test(missing_folders_are_made),
    cmocka_unit_test(links_on_the_way_stay_inside),
    cmocka_unit_test(the_same_layers_give_the_same_bytes),
    cmocka_unit_test(dead_content_is_given_back),
    cmocka_unit_test(statistics_are_told),
};

UNIT_TEST_MAIN(cases)
