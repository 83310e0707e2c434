/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "monitor/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A whole box.json whose parts can be replaced. */
struct parts {
        const char *id, *programs, *machine, *root, *network, *container, *more;
};

static int parse(const struct parts *p, struct config *ret, struct error *err)
{
        char text[4096];
        int n =
            snprintf(text, sizeof(text),
                     "{\"version\":1,\"id\":\"%s\",\"programs\":%s,\"machine\":%s,\"root\":%s,\"network\":%s,"
                     "\"container\":%s%s}",
                     p->id != NULL ? p->id : ID,
                     p->programs != NULL ? p->programs : "{\"vmm\":\"/vmm\",\"passt\":\"/passt\"}",
                     p->machine != NULL ? p->machine : "{\"kernel\":\"/k\",\"initrd\":\"/i\"}",
                     p->root != NULL ? p->root : "{\"image\":\"/r\"}",
                     p->network != NULL ? p->network : "null",
                     p->container != NULL ? p->container : "{\"spec\":{\"process\":{}}}",
                     p->more != NULL ? p->more : "");
        return config_parse(text, (size_t)n, ret, err);
}

static void defaults_are_as_documented(void **state)
{
        (void)state;
        struct config c;
        const struct parts p = {0};
        assert_int_equal(parse(&p, &c, NULL), 0);
        assert_string_equal(c.name, ID);
        assert_string_equal(c.engine, "qemu");
        assert_string_equal(c.jail, "auto");
        assert_string_equal(c.accel, "tcg");
        assert_int_equal(c.cpus, 2);
        assert_int_equal(c.memory_bytes, 536870912);
        assert_int_equal(c.boot_timeout_ms, 120000);
        assert_null(c.disk);
        assert_false(c.has_network);
        assert_int_equal(c.stop_signal, 15);
        assert_int_equal(c.stop_timeout_ms, 10000);
        assert_int_equal(c.log_maximum_bytes, 16777216);
        assert_int_equal(c.log_files, 2);
        assert_false(c.auto_remove || c.stdin_open || c.terminal || c.readonly);
        config_done(&c);
}

static void everything_is_read(void **state)
{
        (void)state;
        struct config c;
        const struct parts p = {
            .machine = "{\"engine\":\"qemu\",\"accel\":\"kvm\",\"cpus\":3,\"memory_bytes\":268435456,"
                       "\"kernel\":\"/k\",\"initrd\":\"/i\",\"jail\":\"require\"}",
            .root = "{\"image\":\"/r\",\"disk\":\"disk.ext4\",\"readonly\":true,\"volumes\":[\"/v\"]}",
            .network = "{\"publish\":[{\"address\":\"::1\",\"host_port\":8080,\"box_port\":80},"
                       "{\"address\":null,\"host_port\":0,\"box_port\":53,\"protocol\":\"udp\"}],\"nested_"
                       "names\":true}",
            .container = "{\"spec\":{\"process\":{\"terminal\":true}},\"stdin\":true,\"stop_signal\":2}",
            .more = ",\"auto_remove\":true,\"log\":{\"maximum_bytes\":5000,\"files\":1},\"unknown\":[],"
                    "\"disks\":[{\"name\":\"d\",\"fd\":6,\"readonly\":true},{\"name\":\"e\",\"fd\":7,"
                    "\"path\":\"/e\"}]"};
        assert_int_equal(parse(&p, &c, NULL), 0);
        assert_string_equal(c.accel, "kvm");
        assert_string_equal(c.jail, "require");
        assert_int_equal(c.cpus, 3);
        assert_string_equal(c.disk, "disk.ext4");
        assert_int_equal(json_array_size(c.volumes), 1);
        assert_true(c.auto_remove && c.stdin_open && c.terminal && c.readonly && c.has_network);
        assert_int_equal(c.publish_count, 2);
        assert_true(c.nested_names);
        assert_string_equal(c.publish[0].address, "::1");
        assert_int_equal(c.publish[0].host_port, 8080);
        assert_false(c.publish[0].udp);
        assert_string_equal(c.publish[1].address, "");
        assert_true(c.publish[1].udp);
        assert_int_equal(c.disk_count, 2);
        assert_true(c.disks[0].readonly && !c.disks[1].readonly);
        assert_int_equal(c.disks[1].fd, 7);
        assert_null(c.disks[0].path);
        assert_string_equal(c.disks[1].path, "/e");
        config_drop_spec(&c);
        assert_null(c.spec);
        config_done(&c);
}

static void a_dropped_spec_can_be_taken_again(void **state)
{
        (void)state;
        static const char again[] =
            "{\"container\":{\"spec\":{\"process\":{\"args\":[\"b\"]}},\"command\":{\"args\":[\"c\"]}}}";
        struct config c;
        struct error err = ERROR_INIT;
        const struct parts p = {
            .container = "{\"spec\":{\"process\":{\"args\":[\"a\"]}},\"command\":{\"args\":[\"x\"]}}",
            .more = ",\"restart\":{\"policy\":\"on-failure\",\"maximum\":4}"};
        assert_int_equal(parse(&p, &c, NULL), 0);
        assert_int_equal(c.restart.kind, RESTART_ON_FAILURE);
        assert_int_equal(c.restart.maximum, 4);
        config_drop_spec(&c);
        assert_null(c.spec);
        assert_int_equal(config_take_spec(&c, again, sizeof(again) - 1, &err), 0);
        const json_t *args = json_object_get(json_object_get(c.spec, "process"), "args");
        assert_string_equal(json_string_value(json_array_get(args, 0)), "b");
        args = json_object_get(c.command, "args");
        assert_string_equal(json_string_value(json_array_get(args, 0)), "c");
        config_drop_spec(&c);
        static const char *const bad[] = {"", "[]", "{}", "{\"container\":{}}",
                                          "{\"container\":{\"spec\":{\"process\":{}}}}"}; /* no command */
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_true(config_take_spec(&c, bad[i], strlen(bad[i]), &err) < 0);
        config_done(&c);
}

