/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "runtime/mounts.h"
#include "runtime/shares.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One request as text: "kind SOURCE TARGET options". */
static void describe(const struct mount_request *m, char *text, size_t size)
{
        static const char *const kinds[] = {"share", "volume", "tmpfs"};
        static const char *const caches[] = {"", " cache=always", " cache=none"};
        char tmpfs[64] = "";
        if (m->kind == MOUNT_TMPFS)
                (void)snprintf(tmpfs, sizeof(tmpfs), " %llu %o", (unsigned long long)m->tmpfs_bytes,
                               m->tmpfs_mode < 0 ? 0U : (unsigned)m->tmpfs_mode);
        (void)snprintf(text, size, "%s %s %s%s%s%s%s%s", kinds[m->kind], m->source == NULL ? "-" : m->source,
                       m->target, m->readonly ? " ro" : "", m->no_copy ? " nocopy" : "", caches[m->cache],
                       m->kind == MOUNT_SHARE && m->make_source ? " make" : "", tmpfs);
}

static void check_forms(const char *const (*table)[2], size_t count, bool of_mount)
{
        for (size_t i = 0; i < count; i++) {
                const char *const one[] = {table[i][0], NULL};
                struct mount_list list;
                struct error err = ERROR_INIT;
                char text[256];
                if (mounts_parse(of_mount ? NULL : one, of_mount ? one : NULL, "/here", &list, &err) < 0)
                        fail_msg("%s: %s", table[i][0], err.text);
                assert_int_equal(list.count, 1);
                describe(&list.entries[0], text, sizeof(text));
                if (strcmp(text, table[i][1]) != 0)
                        fail_msg("%s: got '%s', expected '%s'", table[i][0], text, table[i][1]);
                mounts_done(&list);
        }
}

static void takes_every_form_of_v(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"/cache", "volume - /cache"},
            {"data:/var/lib/data", "volume data /var/lib/data"},
            {"data:/d:ro", "volume data /d ro"},
            {"data:/d:rw", "volume data /d"},
            {"data:/d:nocopy,ro", "volume data /d ro nocopy"},
            {"a.b-c_1:/d", "volume a.b-c_1 /d"},
            {"/srv:/d", "share /srv /d make"},
            {"/srv:/d:ro", "share /srv /d ro make"},
            {"/srv:/d:ro,Z", "share /srv /d ro make"},
            {"/srv:/d:cached", "share /srv /d make"},
            {"/srv:/d:rprivate", "share /srv /d make"},
            {"/srv:/d:cache=none", "share /srv /d cache=none make"},
            {"./x:/d", "share /here/./x /d make"},
            {"..:/d", "share /here/.. /d make"},
            {".:/d", "share /here/. /d make"},
            {"data://a//b/./c/../d/", "volume data /a/b/d"},
            {"data:/../../d", "volume data /d"},
            {"data:/..d/.e", "volume data /..d/.e"},
        };
        check_forms(table, sizeof(table) / sizeof(table[0]), false);
}

static void takes_every_form_of_mount(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"type=bind,source=/srv,target=/d", "share /srv /d"},
            {"type=bind,src=/srv,dst=/d,readonly", "share /srv /d ro"},
            {"type=bind,src=./srv,destination=/d,ro=1", "share /here/./srv /d ro"},
            {"type=bind,src=/srv,dst=/d,readonly=false", "share /srv /d"},
            {"type=bind,src=/srv,dst=/d,bind-propagation=rprivate,consistency=cached", "share /srv /d"},
            {"type=bind,src=/srv,dst=/d,cache=always", "share /srv /d cache=always"},
            {"\"type=bind\",\"src=/a,b \"\"c\"\"\",dst=/d", "share /a,b \"c\" /d"},
            {"type=bind,src=/a:b,dst=/d:e", "share /a:b /d:e"},
            {"src=data,dst=/d", "volume data /d"},
            {"type=volume,src=data,dst=/d,volume-nocopy,readonly=true", "volume data /d ro nocopy"},
            {"type=volume,dst=/d", "volume - /d"},
            {"type=volume,src=data,dst=/d,volume-driver=local", "volume data /d"},
            {"Type=TMPFS,Target=/t", "tmpfs - /t 0 0"},
            {"type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770", "tmpfs - /t 67108864 1770"},
            {"type=tmpfs,dst=/t,tmpfs-size=65536,tmpfs-mode=0", "tmpfs - /t 65536 0"},
            {"type=tmpfs,dst=/t,tmpfs-size=1GiB,readonly", "tmpfs - /t ro 1073741824 0"},
        };
        /* describe() prints "ro" before the numbers of a tmpfs */
        check_forms(table, sizeof(table) / sizeof(table[0]), true);
}

