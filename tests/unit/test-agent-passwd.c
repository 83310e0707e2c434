/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/passwd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken\n"
                             ":x:5:5::/x:\n"
                             "nonumber:x:abc:1::/x:/bin/sh\n"
                             "big:x:4294967296:1::/x:/bin/sh\n"
                             "alice:x:1000:100:A,B:C:/home/alice:/bin/sh\n"
                             "42:x:77:78::/home/fortytwo:/bin/sh\n"
                             "last:x:9:9::/last:/bin/sh:rest:of:line";
static const char group[] = "root:x:0:\n"
                            "users:x:100:\n"
                            "wheel:x:10:bob,alice\n"
                            "nope:x:11:alicex,xalice,ali\n"
                            "audio:x:29:alice,\n"
                            "bad:x:-1:alice\n"
                            "55:x:56:\n";

static void check(const char *text, uid_t uid, gid_t gid, const char *home)
{
        struct passwd_user user;
        struct error err = ERROR_INIT;
        if (passwd_find(text, passwd, group, &user, &err) < 0)
                fail_msg("%s: %s", text, err.text);
        assert_int_equal(user.uid, uid);
        assert_int_equal(user.gid, gid);
        assert_string_equal(user.home, home);
        assert_int_equal(user.groups[0], gid);
}

static void names_and_numbers_are_found(void **state)
{
        (void)state;
        check("", 0, 0, "/root");
        check("root", 0, 0, "/root");
        check("0", 0, 0, "/root");
        check("alice", 1000, 100, "C"); /* one colon too many: the fields are what they are */
        check("1000", 1000, 100, "C");
        check("alice:wheel", 1000, 10, "C");
        check("alice:55", 1000, 56, "C"); /* a group of that name goes before the number */
        check("alice:99", 1000, 99, "C");
        check("12345", 12345, 0, "");
        check("12345:6", 12345, 6, "");
        check("42", 77, 78, "/home/fortytwo"); /* the same for users */
        check("77", 77, 78, "/home/fortytwo");
        check(":wheel", 0, 10, "/root");
        check("last", 9, 9, "/last");
        check("alice:", 1000, 100, "C");
}

static void groups_are_those_that_list_the_name(void **state)
{
        (void)state;
        struct passwd_user user;
        struct error err = ERROR_INIT;
        assert_int_equal(passwd_find("alice", passwd, group, &user, &err), 0);
        assert_int_equal(user.group_count, 3);
        assert_int_equal(user.groups[1], 10);
        assert_int_equal(user.groups[2], 29);
        assert_int_equal(passwd_find("alice:users", passwd, group, &user, &err), 0);
        assert_int_equal(user.group_count, 1);
}

static void what_is_not_there_is_said(void **state)
{
        (void)state;
        struct passwd_user user;
        struct error err = ERROR_INIT;
        assert_int_equal(passwd_find("bob", passwd, group, &user, &err), -ENOENT);
        assert_string_equal(err.text, "find user 'bob': no such entry in the image's /etc/passwd");
        assert_int_equal(passwd_find("alice:gone", passwd, group, &user, &err), -ENOENT);
        assert_string_equal(err.text, "find group 'gone': no such entry in the image's /etc/group");
        assert_int_equal(passwd_find("alice", NULL, NULL, &user, &err), -ENOENT);
        assert_int_equal(passwd_find("-1", passwd, group, &user, &err), -ENOENT);
        assert_int_equal(passwd_find("4294967295", passwd, group, &user, &err), -ENOENT);
        assert_int_equal(passwd_find("7:8", NULL, NULL, &user, &err), 0);
        assert_int_equal(passwd_find("nonumber", passwd, group, &user, &err), -ENOENT);
}

static void too_many_groups_are_cut(void **state)
{
        (void)state;
        static char many[20000];
        struct passwd_user user;
        struct error err = ERROR_INIT;
        for (int i = 0; i < 400; i++)
                (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "g%d:x:%d:root\n", i,
                               2000 + i);
        assert_int_equal(passwd_find("root", passwd, many, &user, &err), 0);
        assert_int_equal(user.group_count, PASSWD_GROUPS_MAX);
        assert_int_equal(user.groups[0], 0);
        assert_int_equal(user.groups[1], 2000);
}

static void a_home_that_does_not_fit_is_none(void **state)
{
        (void)state;
        char home[4];
        passwd_home("a:x:1:1::/abc:\n", 1, home, sizeof(home));
        assert_string_equal(home, "");
        passwd_home("a:x:1:1::/ab:\n", 1, home, sizeof(home));
        assert_string_equal(home, "/ab");
        passwd_home(NULL, 1, home, sizeof(home));
        assert_string_equal(home, "");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(names_and_numbers_are_found),      cmocka_unit_test(groups_are_those_that_list_the_name),
    cmocka_unit_test(what_is_not_there_is_said),        cmocka_unit_test(too_many_groups_are_cut),
    cmocka_unit_test(a_home_that_does_not_fit_is_none),
};

UNIT_TEST_MAIN(cases)