static void refuse(const struct parts *p, const char *words)
{
        struct config c;
        struct error err = ERROR_INIT;
        int r = parse(p, &c, &err);
        assert_true(r < 0);
        if (strstr(err.text, words) == NULL)
                (void)fprintf(stderr, "%s\n", err.text);
        assert_non_null(strstr(err.text, words));
}

static void wrong_members_are_named(void **state)
{
        (void)state;
        refuse(&(struct parts){.id = "../../etc"}, "'id'");
        refuse(&(struct parts){.programs = "{}"}, "'vmm' is missing");
        refuse(&(struct parts){.programs = "{\"vmm\":\"vmm\"}"}, "not an absolute path");
        refuse(&(struct parts){.programs = "7"}, "'programs'");
        refuse(&(struct parts){.machine = "{\"kernel\":\"/k\"}"}, "'initrd' is missing");
        refuse(&(struct parts){.machine = "{\"kernel\":\"/k\",\"initrd\":\"/i\",\"cpus\":0}"}, "'cpus'");
        refuse(&(struct parts){.machine = "{\"kernel\":\"/k\",\"initrd\":\"/i\",\"memory_bytes\":1.5}"},
               "'memory_bytes'");
        refuse(&(struct parts){.root = "{\"image\":\"/r\",\"disk\":\"../x\"}"}, "'disk'");
        refuse(&(struct parts){.root = "{\"image\":\"/r\",\"disk\":\"\"}"}, "'disk'");
        refuse(&(struct parts){.root = "{\"image\":\"/r\",\"volumes\":{}}"}, "'volumes'");
        refuse(&(struct parts){.more = ",\"disks\":{}"}, "'disks'");
        refuse(&(struct parts){.more = ",\"disks\":[{\"name\":\"d\"}]"}, "'fd' is missing");
        refuse(&(struct parts){.more = ",\"disks\":[{\"name\":\"d\",\"fd\":2}]"}, "'fd'");
        refuse(&(struct parts){.more = ",\"disks\":[{\"name\":\"d\",\"fd\":7},{\"name\":\"e\",\"fd\":7}]"},
               "descriptor 7 twice");
        refuse(&(struct parts){.more = ",\"forwards\":[{\"fd\":7,\"path\":\"rel\"}]"}, "'path'");
        refuse(&(struct parts){.more =
                                   ",\"forwards\":[{\"fd\":7,\"path\":\"/p\",\"unix\":\"/u\",\"device\":1}]"},
               "'inode' is missing");
        refuse(
            &(struct parts){
                .more =
                    ",\"forwards\":[{\"fd\":7,\"path\":\"/p\",\"unix\":\"/u\",\"device\":1,\"inode\":1}]"},
            "'modified_ns' is missing");
        refuse(&(struct parts){.container = "{}"}, "'spec' is missing");
        refuse(&(struct parts){.container = "{\"spec\":{}}"}, "'process' is missing");
        refuse(&(struct parts){.container = "{\"spec\":{\"process\":{}},\"stop_signal\":65}"},
               "'stop_signal'");
        refuse(&(struct parts){.network = "{\"publish\":[7]}"}, "'publish'");
        refuse(&(struct parts){.network = "{\"publish\":[{\"host_port\":1}]}"}, "'box_port' is missing");
        refuse(&(struct parts){.network = "{\"publish\":[{\"box_port\":65536}]}"}, "'box_port'");
        refuse(&(struct parts){.network = "{\"publish\":[{\"box_port\":1,\"address\":\"1.2.3\"}]}"},
               "'address'");
        refuse(&(struct parts){.network = "{\"publish\":[{\"box_port\":1,\"address\":\"x,y\"}]}"},
               "'address'");
        refuse(&(struct parts){.network = "{\"publish\":[{\"box_port\":1,\"protocol\":\"sctp\"}]}"},
               "'protocol'");
        refuse(&(struct parts){.programs = "{\"vmm\":\"/vmm\"}", .network = "{}"}, "'passt' is missing");
        refuse(&(struct parts){.more = ",\"log\":{\"files\":0}"}, "'files'");
        refuse(&(struct parts){.more = ",\"restart\":{\"policy\":\"often\"}"}, "'policy'");
        refuse(&(struct parts){.more = ",\"restart\":{\"policy\":\"always\"},\"auto_remove\":true"},
               "exclude each other");
        refuse(&(struct parts){.more = ",\"version\":1"}, "duplicate");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(defaults_are_as_documented),
    cmocka_unit_test(everything_is_read),
    cmocka_unit_test(a_dropped_spec_can_be_taken_again),
    cmocka_unit_test(wrong_members_are_named),
};

UNIT_TEST_MAIN(cases)