static void check_refused(const char *const (*table)[2], size_t count, bool of_mount)
{
        for (size_t i = 0; i < count; i++) {
                const char *const one[] = {table[i][0], NULL};
                struct mount_list list;
                struct error err = ERROR_INIT;
                int r = mounts_parse(of_mount ? NULL : one, of_mount ? one : NULL, "/here", &list, &err);
                if (r != -EINVAL && r != -EILSEQ)
                        fail_msg("%s: %d", table[i][0], r);
                if (strstr(err.text, table[i][1]) == NULL)
                        fail_msg("%s: '%s' lacks '%s'", table[i][0], err.text, table[i][1]);
        }
}

static void refuses_what_v_cannot_mean(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"", "the form is"},
            {":", "the form is"},
            {":/d", "the form is"},
            {"data:", "the form is"},
            {"data::ro", "the form is"},
            {"a:/b:ro:rw", "the form is"},
            {"data", "no absolute path"},
            {"/srv:ro", "no absolute path"},
            {"data:d", "no absolute path"},
            {"data:/", "cannot be /"},
            {"data:/x/..", "cannot be /"},
            {"/srv:/:ro", "cannot be /"},
            {"d:/d", "volume name 'd'"},
            {"-data:/d", "volume name"},
            {"sub/folder:/d", "begins with / or ./"},
            {"~/x:/d", "volume name"},
            {"data:/d:", "unknown option ''"},
            {"data:/d:ro,", "unknown option ''"},
            {"data:/d:ro,rw", "'rw' after 'ro'"},
            {"data:/d:foo", "unknown option 'foo'"},
            {"/srv:/d:shared", "not passed on"},
            {"/srv:/d:nocopy", "'nocopy' is for another type"},
            {"data:/d:cache=always", "'cache' is for another type"},
            {"/srv:/d:cache=never", "auto, always or none"},
            {"data:/d\xff", "not UTF-8"},
        };
        check_refused(table, sizeof(table) / sizeof(table[0]), false);
}

static void refuses_what_mount_cannot_mean(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"", "no key=value"},
            {"type=bind,target=/d", "needs a source"},
            {"type=bind,source=,target=/d", "needs a source"},
            {"type=bind,source=srv,target=/d", "no absolute path: begin"},
            {"type=bind,source=/srv", "no absolute path"},
            {"type=tmpfs,source=x,target=/t", "no source"},
            {"type=volume,source=/srv,target=/t", "volume name"},
            {"type=npipe,source=x,target=/t", "there are bind, volume and tmpfs"},
            {"type=tmpfs,target=/t,volume-nocopy", "for another type"},
            {"type=bind,source=/s,target=/t,tmpfs-size=1m", "for another type"},
            {"type=volume,source=data,target=/t,bind-propagation=private", "for another type"},
            {"type=bind,source=/s,target=/t,bind-propagation=rshared", "not passed on"},
            {"type=volume,target=/t,readonly", "cannot be read-only"},
            {"type=volume,source=data,target=/t,readonly=maybe", "true or false"},
            {"type=volume,source=data,target=/t,readonly=", "true or false"},
            {"type=volume,source=data,target=/t,volume-driver=nfs", "there is local"},
            {"type=volume,source=data,target=/t,volume-opt=type=nfs", "'volume-opt' is not supported"},
            {"type=volume,source=data,target=/t,what=ever", "unknown key 'what'"},
            {"type=volume,source=data,target", "no key=value"},
            {"type=tmpfs,target=/t,", "no key=value"},
            {"type=tmpfs,target=/t,tmpfs-size=m", "is a number"},
            {"type=tmpfs,target=/t,tmpfs-size=-1", "is a number"},
            {"type=tmpfs,target=/t,tmpfs-size=1mm", "is a number"},
            {"type=tmpfs,target=/t,tmpfs-size=99999999999999999999", "too large"},
            {"type=tmpfs,target=/t,tmpfs-size=99999999p", "too large"},
            {"type=tmpfs,target=/t,tmpfs-mode=888", "octal"},
            {"type=tmpfs,target=/t,tmpfs-mode=77777", "octal"},
            {"\"type=tmpfs,target=/t", "quotation mark"},
            {"\"type=tmpfs\"x,target=/t", "quotation mark"},
            {"type=\"tmpfs\",target=/t", "quotation mark"},
        };
        check_refused(table, sizeof(table) / sizeof(table[0]), true);
}

