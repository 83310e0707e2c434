/* SPDX-License-Identifier: Apache-2.0 */
/* Where a copy goes: docker cp's table, on a folder of this machine. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "wire/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int root;

static int open_it(void *data, const char *path, int flags)
{
        (void)data;
        return path_open_in_root(root, path, O_PATH | flags, 0);
}

static void begin(void)
{
        (void)unit_folder(&root);
        assert_int_equal(mkdirat(root, "dir", 0755), 0);
        assert_int_equal(mkdirat(root, "dir/sub", 0755), 0);
        (void)close(openat(root, "dir/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        assert_int_equal(symlinkat("dir", root, "to-dir"), 0);
        assert_int_equal(symlinkat("dir/file", root, "to-file"), 0);
        assert_int_equal(symlinkat("/to-file", root, "to-link"), 0);
        assert_int_equal(symlinkat("dir/missing", root, "dangling"), 0);
        assert_int_equal(symlinkat("loop", root, "loop"), 0);
}

/* expected: "FOLDER name", "FOLDER" for its contents, or NULL with the error. */
static void check(const char *path, bool folder, bool contents, const char *expected, int code)
{
        struct place_world world = {open_it, NULL};
        struct place_source source = {.folder = folder, .contents = contents, .name = "src"};
        struct place_found place;
        struct error err = ERROR_INIT;
        char got[512];
        int r = place_find(&world, path, &source, &place, &err);
        if (expected == NULL) {
                if (r != code)
                        fail_msg("'%s' gives %d, not %d: %s", path, r, code, err.text);
                assert_int_equal(place.folder_fd, -1);
                return;
        }
        if (r < 0)
                fail_msg("'%s': %s", path, err.text);
        struct stat st, want;
        char name[64] = "", where[64];
        assert_true(sscanf(expected, "%63s %63s", where, name) >= 1);
        (void)snprintf(got, sizeof(got), "%s", place.is_contents ? "" : place.name);
        assert_string_equal(got, name);
        assert_int_equal(fstat(place.folder_fd, &st), 0);
        assert_int_equal(fstatat(root, where, &want, 0), 0);
        assert_int_equal(st.st_ino, want.st_ino);
        close_fd(&place.folder_fd);
}

static void a_file_goes_where_docker_puts_it(void **state)
{
        (void)state;
        begin();
        check("/dir", false, false, "dir src", 0);
        check("/dir/", false, false, "dir src", 0);
        check("dir/.", false, false, "dir src", 0);
        check("/", false, false, ". src", 0);
        check("/dir/file", false, false, "dir file", 0);
        check("/dir/new", false, false, "dir new", 0);
        check("/dir/new/", false, false, NULL, -ENOENT);
        check("/dir/file/", false, false, NULL, -ENOTDIR);
        check("/missing/new", false, false, NULL, -ENOENT);
        check("/dir/file/new", false, false, NULL, -ENOTDIR);
        check("/missing/..", false, false, NULL, -ENOENT);
}

static void a_folder_goes_where_docker_puts_it(void **state)
{
        (void)state;
        begin();
        check("/dir", true, false, "dir src", 0);
        check("/dir", true, true, "dir", 0);
        check("/dir/", true, true, "dir", 0);
        check("/dir/new", true, false, "dir new", 0);
        check("/dir/new/", true, false, "dir new", 0);
        check("/dir/new", true, true, "dir new", 0);
        check("/dir/file", true, false, NULL, -ENOTDIR);
        check("/dir/file", true, true, NULL, -ENOTDIR);
        check("/missing/new", true, false, NULL, -ENOENT);
}

static void links_lead_where_they_lead(void **state)
{
        (void)state;
        begin();
        check("/to-dir", false, false, "dir src", 0);
        check("/to-dir/new", false, false, "dir new", 0);
        check("/to-file", false, false, "dir file", 0);
        check("/to-link", false, false, "dir file", 0);
        check("/dangling", false, false, "dir missing", 0);
        check("/loop", false, false, NULL, -ELOOP);
        check("/../../dir", false, false, "dir src", 0); /* the root's own parent is itself */
}

static void a_tar_needs_a_folder(void **state)
{
        (void)state;
        struct place_world world = {open_it, NULL};
        struct place_found place;
        begin();
        assert_int_equal(place_find(&world, "/dir", NULL, &place, NULL), 0);
        assert_true(place.is_contents);
        close_fd(&place.folder_fd);
        assert_int_equal(place_find(&world, "/dir/file", NULL, &place, NULL), -ENOTDIR);
        assert_int_equal(place_find(&world, "/dir/new", NULL, &place, NULL), -ENOENT);
}

static void names_of_sources(void **state)
{
        (void)state;
        static const struct {
                const char *path, *name;
                bool contents;
        } cases[] = {
            {"a", "a", false},    {"/x/a", "a", false}, {"a/", "a", false}, {"a///", "a", false},
            {"/", "", true},      {"a/.", ".", true},   {".", ".", true},   {"..", "..", true},
            {"a/..", "..", true}, {"./a", "a", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char name[NAME_MAX + 1];
                bool contents;
                assert_int_equal(place_base_name(cases[i].path, name, &contents), 0);
                assert_string_equal(name, cases[i].name);
                assert_int_equal(contents, cases[i].contents);
        }
        char name[NAME_MAX + 1], path[NAME_MAX + 2];
        bool contents;
        memset(path, 'n', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(place_base_name(path, name, &contents), -ENAMETOOLONG);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_file_goes_where_docker_puts_it),
    cmocka_unit_test(a_folder_goes_where_docker_puts_it),
    cmocka_unit_test(links_lead_where_they_lead),
    cmocka_unit_test(a_tar_needs_a_folder),
    cmocka_unit_test(names_of_sources),
};
UNIT_TEST_MAIN(cases)