static void sorts_by_depth_and_refuses_twins(void **state)
{
        (void)state;
        static const char *const volumes[] = {"deep:/a/b/c", "data:/a", "/a/b", NULL};
        static const char *const mounts[] = {"type=tmpfs,dst=/z", NULL};
        static const char *const twins[] = {"type=tmpfs,dst=/a/", NULL};
        static const char *const order[] = {"/a", "/z", "/a/b", "/a/b/c"};
        struct mount_list list;
        struct error err = ERROR_INIT;
        assert_int_equal(mounts_parse(volumes, mounts, NULL, &list, &err), 0);
        assert_int_equal(list.count, 4);
        for (size_t i = 0; i < 4; i++)
                assert_string_equal(list.entries[i].target, order[i]);
        mounts_done(&list);
        assert_int_equal(mounts_parse(volumes, twins, NULL, &list, &err), -EINVAL);
        assert_string_equal(err.text, "'/a' is mounted twice in the box");
}

static void has_a_limit(void **state)
{
        (void)state;
        char texts[MOUNTS_MAX + 1][32];
        const char *pointers[MOUNTS_MAX + 2] = {0};
        struct mount_list list;
        struct error err = ERROR_INIT;
        for (int i = 0; i <= MOUNTS_MAX; i++) {
                (void)snprintf(texts[i], sizeof(texts[i]), "/v%d", i);
                pointers[i] = texts[i];
        }
        assert_int_equal(mounts_parse(pointers, NULL, NULL, &list, &err), -E2BIG);
        pointers[MOUNTS_MAX] = NULL;
        assert_int_equal(mounts_parse(pointers, NULL, NULL, &list, &err), 0);
        assert_int_equal(list.count, MOUNTS_MAX);
        mounts_done(&list);
}

static void without_a_working_folder_nothing_is_relative(void **state)
{
        (void)state;
        static const char *const volumes[] = {"./x:/d", NULL};
        struct mount_list list;
        struct error err = ERROR_INIT;
        assert_int_equal(mounts_parse(volumes, NULL, NULL, &list, &err), -EINVAL);
}

static void applies_tmpfs_and_anonymous_volumes(void **state)
{
        (void)state;
        static const char *const volumes[] = {"/own", "/image", NULL};
        static const char *const mounts[] = {"type=tmpfs,dst=/dev/shm,tmpfs-size=1m,tmpfs-mode=700,ro",
                                             "type=tmpfs,dst=/image2", NULL};
        struct mount_list list;
        struct error err = ERROR_INIT;
        cleanup_json json_t *document =
            json_pack("{s:[{s:s,s:s,s:s,s:[s]}]}", "mounts", "destination", "/dev/shm", "type", "tmpfs",
                      "source", "shm", "options", "nosuid");
        cleanup_json json_t *paths = json_pack("[s,s,s]", "/image", "/image2", "/image3");
        assert_int_equal(mounts_parse(volumes, mounts, NULL, &list, &err), 0);
        assert_int_equal(mounts_apply(&list, document, paths, &err), 0);
        cleanup_free char *printed = json_print(document, NULL);
        assert_string_equal(printed,
                            "{\"mounts\":[{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":"
                            "\"tmpfs\",\"options\":[\"noexec\",\"nosuid\",\"nodev\",\"size=1048576\","
                            "\"mode=700\",\"ro\"]},{\"destination\":\"/image2\",\"type\":\"tmpfs\","
                            "\"source\":\"tmpfs\",\"options\":[\"noexec\",\"nosuid\",\"nodev\"]}]}");
        cleanup_free char *left = json_print(paths, NULL);
        assert_string_equal(left, "[\"/image3\",\"/own\",\"/image\"]");
        /* what --tmpfs put there already is not taken twice */
        assert_int_equal(mounts_apply(&list, document, paths, &err), -EINVAL);
        mounts_done(&list);
}

static void volumes_with_a_name_become_disks(void **state)
{
        (void)state;
        static const char *const volumes[] = {"data:/a:ro,nocopy", "data:/b/c:ro", "other:/d", "more:/e:ro",
                                              "more:/f",           "/own",         NULL};
        struct mount_list list;
        struct error err = ERROR_INIT;
        cleanup_json json_t *document = json_pack("{s:[]}", "mounts");
        cleanup_json json_t *paths = json_pack("[s]", "/d");
        assert_int_equal(mounts_parse(volumes, NULL, NULL, &list, &err), 0);
        assert_int_equal(mounts_apply(&list, document, paths, &err), 0);
        cleanup_json json_t *disks = mounts_disks(&list);
        cleanup_free char *printed = json_print(disks, NULL);
        assert_string_equal(printed, "[{\"volume\":\"data\",\"path\":\"/b/c\",\"readonly\":true},"
                                     "{\"volume\":\"other\",\"path\":\"/d\",\"readonly\":false},"
                                     "{\"volume\":\"more\",\"path\":\"/e\",\"readonly\":false}]");
        cleanup_free char *first = json_print(json_array_get(json_object_get(document, "mounts"), 0), NULL);
        assert_string_equal(first, "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":"
                                   "\"/run/box/volumes/data\",\"options\":[\"bind\",\"ro\"]}");
        assert_int_equal(json_array_size(json_object_get(document, "mounts")), 5);
        cleanup_free char *left = json_print(paths, NULL);
        assert_string_equal(left, "[\"/own\"]"); /* what the image declares there gives way */
        cleanup_json json_t *described = mounts_describe(&list);
        cleanup_free char *one = json_print(json_array_get(described, 0), NULL);
        assert_string_equal(one, "{\"Type\":\"volume\",\"Name\":\"data\",\"Destination\":\"/a\","
                                 "\"Mode\":\"ro\",\"RW\":false}");
        mounts_done(&list);
}

static void shares_have_numbers_and_are_described(void **state)
{
        (void)state;
        int fd;
        const char *folder = unit_folder(&fd);
        char one[300], two[300];
        (void)snprintf(one, sizeof(one), "%s/new/deep:/b/c:ro,cache=always", folder);
        (void)snprintf(two, sizeof(two), "%s:/a", folder);
        const char *const volumes[] = {one, two, NULL};
        const char *const tmpfs[] = {"type=tmpfs,target=/t", NULL};
        struct mount_list list;
        struct error err = ERROR_INIT;
        assert_int_equal(mounts_parse(volumes, tmpfs, NULL, &list, &err), 0);
        assert_int_equal(shares_check(&list, &err), 0);
        assert_int_equal(faccessat(fd, "new", F_OK, 0), -1);
        assert_int_equal(shares_make(&list, &err), 0);
        assert_int_equal(faccessat(fd, "new/deep", F_OK, 0), 0);
        cleanup_json json_t *described = shares_describe(&list);
        assert_int_equal(json_array_size(described), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(described, 0), "source")),
                            folder);
        assert_string_equal(json_string_value(json_object_get(json_array_get(described, 1), "cache")),
                            "always");
        assert_true(json_is_true(json_object_get(json_array_get(described, 1), "readonly")));
        cleanup_json json_t *document = json_pack("{s:[]}", "mounts");
        cleanup_json json_t *paths = json_array();
        assert_int_equal(mounts_apply(&list, document, paths, &err), 0);
        json_t *last = json_array_get(json_object_get(document, "mounts"), 2);
        cleanup_free char *text = json_print(last, NULL);
        assert_string_equal(text,
                            "{\"destination\":\"/b/c\",\"type\":\"bind\",\"source\":\"/run/box/shares/1\","
                            "\"options\":[\"rbind\",\"nodev\",\"ro\"]}");
        mounts_done(&list);
}

static void shares_must_be_there_and_be_files(void **state)
{
        (void)state;
        static const char *const missing[] = {"type=bind,source=/no/such/folder,target=/d", NULL};
        static const char *const device[] = {"/dev/null:/d", NULL};
        struct mount_list list;
        struct error err = ERROR_INIT;
        assert_int_equal(mounts_parse(NULL, missing, NULL, &list, &err), 0);
        assert_int_equal(shares_check(&list, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/no/such/folder"));
        mounts_done(&list);
        assert_int_equal(mounts_parse(device, NULL, NULL, &list, &err), 0);
        assert_int_equal(shares_check(&list, &err), -EINVAL);
        mounts_done(&list);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(takes_every_form_of_v),
    cmocka_unit_test(takes_every_form_of_mount),
    cmocka_unit_test(refuses_what_v_cannot_mean),
    cmocka_unit_test(refuses_what_mount_cannot_mean),
    cmocka_unit_test(sorts_by_depth_and_refuses_twins),
    cmocka_unit_test(has_a_limit),
    cmocka_unit_test(without_a_working_folder_nothing_is_relative),
    cmocka_unit_test(applies_tmpfs_and_anonymous_volumes),
    cmocka_unit_test(volumes_with_a_name_become_disks),
    cmocka_unit_test(shares_have_numbers_and_are_described),
    cmocka_unit_test(shares_must_be_there_and_be_files),
};
UNIT_TEST_MAIN(cases)
